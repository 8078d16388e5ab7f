"""Mistakes of a whole leaf: its sign, a factor, the batch sum, what else it may be equal to."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jax_ref.diagnose import numbers
from jax_ref.diagnose.evidence import (
    Difference,
    Evidence,
    Explanation,
    Numbers,
    agree,
    dot,
    norm,
    real,
    wide,
)
from jax_ref.verdict import Kind

CORRELATED = 0.8  # squared, of hand and a multiple of another array, at least
SMALL = 1000  # × resolution,
SMALLEST = 1e-3  # and less, but never below the resolution
PLAIN = 1e-2  # as close to 1, a factor is none
NAMED = 0.3  # of the error may be left by a factor that is worth naming alone


PARTS = {
    "only index 0 of {} counts": slice(0, 1),
    "only the last index of {} counts": slice(-1, None),
    "index 0 of {} does not count": slice(1, None),
    "the last index of {} does not count": slice(0, -1),
}


class Likeness(NamedTuple):
    """An array that the hand may be equal to, and what that would mean."""

    kind: Kind
    says: str
    array: Numbers
    nats: float


def zero(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a side that is 0 throughout."""
    if not difference.truth.any():
        yield Explanation(
            Kind.FACTOR, "truth is 0 throughout: nothing may flow here", 0.0, 0.0, None
        )
    elif not difference.hand.any():
        says = f"zero at all {difference.hand.size} entries, where truth is not"
        yield Explanation(Kind.PART_ZERO, says, 0.0, 0.0, None)


