"""The order along axes reversed.

Shapes   x, y, dy, dx: (*shape)
Forward  yⱼ = xₙ₋₁₋ⱼ                                               along each of the axes, of size n
Derive   ∂yⱼ/∂xᵢ = 1[i = n−1−j] = 1[j = n−1−i], so ∂L/∂xᵢ = dyₙ₋₁₋ᵢ
  (1) dx = dy, flipped along the same axes
Saved    nothing but the axes.      Kinks   none.
Source   a flip is its own inverse and its own transpose
"""

from typing import Any

import jax
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions import axes as axes_of
from manual_bp.reductions.axes import Axis

NAME = "flip"


@op.residual
class Residual:
    """What x was, and the axes."""

    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    axes: tuple[int, ...] = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: Axis = None
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return x flipped along one axis, a tuple of them, or all (None), and the residual.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no such axis, or one is named twice.
    """
    (x,) = op.floating(NAME, x=x)
    axes = axes_of.listed(NAME, x, axis)
    return jax.lax.rev(x, axes), Residual(x.shape, x.dtype, axes)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    return (jax.lax.rev(dy, residual.axes),)  # (1)
