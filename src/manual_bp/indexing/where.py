"""One of two arrays, entry by entry.

Shapes   mask: (*shape) booleans   a, b, y, dy: (*shape)
Forward  yᵢ = aᵢ where maskᵢ, bᵢ elsewhere
Derive   ∂yᵢ/∂aⱼ = 1[i=j] maskᵢ and ∂yᵢ/∂bⱼ = 1[i=j] (1 − maskᵢ), so
  (1) da = dy where mask, 0 elsewhere
  (2) db = 0 where mask, dy elsewhere
Saved    mask.      Kinks   none: the mask is given, and has no gradient.
Extremes What is not chosen has gradient 0 by choice, not by a product with 0: a NaN or ∞ in it, or
         in its dy, stays where it is. What computed it has a backward of its own, in which 0 · ∞
         may be NaN; choose its input as well as its output.
Source   `jax.numpy.where`
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from manual_bp import op

NAME = "where"


@op.residual
class Residual:
    """The mask, and the dtype of both arrays."""

    mask: Bool[Array, "*shape"]
    dtype: Any = op.static()


def forward(
    mask: Bool[Array, "*shape"], a: Float[Array, "*shape"], b: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return a where the mask is true and b where it is false, and the residual.

    Raises:
      TypeError: `mask` is not boolean, an array is not floating, or the dtypes differ.
      ValueError: the shapes differ.
    """
    mask = jnp.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(op.complaint(NAME, "mask", "bool", mask.dtype))
    a, b = op.floating(NAME, a=a, b=b)
    op.expect_shape(NAME, "a", a, mask.shape, "of mask")
    op.expect_shape(NAME, "b", b, mask.shape, "of mask")
    return jnp.where(mask, a, b), Residual(mask, a.dtype)


def backward(
    residual: Residual, dy: Float[Array, "*shape"]
) -> tuple[None, Float[Array, "*shape"], Float[Array, "*shape"]]:
    """Return (dmask, da, db); dmask is None."""
    mask = residual.mask
    dy = op.expect_cotangent(NAME, dy, mask.shape, residual.dtype)
    da = jnp.where(mask, dy, 0)  # (1)
    db = jnp.where(mask, 0, dy)  # (2)
    return None, da, db
