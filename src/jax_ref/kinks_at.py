"""At a kink any slope between the one-sided ones is right, and only there.

A hand that differs from `jax.grad` at a point where something is compared has its slopes held
against differences on both sides: along each coordinate, and along those that share a kink at once,
of all arguments together, so that a subgradient is told from a sum of two. Along a coordinate at
which they differ the slopes must jump: where they do not, the error bar of differences hides no
error. Coordinates share a kink where a one-sided slope along both is not the sum of the two; across
independent kinks the slopes of a sum do not bound its subgradients. A jump of slopes where nothing
is compared is no kink.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jax_ref.examine import (
    AT,
    DIFFERENCES,
    NEAR,
    Examination,
    Findings,
    Point,
    differences,
    weighed,
)
from jax_ref.oracles import finite_difference
from jax_ref.verdict import Row, Verdict

COORDINATES = 64
COUPLED = 32  # coordinates at a kink that are tried in pairs
STEP = 2.0**-20
APART = 1e-4  # of the largest slope, by which a sum of slopes misses where a kink is shared
JUDGED = ("jax.grad", "precision")


def forgive(examination: Examination, found: Findings, *, sampled: int) -> Findings:
    """Return the findings with each difference at a kink judged by the one-sided slopes."""
    point = examination.point.in_float64()
    bent = [row for row in found.rows if "KINK" in row.detail]
    failed = [row for row in found.rows if row.verdict is Verdict.FAIL]
    wrong = [row for row in failed if row.witness in JUDGED and row.leaf in found.true]
    weaker = DIFFERENCES if examination.subject.reference else ()
    crossed = [row for row in failed if row.witness in weaker]
    if not bent and not wrong and not crossed:
        return found
    step, lines = examination.turns(point)
    if bent and step > NEAR:
        straight = differences(examination, point, found, sampled=sampled, smooth=True)
        by_leaf = {row.leaf: row for row in straight}
        found.rows = [by_leaf[row.leaf] if row in bent else row for row in found.rows]
        found = weighed(examination, found)
    if step > AT:
        return found
    if wrong and _is_subgradient(examination, point, found, wrong):
        found.rows = [_kink(row) if row in wrong else row for row in found.rows]
        found.notes.append(f"KINK: the point is where something turns: {lines}")
        wrong = []
    # A signed direction crosses several kinks at once.
    spread = [row for row in crossed if row.index is None and not wrong]
    found.rows = [row for row in found.rows if row not in spread]
    return found


def _is_subgradient(
    examination: Examination, point: Point, found: Findings, wrong: list[Row]
) -> bool:
    """Return whether the hand's slopes lie between the one-sided ones, of all leaves together."""
    if any(np.issubdtype(leaf.dtype, np.complexfloating) for leaf in point.chosen):
        return False
    paths = examination.subject.arguments.paths
    hand, true = (
        np.concatenate([np.asarray(side[path], np.float64).reshape(-1) for path in paths])
        for side in (found.hand, found.true)
    )
    if not np.isfinite(hand).all():
        return False
    x, restore = ravel_pytree([jnp.asarray(leaf) for leaf in point.chosen])
    J = examination.projection(point)

    def moved(x: jax.Array) -> Any:
        return J(*restore(x))

    allowed = {row.leaf: row.tolerance for row in wrong}
    tolerance = max(allowed.values())
    size, apart = (
        np.concatenate(parts)
        for parts in zip(
            *(_sizes(found.hand[path], found.true[path], allowed.get(path)) for path in paths),
            strict=True,
        )
    )

    def holds(along: np.ndarray) -> tuple[bool, np.ndarray]:
        scale = finite_difference.scales(x, along)
        slopes = finite_difference.slopes(moved, x, along, scale)
        # The hand's own rounding adds up along a direction.
        weight = np.abs(along)
        bar = 10 * slopes.bar + tolerance * (weight @ np.abs(true) + (weight * size).max(-1))
        by_hand = along @ hand
        inside = (by_hand >= slopes.low - bar) & (by_hand <= slopes.high + bar)
        return bool(inside.all()), slopes.low < slopes.high

    units = _units(apart, examination.rng)
    right, kinked = holds(units)
    if not right or not kinked[units @ apart > 0].all():
        return False
    groups = _groups(moved, x, units[kinked][:COUPLED])
    return not len(groups) or holds(groups)[0]


def _sizes(hand: Any, true: Any, tolerance: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest slope of a leaf, and where the two differ; both once for each entry."""
    hand, true = (np.asarray(side, np.float64).reshape(-1) for side in (hand, true))
    largest = np.full(true.size, np.abs(true).max(initial=0.0))
    if tolerance is None:
        return largest, np.zeros(true.size, bool)
    return largest, np.abs(hand - true) > tolerance * largest


def _units(apart: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return coordinates: those where the two differ, and others while there is room."""
    order = np.concatenate([rng.permutation(np.flatnonzero(part)) for part in (apart, ~apart)])
    some = order[:COORDINATES]
    units = np.zeros((len(some), apart.size))
    units[np.arange(len(some)), some] = 1
    return units


def _groups(J: Any, x: Any, units: np.ndarray) -> np.ndarray:
    """Return, for each set of coordinates that share kinks, the direction along all of them."""
    count = len(units)
    pairs = np.asarray([(i, j) for i in range(count) for j in range(i)], int).reshape(-1, 2)
    along = np.concatenate([units, units[pairs[:, 0]] + units[pairs[:, 1]]])
    if not len(pairs):
        return along[:0]
    step = STEP * finite_difference.scales(x, along)[:, None]
    here, around = finite_difference.on_lines(J, x, along, step * np.asarray([1.0, -1.0]))
    slopes = (around - here) / step
    single, double = slopes[:count], slopes[count:]
    excess = np.abs(double - single[pairs[:, 0]] - single[pairs[:, 1]]).max(-1)
    group = np.arange(count)
    for i, j in pairs[excess > APART * np.abs(slopes).max()]:
        group[group == group[i]] = group[j]
    members = [group == name for name in np.unique(group)]
    return np.asarray([units[m].sum(0) for m in members if m.sum() > 1]).reshape(-1, x.size)


def _kink(row: Row) -> Row:
    detail = f"{row.leaf}: KINK, within the one-sided slopes; jax.grad takes another"
    return replace(row, error=0.0, verdict=Verdict.PASS, detail=detail)
