"""Division by the Euclidean norm over one axis.

Shapes   x, y: (*shape), n being the size of `axis`   r: the same, with size 1 on the axis
Forward  r = (Σ x² + ε)^(−1/2),   y = r x                                           Σ over n
Derive   dxᵢ = r dyᵢ + dr ∂r/∂xᵢ,   ∂r/∂xᵢ = −½ r³ · 2xᵢ,   dr = Σⱼ dyⱼ xⱼ, and with y = r x
  (1) dx = r (dy − y Σ dy ⊙ y)
         This is dy without its part along y, divided by the norm: a y of norm 1 can only turn.
Saved    x, r.      Kinks   none: ε > 0 smooths the norm at x = 0, where y = 0 and dx = ε^(−1/2) dy.
Extremes With n = 1, y is the sign of x, and (1) cancels but for a term of order ε. Half precision
         is computed in float32. Squares overflow from a norm of 1.8e19 in float32 and of 1.3e154 in
         float64 on: beyond it y and dx are 0.
Source   Schroff, Kalenichenko & Philbin 2015, arXiv:1503.03832, section 3
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting

NAME = "l2_normalize"


@op.residual
class Residual:
    """The input, r = 1/√(Σx² + ε) and the axis."""

    x: Float[Array, "*shape"]
    rnorm: Float[Array, "*shape_with_1"]
    axis: int = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: int = -1, epsilon: float = 1e-12
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return y = x/√(Σx² + ε), of the shape and dtype of `x`, and the residual.

    Args:
      x: any shape but ().
      axis: that of the sum.
      epsilon: ε > 0, added to the sum of squares.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no such axis, or `epsilon` is not positive.
    """
    (x,) = op.floating(NAME, x=x)
    axis = setting.expect_axis(NAME, x, axis)
    epsilon = setting.expect_epsilon(NAME, epsilon, x.dtype)
    rnorm = 1 / jnp.sqrt((op.wide(x) ** 2).sum(axis, keepdims=True) + epsilon)
    return (op.wide(x) * rnorm).astype(x.dtype), Residual(x, rnorm, axis)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    # What both passes form of x and r XLA would write out.
    x, r = op.again(residual.x), op.again(residual.rnorm)
    dy = op.wide(op.expect_cotangent(NAME, dy, x.shape, x.dtype))
    along = (dy * (op.wide(x) * r)).sum(residual.axis, keepdims=True)
    dx = r * (dy - op.wide(x) * r * along)  # (1)
    return (dx.astype(x.dtype),)
