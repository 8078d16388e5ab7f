"""One subject at one point: every witness that its form allows, and what they say.

In float64 the hand's cotangents and the reference's are evaluated in one program, at the point and
an ulp beside it: how far the truth moves there is its noise, and an error below it is none. In a
lower precision the hand is held against the float64 truth, and `jax.grad` of the reference in the
same precision says how much error is owed to the precision alone.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import locate, naming, own_rules
from jax_ref.compare import compare
from jax_ref.compiling import UNTRACEABLE
from jax_ref.errors import CheckError
from jax_ref.oracles import kinks
from jax_ref.oracles.jaxprs import TracingError, every_equation
from jax_ref.points import BESIDE, Point, noise, on_host, short_decimals, stacked
from jax_ref.subject import Leaves, Subject, inexact, with_float0
from jax_ref.verdict import Row, Verdict
from jax_ref.witnesses import (
    difference_rows,
    output_rows,
    structure_rows,
)

COMBINED = (-2.0, 0.5)  # a c₁ + b c₂, exact in every dtype
LOUD = 1e-6  # noise of that share of a gradient has a cause
NEAR = 1e-5  # a comparison that turns within such a step may bend a difference
AT = 1e-12  # one that turns within such a step does so at the point
ROUNDINGS = 4  # of what is kept in lower precision
MARGIN = 100  # by which differences may miss their tolerance where jax.grad agrees
WIDE = (np.float64, np.complex128)
DIFFERENCES = ("finite difference", "five points", "Taylor remainder")


@dataclass
class Findings:
    """What the witnesses said, and the numbers that they said it of, for the diagnosis.

    Attributes:
      rows: of the report.
      notes: what was not possible, and why.
      hand: cotangents by hand, by leaf.
      true: the truth, by leaf.
      dy: the cotangents that were pulled back, one array for each floating output.
      wide: of a point in lower precision, what the float64 witnesses found there.
      one_by_one: leaves that were differenced along each coordinate by itself.
      kinks: of leaves whose worst entry is at a kink, what the slopes are there.
    """

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hand: dict[str, Any] = field(default_factory=dict)
    true: dict[str, Any] = field(default_factory=dict)
    dy: list[Any] = field(default_factory=list)
    wide: "Findings | None" = None
    one_by_one: set[str] = field(default_factory=set)
    kinks: dict[str, str] = field(default_factory=dict)


def _inner(c: Any, y: Any) -> Any:
    """Return ⟨c, y⟩; not its real part where only y is complex, as of a complex step.

    JAX's cotangents are transposes: of complex numbers nothing is conjugated.
    """
    if jnp.issubdtype(c.dtype, jnp.complexfloating):
        return jnp.sum(jnp.real(c * y))
    return jnp.sum(c * y)


class Examination:
    """A subject with the programs that evaluate it; each is compiled once."""

    def __init__(self, subject: Subject, rng: np.random.Generator) -> None:
        """Trace the subject, or find that it cannot be traced."""
        arguments = subject.arguments
        self.rng = rng
        self.subject = subject
        y, raw = subject.shapes()
        self.structure = self._structure(y, raw)
        self.notes = []
        if not self.structure:
            given = self.subject.cotangents(raw)
            absent = [path for path in arguments.paths if path not in given]
            self.notes = [f"{path}: None counts as zero" for path in absent]
        dy = tuple(short_decimals(rng, leaf.shape, leaf.dtype) for leaf in inexact(y))
        self.point = Point(arguments.chosen, arguments.rest, dy)

    def _structure(self, y: Any, raw: Any) -> list[Row]:
        subject, arguments = self.subject, self.subject.arguments
        rows = []
        if subject.reference is not None:
            args = arguments.build(arguments.chosen, arguments.rest)
            run = subject.reference if subject.eager else None
            true = run(*args) if run else jax.eval_shape(self.of_reference, *self._leaves())
            rows = output_rows(naming.of_tree(y, "y"), naming.of_tree(true, "y"))
        if subject.pair:
            args = arguments.build(arguments.chosen, arguments.rest)
            rows += structure_rows(raw, args, arguments.names, arguments.wanted())
        return rows

    def _leaves(self) -> tuple[Leaves, Leaves]:
        return self.subject.arguments.chosen, self.subject.arguments.rest

    def of_reference(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return the outputs of the reference."""
        assert self.subject.reference is not None
        return self.subject.reference(*self.subject.arguments.build(chosen, rest))

    def value(self, chosen: Leaves, rest: Leaves) -> Any:
        """Return the outputs by hand."""
        return self.subject.value(*self.subject.arguments.build(chosen, rest))

    def by_hand(self, chosen: Leaves, rest: Leaves, dys: Leaves) -> tuple[Any, list[Any]]:
        """Return y and the cotangents, one for each of the cotangents stacked in `dys`."""
        y, back = self.subject.open(chosen, rest)

        def pull(dy: Leaves) -> list[Any]:
            return self.subject.aligned(back(with_float0(y, dy)), chosen)

        if not self.subject.eager:
            return y, jax.lax.map(pull, list(dys))
        each = [pull([leaf[i] for leaf in dys]) for i in range(len(dys[0]))]
        return y, [jnp.stack(group) for group in zip(*each, strict=True)]

    def by_autodiff(self, chosen: Leaves, rest: Leaves, dy: Leaves) -> tuple[Any, list[Any]]:
        """Return y of the reference and its cotangents, as JAX takes them."""
        return self.subject.pulled_by_jax(
            lambda *chosen: self.of_reference(chosen, rest), chosen, dy
        )

    def projection(
        self, point: Point, value: Callable[[Leaves, Leaves], Any] | None = None
    ) -> Callable[..., Any]:
        """Return J = ⟨dy, y⟩ as a function of the differentiated leaves; y by hand by default."""

        def J(*chosen: Any) -> Any:  # noqa: N802
            y = inexact((value or self.value)(chosen, point.rest))
            products = [_inner(c, v) for c, v in zip(point.dy, y, strict=True)]
            return functools.reduce(operator.add, products)

        return J

    def turns(self, point: Point) -> tuple[float, str]:
        """Return the step after which a comparison turns, and what it is; 0 if not known."""
        along = tuple(self.rng.standard_normal((2, *leaf.shape)) for leaf in point.chosen)
        try:
            reading = kinks.read(self.projection(point), tuple(point.chosen), along)
        except (TracingError, TypeError, ValueError):
            return 0.0, "the function cannot be traced"
        lines = [f"{c.primitive} at {c.source}" for c in reading.comparisons[:2] if c.step <= NEAR]
        step = 0.0 if reading.unread else float(reading.steps.min(initial=np.inf))
        return step, ", ".join(lines) or "what cannot be read"

    def equations(self) -> list[Any]:
        """Return every equation of the reference."""
        jaxpr = jax.make_jaxpr(self.of_reference)(self.point.chosen, self.point.rest)
        return list(every_equation(jaxpr.jaxpr))

    def rests_on_differences(self) -> bool:
        """Return whether differences alone are independent of the rule, as far as is known.

        Of a reference that someone gave a derivative, JAX tells that, not the function's own.
        """
        if self.subject.reference is None:
            return True
        try:
            return any(own_rules.is_foreign(equation) for equation in self.equations())
        except UNTRACEABLE:
            return False

    def named(self, leaves: Leaves) -> dict[str, Any]:
        """Return cotangents by leaf."""
        return dict(zip(self.subject.arguments.paths, leaves, strict=True))


