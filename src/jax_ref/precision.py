"""The precision witness: a point in lower precision against the float64 truth.

The hand's error is held against that of `jax.grad` of the reference in the same precision, at the
point and at a few an ulp beside it: how much error is owed to the precision alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import naming
from jax_ref.calling import in_a_line
from jax_ref.compare import compare
from jax_ref.errors import CheckError
from jax_ref.examine import Examination, Findings, refuse_nan
from jax_ref.oracles.autodiff import is_differentiable
from jax_ref.points import NEIGHBOURS, Point, on_host, stacked
from jax_ref.subject import Leaves, Subject, inexact
from jax_ref.verdict import Row
from jax_ref.witnesses import precision_row

HALF = -0.5
HIDES = 0.1  # of the gradient: where more would pass, the precision hides a mistake


def precision_findings(examination: Examination, point: Point, *, x64: bool) -> Findings:
    """Return what the float64 truth says of a point in lower precision.

    Args:
      examination: the subject.
      point: of a lower precision.
      x64: whether float64 was enabled where the check was called; the hand runs as it would there.
    """
    subject, rng = examination.subject, examination.rng
    found = Findings(dy=list(point.dy))
    dtype = subject.arguments.dtype
    undecorated = _differentiable(subject, found, x64=x64)

    def low(chosen: Leaves, rest: Leaves, dys: Leaves) -> tuple[Any, ...]:
        y, pulled = examination.by_hand(chosen, rest, dys)
        plain = y if subject.pair else examination.value(chosen, rest)
        first = [dy[0] for dy in dys]
        return y, plain, pulled, *_by_jax(subject, undecorated, chosen, rest, first)

    def exact(chosen: Leaves, rest: Leaves, dy: Leaves) -> tuple[Any, Any]:
        if subject.reference is not None:
            return examination.by_autodiff(chosen, rest, dy)
        y, pulled = examination.by_hand(chosen, rest, [leaf[None] for leaf in dy])
        return y, [leaf[0] for leaf in pulled]

    low_program, exact_program = subject.compile(low, low=True), subject.compile(exact)

    def at(point: Point) -> tuple[Any, ...]:
        with jax.enable_x64(x64):
            dys = stacked([(dy,) for dy in point.dy], (1.0,), (HALF,))
            came = on_host(low_program(point.chosen, point.rest, dys))
        wide = point.in_float64()
        return *came, *on_host(exact_program(wide.chosen, wide.rest, wide.dy))

    def both(y: Any, cotangents: Leaves) -> dict[str, Any]:
        return _values(y)[0] | examination.named(cotangents)

    y, plain, pulled, own_y, own, true_y, true = at(point)
    refuse_nan(subject, true_y)
    hand = both(y, [leaf[0] for leaf in pulled])
    exactly = both(true_y, true)
    found.hand = {leaf: np.asarray(hand[leaf]) for leaf in subject.arguments.paths}
    found.true = {leaf: np.asarray(exactly[leaf]) for leaf in subject.arguments.paths}
    sides = [at(point.beside(rng)) for _ in range(NEIGHBOURS)]
    if undecorated is not None:
        pairs = [(both(own_y, own), exactly)]
        pairs += [(both(side[3], side[4]), both(side[5], side[6])) for side in sides]
    else:
        # How far the truth moves within an ulp is the least error to expect.
        pairs = [(both(side[5], side[6]), exactly) for side in sides]
    came = [(leaf, hand[leaf]) for leaf in hand]
    if not subject.pair:
        # What the rule returns must not change when it is differentiated.
        came += _values(plain)[0].items()
    found.rows += [
        precision_row(
            leaf, value, exactly[leaf], [(a[leaf], t[leaf]) for a, t in pairs], dtype,
            infinities=leaf not in subject.arguments.paths,
        )
        for leaf, value in came
    ]  # fmt: skip
    found.rows += _whole_rows(y, true_y, true_y if own_y is None else own_y)
    found.rows += _linearity_rows(examination.named(pulled), dtype)
    return found


def _by_jax(
    subject: Subject, function: Callable[..., Any] | None, chosen: Leaves, rest: Leaves, dy: Leaves
) -> tuple[Any, Any]:
    """Return y of a function and its cotangents by JAX; None for both of no function."""
    if function is None:
        return None, None

    def of_leaves(*chosen: Any) -> Any:
        return function(*subject.arguments.build(chosen, rest))

    return subject.pulled_by_jax(of_leaves, chosen, dy)


def _linearity_rows(pulled: Mapping[str, Any], dtype: Any) -> list[Row]:
    """Return a row a leaf: bwd(−½ c) against −½ bwd(c)."""
    tolerance, rows = 4 * float(jnp.finfo(dtype).eps), []
    smallest = 4 * float(jnp.finfo(dtype).smallest_subnormal)
    for leaf, (first, halved) in pulled.items():
        first = np.asarray(first)
        expected = HALF * first.astype(np.complex128 if np.iscomplexobj(first) else np.float64)
        rows.append(compare("linearity", leaf, halved, expected, tolerance, smallest))
    return rows


def hides_mistakes(rows: Sequence[Row]) -> bool:
    """Return whether jax.grad is itself so far off somewhere that a mistake would pass."""
    return any(
        row.witness == "precision" and row.passed and not row.vacuous and row.tolerance > HIDES
        for row in rows
    )


def _differentiable(subject: Subject, found: Findings, *, x64: bool) -> Callable[..., Any] | None:
    """Return what JAX may differentiate in the precision of the point; None where it cannot.

    What has a rule of its own is often what JAX cannot reverse, as a loop until something holds.
    """
    undecorated, arguments = subject.undecorated, subject.arguments
    if undecorated is None or subject.reference is not None or subject.eager:
        return undecorated

    def way_back(chosen: Leaves, rest: Leaves) -> Any:
        y = jax.eval_shape(lambda: undecorated(*arguments.build(chosen, rest)))
        ones = [jnp.ones_like(leaf) for leaf in inexact(y)]
        return _by_jax(subject, undecorated, chosen, rest, ones)

    try:
        with jax.enable_x64(x64):
            jax.eval_shape(way_back, arguments.chosen, arguments.rest)
    except CheckError as error:
        found.notes.append(f"jax.grad of the function itself: not possible: {in_a_line(error)}")
        return None
    return undecorated


def _values(y: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the outputs that have a cotangent, and the others, by name."""
    values = naming.of_tree(y, "y")
    floating = {leaf: value for leaf, value in values.items() if is_differentiable(value)}
    return floating, {leaf: values[leaf] for leaf in values if leaf not in floating}


def _whole_rows(y: Any, true_y: Any, own_y: Any) -> list[Row]:
    """Return the rows of outputs that are no floating numbers.

    They are those of the truth, or those of the reference in the same precision: where two numbers
    round to one, the place of the largest is another.
    """
    rows = []
    true, own = _values(true_y)[1], _values(own_y)[1]
    for leaf, value in _values(y)[1].items():
        if jnp.issubdtype(value.dtype, jnp.integer) or value.dtype == bool:
            both = [compare("value", leaf, value, side[leaf], 0.0) for side in (true, own)]
            rows.append(next((row for row in both if row.passed), both[0]))
    return rows
