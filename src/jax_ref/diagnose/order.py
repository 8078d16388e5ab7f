"""Mistakes of order: axes permuted or flipped, an axis rolled or shuffled, a reshape for both."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jax_ref.diagnose.evidence import Difference, Evidence, Explanation, Numbers, norm
from jax_ref.diagnose.whole import Likeness, held_against
from jax_ref.verdict import Kind

PROBED = 512  # entries that are compared before whole arrays are
PROMISING = 0.7  # correlation of these entries
TRIED = 6  # arrangements that are compared whole
ARRANGEMENTS = 4000
NAMED = 8  # indices of an order that are written out


class Arrangement(NamedTuple):
    """A permutation of the axes of an array, and the axes of the result that are then flipped."""

    axes: tuple[int, ...]
    flipped: tuple[int, ...]

    def of(self, array: Numbers) -> Numbers:
        """Return the array in this arrangement."""
        return np.flip(array.transpose(self.axes), self.flipped)

    @property
    def says(self) -> str:
        """The arrangement in words."""
        parts = []
        if self.axes != tuple(range(len(self.axes))):
            parts.append(f"transpose: axes {self.axes}")
        if self.flipped:
            plural = "axes" if len(self.flipped) > 1 else "axis"
            parts.append(f"{plural} {', '.join(map(str, self.flipped))} flipped")
        return ", ".join(parts)

    @property
    def kind(self) -> Kind:
        """The class of mistake."""
        return Kind.PERMUTED if self.says.startswith("transpose") else Kind.FLIPPED


def arrangements(
    came: tuple[int, ...], wanted: tuple[int, ...], *, flips: bool = True
) -> Iterator[Arrangement]:
    """Yield the ways to lay out one shape as another, the plainest first; not the identity."""
    axes = range(len(came))
    if len(came) != len(wanted):
        return
    fitting = [p for p in itertools.permutations(axes) if tuple(came[a] for a in p) == wanted]
    long = [axis for axis in axes if wanted[axis] > 1]
    for count in range(len(long) + 1 if flips else 1):
        for flipped in itertools.combinations(long, count):
            for permuted in fitting:
                if flipped or permuted != tuple(axes):
                    yield Arrangement(permuted, flipped)


def arranged(
    evidence: Evidence, difference: Difference, *, scaled: bool = False
) -> Iterator[Explanation]:
    """Explain a hand with its axes permuted or flipped; `scaled`, by a multiple of that."""
    for arrangement in _promising(difference):
        back = _inverse(arrangement, difference.truth)
        if back.shape != difference.hand.shape:
            continue
        nats = 1.0 + len(arrangement.flipped) + 0.5 * (arrangement.kind is Kind.PERMUTED)
        like = Likeness(arrangement.kind, arrangement.says, back, nats)
        found = held_against(like, evidence, difference, scaled=scaled)
        if found:
            yield found


def _inverse(arrangement: Arrangement, truth: Numbers) -> Numbers:
    """Return the array that the arrangement turns into the truth."""
    return np.flip(truth, arrangement.flipped).transpose(np.argsort(arrangement.axes))


def _promising(difference: Difference) -> list[Arrangement]:
    """Return the arrangements whose entries correlate with the truth's in a sample."""
    hand, truth = difference.hand, difference.truth
    if not truth.ndim or not difference.count:
        return []
    rng = np.random.default_rng(0)
    flat = np.flatnonzero(difference.wrong)
    places = np.unravel_index(rng.choice(flat, min(PROBED, flat.size), replace=False), truth.shape)
    sampled = truth[places]
    found = []
    for at in itertools.islice(arrangements(hand.shape, truth.shape), ARRANGEMENTS):
        turned: list[Numbers] = [np.zeros(0, int)] * truth.ndim
        for axis, source in enumerate(at.axes):
            last = truth.shape[axis] - 1
            turned[source] = last - places[axis] if axis in at.flipped else places[axis]
        probed = hand[tuple(turned)]
        size = norm(probed) * norm(sampled)
        alike = abs(float(probed @ sampled)) / size if size else 0.0
        if alike > PROMISING:
            found.append((-round(alike, 6), at))
    return [at for _, at in sorted(found, key=lambda pair: pair[0])[:TRIED]]


def reshaped(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand whose entries were read in the order of other axes."""
    truth = difference.truth
    for axes in itertools.islice(itertools.permutations(range(truth.ndim)), 1, 24):
        other = truth.transpose(axes).reshape(truth.shape)
        says = f"entries in the order of axes {axes}: a reshape where a transpose belongs?"
        yield Explanation(
            Kind.PERMUTED, says, difference.left(truth + other - difference.hand), 4.0
        )


def reordered(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand with the indices of one axis rolled or in another order."""
    truth = difference.truth
    for axis, size in enumerate(truth.shape):
        if size < 2:
            continue
        order = _matching(difference.hand, truth, axis)
        says, nats = _order_in_words(axis, order)
        left = difference.left(np.take(difference.hand, order, axis))
        if left <= difference.exact:
            yield Explanation(Kind.FLIPPED, says, left, nats)


def _order_in_words(axis: int, order: Numbers) -> tuple[str, float]:
    """Return the order of an axis in words, and its nats."""
    size, shift = len(order), int(order[0])
    if np.array_equal(order, (np.arange(size) + shift) % size):
        steps = shift if 2 * shift <= size else shift - size
        return f"axis {axis} rolled by {steps}".replace("-", "−"), 4.0
    for block in (b for b in range(size // 2, 1, -1) if size % b == 0):
        starts = order[::block]
        whole = starts[:, None] + np.arange(block) if not (starts % block).any() else None
        if whole is not None and np.array_equal(order, whole.reshape(-1)):
            blocks = ", ".join(map(str, starts[:NAMED] // block))
            says = f"axis {axis} in another order: blocks of {block}: {blocks}"
            return says, 4.0 + math.lgamma(len(starts) + 1)
    listed = f": {', '.join(map(str, order))}" if size <= NAMED else ""
    return f"axis {axis} in another order{listed}", 4.0 + math.lgamma(size + 1)


def _matching(hand: Numbers, truth: Numbers, axis: int) -> Numbers:
    """Return for each index of an axis of the truth the index of the hand that is most like it."""
    size = truth.shape[axis]
    along = np.random.default_rng(0).standard_normal(truth.size // size)
    sides = (np.moveaxis(side, axis, 0).reshape(size, -1) @ along for side in (hand, truth))
    by_hand, true = (np.argsort(side, kind="stable") for side in sides)
    order = np.empty(size, int)
    order[true] = by_hand
    return order