def float64_findings(
    examination: Examination, point: Point, tolerance: float, *, sampled: int
) -> Findings:
    """Return what value, linearity, jax.grad and finite differences say at a float64 point."""
    subject, rng = examination.subject, examination.rng
    found = Findings(dy=list(point.dy))
    other = tuple(short_decimals(rng, leaf.shape, leaf.dtype) for leaf in point.dy)

    def everything(chosen: Leaves, rest: Leaves, dys: Leaves) -> tuple[Any, ...]:
        y, pulled = examination.by_hand(chosen, rest, dys)
        plain = None if subject.pair else examination.value(chosen, rest)
        if subject.reference is None:
            return y, pulled, None, None, plain
        return y, pulled, *examination.by_autodiff(chosen, rest, [dy[0] for dy in dys]), plain

    program = subject.compile(everything)

    def at(point: Point) -> tuple[Any, ...]:
        pairs = list(zip(point.dy, other, strict=True))
        dys = stacked(pairs, (1.0, 0.0), (0.0, 1.0), COMBINED)
        return on_host(program(point.chosen, point.rest, dys))

    y, pulled, true_y, true, plain = at(point)
    refuse_nan(subject, y if true_y is None else true_y)
    sides = [at(point.beside(rng)) for _ in range(BESIDE)]
    loud = any(noise(g, [s[1][i] for s in sides]) > LOUD * _size(g) for i, g in enumerate(pulled))
    if loud and examination.turns(point)[0] <= AT:
        # Beside a kink the gradient is another: only what multiplies it may move.
        sides = [at(replace(point, dy=point.beside(rng).dy)) for _ in range(BESIDE)]
    values = naming.of_tree(y, "y")
    found.hand = {leaf: np.asarray(g[0]) for leaf, g in examination.named(pulled).items()}
    if plain is not None:
        # What the rule returns must not change when it is differentiated.
        found.rows += [
            compare("value", leaf, value, values[leaf], tolerance, infinities=True)
            for leaf, value in naming.of_tree(plain, "y").items()
        ]
    if true_y is not None:
        true_values = naming.of_tree(true_y, "y")
        moved = [naming.of_tree(side[2], "y") for side in sides]
        found.rows += [
            compare(
                "value", leaf, values[leaf], true_values[leaf], tolerance,
                noise(true_values[leaf], [side[leaf] for side in moved]), infinities=True,
            )
            for leaf in values
        ]  # fmt: skip
    found.rows += linearity_rows(examination, pulled, sides, tolerance)
    if true is not None:
        found.true = {leaf: np.asarray(g) for leaf, g in examination.named(true).items()}
        moved = [examination.named(side[3]) for side in sides]
        found.rows += [
            compare(
                "jax.grad", leaf, hand, found.true[leaf], _owed(hand, tolerance),
                noise(found.true[leaf], [side[leaf] for side in moved]),
            )
            for leaf, hand in found.hand.items()
        ]  # fmt: skip
    found.rows += differences(examination, point.in_float64(), found, sampled=sampled)
    return weighed(examination, found)


