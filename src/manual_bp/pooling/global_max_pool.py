"""The largest element over all spatial axes.

Shapes   x, dx: (b, *spatial, c)   y, dy, w: (b, c)   positions j = 0 … Π spatial − 1, row-major
Forward  y = maxⱼ xⱼ
Derive   y is a copy of the element at the position w that won, and of no other:
  (1) dxⱼ = dy ⊙ 1[w = j]
         With `ties="split"` all m elements equal to the largest share:
  (2) m = Σⱼ 1[xⱼ = y],   dxⱼ = dy / m ⊙ 1[xⱼ = y]
Saved    w; for "split" x and y.
Kinks    where the largest element occurs twice: the first in row-major order gets all,
         `ties="first"`, or all share equally, "split".
Extremes NaN wins over every number, the first or every NaN taking the gradient.
Source   Oquab, Bottou, Laptev & Sivic 2015, "Is object localization for free?", CVPR
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from manual_bp import op, setting
from manual_bp.pooling.max_pool import TIES, Ties
from manual_bp.reductions.extremum import first_place
from manual_bp.windows import expect_places

NAME = "global_max_pool"


@op.residual
class Residual:
    """The position that won, or the input and the output that show who shares."""

    winner: Int[Array, "b c"] | None
    x: Float[Array, "b *spatial c"] | None
    y: Float[Array, "b c"] | None
    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()


def forward(
    x: Float[Array, "b *spatial c"], *, ties: Ties = "first"
) -> tuple[Float[Array, "b c"], Residual]:
    """Return the largest element over the spatial axes, one or more, and the residual.

    Args:
      x: (b, *spatial, c).
      ties: "first" in row-major order, or "split" equally.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no spatial axis, or one of size 0, or `ties` is unknown.
    """
    (x,) = op.floating(NAME, x=x)
    setting.expect_choice(NAME, "ties", ties, TIES)
    op.expect_rank(NAME, "x", x, 3, None)
    expect_places(NAME, x.shape)
    y = x.max(tuple(range(1, x.ndim - 1)))
    if ties == "split":
        return y, Residual(None, x, y, x.shape, x.dtype)
    flat = _flat(x)
    # XLA's CPU code computes an argmax many times slower than the least of some numbers.
    largest = (flat == y[:, None]) | jnp.isnan(flat)
    return y, Residual(first_place(largest, (1,)), None, None, x.shape, x.dtype)


def _flat(x: jax.Array) -> jax.Array:
    """Return x with one spatial axis; sizes are written out, as -1 is not known of 0 elements."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])


def backward(residual: Residual, dy: Float[Array, "b c"]) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    shape = residual.shape
    dy = op.expect_cotangent(NAME, dy, (shape[0], shape[-1]), residual.dtype)
    if residual.winner is not None:
        winner, (b, c) = residual.winner, dy.shape
        j = jax.lax.broadcasted_iota(winner.dtype, (b, math.prod(shape[1:-1]), c), 1)
        dx = jnp.where(winner[:, None] == j, dy[:, None], 0)  # (1)
    else:
        assert residual.x is not None
        assert residual.y is not None
        x, y = _flat(residual.x), residual.y[:, None]
        largest = (x == y) | jnp.isnan(x)
        m = largest.sum(1, keepdims=True).astype(op.wide_dtype(dy.dtype))  # (2)
        share = (op.wide(dy)[:, None] / m).astype(dy.dtype)  # (2)
        dx = jnp.where(largest, share, 0)  # (2)
    return (dx.reshape(shape),)
