"""The witnesses of level "full": slower, or possible only for some functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import locate, transformations
from jax_ref.calling import in_a_line
from jax_ref.compare import compare
from jax_ref.errors import CheckError
from jax_ref.examine import (
    WIDE,
    Examination,
    Findings,
    differences,
    float64_findings,
    weighed,
)
from jax_ref.oracles import complex_step, finite_difference, kinks, taylor
from jax_ref.oracles.jaxprs import TracingError
from jax_ref.points import BESIDE, Point, noise
from jax_ref.subject import Leaves, inexact, with_float0
from jax_ref.verdict import Row, Verdict

SIGNED = 4  # random directions of entries ±1, for each leaf
WHOLE = 4096  # entries of a Jacobian that is compared whole


def extend(examination: Examination, found: Findings, tolerance: float, *, x64: bool) -> Findings:
    """Return the findings with those of every other witness that the subject allows."""
    subject, point = examination.subject, examination.point
    wide: Findings | None = found
    if point.chosen[0].dtype not in WIDE:
        wide, tolerance = found.wide, _unit(examination)
    with jax.enable_x64(x64 or wide is found):
        found.rows += transformations.rows(examination, found)
    if subject.reference is None:
        found.notes.append("dot product, Jacobian, second order: not possible without a primal")
    if wide is None:
        return found
    numerical = {
        "Taylor remainder": _taylor,
        "five points": _five_points,
        "complex step": _complex_step,
    }
    exact = {"dot product": _dot_product, "Jacobian": _jacobian, "second order": _second_order}
    at = point.in_float64()
    ways = {} if subject.eager else numerical
    for witness, way in (ways | (exact if subject.reference else {})).items():
        try:
            found.rows += way(examination, at, wide, tolerance)
        except Exception as error:  # noqa: BLE001  whatever a function raises, it is told
            found.notes.append(f"{witness}: not possible: {in_a_line(error)}")
    found.notes += [note for note in wide.notes if note not in found.notes]
    weighed(examination, found)
    return found


def add_float64(examination: Examination, found: Findings) -> None:
    """Add the rows of the float64 witnesses at a point of lower precision, raised to float64.

    A rule of lower precision may round to it inside, so no error below its unit is held against it.
    """
    point, unit = examination.point.in_float64(), _unit(examination)
    try:
        wide = float64_findings(examination, point, unit, sampled=finite_difference.SAMPLED)
    except (CheckError, TypeError, ValueError) as error:
        found.notes.append(f"float64 witnesses: not possible: {in_a_line(error)}")
        return
    if any(np.asarray(g).dtype not in WIDE for g in wide.hand.values()):
        found.notes.append("float64 witnesses: not possible, the rule computes in its own dtype")
        return
    found.rows += wide.rows
    found.wide = wide
    if examination.subject.reference is None:
        found.true |= wide.true


def _unit(examination: Examination) -> float:
    return float(jnp.finfo(examination.point.chosen[0].dtype).eps)


class Signed(NamedTuple):
    """Directions of entries ±1, each in one leaf and 0 in the others."""

    leaves: tuple[int, ...]
    along: tuple[Any, ...]

    def of(self, k: int) -> np.ndarray:
        """Return the directions of the k-th of `leaves`, (SIGNED, *shape)."""
        return np.asarray(self.along[self.leaves[k]])[k * SIGNED : (k + 1) * SIGNED]


def _signed(point: Point, rng: np.random.Generator) -> Signed:
    real = [np.issubdtype(leaf.dtype, np.floating) and leaf.size for leaf in point.chosen]
    leaves = tuple(int(at) for at in np.flatnonzero(real))
    signs = [
        [rng.choice([-1.0, 1.0], (SIGNED, *leaf.shape)) * (at == moved) for moved in leaves]
        for at, leaf in enumerate(point.chosen)
    ]
    along = [
        jnp.asarray(np.concatenate(blocks), leaf.dtype)
        for blocks, leaf in zip(signs, point.chosen, strict=True)
    ]
    return Signed(leaves, tuple(along))


def _along_rows(
    witness: str,
    examination: Examination,
    found: Findings,
    directions: Signed,
    true: np.ndarray,
    tolerance: float,
) -> list[Row]:
    """Return the rows that hold ⟨bwd(c), v⟩ against the slopes along signed directions."""
    rows = []
    for k, at in enumerate(directions.leaves):
        leaf = examination.subject.arguments.paths[at]
        hand, slopes = found.hand[leaf], true[k * SIGNED : (k + 1) * SIGNED]
        along = (directions.of(k) * hand).reshape(SIGNED, -1).sum(-1)
        whole, largest = float(np.abs(hand).sum()), float(np.abs(hand).max(initial=0))
        scale = max(whole, float(np.abs(slopes).max())) or 1.0
        errors = np.abs(along - slopes) / scale
        error = float(np.where(np.isfinite(errors), errors, np.inf).max())
        verdict = Verdict.PASS if error <= tolerance else Verdict.FAIL
        worst = int(errors.argmax())
        detail = (
            f"{leaf} along a signed direction: hand {along[worst]:.9g}, truth {slopes[worst]:.9g}"
        )
        rows.append(
            Row(
                witness,
                leaf,
                error,
                tolerance,
                verdict,
                visible=tolerance * scale / largest if largest else tolerance,
                vacuous=bool(not whole and not slopes.any()),
                detail=detail if verdict is Verdict.FAIL else "",
            )
        )
    return rows


def _dot_product(
    examination: Examination, point: Point, found: Findings, tolerance: float
) -> list[Row]:
    """Return the rows of ⟨bwd(c), v⟩ = ⟨c, jvp(v)⟩, by the tangent of the reference."""
    directions = _signed(point, examination.rng)

    def tangents(chosen: Leaves, rest: Leaves, dy: Leaves, directions: Leaves) -> Any:
        def along(v: Leaves) -> Any:
            _, ty = jax.jvp(
                lambda *chosen: inexact(examination.of_reference(chosen, rest)),
                tuple(chosen),
                tuple(v),
            )
            products = [jnp.sum(jnp.real(c * t)) for c, t in zip(dy, ty, strict=True)]
            return jnp.sum(jnp.stack(products))

        return jax.lax.map(along, tuple(directions))

    program = examination.subject.compile(tangents)
    true = np.asarray(program(point.chosen, point.rest, point.dy, directions.along))
    return _along_rows("dot product", examination, found, directions, true, tolerance)


def _complex_step(
    examination: Examination, point: Point, found: Findings, tolerance: float
) -> list[Row]:
    """Return the rows of a step of 1e-20 into the complex plane, where the forward allows it."""
    J = examination.projection(point)
    refused = complex_step.refusal(J, tuple(point.chosen))
    if refused and examination.subject.reference is not None:
        # An op may refuse complex numbers where its reference takes them.
        J = examination.projection(point, examination.of_reference)
        refused = complex_step.refusal(J, tuple(point.chosen))
    if refused:
        found.notes.append(f"complex step: not possible: {refused}")
        return []
    directions = _signed(point, examination.rng)
    true = np.asarray(complex_step.slopes(J, tuple(point.chosen), directions.along))
    if not np.isfinite(true).all():
        found.notes.append("complex step: not possible: it overflows")
        return []
    return _along_rows("complex step", examination, found, directions, true, tolerance)


def _five_points(
    examination: Examination, point: Point, found: Findings, tolerance: float
) -> list[Row]:
    """Return the rows of central differences of five points."""
    del tolerance
    return differences(examination, point, found, sampled=finite_difference.SAMPLED, points=5)


def _taylor(examination: Examination, point: Point, found: Findings, tolerance: float) -> list[Row]:
    """Return the rows of the Taylor remainder; what tells no order is a note."""
    del tolerance
    J, rng = examination.projection(point), examination.rng
    directions = _signed(point, rng)
    try:
        steps = kinks.read(J, tuple(point.chosen), directions.along).steps / 2
    except TracingError:
        steps = np.full(len(directions.along[0]), np.inf)
    rows = []
    for k, at in enumerate(directions.leaves):
        leaf = examination.subject.arguments.paths[at]
        moved = locate.along_one(J, point.chosen, at)
        x, along = np.asarray(point.chosen[at]).reshape(-1), directions.of(k).reshape(SIGNED, -1)
        told = taylor.remainders(
            moved,
            x,
            along,
            np.asarray(found.hand[leaf]).reshape(-1),
            finite_difference.scales(x, along),
            steps[k * SIGNED : (k + 1) * SIGNED],
        )
        wrong = [one for one in told if one.verdict is Verdict.FAIL]
        right = [one for one in told if one.verdict is Verdict.PASS]
        if not wrong and not right:
            found.notes.append(f"Taylor remainder of {leaf}: {told[0].says}")
            continue
        one = max(wrong or right, key=lambda one: one.error)
        sees = min(one.sees for one in (wrong or right))
        verdict = one.verdict
        detail = f"{leaf}: {one.says}" if wrong else ""
        rows.append(
            Row("Taylor remainder", leaf, one.error, sees, verdict, vacuous=bool(np.isinf(sees)),
                detail=detail)
        )  # fmt: skip
    return rows


def _jacobian(
    examination: Examination, point: Point, found: Findings, tolerance: float
) -> list[Row]:
    """Return the rows of the whole Jacobian, where it is small: of every unit cotangent."""
    del found
    subject = examination.subject
    inputs, outputs = (sum(leaf.size for leaf in side) for side in (point.chosen, point.dy))
    if not 0 < inputs * outputs <= WHOLE or subject.eager:
        return []
    units = _units(point.dy)

    def both(chosen: Leaves, rest: Leaves, units: Leaves) -> tuple[Any, Any]:
        _, hand = examination.by_hand(chosen, rest, units)
        _, back = jax.vjp(lambda *chosen: examination.of_reference(chosen, rest), *chosen)
        y = jax.eval_shape(lambda: examination.of_reference(chosen, rest))
        return hand, jax.lax.map(lambda dy: back(with_float0(y, dy)), units)

    program = subject.compile(both)

    def at(point: Point) -> tuple[dict[str, Any], dict[str, Any]]:
        hand, true = program(point.chosen, point.rest, units)
        return examination.named(hand), examination.named(true)

    hand, true = at(point)
    moved = [at(point.beside(examination.rng))[1] for _ in range(BESIDE)]
    return [
        compare(
            "Jacobian", leaf, hand[leaf], true[leaf], tolerance,
            noise(true[leaf], [side[leaf] for side in moved]),
        )
        for leaf in hand
    ]  # fmt: skip


def _units(dy: Leaves) -> list[Any]:
    """Return every unit cotangent, stacked: each has one 1 in one of the outputs."""
    ends = np.cumsum([leaf.size for leaf in dy])
    table = np.eye(ends[-1])
    parts = np.split(table, ends[:-1], axis=1)
    return [
        jnp.asarray(part.reshape(-1, *leaf.shape), leaf.dtype)
        for part, leaf in zip(parts, dy, strict=True)
    ]


def _second_order(
    examination: Examination, point: Point, found: Findings, tolerance: float
) -> list[Row]:
    """Return the rows of H v: jvp and grad of the hand-written backward, and of the reference's."""
    del found
    subject = examination.subject
    v = tuple(
        jnp.asarray(examination.rng.choice([-1.0, 1.0], leaf.shape), leaf.dtype)
        for leaf in point.chosen
    )

    def by_hand(chosen: Leaves, rest: Leaves, dy: Leaves) -> tuple[Any, ...]:
        _, pulled = examination.by_hand(chosen, rest, [leaf[None] for leaf in dy])
        return tuple(leaf[0] for leaf in pulled)

    def by_autodiff(chosen: Leaves, rest: Leaves, dy: Leaves) -> tuple[Any, ...]:
        return tuple(examination.by_autodiff(chosen, rest, dy)[1])

    def forward_over(gradient: Callable[..., Any]) -> Callable[..., Any]:
        return lambda chosen, rest, dy: jax.jvp(
            lambda *chosen: gradient(chosen, rest, dy), tuple(chosen), v
        )[1]

    def reverse_over(gradient: Callable[..., Any]) -> Callable[..., Any]:
        def along(chosen: Leaves, rest: Leaves, dy: Leaves) -> Any:
            pulled = gradient(tuple(chosen), rest, dy)
            return jnp.sum(jnp.stack([jnp.sum(g * w) for g, w in zip(pulled, v, strict=True)]))

        return jax.grad(along)

    true_of = subject.compile(forward_over(by_autodiff))
    leaves = (tuple(point.chosen), point.rest, point.dy)
    true = true_of(*leaves)
    near = [point.beside(examination.rng) for _ in range(BESIDE)]
    moved = [true_of(tuple(p.chosen), p.rest, p.dy) for p in near]
    around = [noise(leaf, [m[i] for m in moved]) for i, leaf in enumerate(true)]
    rows = []
    for witness, over in (("jvp of backward", forward_over), ("grad of backward", reverse_over)):
        came = subject.compile(over(by_hand))(*leaves)
        rows += [
            compare(witness, leaf, one, other, tolerance, size)
            for leaf, one, other, size in zip(
                subject.arguments.paths, came, true, around, strict=True
            )
        ]
    return [row for row in rows if not row.vacuous]
