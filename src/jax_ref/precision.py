"""The precision witness: a point in lower precision against the float64 truth.

The hand's error is held against that of `jax.grad` of the reference in the same precision, at the
point and at a few an ulp beside it: how much error is owed to the precision alone.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import naming
from jax_ref.compare import compare
from jax_ref.examine import Examination, Findings, refuse_nan
from jax_ref.oracles.autodiff import is_differentiable
from jax_ref.points import NEIGHBOURS, Point, on_host, stacked
from jax_ref.subject import Leaves, with_float0
from jax_ref.witnesses import precision_row

HALF = -0.5


def precision_findings(examination: Examination, point: Point, *, x64: bool) -> Findings:
    """Return what the float64 truth says of a point in lower precision.

    Args:
      examination: the subject.
      point: of a lower precision.
      x64: whether float64 was enabled where the check was called; the hand runs as it would there.
    """
    subject, rng = examination.subject, examination.rng
    found = Findings(dy=list(point.dy))
    undecorated = subject.undecorated
    dtype = subject.arguments.dtype

    def low(chosen: Leaves, rest: Leaves, dys: Leaves) -> tuple[Any, ...]:
        y, pulled = examination.by_hand(chosen, rest, dys)
        return y, pulled, *automatic(chosen, rest, [dy[0] for dy in dys])

    def automatic(chosen: Leaves, rest: Leaves, dy: Leaves) -> tuple[Any, Any]:
        if undecorated is None:
            return None, None
        y, back = jax.vjp(
            lambda *chosen: undecorated(*subject.arguments.build(chosen, rest)), *chosen
        )
        return y, list(back(with_float0(y, dy)))

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
        values = naming.of_tree(y, "y")
        floating = {leaf: v for leaf, v in values.items() if is_differentiable(v)}
        return floating | examination.named(cotangents)

    y, pulled, own_y, own, true_y, true = at(point)
    refuse_nan(subject, true_y)
    hand = both(y, [leaf[0] for leaf in pulled])
    exactly = both(true_y, true)
    found.hand = {leaf: np.asarray(hand[leaf]) for leaf in subject.arguments.paths}
    found.true = {leaf: np.asarray(exactly[leaf]) for leaf in subject.arguments.paths}
    sides = [at(point.beside(rng)) for _ in range(NEIGHBOURS)]
    if undecorated is not None:
        pairs = [(both(own_y, own), exactly)]
        pairs += [(both(side[2], side[3]), both(side[4], side[5])) for side in sides]
    else:
        # How far the truth moves within an ulp is the least error to expect.
        pairs = [(both(side[4], side[5]), exactly) for side in sides]
    found.rows += [
        precision_row(
            leaf, hand[leaf], exactly[leaf], [(a[leaf], t[leaf]) for a, t in pairs], dtype,
            infinities=leaf not in subject.arguments.paths,
        )
        for leaf in hand
    ]  # fmt: skip
    tolerance = 4 * float(jnp.finfo(dtype).eps)
    for leaf, (first, halved) in examination.named(pulled).items():
        smallest = 4 * float(jnp.finfo(dtype).smallest_subnormal)
        expected = HALF * np.asarray(first, np.float64)
        found.rows.append(compare("linearity", leaf, halved, expected, tolerance, smallest))
    return found
