"""The mean of each of a given number of bins, whatever the size of the input.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *size, c)   on each axis n elements, m bins
Forward  Bin i covers the elements ⌊i n / m⌋ … ⌈(i+1) n / m⌉ − 1, Nᵢ of them; with Aᵢⱼ = 1[j in i]
         y = A x / N on one axis, and so on the next.
Derive   ∂yᵢ/∂xⱼ = Aᵢⱼ / Nᵢ, so dxⱼ = Σᵢ Aᵢⱼ dyᵢ / Nᵢ: an element that two bins share is owed by
         both. On one axis, and so on the next:
  (1) dx = Aᵀ (dy / N)
Saved    nothing but sizes: the mean is linear.      Kinks   none.
         Half precision accumulates in float32, through all axes.
Source   He, Zhang, Ren & Sun 2014, "Spatial pyramid pooling", arXiv:1406.4729; the edges are
         PyTorch's
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.pooling import bins
from manual_bp.resampling import banded, blocks
from manual_bp.windows import Numbers

NAME = "adaptive_mean_pool"


@op.residual
class Residual:
    """The shape and dtype of x, and the sizes of y; nothing is traced."""

    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()
    size: tuple[int, ...] = op.static()


def forward(
    x: Float[Array, "b *spatial c"], *, size: Numbers
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return the mean of each bin, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis or more.
      size: bins along each axis, one number or one for each; more than elements if need be.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no spatial axis, or one of size 0, or `size` does not fit.
    """
    (x,) = op.floating(NAME, x=x)
    size = bins.resolve(NAME, x, size)
    y = op.wide(x)
    if blocks.divide(x.shape[1:-1], size):
        y = blocks.sums(y, size) / _elements(x.shape, size)
        return y.astype(x.dtype), Residual(x.shape, x.dtype, size)
    for axis, m in enumerate(size, start=1):
        covers = bins.members(y.shape[axis], m)
        y = banded.apply(covers, y, axis)
        y = y / bins.along(covers.sum(1), y, axis)
    return y.astype(x.dtype), Residual(x.shape, x.dtype, size)


def _elements(shape: tuple[int, ...], size: tuple[int, ...]) -> int:
    """Return how many elements a bin covers where all cover as many."""
    return math.prod(shape[1:-1]) // math.prod(size)


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    shape, size = residual.shape, residual.size
    dy = op.expect_cotangent(NAME, dy, (shape[0], *size, shape[-1]), residual.dtype)
    dx = op.wide(dy)
    if blocks.divide(shape[1:-1], size):
        share = dx / _elements(shape, size)  # (1)
        return (blocks.repeated(share.astype(dy.dtype), shape[1:-1]),)  # (1)
    for axis, m in enumerate(size, start=1):
        starts, ends = bins.edges(shape[axis], m)
        share = dx / bins.along(ends - starts, dx, axis)  # (1)
        dx = banded.apply_transpose(bins.members(shape[axis], m), share, axis)  # (1)
    return (dx.astype(dy.dtype),)
