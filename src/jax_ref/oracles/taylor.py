"""The remainder of the first Taylor polynomial, and the order at which it vanishes.

Test     R(h) = |J(x + δ) − J(x) − ⟨g, δ⟩| with δ the step h d as it is realised in floating point.
         If g is the gradient of a smooth J, R ~ h² or a higher power; if it is not, R ~ h. From
         h = 2⁻⁴ on, halved, the slope log₂ R(h)/R(h/2) tells the power. The limit h → 0 decides, so
         only the slopes at the smallest usable steps count: three in a row.
Usable   where R exceeds a hundredfold rounding: the larger of u |J|, u ‖g ⊙ δ‖ and the noise of J,
         which is measured at tiny steps on both sides, as what a parabola leaves of J there. A
         relative error of ⟨g, d⟩ below 1e-10 counts as rounding.
Verdict  PASS      slopes of 1.9 or more that do not rise towards small h: order 2, or 3, … where
                   the lower terms are 0. A rise announces the dip of c h + a h², with c and a
                   of opposite sign, which is no proof.
         PASS      fewer slopes, and R so small that a wrong g is excluded: J is close to linear.
         FAIL      slopes within 0.1 of 1: the error of ⟨g, d⟩ is c = lim R/h.
         else      INCONCLUSIVE: noise, slopes in between as of |x|^1.5, steps too short, or a J
                   that moves in jumps: it does not stir at tiny steps, but does at large ones.
Kinks    R ~ h at every h above the distance to a kink, whatever g is. So a FAIL counts where the
         steps stay short of every comparison: `largest` bounds them, as `kinks` reads it.
Sees     An error c of ⟨g, d⟩ would have bent the slopes if c h were R(h), h the smallest step used.
Source   Farrell, Ham, Funke & Rognes 2013, arXiv:1204.5577
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_ref.oracles.finite_difference import on_lines
from jax_ref.verdict import Verdict

EPS = float(np.finfo(np.float64).eps)
LARGEST = 2.0**-4
HALVINGS = 20
PROBES = np.asarray([-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0])
PROBE = 2.0**-18  # of the largest step: the unit of the probes, where the noise of J is measured
ABOVE_NOISE = 100
NEGLIGIBLE = 1e-10
CLOSE = 1e-6  # the relative error that must be excluded where no order can be told
IN_A_ROW = 3
WITHIN = 0.1


class Remainder(NamedTuple):
    """What the remainders along one direction say.

    Attributes:
      verdict: the word.
      says: why, in words.
      slopes: log₂ R(h)/R(h/2) over the usable steps, largest step first.
      error: of ⟨g, d⟩, relative to the larger of |⟨g, d⟩| and ‖g ⊙ d‖; of a FAIL, or to the error
        itself, if that is larger still.
      sees: the smallest such error that would have shown; inf where g ⊙ d is 0.
    """

    verdict: Verdict
    says: str
    slopes: tuple[float, ...]
    error: float
    sees: float


def remainders(
    J: Callable[[jax.Array], jax.Array],
    x: Any,
    along: np.ndarray,
    gradient: Any,
    scale: np.ndarray,
    largest: np.ndarray | None = None,
) -> tuple[Remainder, ...]:
    """Return what the Taylor remainder of J at x says of a gradient, for each direction.

    Args:
      J: a scalar function of a vector, float64.
      x: the point, (n,), float64.
      along: directions, (k, n).
      gradient: to be tested, (n,).
      scale: the size of x along each direction, (k,), a power of 2: steps are multiplied by it.
      largest: steps stay below it, (k,); by default 2⁻⁴ times the scale.
    """
    if not len(along):
        return ()
    start = LARGEST * scale
    if largest is not None:
        with np.errstate(divide="ignore"):
            start = np.minimum(start, 2.0 ** np.floor(np.log2(largest)))
    h = start[:, None] * 2.0 ** -np.arange(HALVINGS)
    probes = start[:, None] * PROBE * PROBES
    here, values = on_lines(J, x, along, np.concatenate([h, probes], axis=1))
    # Near the largest number, squares and quotients would overflow.
    largest_value = np.abs(values[np.isfinite(values)]).max(initial=1.0)
    unit = 2.0 ** np.floor(np.log2(largest_value))
    here, around, beside = here / unit, *np.split(values / unit, [HALVINGS], axis=1)
    x, gradient = np.asarray(x), np.asarray(gradient) / unit
    found = []
    for direction, steps, at, near in zip(along, h, around, beside, strict=True):
        products = [_product(gradient, (x + step * direction) - x) for step in steps]
        expected, length = np.asarray(products).T
        found.append(_judge(_Line(steps, here, at, near, expected, length)))
    return tuple(found)


def _product(gradient: np.ndarray, moved: np.ndarray) -> tuple[float, float]:
    """Return ⟨g, δ⟩ and ‖g ⊙ δ‖."""
    product = gradient * moved
    return float(product.sum()), float(np.sqrt((product**2).sum()))


class _Line(NamedTuple):
    """J and its linear model along one direction, at the steps h and at the probes."""

    h: np.ndarray
    here: float
    at: np.ndarray
    near: np.ndarray
    expected: np.ndarray
    length: np.ndarray

    @property
    def remainder(self) -> np.ndarray:
        """R(h), signed."""
        return self.at - self.here - self.expected

    @property
    def floor(self) -> np.ndarray:
        """What |R| must exceed to be more than rounding."""
        size = np.max([np.abs(self.at), np.full_like(self.at, abs(self.here)), self.length], axis=0)
        rounding = ABOVE_NOISE * np.maximum(EPS * size, self.noise)
        return np.maximum(rounding, NEGLIGIBLE * np.abs(self.expected))

    @property
    def noise(self) -> float:
        """The standard deviation of J from a parabola through the probes."""
        parabola, values = np.vander(PROBES, 3), self.near - self.here
        if not np.isfinite(values).all():
            return 0.0
        left = values - parabola @ np.linalg.lstsq(parabola, values)[0]
        return float(np.sqrt((left**2).sum() / (len(PROBES) - 3)))

    @property
    def jumps(self) -> bool:
        """Whether J stands still at the probes, where it should move, and then moves at a bound."""
        if (self.near != self.here).any() or not self.expected.any():
            return False
        moved = np.abs(self.at - self.here)
        least = moved[np.isfinite(moved) & (moved > 0)].min(initial=np.inf)
        return bool(np.isfinite(least) and least > ABOVE_NOISE * EPS * abs(self.here))

    @property
    def size(self) -> float:
        """The larger of |⟨g, d⟩| and ‖g ⊙ d‖."""
        return float(max(abs(self.expected[0]), self.length[0]) / self.h[0])


def _judge(line: _Line) -> Remainder:
    if not line.h[0]:
        return Remainder(Verdict.INCONCLUSIVE, "a comparison turns at once", (), 0.0, np.inf)
    with np.errstate(invalid="ignore"):
        remainder, floor, size = line.remainder, line.floor, line.size
    finite = np.flatnonzero(np.isfinite(remainder))
    if not len(finite):
        return Remainder(Verdict.INCONCLUSIVE, "J or g is not finite", (), 0.0, np.inf)
    run = _last_run(np.isfinite(remainder) & (np.abs(remainder) > floor))
    slopes = -np.diff(np.log2(np.abs(remainder[run])))
    # c + a h + …, of which the last two tell c.
    quotients = remainder / line.h
    error = float(abs(2 * quotients[run[-1]] - quotients[run[-2]])) if len(run) > 1 else 0.0

    def conclude(verdict: Verdict, says: str, error: float, sees: float) -> Remainder:
        largest = max(size, error) if verdict is Verdict.FAIL else size
        error, sees = (error / largest, sees / largest) if largest else (0.0, np.inf)
        return Remainder(verdict, says, tuple(slopes.tolist()), float(error), float(sees))

    first, last = finite[0], slopes[-IN_A_ROW:]
    bound = float(max(abs(remainder[first]), floor[first]) / line.h[first])
    if line.jumps:
        return conclude(Verdict.INCONCLUSIVE, "J moves in jumps", 0.0, bound)
    if len(last) == IN_A_ROW:
        sees = abs(quotients[run[-1]])
        if last.min() >= 2 - WITHIN and np.diff(last).max() <= WITHIN:
            return conclude(Verdict.PASS, f"order {last[-1]:.0f}", min(error, sees), sees)
        if np.abs(last - 1).max() <= WITHIN:
            return conclude(Verdict.FAIL, "order 1", error, (floor / line.h)[run[-1 - IN_A_ROW]])
    if bound <= CLOSE * size or not (size or len(run)):
        return conclude(Verdict.PASS, "exact to rounding", abs(quotients[first]), bound)
    return conclude(Verdict.INCONCLUSIVE, "no order can be told", 0.0, bound)


def _last_run(usable: np.ndarray) -> np.ndarray:
    """Return the indices of the last run of steps that are usable."""
    where = np.flatnonzero(usable)
    gaps = np.flatnonzero(np.diff(where) > 1)
    return where[gaps[-1] + 1 :] if len(gaps) else where
