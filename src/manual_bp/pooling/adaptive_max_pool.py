"""The largest element of each of a given number of bins, whatever the size of the input.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *size, c)   on each axis n elements, m bins
Forward  Bin i covers the elements ⌊i n / m⌋ … ⌈(i+1) n / m⌉ − 1 of its axis. The maximum over a box
         of bins is the maximum on the last axis, then on the one before, and so on: on one axis
         yᵢ = max over j in i of xⱼ, and wᵢ is the j that won.
Derive   On one axis yᵢ is a copy of x at wᵢ. An element may win two bins, which share it:
  (1) dxⱼ = Σᵢ dyᵢ 1[wᵢ = j]                                   Σ over the bins i that cover j
         and the axes are undone in the reverse order.
Saved    w of each axis.
Kinks    where the largest element occurs twice: the first in row-major order gets all. The last
         axis is taken first, so the row that wins is the first to hold the largest element, and
         its winner the first in that row.
Extremes NaN wins over every number, the first taking the gradient. A sum over bins, on any axis,
         is in float32 for half precision.
Source   He, Zhang, Ren & Sun 2014, "Spatial pyramid pooling", arXiv:1406.4729; the edges are
         PyTorch's
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from manual_bp import op
from manual_bp.pooling import bins
from manual_bp.resampling import banded
from manual_bp.windows import Numbers

NAME = "adaptive_max_pool"


@op.residual
class Residual:
    """The winners of each spatial axis; the later axes are pooled already."""

    winners: tuple[Int32[Array, "..."], ...]
    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()


def forward(
    x: Float[Array, "b *spatial c"], *, size: Numbers
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return the largest element of each bin, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis or more.
      size: bins along each axis, one number or one for each; more than elements if need be.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no spatial axis, or one of size 0, or `size` does not fit.
    """
    (x,) = op.floating(NAME, x=x)
    size = bins.resolve(NAME, x, size)
    y, winners = op.wide(x), []
    for axis in range(len(size), 0, -1):
        y, winner = _largest(y, axis, size[axis - 1])
        winners.append(winner)
    return y.astype(x.dtype), Residual(tuple(reversed(winners)), x.shape, x.dtype)


def _largest(x: jax.Array, axis: int, m: int) -> tuple[jax.Array, jax.Array]:
    n = x.shape[axis]
    starts, ends = bins.edges(n, m)
    # A bin that is shorter than the longest repeats its last element, which cannot win again.
    members = np.minimum(starts[:, None] + np.arange((ends - starts).max()), ends[:, None] - 1)
    gathered = jnp.take(x, members.astype(np.int32), axis=axis, mode="clip")
    place = jnp.argmax(gathered, axis=axis + 1).astype(jnp.int32)
    winner = place + bins.along(starts, place, axis)
    return gathered.max(axis + 1), winner


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    shape, winners = residual.shape, residual.winners
    dy = op.expect_cotangent(NAME, dy, winners[0].shape, residual.dtype)
    dx = op.wide(dy)
    for axis, winner in enumerate(winners, start=1):
        dx = _to_the_winners(dx, winner, axis, shape[axis])
    return (dx.astype(dy.dtype),)


def _to_the_winners(dy: jax.Array, winner: jax.Array, axis: int, n: int) -> jax.Array:
    m = winner.shape[axis]
    covering = banded.table(map(np.flatnonzero, bins.members(n, m).T), m)
    # An element that fewer bins cover reads on behind the last, where nobody won.
    owed, won = (jnp.take(a, covering, axis=axis, mode="fill") for a in (dy, winner))
    here = jax.lax.broadcasted_iota(winner.dtype, won.shape, axis)
    return jnp.where(won == here, owed, 0).sum(axis + 1)  # (1)
