"""The logarithm of a sum of exponentials, over one axis, several or all.

Shapes   x, dx: (*shape)   y, dy: shape without the axes, or with them of size 1 (`keepdims`)
Forward  yⱼ = ln Σₖ e^(xⱼₖ)                             k runs over the axes, j over all others
         With m = max x and c = x − m ≤ 0 no term of Σ e^c overflows, and y = m + ln Σ e^c.
Derive   ∂yⱼ/∂xᵢₖ = 1[i=j] e^(xᵢₖ) / Σₗ e^(xᵢₗ) = 1[i=j] pᵢₖ,   p = softmax(x) over the axes
           ∂L/∂xᵢₖ = Σⱼ dyⱼ ∂yⱼ/∂xᵢₖ = dyᵢ pᵢₖ
  (1) dx = dy ⊙ p = e^c ⊙ (dy / Σ e^c)
Saved    x, m, Σ e^c, of which p is had again; not y: a large one has no digits left for e^(x−y).
Kinks    none.
Extremes Finite for x = ±1e4. An entry of −∞ counts for nothing and has p = 0; where all are −∞, or
         there is none, y = −∞ and dx = 0. An entry of +∞ makes y = +∞ and its own dx NaN. Half
         precision is computed in float32 and rounded once.
Source   Blanchard, Higham & Higham 2021, IMA J. Numer. Anal. 41
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions import axes as axes_of
from manual_bp.reductions.axes import Axis

NAME = "logsumexp"


@op.residual
class Residual:
    """The input; its maximum over the axes, the finite number next to it; and Σ e^c, at least 1."""

    x: Float[Array, "*shape"]
    maximum: Float[Array, "*ones"]
    total: Float[Array, "*ones"]
    axes: tuple[int, ...] = op.static()
    keepdims: bool = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: Axis = None, keepdims: bool = False
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return ln Σ e^x over the axes and the residual; of nothing it is −∞.

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
    x_wide = op.wide(x)
    m = x_wide.max(axes, keepdims=True, initial=-jnp.inf)
    m = jnp.clip(m, jnp.finfo(m.dtype).min, jnp.finfo(m.dtype).max)
    c = x_wide - jnp.broadcast_to(m, x.shape)
    total = jnp.exp(c).sum(axes, keepdims=True)
    y = (m + jnp.log(total)).reshape(axes_of.kept(x.shape, axes, keepdims=keepdims))
    # The sum is 0 where every entry is −∞, and at least 1 elsewhere.
    return y.astype(x.dtype), Residual(x, m, jnp.maximum(total, 1), axes, keepdims)


def backward(residual: Residual, dy: Float[Array, "*reduced"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    x, axes = residual.x, residual.axes
    reduced = axes_of.kept(x.shape, axes, keepdims=residual.keepdims)
    dy = op.expect_cotangent(NAME, dy, reduced, x.dtype)
    c = op.wide(x) - jnp.broadcast_to(residual.maximum, x.shape)
    dy_each = op.wide(dy).reshape(residual.total.shape) / residual.total
    dx = jnp.exp(c) * jnp.broadcast_to(dy_each, x.shape)  # (1)
    return (dx.astype(x.dtype),)
