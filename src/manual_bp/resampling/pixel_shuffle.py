"""Channels become pixels: r² of them an r×r square.

Shapes   x, dx: (b, h, w, c r²)   y, dy: (b, h r, w r, c)
Forward  y[b, i r + p, j r + q, k] = x[b, i, j, k r² + p r + q] for p, q = 0 … r−1: the r² channels
         that make one stand together, as in PyTorch, whose axes are (b, c, h, w). TensorFlow's
         `depth_to_space` has channel (p r + q) c + k in their place.
Derive   y is x in another order, so each element of x is owed what its one copy is: the inverse
         order,
  (1) dx[b, i, j, k r² + p r + q] = dy[b, i r + p, j r + q, k]
Saved    r.      Kinks   none.
Source   Shi et al. 2016, "Real-time single image and video super-resolution using an efficient
         sub-pixel convolutional neural network", arXiv:1609.05158
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.resampling.sizes import expect_factor

NAME = "pixel_shuffle"


@op.residual
class Residual:
    """The shape and dtype of y, and the factor; nothing is traced."""

    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()
    factor: int = op.static()


def forward(x: Float[Array, "b h w d"], *, factor: int) -> tuple[Float[Array, "b H W c"], Residual]:
    """Return x of shape (b, h, w, c r²) as (b, h r, w r, c), and the residual.

    Args:
      x: (b, h, w, c r²).
      factor: r.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the rank is not 4, or `factor` is below 1, or its square does not divide the
        channels.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 4, 4)
    r = expect_factor(NAME, factor)
    if x.shape[-1] % r**2:
        wanted = f"channels in multiples of factor² = {r**2}"
        raise ValueError(op.complaint(NAME, "x", wanted, f"shape {x.shape}"))
    y = to_pixels(x, r)
    return y, Residual(y.shape, y.dtype, r)


def backward(residual: Residual, dy: Float[Array, "b H W c"]) -> tuple[Float[Array, "b h w d"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    return (to_channels(dy, residual.factor),)  # (1)


def to_pixels(x: jax.Array, r: int) -> jax.Array:
    """Return (b, h, w, c r²) as (b, h r, w r, c), without checks."""
    b, h, w, d = x.shape
    squares = x.reshape(b * h, w, d // (r * r), r, r).transpose(0, 3, 1, 4, 2)
    return squares.reshape(b, h * r, w * r, d // (r * r))


def to_channels(y: jax.Array, r: int) -> jax.Array:
    """Return (b, h r, w r, c) as (b, h, w, c r²), without checks."""
    b, h, w, c = y.shape
    squares = y.reshape(b * h // r, r, w // r, r, c).transpose(0, 2, 4, 1, 3)
    return squares.reshape(b, h // r, w // r, c * r * r)
