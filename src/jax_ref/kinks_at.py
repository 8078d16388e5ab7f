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

from jax_ref import locate
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
from jax_ref.witnesses import difference_row

COORDINATES = 64
ONE_BY_ONE = 4096  # coordinates, at most, at each of which the hand is held against both sides
EVALUATED = 2**28  # numbers in all the points at which the function is evaluated for that
HELD = 2**24  # numbers in the directions that are held at a time
COUPLED = 32  # coordinates at a kink that are tried in pairs
STEP = 2.0**-20
APART = 1e-4  # of the largest slope, by which a sum of slopes misses where a kink is shared
JUDGED = ("jax.grad", "precision")
SEEN = "within the one-sided slopes"


def forgive(examination: Examination, found: Findings, *, sampled: int) -> Findings:
    """Return the findings with each difference at a kink judged by the one-sided slopes."""
    point = examination.point.in_float64()
    bent = [row for row in found.rows if "KINK" in row.detail]
    failed = [row for row in found.rows if row.verdict is Verdict.FAIL]
    wrong = [row for row in failed if row.witness in JUDGED and row.leaf in found.true]
    if not bent and not wrong and not any(map(_is_crossed, failed)):
        return found
    step, lines = examination.turns(point)
    if bent and step > NEAR:
        straight = differences(examination, point, found, sampled=sampled, smooth=True)
        by_leaf = {row.leaf: row for row in straight}
        found.rows = [by_leaf[row.leaf] if row in bent else row for row in found.rows]
        found = weighed(examination, found)
    if step > AT:
        return found
    if wrong and (seen := _is_subgradient(examination, point, found, wrong)):
        found.rows = [_kink(row, seen) if row in wrong else row for row in found.rows]
        found.notes.append(f"KINK: the point is where something turns: {lines}")
        wrong = []
    if examination.rests_on_differences():
        found = _one_by_one(examination, point, found)
    if not wrong and examination.subject.reference:
        crossed = [row for row in found.rows if _is_crossed(row)]
        spread = [row for row in crossed if _only_at_ties(examination, point, found, row)]
        found.rows = [row for row in found.rows if row not in spread]
    return found


def resolve(examination: Examination, found: Findings) -> Findings:
    """Return the findings of other witnesses with those along signed directions looked into."""
    point = examination.point.in_float64()
    crossing = any(_crosses(row, found) for row in found.rows)
    if crossing and examination.rests_on_differences() and examination.turns(point)[0] <= AT:
        return _one_by_one(examination, point, found)
    return found


def _is_crossed(row: Row) -> bool:
    return row.verdict is Verdict.FAIL and row.witness in DIFFERENCES


def _crosses(row: Row, found: Findings) -> bool:
    """Return whether differences along signed directions failed, or had kinks to hide behind."""
    if row.witness not in DIFFERENCES:
        return False
    judged = row.verdict is Verdict.FAIL or "KINK" in row.detail
    large = np.size(found.hand[row.leaf]) > finite_difference.ALL_COORDINATES
    again = row.leaf in found.one_by_one and row.witness == DIFFERENCES[0]
    return judged and large and not again


def _one_by_one(examination: Examination, point: Point, found: Findings) -> Findings:
    """Return the findings with differences along signed directions made anew, coordinate by one.

    A signed direction crosses several kinks at once, and its slopes bound no subgradient, or are so
    far apart that they hide a mistake; where nothing but differences speaks, none must stay unseen.
    """
    arguments, J = examination.subject.arguments, examination.projection(point)
    paths, made = list(arguments.paths), []
    crossing = [row for row in found.rows if _crosses(row, found)]
    for leaf in dict.fromkeys(row.leaf for row in crossing):
        if leaf in found.one_by_one:
            continue
        found.one_by_one.add(leaf)
        at, hand = paths.index(leaf), np.asarray(found.hand[leaf])
        x = np.asarray(point.chosen[at])
        if np.iscomplexobj(x) or x.size > _room(x.size):
            detail = f"{leaf}: at kinks, with more entries than can be looked at one by one"
            row = next(row for row in crossing if row.leaf == leaf)
            made.append(replace(row, verdict=Verdict.INCONCLUSIVE, detail=detail))
            continue
        along, moved = np.eye(x.size), locate.along_one(J, point.chosen, at)
        scale = finite_difference.scales(x, along)
        slopes = finite_difference.slopes(moved, x.reshape(-1), along, scale)
        made.append(difference_row(DIFFERENCES[0], leaf, hand, along, slopes))
        if examination.subject.reference is None:
            flat, bar = hand.reshape(-1), 10 * slopes.bar
            between = (slopes.low - bar <= flat) & (flat <= slopes.high + bar)
            found.true[leaf] = np.where(between, flat, slopes.middle).reshape(hand.shape)
    found.rows = [row for row in found.rows if row not in crossing] + made
    return found


def _room(size: int) -> int:
    """Return at how many coordinates a function of so many numbers may be differenced."""
    return max(COORDINATES, min(ONE_BY_ONE, EVALUATED // size))


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
) -> str:
    """Return what was seen if the hand's slopes lie between the one-sided ones of all leaves.

    Where they do not, or that cannot be told, it is empty.
    """
    if (lines := _lines(examination, point, found)) is None:
        return ""
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

    room, differ = _room(apart.size), int(np.count_nonzero(apart))
    order = _order((apart, ~apart), examination.rng)[: max(min(differ, room), COORDINATES)]
    at_kinks: list[int] = []
    for some in np.array_split(order, -(-len(order) * apart.size // HELD)):
        beyond, jumps = outside(_units(some, apart.size))
        if beyond.any() or not jumps[apart[some]].all():
            return ""
        at_kinks += some[jumps].tolist()
    groups = _groups(lines.moved, lines.x, _units(at_kinks[:COUPLED], apart.size))
    if len(groups) and outside(groups)[0].any():
        return ""
    return SEEN if differ <= room else f"{room} of {differ} entries that differ were looked at"


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
    order = _order((worst, ours & ~worst, ~ours), examination.rng)[:COORDINATES]
    units = _units(order, worst.size)
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


def _order(parts: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the coordinates at random, those of the first part first, and so on."""
    return np.concatenate([rng.permutation(np.flatnonzero(part)) for part in parts])


def _units(coordinates: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    """Return the directions along some coordinates."""
    units = np.zeros((len(coordinates), size))
    units[np.arange(len(coordinates)), np.asarray(coordinates, int)] = 1
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


def _kink(row: Row, seen: str) -> Row:
    verdict = Verdict.PASS if seen == SEEN else Verdict.INCONCLUSIVE
    detail = f"{row.leaf}: KINK, {seen}; jax.grad takes another"
    return replace(row, error=0.0, verdict=verdict, detail=detail)