def sign(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is −truth, or the complex conjugate of it."""
    left = difference.left(-difference.hand, multiplied=True)
    yield Explanation(Kind.SIGN, "sign error", left)
    if evidence.truth.dtype.kind == "c" and difference.hand.shape[-1:] == (2,):
        conjugate = difference.hand * np.array([1.0, -1.0])
        says = "sign error of the imaginary part: the complex conjugate"
        yield Explanation(Kind.SIGN, says, difference.left(conjugate), 0.5)


def factor(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is a multiple of the truth, a mean over the batch among them."""
    ratio, left = ratio_of(difference)
    if not math.isfinite(left) or not ratio or numbers.near(abs(ratio), 1.0, difference.resolution):
        return
    says, nats, freedom = numbers.words(ratio, evidence)
    if freedom and (left > NAMED or abs(ratio - 1) < without_name(difference.resolution)):
        return
    yield Explanation(Kind.FACTOR, says, left, 1.0 + nats, freedom)
    for size in summed_sizes(evidence):
        if numbers.near(ratio, 1 / size, difference.resolution):
            says = f"1/{size} of truth: averaged over the batch of {size}, not summed?"
            yield Explanation(Kind.BATCH_SUM, says, left, 0.5)


def ratio_of(difference: Difference) -> tuple[float, float]:
    """Return how many times the truth the hand is, and the share of the error that this leaves."""
    hand = difference.hand
    across, square = dot(hand, difference.truth), dot(hand, hand)
    if not across or not square or not math.isfinite(square):
        return 0.0, math.inf
    mended = hand * (across / square)
    return square / across, difference.left(mended, multiplied=True)


def summed_sizes(evidence: Evidence) -> list[int]:
    """Return the sizes of the batch axes that the leaf has not: it was summed over them."""
    shapes = [array.shape for array in evidence.outputs.values() if array.ndim]
    truth = evidence.truth.shape
    found = []
    for shape in shapes:
        lead = shape[: len(shape) - 1] if len(shape) > 1 else shape
        ends = {math.prod(lead[:k]) for k in range(1, len(lead) + 1)} | set(lead)
        found += sorted(size for size in ends if size > 1 and truth[: len(lead)] != lead)
    return list(dict.fromkeys(found))


def without_name(resolution: float) -> float:
    """Return how near to 1 a factor, without a name, is a matter of digits."""
    return min(SMALL * resolution, max(SMALLEST, resolution))


def alike(
    evidence: Evidence, difference: Difference, *, scaled: bool = False
) -> Iterator[Explanation]:
    """Explain a hand that is another array than the truth; `scaled`, a multiple of one."""
    for like in _likenesses(evidence):
        other = real(like.array)
        if other.shape != difference.truth.shape or not np.isfinite(other).all():
            continue
        found = held_against(
            like._replace(array=other / difference.scale), evidence, difference, scaled=scaled
        )
        if found:
            yield found
            if difference.fits(found):
                return


def held_against(
    like: Likeness, evidence: Evidence, difference: Difference, *, scaled: bool
) -> Explanation | None:
    """Return what it explains that the hand is equal to an array; `scaled`, a multiple of it."""
    sample, other = difference.sample, like.array[difference.sampled()]
    if sample.left(other) <= difference.exact:
        return None  # it is the truth: to be equal to it is no mistake
    across, square = dot(sample.hand, other), dot(other, other)
    if not scaled:
        near = sample.left(sample.truth + other - sample.hand) < 1
        left = difference.left(difference.truth + like.array - difference.hand, multiplied=True)
        return Explanation(like.kind, like.says, left, like.nats) if near else None
    if not across or across**2 < CORRELATED * square * dot(sample.hand, sample.hand):
        return None
    ratio = dot(difference.hand, like.array) / dot(like.array, like.array)
    left = norm(difference.hand / ratio - like.array) / norm(like.array)
    if left > difference.exact or abs(ratio - 1) < PLAIN:
        return None
    says, nats, freedom = in_words(ratio, evidence, difference)
    return Explanation(like.kind, f"{like.says}, and {says}", left, like.nats + nats + 3.0, freedom)


def in_words(ratio: float, evidence: Evidence, difference: Difference) -> tuple[str, float, int]:
    """Return a factor in words, −1 as a sign error, with its nats and the numbers fitted."""
    if numbers.near(ratio, -1.0, difference.resolution):
        return "sign error", 0.0, 0
    return numbers.words(ratio, evidence)


def _likenesses(evidence: Evidence) -> Iterator[Likeness]:
    """Yield what a hand is equal to after one of the known mistakes."""
    for other, array in evidence.truths.items():
        if other != evidence.leaf:
            yield Likeness(Kind.SWAPPED, f"equals the cotangent of '{other}'", array, 2.0)
    if evidence.truth_at is None:
        return
    for kind, says, cotangents, nats in _cotangents(evidence):
        truths = evidence.truth_at(cotangents)
        if evidence.leaf in truths:
            kind = _kind(evidence, cotangents, truths) if kind is Kind.BATCH_SUM else kind
            yield Likeness(kind, says, np.asarray(truths[evidence.leaf]), nats)


Cotangents = Mapping[str, Numbers]


def _cotangents(evidence: Evidence) -> Iterator[tuple[Kind, str, Cotangents, float]]:
    """Yield the cotangents whose truth a hand is equal to after one of the known mistakes."""
    given = {name: wide(array) for name, array in evidence.cotangents.items()}
    names = ", ".join(given)
    for says, change in (
        ("1", np.ones_like),
        ("its mean", lambda dy: np.full_like(dy, dy.mean())),
        ("its sum", lambda dy: np.full_like(dy, dy.sum())),
        ("its sign", np.sign),
        ("its absolute value", np.abs),
        ("its square", np.square),
    ):
        changed = {name: change(dy) if dy.size else dy for name, dy in given.items()}
        yield Kind.UPSTREAM, f"equals the truth for {names} = {says}", changed, 2.0
    if len(given) > 1:
        yield from _of_outputs(given)
    yield from _of_samples(given)


def _of_outputs(given: Cotangents) -> Iterator[tuple[Kind, str, Cotangents, float]]:
    """Yield the cotangents with one output ignored, or taken for 1, or two of them exchanged."""
    for name, dy in given.items():
        says = f"equals the truth for {name} = 0: the cotangent of {name[1:]} is ignored"
        yield Kind.UPSTREAM, says, {**given, name: np.zeros_like(dy)}, 1.5
        ones = {**given, name: np.ones_like(dy)}
        yield Kind.UPSTREAM, f"equals the truth for {name} = 1", ones, 2.5
    names = list(given)
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            if given[first].shape == given[second].shape:
                exchanged = {**given, first: given[second], second: given[first]}
                says = f"equals the truth for {first} and {second} exchanged"
                yield Kind.SWAPPED, says, exchanged, 2.5


def _of_samples(given: Cotangents) -> Iterator[tuple[Kind, str, Cotangents, float]]:
    """Yield the cotangents of some samples only, as of a leaf that is not summed over the rest."""
    for name, dy in given.items():
        for axes in _neighbours(dy.ndim):
            of = f"{'axes' if len(axes) > 1 else 'axis'} {', '.join(map(str, axes))} of {name}"
            for says, kept in PARTS.items():
                place: list[slice] = [slice(None)] * dy.ndim
                for axis in axes:
                    place[axis] = kept
                part = np.zeros_like(dy)
                part[tuple(place)] = dy[tuple(place)]
                yield Kind.BATCH_SUM, says.format(of), {**given, name: part}, 3.0


def _neighbours(rank: int) -> list[tuple[int, ...]]:
    """Return the runs of neighbouring axes, single ones first."""
    ends = ((first, last) for first in range(rank) for last in range(first + 1, rank + 1))
    return sorted((tuple(range(*pair)) for pair in ends), key=len)


def _kind(evidence: Evidence, cotangents: Cotangents, truths: Cotangents) -> Kind:
    """Return what it is to leave out a part of dy: a sum of samples cut short, or dy ignored.

    It is the sum where the samples do not reach each other, or where their order is nothing to the
    leaf, as to a bias; the steps of a recurrence are no samples.
    """
    for name, dy in cotangents.items():
        empty = {axis: _empty(dy, axis) for axis in range(dy.ndim)}
        cut = tuple(axis for axis, dead in empty.items() if dead.any())
        reached = (
            np.moveaxis(np.asarray(truth), axis, 0)[empty[axis]].any()
            for truth in truths.values()
            for axis in cut
            if truth.ndim > axis and truth.shape[axis] == dy.shape[axis]
        )
        if any(reached) and not _is_plain_sum(evidence, name, cut):
            return Kind.UPSTREAM
    return Kind.BATCH_SUM


def _empty(dy: Numbers, axis: int) -> Any:
    """Return which indices of an axis are 0 throughout."""
    return ~dy.any(tuple(a for a in range(dy.ndim) if a != axis))


def _is_plain_sum(evidence: Evidence, name: str, axes: tuple[int, ...]) -> bool:
    """Return whether the order of dy along some axes is nothing to the leaf."""
    assert evidence.truth_at is not None
    rolled = np.roll(wide(evidence.cotangents[name]), (1,) * len(axes), axes)
    moved = evidence.truth_at({**evidence.cotangents, name: rolled})[evidence.leaf]
    return agree(real(moved), real(evidence.truth), max(evidence.resolution, 1e-9))
