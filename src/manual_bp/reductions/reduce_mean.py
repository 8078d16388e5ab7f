"""The mean over one axis, several or all.

Shapes   x, dx: (*shape)   y, dy: shape without the axes, or with them of size 1 (`keepdims`)
Forward  yⱼ = 1/N Σₖ xⱼₖ               k runs over the N entries along the axes, j over all others
Derive   ∂yⱼ/∂xᵢₖ = 1[i=j] / N, so ∂L/∂xᵢₖ = Σⱼ dyⱼ 1[i=j] / N = dyᵢ / N
  (1) dx = dy / N, repeated along the axes
Saved    nothing but shapes.      Kinks   none.      Half precision accumulates in float32.
Source   linearity of the mean
"""

from typing import Any

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions import axes as axes_of
from manual_bp.reductions.axes import Axis

NAME = "reduce_mean"


@op.residual
class Residual:
    """What x was, and the axes."""

    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    axes: tuple[int, ...] = op.static()
    keepdims: bool = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: Axis = None, keepdims: bool = False
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the mean of x over the axes and the residual.

    Args:
      x: any shape.
      axis: one axis, a tuple of them, or None for all.
      keepdims: whether the axes stay, of size 1.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no such axis or nothing along it, or one is named twice.
    """
    (x,) = op.floating(NAME, x=x)
    axes = axes_of.listed(NAME, x, axis)
    axes_of.expect_entries(NAME, x, axes, axis)
    total = op.wide(x).sum(axes, keepdims=keepdims)
    y = (total / axes_of.size(x.shape, axes)).astype(x.dtype)
    return y, Residual(x.shape, x.dtype, axes, keepdims)


def backward(residual: Residual, dy: Float[Array, "*reduced"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    shape, axes = residual.shape, residual.axes
    reduced = axes_of.kept(shape, axes, keepdims=residual.keepdims)
    dy = op.expect_cotangent(NAME, dy, reduced, residual.dtype)
    share = (op.wide(dy) / axes_of.size(shape, axes)).astype(dy.dtype)  # (1)
    return (axes_of.spread(share, shape, axes),)
