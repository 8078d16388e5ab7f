"""Mistakes of shape: axes not summed, summed away, exchanged, or left from keepdims."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

from jax_ref.diagnose import whole
from jax_ref.diagnose.evidence import Difference, Evidence, Explanation, Numbers, agree, real
from jax_ref.diagnose.order import arrangements
from jax_ref.verdict import Kind


class Candidate(NamedTuple):
    """Two arrays of one shape, which are equal where a mistake was made, and how likely that is."""

    kind: Kind
    says: str
    mended: Numbers
    truth: Numbers


def explain(evidence: Evidence) -> list[Explanation]:
    """Explain a hand whose shape is not the truth's; one of the explanations is just that."""
    hand, truth = real(evidence.hand), real(evidence.truth)
    found = []
    for candidate in _candidates(evidence, hand, truth):
        if agree(candidate.mended, candidate.truth, evidence.resolution):
            found.append(Explanation(candidate.kind, candidate.says, 0.0))
        else:
            found += _with_a_factor(evidence, candidate)
    found.sort(key=lambda e: e.left)
    if not any(e.kind is Kind.SHAPE for e in found):
        found.append(Explanation(Kind.SHAPE, _shape(hand, truth), 1.0))
    return found


def _shape(hand: Numbers, truth: Numbers) -> str:
    return f"shape {hand.shape}, of a primal of shape {truth.shape}"


def _candidates(evidence: Evidence, hand: Numbers, truth: Numbers) -> Iterator[Candidate]:
    yield from _unsummed(hand, truth)
    for at in arrangements(hand.shape, truth.shape, flips=False):
        says = f"{at.says}; shape {hand.shape} for {truth.shape}"
        yield Candidate(Kind.PERMUTED, says, at.of(hand), truth)
    for name, other in evidence.truths.items():
        if name != evidence.leaf and other.shape == hand.shape:
            says = f"equals the cotangent of '{name}'"
            yield Candidate(Kind.SWAPPED, says, hand, real(other))
    if hand.size == truth.size:
        says = f"{_shape(hand, truth)}: the entries are right"
        yield Candidate(Kind.SHAPE, says, hand.reshape(truth.shape), truth)
    for axes in _subsets(truth.ndim):
        summed = truth.sum(axes)
        if summed.shape == hand.shape:
            says = f"{_shape(hand, truth)}: summed over {_axes(axes)}, which the primal has"
            yield Candidate(Kind.SHAPE, says, hand, summed)


def _unsummed(hand: Numbers, truth: Numbers) -> Iterator[Candidate]:
    """Yield the sums of the hand that have the shape of the truth."""
    for axes in _subsets(hand.ndim):
        for keep in (False, True):
            summed = hand.sum(axes, keepdims=keep)
            if summed.shape == truth.shape and hand.size > truth.size:
                sizes = " × ".join(str(hand.shape[axis]) for axis in axes)
                says = f"not summed over {_axes(axes)} of size {sizes}"
                yield Candidate(Kind.BATCH_SUM, says, summed, truth)


def _subsets(rank: int) -> Iterator[tuple[int, ...]]:
    for count in range(1, rank + 1):
        yield from itertools.combinations(range(rank), count)


def _axes(axes: tuple[int, ...]) -> str:
    return f"{'axes' if len(axes) > 1 else 'axis'} {', '.join(map(str, axes))}"


def _with_a_factor(evidence: Evidence, candidate: Candidate) -> Iterator[Explanation]:
    """Explain a hand of the wrong shape by a sign or a factor as well."""
    difference = Difference.between(candidate.mended, candidate.truth, evidence.resolution)
    for propose in (whole.sign, whole.factor):
        for found in propose(evidence, difference):
            fits = difference.fits(found) and math.isfinite(found.left)
            if fits and difference.likely(found):
                yield Explanation(candidate.kind, f"{candidate.says}, and {found.says}", found.left)
