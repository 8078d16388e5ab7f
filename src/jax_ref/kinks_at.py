"""At a kink any slope between the one-sided ones is right, and only there.

A hand that differs from `jax.grad` at a point where something is compared has its slopes held
against differences on both sides: along each coordinate, and along those that share a kink at once,
of all arguments together, so that a subgradient is told from a sum of two. Along a coordinate at
which they differ the slopes must jump: where they do not, the error bar of differences hides no
error. Coordinates share a kink where a one-sided slope along both is not the sum of the two; across
independent kinks the slopes of a sum do not bound its subgradients. A jump of slopes where nothing
is compared is no kink.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jax_ref import locate
from jax_ref.compare import compare, describe
from jax_ref.examine import (
    AT,
    DIFFERENCES,
    NEAR,
    Examination,
    Findings,
    differences,
    weighed,
)
from jax_ref.kink_lines import along_each, drawn, lines_of, sharing, sizes_of
from jax_ref.oracles import finite_difference
from jax_ref.oracles.finite_difference import Slopes
from jax_ref.points import Point
from jax_ref.verdict import Row, Verdict
from jax_ref.witnesses import ONE_SIDED, difference_row

COORDINATES = 64
ONE_BY_ONE = 4096  # coordinates, at most, at each of which the hand is held against both sides
EVALUATED = 2**28  # numbers in all the points at which the function is evaluated for that
HELD = 2**24  # numbers in the directions that are held at a time
NONE = 1e-6  # of the other one-sided slope is 0
COUPLED = 32  # coordinates at a kink that are tried in pairs
JUDGED = ("jax.grad", "precision")
BESIDE = "Where kinks meet, a sound convention may not be either: check beside them too"
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
    if wrong and (seen := _looked_at(examination, point, found, wrong)):
        found = _judged(found, wrong, seen, lines)
        wrong = [] if seen.sound else wrong
    if examination.rests_on_differences():
        found = _one_by_one(examination, point, found)
    if not wrong and examination.subject.reference:
        crossed = [row for row in found.rows if _is_crossed(row)]
        spread = [row for row in crossed if _only_at_ties(examination, point, found, row)]
        found.rows = [row for row in found.rows if row not in spread]
    if not wrong and any(_is_crossed(row) and ONE_SIDED in row.detail for row in found.rows):
        found.notes.append(f"KINK: the point is where something turns: {lines}. {BESIDE}")
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


@dataclass(frozen=True)
class _Seen:
    """What the one-sided slopes say of every entry of all leaves.

    Attributes:
      sound: whether the hand's slopes lie between them wherever the hand differs.
      says: what was seen, if it is sound.
      apart: where the hand differs, by leaf.
      allowed: where that is a matter of the kink alone, by leaf.
      low: the lower slope, by leaf; NaN where there is no kink or none was looked for.
      high: the higher slope.
    """

    sound: bool
    says: str
    apart: Mapping[str, np.ndarray]
    allowed: Mapping[str, np.ndarray]
    low: Mapping[str, np.ndarray]
    high: Mapping[str, np.ndarray]


def _looked_at(
    examination: Examination, point: Point, found: Findings, wrong: list[Row]
) -> _Seen | None:
    """Return what the one-sided slopes of all leaves say; None where that cannot be told."""
    if (lines := lines_of(examination, point, found)) is None:
        return None
    tolerances = {row.leaf: row.tolerance for row in wrong}
    tolerance = max(tolerances.values())
    size, apart = (
        np.concatenate(parts)
        for parts in zip(
            *(
                sizes_of(found.hand[path], found.true[path], tolerances.get(path))
                for path in lines.paths
            ),
            strict=True,
        )
    )

    def outside(along: np.ndarray) -> tuple[np.ndarray, Slopes]:
        # The hand's own rounding adds up along a direction.
        weight = np.abs(along)
        slack = tolerance * (weight @ np.abs(lines.true) + (weight * size).max(-1))
        return lines.outside(along, slack)

    room, differ = _room(apart.size), int(np.count_nonzero(apart))
    order = drawn((apart, ~apart), examination.rng)[: max(min(differ, room), COORDINATES)]
    beyond = np.zeros(apart.size, bool)
    low, high = np.full((2, apart.size), np.nan)
    for some in np.array_split(order, -(-len(order) * apart.size // HELD)):
        beyond[some], slopes = outside(along_each(some, apart.size))
        jump = slopes.low < slopes.high
        low[some], high[some] = (np.where(jump, s, np.nan) for s in (slopes.low, slopes.high))
    at_kinks = [at for at in order if low[at] < high[at]]
    groups = sharing(lines.moved, lines.x, along_each(at_kinks[:COUPLED], apart.size))
    crossed = groups[outside(groups)[0]] if len(groups) else groups
    allowed = apart & (low < high) & ~beyond & ~crossed.any(0)
    allowed &= not (beyond & ~apart).any()
    looked = np.isin(np.arange(apart.size), order)
    sound = not beyond.any() and not len(crossed) and bool((allowed | ~apart | ~looked).all())
    says = SEEN if differ <= room else f"{room} of {differ} entries that differ were looked at"
    by_leaf = [_by_leaf(found, lines.paths, whole) for whole in (apart, allowed, low, high)]
    return _Seen(sound, says, *by_leaf)


def _by_leaf(found: Findings, paths: Sequence[str], whole: np.ndarray) -> dict[str, np.ndarray]:
    """Return an array for each leaf of what was laid one after another."""
    shapes = [np.shape(found.hand[path]) for path in paths]
    parts = np.split(whole, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
    return {p: part.reshape(s) for p, part, s in zip(paths, parts, shapes, strict=True)}


def _judged(found: Findings, wrong: list[Row], seen: _Seen, lines: str) -> Findings:
    """Return the findings with what is allowed at a kink told from what is wrong."""
    if seen.sound:
        found.rows = [_kink(row, seen.says) if row in wrong else row for row in found.rows]
        found.notes.append(f"KINK: the point is where something turns: {lines}")
        return found
    left = {row.leaf: seen.apart[row.leaf] & ~seen.allowed[row.leaf] for row in wrong}
    bent = {leaf: entries & (seen.low[leaf] < seen.high[leaf]) for leaf, entries in left.items()}
    many, turning = (sum(int(np.sum(e)) for e in part.values()) for part in (left, bent))
    if not many:
        return found
    for leaf in left:
        hand, true = np.asarray(found.hand[leaf]), np.asarray(found.true[leaf])
        found.true[leaf] = np.where(seen.allowed[leaf], hand, true).astype(true.dtype)
    mended = [_worst_left(row, left[row.leaf], seen, found) for row in wrong]
    found.rows = [mended[wrong.index(row)] if row in wrong else row for row in found.rows]
    told = f"KINK: the point is where something turns: {lines}"
    if turning:
        told = (
            f"KINK: at {turning} of {many} wrong entries something turns: {lines}; along them, or "
            f"along all that share a kink, the hand is not between the one-sided slopes. {BESIDE}"
        )
    if turning or any(seen.allowed[leaf].any() for leaf in left):
        found.notes.append(told)
    return found


def _worst_left(row: Row, left: np.ndarray, seen: _Seen, found: Findings) -> Row:
    """Return the row of a leaf with the worst of the entries that are left as wrong."""
    leaf = row.leaf
    if not left.any():
        return _kink(row, SEEN)
    worst = compare(row.witness, leaf, found.hand[leaf], found.true[leaf], row.tolerance)
    assert worst.index is not None
    detail = describe(leaf, worst.index, float(worst.hand or 0), float(worst.truth or 0))
    low, high = seen.low[leaf][worst.index], seen.high[leaf][worst.index]
    if low < high:
        low, high = (0.0 if abs(s) < NONE * max(abs(low), abs(high)) else s for s in (low, high))
        found.kinks[leaf] = f"at a kink, one-sided slopes {low:.6g} and {high:.6g}"
        detail += f"; {found.kinks[leaf]}"
    return replace(
        row,
        error=max(worst.error, row.tolerance),
        index=worst.index,
        hand=worst.hand,
        truth=worst.truth,
        detail=detail,
        heat=worst.heat,
    )


def _only_at_ties(examination: Examination, point: Point, found: Findings, row: Row) -> bool:
    """Return whether differences miss the hand only along coordinates that share a kink.

    Of several arguments that tie, as in the two largest of three, the slopes along one do not
    bound the subgradients; those along all of them at once do.
    """
    if row.index is None:
        return True  # a signed direction crosses several kinks at once
    if (lines := lines_of(examination, point, found)) is None:
        return False
    parts = [np.full(np.size(found.hand[path]), path == row.leaf) for path in lines.paths]
    ours = np.concatenate(parts)
    worst = np.zeros(ours.size, bool)
    shape = np.shape(found.hand[row.leaf])
    worst[np.flatnonzero(ours)[np.ravel_multi_index(row.index, shape) if shape else 0]] = True
    slack = row.tolerance * np.abs(lines.true[ours]).max(initial=0.0)
    order = drawn((worst, ours & ~worst, ~ours), examination.rng)[:COORDINATES]
    units = along_each(order, worst.size)
    beyond, slopes = lines.outside(units, slack)
    jumps = slopes.low < slopes.high
    groups = sharing(lines.moved, lines.x, units[jumps][:COUPLED])
    # What is not seen again at the worst entry is not explained by a tie either.
    if not beyond[0] or not len(groups) or not (groups.sum(0) @ units[beyond].T > 0).all():
        return False
    return not lines.outside(groups, slack)[0].any()


def _kink(row: Row, seen: str) -> Row:
    verdict = Verdict.PASS if seen == SEEN else Verdict.INCONCLUSIVE
    detail = f"{row.leaf}: KINK, {seen}; jax.grad takes another"
    return replace(row, error=0.0, verdict=verdict, detail=detail)
