"""The mean over all spatial axes.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, c)   N = Π spatial
Forward  y = 1/N Σ x                                                       Σ over spatial
Derive   ∂y/∂xⱼ = 1/N for every position j:
  (1) dxⱼ = dy / N
Saved    nothing but sizes: the mean is linear.      Kinks   none.
         Half precision accumulates in float32.
Source   Lin, Chen & Yan 2013, "Network in network", arXiv:1312.4400
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.windows import expect_places

NAME = "global_mean_pool"


@op.residual
class Residual:
    """The shape and dtype of x; nothing is traced."""

    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()


def forward(x: Float[Array, "b *spatial c"]) -> tuple[Float[Array, "b c"], Residual]:
    """Return the mean over the spatial axes, one or more, and the residual.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no spatial axis, or one of size 0.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 3, None)
    spatial = expect_places(NAME, x.shape)
    total = op.wide(x).sum(tuple(range(1, x.ndim - 1)))
    return (total / math.prod(spatial)).astype(x.dtype), Residual(x.shape, x.dtype)


def backward(residual: Residual, dy: Float[Array, "b c"]) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    shape = residual.shape
    dy = op.expect_cotangent(NAME, dy, (shape[0], shape[-1]), residual.dtype)
    share = (op.wide(dy) / math.prod(shape[1:-1])).astype(dy.dtype)  # (1)
    return (jnp.broadcast_to(jnp.expand_dims(share, tuple(range(1, len(shape) - 1))), shape),)
