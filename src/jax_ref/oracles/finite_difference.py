"""Central differences along directions, in float64, with an error bar on each.

Slope    D(h) = (J(x + h d) − J(x − h d)) / 2h = ⟨∇J, d⟩ + h²/6 J''' + …
Error    rounding ≈ u |J| / h, falling with h; truncation ∝ h², estimated as |D(2h) − D(h)| / 3.
         Their sum is least at h ≈ u^(1/3) = 2⁻¹⁷, where the bar is about 4e-11. Where J is a small
         difference of large numbers its noise is above u |J|; it is measured, at the smallest
         step, as |J(2h) − 2 J(h) + 2 J(−h) − J(−2h)| / √10, in which J itself has cancelled but for
         2 h³ times its third derivative; the median over all directions is taken,
         if there are enough.
Kinks    With D± the one-sided slopes, the jump |D+ − D−| is h |J''| where J is smooth, and doubles
         with h. A kink at a distance a < h keeps it from doubling, but for a near 2h/3; the truth
         then lies between D− and D+, or within a few bars of D(h). So two smaller steps are tried
         as well, and for each direction the step with the shortest bar is kept, one without a
         kink if there is one; if there is none, x is at a kink, and `low` and `high` span the
         subgradients.
Cost     Every coordinate of an array of up to 64 numbers; of a larger one 4 random signed
         directions, which see every coordinate at once, and 12 coordinates drawn at random.
Source   Press et al. 2007, Numerical Recipes, §5.7
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

STEPS = (2.0**-17, 2.0**-20, 2.0**-23)
ALL_COORDINATES = 64
SIGNED = 4
SAMPLED = 12
MEASURED = 8
MEMORY = 2**22  # numbers that the points evaluated together may hold


class Slopes(NamedTuple):
    """Slopes along k directions: the true one lies within `bar` of [low, high]."""

    low: np.ndarray
    high: np.ndarray
    bar: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """The estimate."""
        return (self.low + self.high) / 2


def directions(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return directions (k, *shape): the unit vectors, or signed and unit vectors at random."""
    size = int(np.prod(shape))
    if size <= ALL_COORDINATES:
        return np.eye(size).reshape(size, *shape)
    signed = rng.choice([-1.0, 1.0], (SIGNED, size))
    units = np.zeros((SAMPLED, size))
    units[np.arange(SAMPLED), rng.choice(size, SAMPLED, replace=False)] = 1
    return np.concatenate([signed, units]).reshape(SIGNED + SAMPLED, *shape)


def slopes(
    J: Callable[[jax.Array], jax.Array], x: jax.Array, along: np.ndarray, scale: np.ndarray
) -> Slopes:
    """Return the slopes of the scalar function J at x along the directions.

    Args:
      J: a scalar function of a vector, float64.
      x: the point, (n,), float64.
      along: directions, (k, n).
      scale: the size of x along each direction, (k,), a power of 2: steps are multiplied by it.
    """
    if not len(along):
        return Slopes(*(np.zeros(0) for _ in range(3)))
    h = scale[:, None] * np.asarray(STEPS)
    offsets = (h[..., None] * np.asarray([1.0, -1.0, 2.0, -2.0])).reshape(len(along), -1)

    def values(x: jax.Array, along: jax.Array, offsets: jax.Array) -> tuple[Any, Any]:
        def at(line: tuple[jax.Array, jax.Array]) -> jax.Array:
            direction, offsets = line
            return jax.vmap(lambda offset: J(x + offset * direction))(offsets)

        together = max(1, min(len(along), MEMORY // (offsets.shape[1] * max(1, x.size))))
        return J(x), jax.lax.map(at, (along, offsets), batch_size=together)

    here, around = jax.jit(values)(x, jnp.asarray(along), jnp.asarray(offsets))
    return _slopes(np.asarray(around).reshape(len(along), len(STEPS), 4), float(here), h)


def scales(x: Any, along: np.ndarray) -> np.ndarray:
    """Return the size of x along each direction: a power of 2 near max(|x|, 1).

    Of a unit vector it is that of its one coordinate, of a signed direction that of the largest.
    """
    x, along = np.asarray(x).reshape(1, -1), along.reshape(len(along), np.size(x))
    largest = np.where(along != 0, np.abs(x), 0).max(-1, initial=1.0)
    return 2.0 ** np.round(np.log2(largest))


def _slopes(values: np.ndarray, here: float, h: np.ndarray) -> Slopes:
    up, down, up2, down2 = np.moveaxis(values, -1, 0)
    with np.errstate(invalid="ignore"):
        central, wider = (up - down) / (2 * h), (up2 - down2) / (4 * h)
        right, left = (up - here) / h, (here - down) / h
        jump = np.abs(right - left)
        wider_jump = np.abs((up2 - here) - (here - down2)) / (2 * h)
        unit = np.finfo(np.float64).eps * np.maximum(np.abs(values).max(-1), abs(here))
        measured = np.abs(up2 - 2 * up + 2 * down - down2)[:, -1] / np.sqrt(10)
        finite = measured[np.isfinite(measured)]
        # Of a few directions, one with a kink would pass for noise.
        noise = np.median(finite) if len(finite) >= MEASURED else 0.0
        rounding = 4 * (np.maximum(unit, noise) + np.finfo(np.float64).tiny) / h
        kink = (jump > 20 * rounding) & (np.abs(wider_jump - 2 * jump) > 0.1 * jump)
        bars = np.abs(wider - central) / 3 + rounding
    # A step that leaves the domain of J says nothing.
    bars = np.where(np.isfinite(bars) & np.isfinite(central), bars, np.inf)
    best = (np.arange(len(values)), np.where(kink, bars + jump, bars).argmin(-1))
    low = np.where(kink, np.minimum(right, left), central)[best]
    high = np.where(kink, np.maximum(right, left), central)[best]
    return Slopes(low, high, bars[best])
