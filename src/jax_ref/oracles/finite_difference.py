"""Central differences along directions, in float64, with an error bar on each.

Slope    D(h) = (J(x + h d) − J(x − h d)) / 2h = ⟨∇J, d⟩ + h²/6 J''' + …
         and of five points D₅(h) = (4 D(h) − D(2h)) / 3 = ⟨∇J, d⟩ − h⁴/30 J⁽⁵⁾ + …
Error    rounding ≈ u |J| / h, falling with h; truncation ∝ h², estimated as |D(2h) − D(h)| / 3.
         Their sum is least at h ≈ u^(1/3) = 2⁻¹⁷, where the bar is about 4e-11; of five points,
         with h⁴ and the same estimate, a generous one, at h ≈ u^(1/5) = 2⁻¹⁰, where it is 1e-12.
         Where J is a small difference of large numbers its noise is above u |J|; it is measured, at
         the smallest step, as |J(2h) − 2 J(h) + 2 J(−h) − J(−2h)| / √10, in which J itself has
         cancelled but for 2 h³ times its third derivative; the median over all directions is taken,
         if there are enough.
Kinks    With D± the one-sided slopes, the jump |D+ − D−| is h |J''| where J is smooth, and doubles
         with h. A kink at a distance a < h keeps it from doubling, but for a near 2h/3; the truth
         then lies between D− and D+, or within a few bars of D(h). So two smaller steps are tried
         as well, and for each direction the step with the shortest bar is kept, one without a
         kink if there is one; if there is none, x is at a kink, `low` and `high` span the
         subgradients, and the bar holds what curvature does to a one-sided slope, |D±(2h) − D±(h)|.
Cost     Every coordinate of an array of up to 64 numbers; of a larger one 4 random signed
         directions, which see every coordinate at once, and 12 coordinates drawn at random.
Source   Press et al. 2007, Numerical Recipes, §5.7
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref.compiling import UNTRACEABLE, quick
from jax_ref.errors import CheckError
from jax_ref.oracles.jaxprs import every_equation

STEPS = (2.0**-17, 2.0**-20, 2.0**-23)
FIVE_POINT_STEPS = (2.0**-10, 2.0**-14, 2.0**-18)
ALL_COORDINATES = 64
SIGNED = 4
SAMPLED = 12
MEASURED = 8
BENT = 1e-3  # of the jump at a kink: curvature bends less
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


def directions(
    shape: tuple[int, ...], rng: np.random.Generator, *, sampled: int = SAMPLED
) -> np.ndarray:
    """Return directions (k, *shape): all unit vectors, or signed and `sampled` units at random."""
    size = int(np.prod(shape))
    if size <= ALL_COORDINATES:
        return np.eye(size).reshape(size, *shape)
    signed = rng.choice([-1.0, 1.0], (SIGNED, size))
    units = np.zeros((sampled, size))
    units[np.arange(sampled), rng.choice(size, sampled, replace=False)] = 1
    return np.concatenate([signed, units]).reshape(SIGNED + sampled, *shape)


def slopes(
    J: Callable[[jax.Array], jax.Array],
    x: Any,
    along: np.ndarray,
    scale: np.ndarray,
    *,
    smooth: bool = False,
    points: int = 3,
) -> Slopes:
    """Return the slopes of the scalar function J at x along the directions.

    Args:
      J: a scalar function of a vector, float64.
      x: the point, (n,), float64.
      along: directions, (k, n).
      scale: the size of x along each direction, (k,), a power of 2: steps are multiplied by it.
      smooth: whether J is known to have no kink near x, so that a jump of slopes is curvature.
      points: 3 or 5; what the slope at one step is made of.
    """
    if not len(along):
        return Slopes(*(np.zeros(0) for _ in range(3)))
    steps, widths = (STEPS, [1, 2]) if points == 3 else (FIVE_POINT_STEPS, [1, 2, 4])
    h = scale[:, None] * np.asarray(steps)
    offsets = (h[..., None] * np.kron(widths, [1, -1])).reshape(len(along), -1)
    here, around = on_lines(J, x, along, offsets)
    return _slopes(around.reshape(*h.shape, -1, 2), here, h, smooth=smooth)


def on_lines(
    J: Callable[[jax.Array], jax.Array], x: Any, along: np.ndarray, offsets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return J(x) and J(x + t d) for the offsets t of each direction d, (k, m).

    Args:
      J: a scalar function of a vector, float64.
      x: the point, (n,), float64.
      along: directions, (k, n).
      offsets: (k, m).
    """
    points = max(1, MEMORY // max(1, x.size))  # that are evaluated together
    at_once: int | None = min(offsets.shape[1], points)
    together: int | None = max(1, min(len(along), points // min(offsets.shape[1], points)))

    def values(x: jax.Array, along: jax.Array, offsets: jax.Array) -> tuple[Any, Any]:
        def on_line(line: tuple[jax.Array, jax.Array]) -> jax.Array:
            direction, offsets = line

            def at(t: jax.Array) -> jax.Array:
                return J(x + (t * direction).astype(x.dtype))

            return jax.lax.map(at, offsets, batch_size=at_once)

        return J(x), jax.lax.map(on_line, (along, offsets), batch_size=together)

    arrays = jax.device_put((x, along, offsets))
    try:
        if _convolves(J, x):
            at_once = together = None
        try:
            here, around = quick(values)(*arrays)
        except (CheckError, NotImplementedError):
            # What cannot be mapped over a batch is evaluated point by point.
            at_once = together = None
            here, around = quick(values)(*arrays)
    except UNTRACEABLE:
        lines = zip(along, offsets, strict=True)
        around = [[float(J(jnp.asarray(np.asarray(x) + t * d))) for t in row] for d, row in lines]
        here = J(jnp.asarray(x))
    return float(here), np.asarray(around)


def _convolves(J: Callable[[jax.Array], jax.Array], x: Any) -> bool:
    """Return whether J convolves: with a kernel a point, XLA's CPU code takes many times as long.

    So points are then evaluated one by one.
    """
    equations = every_equation(jax.make_jaxpr(J)(x).jaxpr)
    return any(eqn.primitive.name == "conv_general_dilated" for eqn in equations)


def scales(x: Any, along: np.ndarray) -> np.ndarray:
    """Return the size of x along each direction: a power of 2 near max(|x|, 1).

    Of a unit vector it is that of its one coordinate, of a signed direction that of the largest.
    """
    x, along = np.asarray(x).reshape(1, -1), along.reshape(len(along), np.size(x))
    largest = np.where(along != 0, np.abs(x), 0).max(-1, initial=1.0)
    return 2.0 ** np.round(np.log2(largest))


def _slopes(values: np.ndarray, here: float, h: np.ndarray, *, smooth: bool) -> Slopes:
    """Return the slopes from J at x ± h, ± 2h and perhaps ± 4h: values (k, steps, widths, 2)."""
    up, down = np.moveaxis(values, -1, 0)
    eps, tiny = np.finfo(np.float64).eps, np.finfo(np.float64).tiny
    with np.errstate(invalid="ignore"):
        widths = h[..., None] * 2.0 ** np.arange(up.shape[-1])
        central = (up - down) / (2 * widths)
        right, left = (up - here) / widths, (here - down) / widths
        jumps = np.abs(right - left)
        unit = eps * np.maximum(np.abs(values).max((-1, -2)), abs(here))
        odd = (up - down)[:, -1]
        measured = np.abs(odd[:, 1] - 2 * odd[:, 0]) / np.sqrt(10)
        finite = measured[np.isfinite(measured)]
        # Of a few directions, one with a kink would pass for noise.
        noise = np.median(finite) if len(finite) >= MEASURED else 0.0
        rounding = 4 * (np.maximum(unit, noise) + tiny) / h
        narrow, wide = jumps[..., :-1], jumps[..., 1:]
        uneven = (narrow > 20 * rounding[..., None]) & (np.abs(wide - 2 * narrow) > 0.1 * narrow)
        kink = uneven.any(-1) & (not smooth)
        extrapolated = (4 * central[..., :-1] - central[..., 1:]) / 3
        estimates = central if central.shape[-1] == 2 else extrapolated
        estimate = estimates[..., 0]
        bars = np.abs(estimates[..., 1] - estimate) / 3 + rounding
        # Curvature bends a one-sided slope by half of this; a kink beside x does one of them too.
        bends = np.abs([side[..., 1] - side[..., 0] for side in (right, left)])
        bend = np.where(bends.max(0) < BENT * jumps[..., 0], bends.max(0), bends.min(0))
        bars = np.where(kink, bars + bend, bars)
    # A step that leaves the domain of J says nothing.
    bars = np.where(np.isfinite(bars) & np.isfinite(estimate), bars, np.inf)
    right, left, jump = right[..., 0], left[..., 0], jumps[..., 0]
    largest = np.where(np.isfinite(jump), jump, 0).max(-1, keepdims=True)
    best = (np.arange(len(values)), np.where(kink, bars + largest, bars).argmin(-1))
    low = np.where(kink, np.minimum(right, left), estimate)[best]
    high = np.where(kink, np.maximum(right, left), estimate)[best]
    return Slopes(low, high, bars[best])
