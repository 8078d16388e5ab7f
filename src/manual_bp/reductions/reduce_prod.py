"""The product over one axis, several or all.

Shapes   x, dx: (*shape)   y, dy: shape without the axes, or with them of size 1 (`keepdims`)
Forward  yⱼ = Πₖ xⱼₖ                                    k runs over the axes, j over all others
Derive   ∂yⱼ/∂xᵢₖ = 1[i=j] Π_{l≠k} xⱼₗ: every factor but the one. It is y / x only where x is not 0,
         so it is taken without a division. With the factors in two halves a and b, of one length
         with a 1 where b is one short, and their products pₖ = aₖ bₖ, half as many, all but aₖ are
         bₖ and all but pₖ:
  (1) others(a)ₖ = bₖ others(p)ₖ,   others(b)ₖ = aₖ others(p)ₖ,   others of a lone factor being 1
  (2) dx = dy ⊙ others
         which is exact with one zero among the factors (dx is 0 but at the zero) and with several
         (dx is 0). The work grows with the number of factors, the depth with its logarithm.
Saved    x.      Kinks   none.
Extremes A partial product that overflows is ∞, and beside a zero NaN, in y as in dx. Half precision
         is multiplied in float32 and rounded once.
Source   Blelloch 1990, "Prefix sums and their applications"
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions import axes as axes_of
from manual_bp.reductions.axes import Axis

NAME = "reduce_prod"


@op.residual
class Residual:
    """The factors, and the axes."""

    x: Float[Array, "*shape"]
    axes: tuple[int, ...] = op.static()
    keepdims: bool = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: Axis = None, keepdims: bool = False
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return Π x over the axes and the residual; the product of nothing is 1.

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
    y = op.wide(x).prod(axes, keepdims=keepdims).astype(x.dtype)
    return y, Residual(x, axes, keepdims)


def _others(x: Float[Array, "rest k"]) -> Float[Array, "rest k"]:
    """Return for each entry of the last axis the product of all others."""
    length = x.shape[-1]
    if length < 2:
        return jnp.ones_like(x)
    a, b = jnp.hsplit(jnp.hstack([x, jnp.ones_like(x[:, : length % 2])]), 2)
    rest = _others(a * b)
    return jnp.hstack([b * rest, a * rest])[:, :length]  # (1)


def backward(residual: Residual, dy: Float[Array, "*reduced"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    x, axes = residual.x, residual.axes
    reduced = axes_of.kept(x.shape, axes, keepdims=residual.keepdims)
    dy = op.expect_cotangent(NAME, dy, reduced, x.dtype)
    factors = axes_of.as_last(op.wide(x), axes)
    others = axes_of.from_last(_others(factors), x.shape, axes)
    dx = axes_of.spread(op.wide(dy), x.shape, axes) * others  # (2)
    return (dx.astype(x.dtype),)
