"""The mean of each window.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *out, c)   N: (*out)
Forward  yᵢ = 1/Nᵢ Σₖ x at (i, k), over the K offsets k, where padding is 0.
         N = K, the size of the window, or with `count_padding=False` how many elements of x the
         window reads.
Derive   ∂yᵢ/∂xⱼ = 1/Nᵢ for each element j that window i reads, so each is owed dyᵢ / Nᵢ; `windows`
         puts it back where it was read and sums where windows overlap.
  (1) dyₖ = dy / N,   dx = Σₖ putₖ(dyₖ)
         Where windows tile x, n×n wide, each element gets 1/n² of its window's dy.
Saved    nothing but sizes: the mean is linear.      Kinks   none.
         Half precision accumulates in float32.
Source   LeCun et al. 1989, "Backpropagation applied to handwritten zip code recognition" (as
         subsampling)
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.pooling.windows import Padding, Windows, slide, spread

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
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    count_padding: bool = True,
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return the mean of each window, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis, of 1 to 3, for each size of `window`.
      window: sizes of a window.
      strides: steps from one window to the next; by default those of `window`.
      padding: "VALID", "SAME", or a pair (before, after) for each axis.
      count_padding: whether padding counts as elements of 0, or not at all.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the rank or a setting does not fit, or a window reads padding alone.
    """
    (x,) = op.floating(NAME, x=x)
    windows = slide(NAME, x.shape, window, strides, padding)
    padded = windows.pad(op.wide(x), 0.0)
    offsets = windows.offsets
    total = windows.read(padded, offsets[0])
    for offset in offsets[1:]:
        total = total + windows.read(padded, offset)
    y = (total / _divisor(windows, total, count_padding=count_padding)).astype(x.dtype)
    return y, Residual(y.shape, y.dtype, windows, count_padding)


def _divisor(windows: Windows, like: jax.Array, *, count_padding: bool) -> jax.Array | int:
    if count_padding:
        return len(windows.offsets)
    return spread(windows.count(), like.shape, like.dtype)


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    dy_wide, windows = op.wide(dy), residual.windows
    share = dy_wide / _divisor(windows, dy_wide, count_padding=residual.count_padding)  # (1)
    return (windows.put_back(lambda _: share).astype(dy.dtype),)  # (1)
