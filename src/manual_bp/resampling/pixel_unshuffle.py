"""Pixels become channels: each r×r square r² of them; the inverse of `pixel_shuffle`.

Shapes   x, dx: (b, h r, w r, c)   y, dy: (b, h, w, c r²)
Forward  y[b, i, j, k r² + p r + q] = x[b, i r + p, j r + q, k] for p, q = 0 … r−1: the channels
         made of one stand together, as in PyTorch, whose axes are (b, c, h, w).
Derive   y is x in another order, so each element of x is owed what its one copy is: the inverse
         order, that of `pixel_shuffle`,
  (1) dx[b, i r + p, j r + q, k] = dy[b, i, j, k r² + p r + q]
Saved    r.      Kinks   none.
Source   Shi et al. 2016, arXiv:1609.05158
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.resampling.pixel_shuffle import to_channels, to_pixels
from manual_bp.resampling.sizes import expect_factor

NAME = "pixel_unshuffle"


@op.residual
class Residual:
    """The shape and dtype of y, and the factor; nothing is traced."""

    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()
    factor: int = op.static()


def forward(x: Float[Array, "b H W c"], *, factor: int) -> tuple[Float[Array, "b h w d"], Residual]:
    """Return x of shape (b, h r, w r, c) as (b, h, w, c r²), and the residual.

    Args:
      x: (b, h r, w r, c).
      factor: r.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the rank is not 4, or `factor` is below 1, or does not divide height and width.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 4, 4)
    r = expect_factor(NAME, factor)
    if x.shape[1] % r or x.shape[2] % r:
        wanted = f"height and width in multiples of factor = {r}"
        raise ValueError(op.complaint(NAME, "x", wanted, f"shape {x.shape}"))
    y = to_channels(x, r)
    return y, Residual(y.shape, y.dtype, r)


def backward(residual: Residual, dy: Float[Array, "b h w d"]) -> tuple[Float[Array, "b H W c"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    return (to_pixels(dy, residual.factor),)  # (1)
