"""The running sum along one axis.

Shapes   x, y, dy, dx: (*shape)
Forward  yⱼ = Σ_{i≤j} xᵢ                                                          along the axis
Derive   ∂yⱼ/∂xᵢ = 1[i≤j], so ∂L/∂xᵢ = Σⱼ dyⱼ 1[i≤j] = Σ_{j≥i} dyⱼ
  (1) dx = the running sum of dy from the end
Saved    nothing.      Kinks   none.      Half precision accumulates in float32.
Source   Blelloch 1990, "Prefix sums and their applications"
"""

from typing import Any

import jax
from jaxtyping import Array, Float

from manual_bp import op, setting

NAME = "cumsum"


@op.residual
class Residual:
    """What x was, and the axis."""

    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    axis: int = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: int = -1
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the running sum of x along `axis`, of its shape and dtype, and the residual.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has rank 0, or no such axis.
    """
    (x,) = op.floating(NAME, x=x)
    axis = setting.expect_axis(NAME, x, axis)
    axis %= x.ndim
    return jax.lax.cumsum(op.wide(x), axis).astype(x.dtype), Residual(x.shape, x.dtype, axis)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    dx = jax.lax.cumsum(op.wide(dy), residual.axis, reverse=True)  # (1)
    return (dx.astype(dy.dtype),)
