"""The running product along one axis.

Shapes   x, y, dy, dx: (*shape)
Forward  yⱼ = Π_{i≤j} xᵢ                                                          along the axis
Derive   ∂yⱼ/∂xᵢ = 1[i≤j] Π_{l≤j, l≠i} xₗ, every factor but the one, which splits at i:
           ∂L/∂xᵢ = Σ_{j≥i} dyⱼ Π_{l<i} xₗ Π_{i<l≤j} xₗ = pᵢ sᵢ
  (1) pᵢ = Π_{l<i} xₗ
         and sᵢ = Σ_{j≥i} dyⱼ Π_{i<l≤j} xₗ, whose terms j > i all hold the factor xᵢ₊₁:
  (2) sᵢ = dyᵢ + xᵢ₊₁ sᵢ₊₁,   s = dy at the end;   a linear recurrence from the end
  (3) dx = p ⊙ s
         Nothing is divided, so dx is exact at zeros too, where Σ dy y / x is not defined.
Saved    x.      Kinks   none.
Extremes A partial product that overflows is ∞, and beside a zero NaN, in y as in dx. Half precision
         is computed in float32 and rounded once.
Source   Blelloch 1990, "Prefix sums and their applications", §1.4
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions.reduce_prod import before

NAME = "cumprod"

Line = tuple[jax.Array, jax.Array]


@op.residual
class Residual:
    """The factors, and the axis."""

    x: Float[Array, "*shape"]
    axis: int = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: int = -1
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the running product of x along `axis`, of its shape and dtype, and the residual.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has rank 0, or no such axis.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_axis(NAME, x, axis)
    y = jax.lax.cumprod(op.wide(x), axis % x.ndim)
    return y.astype(x.dtype), Residual(x, axis)


def _then(first: Line, second: Line) -> Line:
    """Return the line s ↦ a s + b that is `second` after `first`; a line is a pair (a, b)."""
    return first[0] * second[0], second[0] * first[1] + second[1]


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    axis = residual.axis
    dy = op.expect_cotangent(NAME, dy, residual.x.shape, residual.x.dtype)
    x = jnp.moveaxis(op.wide(residual.x), axis, -1)
    p = before(x)  # (1)
    # What comes in at the end, from another line, meets no s: there s is dy.
    lines = (jnp.roll(x, -1), jnp.moveaxis(op.wide(dy), axis, -1))
    _, s = jax.lax.associative_scan(_then, lines, reverse=True, axis=x.ndim - 1)  # (2)
    return (jnp.moveaxis(p * s, -1, axis).astype(dy.dtype),)  # (3)
