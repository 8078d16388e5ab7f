"""The mean of each window.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *out, c)   N: (*out)
Forward  yᵢ = 1/Nᵢ Σₖ x at (i, k), over the K offsets k, where padding is 0.
         N = K, the size of the window, or with `count_padding=False` how many elements of x the
         window reads.
Derive   ∂yᵢ/∂xⱼ = 1/Nᵢ for each element j that window i reads, so each is owed dyᵢ / Nᵢ; `windows`
         puts it back where it was read and sums where windows overlap.
  (1) dyₖ = dy / N,   dx = Σₖ spreadₖ(dyₖ)
         Where windows tile x, n×n wide, each element gets 1/n² of its window's dy.
Saved    nothing but sizes: the mean is linear.      Kinks   none.
         Half precision accumulates in float32.
Source   LeCun et al. 1989, "Backpropagation applied to handwritten zip code recognition" (as
         subsampling)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, windows
from manual_bp.pooling.slide import slide
from manual_bp.resampling import blocks
from manual_bp.windows import Numbers, Padding, Windows

NAME = "mean_pool"


@op.residual
class Residual:
    """The windows; nothing is traced."""

    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()
    windows: Windows = op.static()
    count_padding: bool = op.static()


def forward(
    x: Float[Array, "b *spatial c"],
    *,
    window: Numbers,
    strides: Numbers | None = None,
    padding: Padding = "VALID",
    count_padding: bool = True,
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return the mean of each window, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis or more.
      window: elements of a window; one number, or one for each axis.
      strides: steps from one window to the next, like `window`, which is the default.
      padding: around `x`: "VALID", "SAME", one number, or a pair for each axis.
      count_padding: whether padding counts as elements of 0, or not at all.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the rank or a setting does not fit, or a window reads padding alone.
    """
    (x,) = op.floating(NAME, x=x)
    over = slide(NAME, x, window, strides, padding)
    total = windows.total(read for _, read in over.reads(op.wide(x)))
    y = (total / _divisor(over, total.dtype, count_padding=count_padding)).astype(x.dtype)
    return y, Residual(y.shape, y.dtype, over, count_padding)


def _divisor(over: Windows, dtype: jnp.dtype, *, count_padding: bool) -> jax.Array:
    return jnp.asarray(len(over.taps) if count_padding else over.members(), dtype)


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    dy_wide, over = op.wide(dy), residual.windows
    share = dy_wide / _divisor(over, dy_wide.dtype, count_padding=residual.count_padding)  # (1)
    if over.tile:
        return (blocks.repeated(share, over.size).astype(dy.dtype),)  # (1)
    return (over.put_back(lambda _: share).astype(dy.dtype),)  # (1)