def weighed(examination: Examination, found: Findings) -> Findings:
    """Return the findings without differences that are weaker than the exact witness.

    Where jax.grad agrees, differences that are blind, or miss by little more than their bar, are a
    note; so are those of a reference that stops a gradient, as they are not of its derivative.
    """
    agreed = {r.leaf for r in found.rows if r.witness == "jax.grad" and r.passed and not r.vacuous}
    apart = [
        row
        for row in found.rows
        if row.witness in DIFFERENCES and not row.passed and row.leaf in agreed
    ]
    # Differences are the only witness of a rule that someone gave the reference.
    equations = examination.equations() if apart else []
    if any(own_rules.is_foreign(equation) for equation in equations):
        return found
    stopped = any(equation.primitive.name == "stop_gradient" for equation in equations)
    for row in apart:
        blind = row.verdict is Verdict.INCONCLUSIVE
        if blind or row.size <= MARGIN or stopped:
            found.rows.remove(row)
            told = row.detail if blind else f"{row.leaf}: off by {row.error:.1e}"
            found.notes.append(f"{row.witness}, weaker than jax.grad: {told}")
    return found


def differences(
    examination: Examination,
    point: Point,
    found: Findings,
    *,
    sampled: int,
    smooth: bool = False,
    points: int = 3,
) -> list[Row]:
    """Return the rows of finite differences; where these are the only witness, with the place."""
    J = examination.projection(point)
    hand = found.hand
    if examination.subject.reference is not None:
        # What is kept in lower precision misses every difference by a rounding.
        hand = {leaf: value for leaf, value in hand.items() if _owed(value, 0.0) == 0}
    rows = difference_rows(
        J,
        point.chosen,
        lambda *leaves: examination.named(leaves),
        hand,
        examination.rng,
        sampled=sampled,
        smooth=smooth,
        points=points,
    )
    if examination.subject.reference is not None:
        return rows
    paths, made = examination.subject.arguments.paths, []
    for row in rows:
        if row.verdict is Verdict.FAIL:
            at = paths.index(row.leaf)
            moved = locate.along_one(J, point.chosen, at)
            leaf, hand = point.chosen[at], found.hand[row.leaf]
            row, true = locate.located(row, moved, leaf, hand, examination.rng)
            if true is not None:
                found.true[row.leaf] = true
        made.append(row)
    return made


def linearity_rows(
    examination: Examination, pulled: Leaves, sides: Sequence[tuple[Any, ...]], tolerance: float
) -> list[Row]:
    """Return a row a leaf: bwd(a c₁ + b c₂) against a bwd(c₁) + b bwd(c₂)."""
    a, b = COMBINED
    rows = []
    for at, (leaf, (first, second, combined)) in enumerate(examination.named(pulled).items()):
        moved = [side[1][at][2] for side in sides]
        with np.errstate(all="ignore"):
            expected = np.asarray(a * first + b * second)
        rows.append(
            compare(
                "linearity", leaf, combined, expected, _owed(combined, tolerance),
                noise(combined, moved),
            )
        )  # fmt: skip
    return rows


def _owed(value: Any, tolerance: float) -> float:
    """Return the tolerance for a cotangent; of an argument in lower precision, its roundings."""
    dtype = np.asarray(value).dtype
    return tolerance if dtype in WIDE else max(tolerance, ROUNDINGS * float(jnp.finfo(dtype).eps))


def _size(value: Any) -> float:
    return float(np.abs(np.asarray(value)).max(initial=0.0))


def refuse_nan(subject: Subject, y: Any) -> None:
    """Raise a CheckError where the function is not a number at the point."""
    for leaf, value in naming.of_tree(y, "y").items():
        value = np.asarray(value)
        if np.issubdtype(value.dtype, np.inexact) and np.isnan(value).any():
            index = tuple(int(i) for i in np.argwhere(np.isnan(value))[0])
            role = "rule" if subject.reference is None else "primal"
            place = f"nan at {leaf}{list(index) if index else ''}"
            raise CheckError(subject.place, role, "numbers at this point", place)
