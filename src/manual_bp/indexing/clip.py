"""Values kept between two bounds.

Shapes   x, y, dy, dx: any, all the same
Forward  y = low where x < low, high where x > high, x between
Derive   yᵢ depends on xᵢ alone: ∂yᵢ/∂xᵢ = 1 between the bounds, 0 outside
  (1) dx = dy ⊙ (1 where low < x < high, s where x is a bound, 0 elsewhere)
Saved    on which side of the bounds x is, one byte an element.
Kinks    x = low and x = high: s = `slope_at_bounds`, 1 by default, as PyTorch's `clamp`; 0 gives
         `jax.lax.clamp`, 0.5 `jnp.clip`.
Extremes Infinite bounds are none. An infinite x is cut as any other; a NaN stays, its dx is dy.
Source   Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063
"""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

from manual_bp import op, setting

NAME = "clip"


@op.residual
class Residual:
    """0 between the bounds, 1 at them, 2 outside; and what x was."""

    side: Int8[Array, "*shape"]
    dtype: Any = op.static()
    slope_at_bounds: float = op.static()


def forward(
    x: Float[Array, "*shape"],
    *,
    low: float = float("-inf"),
    high: float = float("inf"),
    slope_at_bounds: float = 1.0,
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return x kept between `low` and `high`, and the residual.

    Args:
      x: any shape, floating.
      low: the least value; rounded to the dtype of `x`.
      high: the greatest value; rounded to the dtype of `x`.
      slope_at_bounds: the derivative at the bounds themselves.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `low` is not below or at `high`.
    """
    (x,) = op.floating(NAME, x=x)
    low = setting.expect_number(NAME, "low", low, "a number", lambda low: not math.isnan(low))
    high = setting.expect_number(
        NAME, "high", high, f"a number ≥ low={low}", lambda high: low <= high
    )
    slope_at_bounds = setting.expect_number(NAME, "slope_at_bounds", slope_at_bounds)
    least, greatest = jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype)
    y = jnp.where(x < least, least, jnp.where(x > greatest, greatest, x))
    passed = (x < least) | (x > greatest)
    reached = passed | (((x == least) | (x == greatest)) & jnp.isfinite(x))
    side = reached.astype(jnp.int8) + passed.astype(jnp.int8)
    return y, Residual(side, x.dtype, slope_at_bounds)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    side = residual.side
    dy = op.expect_cotangent(NAME, dy, side.shape, residual.dtype)
    outside, at_bound, inside = (
        jnp.asarray(slope, dy.dtype) for slope in (0.0, residual.slope_at_bounds, 1.0)
    )
    # A product with constants is faster than to choose between dy and 0.
    return (dy * jnp.where(side == 2, outside, jnp.where(side == 1, at_bound, inside)),)  # (1)
