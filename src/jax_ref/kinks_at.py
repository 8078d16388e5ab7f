"""At a kink any slope between the one-sided ones is right, and only there.

A hand that differs from `jax.grad` at a point where something is compared has its slopes held
against differences on both sides: along each coordinate, and along those that share a kink at once,
of all arguments together, so that a subgradient is told from a sum of two. Along a coordinate at
which they differ the slopes must jump: where they do not, the error bar of differences hides no
error. Coordinates share a kink where a one-sided slope along both is not the sum of the two; across
independent kinks the slopes of a sum do not bound its subgradients. A jump of slopes where nothing
is compared is no kink.
"""

from collections.abc import Callable, Sequence
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
    differences,
    weighed,
)
from jax_ref.oracles import finite_difference
from jax_ref.points import Point
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
    if not wrong:
        spread = [row for row in crossed if _only_at_ties(examination, point, found, row)]
        found.rows = [row for row in found.rows if row not in spread]
    return found


class _Lines:
    """The function along coordinates and groups of them, and the hand's slopes beside it."""

    def __init__(self, examination: Examination, point: Point, found: Findings) -> None:
        """Lay all leaves one after another."""
        self.paths = examination.subject.arguments.paths
        self.hand, self.true = (
            np.concatenate([np.asarray(side[path], np.float64).reshape(-1) for path in self.paths])
            for side in (found.hand, found.true)
        )
        self.x, restore = ravel_pytree([jnp.asarray(leaf) for leaf in point.chosen])
        J = examination.projection(point)
        self.moved: Callable[[jax.Array], Any] = lambda x: J(*restore(x))

    def outside(self, along: np.ndarray, slack: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return where the hand is not between the one-sided slopes, and where these jump."""
        scale = finite_difference.scales(self.x, along)
        slopes = finite_difference.slopes(self.moved, self.x, along, scale)
        bar = 10 * slopes.bar + slack
        by_hand = along @ self.hand
        beyond = (by_hand < slopes.low - bar) | (by_hand > slopes.high + bar)
        return beyond, slopes.low < slopes.high


def _lines(examination: Examination, point: Point, found: Findings) -> _Lines | None:
    """Return the lines; None where there are none to go along."""
    if any(np.issubdtype(leaf.dtype, np.complexfloating) for leaf in point.chosen):
        return None
    lines = _Lines(examination, point, found)
    return lines if np.isfinite(lines.hand).all() else None


def _is_subgradient(
    examination: Examination, point: Point, found: Findings, wrong: list[Row]
) -> bool:
    """Return whether the hand's slopes lie between the one-sided ones, of all leaves together."""
    if (lines := _lines(examination, point, found)) is None:
        return False
    allowed = {row.leaf: row.tolerance for row in wrong}
    tolerance = max(allowed.values())
    size, apart = (
        np.concatenate(parts)
        for parts in zip(
            *(
                _sizes(found.hand[path], found.true[path], allowed.get(path))
                for path in lines.paths
            ),
            strict=True,
        )
    )

    def outside(along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # The hand's own rounding adds up along a direction.
        weight = np.abs(along)
        slack = tolerance * (weight @ np.abs(lines.true) + (weight * size).max(-1))
        return lines.outside(along, slack)

    units = _units((apart, ~apart), examination.rng)
    beyond, jumps = outside(units)
    if beyond.any() or not jumps[units @ apart > 0].all():
        return False
    groups = _groups(lines.moved, lines.x, units[jumps][:COUPLED])
    return not len(groups) or not outside(groups)[0].any()


def _only_at_ties(examination: Examination, point: Point, found: Findings, row: Row) -> bool:
    """Return whether differences miss the hand only along coordinates that share a kink.

    Of several arguments that tie, as in the two largest of three, the slopes along one do not
    bound the subgradients; those along all of them at once do.
    """
    if row.index is None:
        return True  # a signed direction crosses several kinks at once
    if (lines := _lines(examination, point, found)) is None:
        return False
    parts = [np.full(np.size(found.hand[path]), path == row.leaf) for path in lines.paths]
    ours = np.concatenate(parts)
    worst = np.zeros(ours.size, bool)
    shape = np.shape(found.hand[row.leaf])
    worst[np.flatnonzero(ours)[np.ravel_multi_index(row.index, shape) if shape else 0]] = True
    slack = row.tolerance * np.abs(lines.true[ours]).max(initial=0.0)
    units = _units((worst, ours & ~worst, ~ours), examination.rng)
    beyond, jumps = lines.outside(units, slack)
    groups = _groups(lines.moved, lines.x, units[jumps][:COUPLED])
    # What is not seen again at the worst entry is not explained by a tie either.
    if not beyond[0] or not len(groups) or not (groups.sum(0) @ units[beyond].T > 0).all():
        return False
    return not lines.outside(groups, slack)[0].any()


def _sizes(hand: Any, true: Any, tolerance: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest slope of a leaf, and where the two differ; both once for each entry."""
    hand, true = (np.asarray(side, np.float64).reshape(-1) for side in (hand, true))
    largest = np.full(true.size, np.abs(true).max(initial=0.0))
    if tolerance is None:
        return largest, np.zeros(true.size, bool)
    return largest, np.abs(hand - true) > tolerance * largest


def _units(parts: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return coordinates: those of the first part, and of the others while there is room."""
    order = np.concatenate([rng.permutation(np.flatnonzero(part)) for part in parts])
    some = order[:COORDINATES]
    units = np.zeros((len(some), parts[0].size))
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
