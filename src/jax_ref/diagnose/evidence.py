"""What is known of a leaf that failed, and when an explanation of its error counts.

Left     ‖mended − truth‖ / ‖hand − truth‖. A difference below 2 × resolution × the larger of
         |truth| and its root mean square is rounding, and counts as none: so one wrong entry of
         10⁵ is not drowned by the rounding of the others.
Exact    An explanation that leaves no more than rounding of the size of hand and truth; among
         these the one with the fewest nats is named first.
Nats     The logarithm of the number of explanations that one was picked from.
Chance   An explanation with f fitted numbers meets m random entries to within ε by a chance of
         about exp(nats) ε^(m − f). Where that is above 5 %, it has explained nothing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jax_ref.verdict import Kind

EPS = 4  # resolution over the unit of a dtype
SLACK = 2  # × resolution: below it a difference is rounding
EXACT = 1e-6  # of the error may be left by an exact explanation,
COARSEST = 0.15  # or as much in a low precision
WORTH = 0.5  # of the error may be left by one that is worth saying,
FITTED = 0.1  # or by one that was fitted, or picked from many
MANY = 1.0  # nats: more than a sign, or the factor that is tried first
PLAIN = 4.0  # nats of what is likelier than chance even of a single number
DIGITS = 1e-3  # an exact explanation must leave less for a fitted number without a name
SAMPLE = 2048  # entries that stand for a large leaf
CHANCE = math.log(20)
FINEST = 1e-12

if TYPE_CHECKING:
    Numbers = np.ndarray
else:
    Numbers = np.ndarray | np.generic  # what NumPy makes of arrays of rank 0 is no array


@dataclass(frozen=True)
class Evidence:
    """A cotangent by hand, the truth, and everything that either may be made of.

    Attributes:
      leaf: its name, "W", "params['b'][0]".
      hand: the cotangent by hand, of any floating dtype; may hold what is not finite.
      truth: of the same shape, unless the shape is what is wrong.
      hands: all leaves of all cotangents by hand.
      truths: the truth of all of them.
      primals: the leaves of the arguments, integers and masks too.
      outputs: "y", or "y[0]", …
      cotangents: of the outputs: "dy", or "dy[0]", …, in the same order.
      residuals: the forward's own intermediates.
      truth_at: the truth of all leaves for other cotangents of the outputs.
      resolution: relative size below which differences are rounding.
    """

    leaf: str
    hand: Numbers
    truth: Numbers
    hands: Mapping[str, Numbers] = field(default_factory=dict)
    truths: Mapping[str, Numbers] = field(default_factory=dict)
    primals: Mapping[str, Numbers] = field(default_factory=dict)
    outputs: Mapping[str, Numbers] = field(default_factory=dict)
    cotangents: Mapping[str, Numbers] = field(default_factory=dict)
    residuals: Mapping[str, Numbers] = field(default_factory=dict)
    truth_at: Callable[[Mapping[str, Numbers]], Mapping[str, Numbers]] | None = None
    resolution: float = 1e-10


@dataclass(frozen=True)
class Explanation:
    """A mistake that may be the cause.

    Attributes:
      kind: the class of mistake.
      says: the explanation in words.
      left: the share of the error that it leaves.
      nats: the logarithm of the number of explanations it was picked from.
      freedom: numbers that were fitted to the error; None where the pattern of the error itself,
        not its values, is the evidence.
    """

    kind: Kind
    says: str
    left: float
    nats: float = 0.0
    freedom: int | None = 0


@dataclass(frozen=True)
class Difference:
    """A hand and a truth of one shape, float64 and finite, as multiples of the largest truth.

    Attributes:
      hand: by hand.
      truth: the truth.
      rounding: the size below which a difference is none, for each entry.
      resolution: relative size of rounding.
      scale: what both were divided by.
    """

    hand: Numbers
    truth: Numbers
    rounding: Numbers
    resolution: float
    scale: float = 1.0

    @classmethod
    def between(cls, hand: Numbers, truth: Numbers, resolution: float) -> "Difference":
        """Return the difference of two arrays; an entry that is not finite in both counts as 0."""
        hand, truth = real(hand), real(truth)
        seen = np.isfinite(hand) & np.isfinite(truth)
        hand, truth = np.where(seen, hand, 0.0), np.where(seen, truth, 0.0)
        scale = _largest(truth) or _largest(hand) or 1.0
        hand, truth = hand / scale, truth / scale
        unit = SLACK * resolution
        rounding = unit * np.maximum(np.abs(truth), norm(truth) / math.sqrt(max(truth.size, 1)))
        if not (np.abs(hand - truth) > rounding).any():
            rounding = np.zeros_like(truth)
        return cls(hand, truth, rounding, resolution, scale)

    @cached_property
    def error(self) -> Numbers:
        """What must be added to the hand; 0 where that is rounding."""
        return self._without_rounding(self.truth - self.hand)

    @cached_property
    def wrong(self) -> Numbers:
        """Where the hand is wrong."""
        return self.error != 0

    @cached_property
    def count(self) -> int:
        """The number of wrong entries."""
        return int(np.count_nonzero(self.wrong))

    @cached_property
    def size(self) -> float:
        """The norm of the error."""
        return norm(self.error)

    @cached_property
    def sample(self) -> "Difference":
        """The difference at the sampled entries."""
        return self.at(self.sampled())

    @cached_property
    def exact(self) -> float:
        """The share of the error that an exact explanation may leave."""
        return min(EXACT + SLACK * EPS * self.grain, COARSEST) if self.size else 0.0

    @cached_property
    def grain(self) -> float:
        """The rounding of hand and truth as a share of the error."""
        return self.resolution / EPS * max(norm(self.hand), norm(self.truth)) / self.size

    def left(self, mended: Numbers, *, multiplied: bool = False) -> float:
        """Return the share of the error that is left.

        Args:
          mended: what the truth should be.
          multiplied: whether it was made by multiplication: what is left is then also held against
            the truth, for 0 × hand is never far from a truth that is smaller than the hand.
        """
        size = min(self.size, norm(self.truth)) if multiplied else self.size
        remains = norm(self._without_rounding(mended - self.truth))
        return remains / size if size else math.inf

    def sampled(self, *, within: bool = False) -> tuple[Any, ...]:
        """Return the index of some entries, half of them wrong, or all; the same ones every time.

        Args:
          within: whether only wrong entries are drawn.
        """
        if not self.wrong.ndim:
            return (..., None)
        rng = np.random.default_rng(0)
        chosen = np.flatnonzero(self.wrong)
        half = SAMPLE if within else SAMPLE // 2
        if chosen.size > half:
            chosen = rng.choice(chosen, half, replace=False)
        size = self.wrong.size
        if not within:
            others = np.arange(size) if size <= SAMPLE else rng.integers(0, size, SAMPLE // 2)
            chosen = np.union1d(chosen, others)
        return np.unravel_index(np.sort(chosen), self.wrong.shape)

    def at(self, places: Any) -> "Difference":
        """Return the difference at some entries, as vectors."""
        hand, truth, rounding = (part[places] for part in (self.hand, self.truth, self.rounding))
        return Difference(hand, truth, rounding, self.resolution, self.scale)

    def likely(self, found: Explanation) -> bool:
        """Return whether an explanation is worth saying: of enough of the error, and no chance."""
        if found.freedom is None:
            return found.left < WORTH
        worth = FITTED if found.freedom or found.nats > MANY else WORTH
        if not found.left < max(worth, self.exact):
            return False
        if not found.freedom and found.nats <= PLAIN and self.fits(found):
            return True
        close = max(found.left, self.grain, FINEST)
        return (self.count - found.freedom) * -math.log(close) - found.nats >= CHANCE

    @property
    def coarse(self) -> bool:
        """Whether too few digits are known for fitted numbers that have no name."""
        return self.exact > DIGITS

    def fits(self, found: Any) -> bool:
        """Return whether an explanation leaves nothing but rounding."""
        return found.left <= self.exact

    def _without_rounding(self, difference: Numbers) -> Numbers:
        return np.where(np.abs(difference) <= self.rounding, 0.0, difference)


def agree(hand: Numbers, truth: Numbers, resolution: float) -> bool:
    """Return whether two arrays of one shape differ by rounding only."""
    return norm(hand - truth) <= 2 * SLACK * resolution * norm(truth)


def norm(x: Numbers) -> float:
    """Return the Euclidean norm of all entries."""
    flat = x.reshape(-1)
    return float(np.sqrt(flat @ flat))


def dot(x: Numbers, y: Numbers) -> float:
    """Return the inner product over all entries."""
    return float(x.reshape(-1) @ y.reshape(-1))


def real(array: Any) -> Numbers:
    """Return the array in float64; a complex one with real and imaginary part on a last axis."""
    array = np.asarray(array)
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], -1).astype(np.float64)
    return array.astype(np.float64)


def wide(array: Any) -> Numbers:
    """Return the array in float64, or in complex128 if it is complex."""
    array = np.asarray(array)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _largest(x: Numbers) -> float:
    return float(np.abs(x).max(initial=0.0))
