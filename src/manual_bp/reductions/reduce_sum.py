"""The sum over one axis, several or all.

Shapes   x, dx: (*shape)   y, dy: shape without the axes, or with them of size 1 (`keepdims`)
Forward  yⱼ = Σₖ xⱼₖ                                    k runs over the axes, j over all others
Derive   ∂yⱼ/∂xᵢₖ = 1[i=j], so ∂L/∂xᵢₖ = Σⱼ dyⱼ 1[i=j] = dyᵢ
  (1) dx = dy, repeated along the axes
Saved    nothing but shapes.      Kinks   none.      Half precision accumulates in float32.
Source   linearity of the sum; the adjoint of `broadcast_to`
"""

from typing import Any

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions import axes as axes_of
from manual_bp.reductions.axes import Axis

NAME = "reduce_sum"


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
    """Return Σ x over the axes and the residual; the sum of nothing is 0.

    Args:
      x: any shape.
      axis: one axis, a tuple of them, or None for all.
      keepdims: whether the axes stay, of size 1.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no such axis, or one is named twice.
    """
    (x,) = op.floating(NAME, x=x)
    axes = axes_of.listed(NAME, x, axis)
    y = op.wide(x).sum(axes, keepdims=keepdims).astype(x.dtype)
    return y, Residual(x.shape, x.dtype, axes, keepdims)


def backward(residual: Residual, dy: Float[Array, "*reduced"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    shape, axes = residual.shape, residual.axes
    reduced = axes_of.kept(shape, axes, keepdims=residual.keepdims)
    dy = op.expect_cotangent(NAME, dy, reduced, residual.dtype)
    return (axes_of.spread(dy, shape, axes),)  # (1)
