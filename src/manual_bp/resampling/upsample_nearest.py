"""Upsampling to a given size by repeating the nearest element.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *size, c)   on each axis n elements become m
Forward  yᵢ = x at ⌊i n / m⌋ on one axis, and so on the next; a factor r, m = r n, repeats each
         element r times. A smaller size leaves elements out.
Derive   yᵢ is a copy of one element, y = A x with Aᵢⱼ = 1[j = ⌊i n / m⌋], so each element is owed
         the sum over its copies:
  (1) dx = Aᵀ dy                                      on one axis, and so on the next
Saved    nothing but sizes: a copy is linear.      Kinks   none.
         Half precision accumulates in float32, through all axes.
Source   PyTorch's mode "nearest"; here the index is exact, where floating point may miss it by one
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.resampling import banded, blocks, sizes
from manual_bp.windows import Numbers

NAME = "upsample_nearest"


@op.residual
class Residual:
    """The shape and dtype of x, and the sizes of y; nothing is traced."""

    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()
    size: tuple[int, ...] = op.static()


def forward(
    x: Float[Array, "b *spatial c"],
    *,
    factor: int | None = None,
    size: Numbers | None = None,
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return x with its elements repeated, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis or more.
      factor: how often each element is repeated on each spatial axis; or
      size: of the output; one number, or one for each axis.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no spatial axis, or one of size 0, or `factor` and `size` do not fit.
    """
    (x,) = op.floating(NAME, x=x)
    size = sizes.resolve(NAME, x, factor, size)
    if blocks.divide(size, x.shape[1:-1]):
        return blocks.repeated(x, size), Residual(x.shape, x.dtype, size)
    y = x
    for axis, m in enumerate(size, start=1):
        y = jnp.take(y, _sources(y.shape[axis], m), axis=axis, mode="clip")
    return y, Residual(x.shape, x.dtype, size)


def _sources(n: int, m: int) -> np.ndarray:
    return np.arange(m) * n // m


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    shape, size = residual.shape, residual.size
    dy = op.expect_cotangent(NAME, dy, (shape[0], *size, shape[-1]), residual.dtype)
    dx = op.wide(dy)
    if blocks.divide(size, shape[1:-1]):
        return (blocks.sums(dx, shape[1:-1]).astype(dy.dtype),)  # (1)
    for axis, m in enumerate(size, start=1):
        copies = _sources(shape[axis], m)[:, None] == np.arange(shape[axis])
        dx = banded.apply_transpose(copies, dx, axis)  # (1)
    return (dx.astype(dy.dtype),)
