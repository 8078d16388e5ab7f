"""The patches that a kernel reads, laid out as rows: the convolution as one affine map.

Shapes   x: (b, *size, c)   y, dy: (b, *count, k c), k being the number of taps in `kernel`
         count = ⌊(size + padding − d (kernel − 1) − 1)/s⌋ + 1 for each of any number of axes
Forward  yᵢ = [x_{si+do−p} for every tap o]
         tap by tap, the last axis first, and in each tap the c channels: the order in which
         W.reshape(k c, m) holds a kernel's rows, so that conv(x, W) = y W. s is the stride, d the
         dilation, p the padding before; x is 0 outside of its places.
Derive   x at place j is copied by every tap o in every window i with si + do − p = j, and with
         dyₒ the c columns of tap o
           ∂L/∂xⱼ = Σₒ Σᵢ 1[si + do − p = j] dyₒᵢ
         For one tap the places lie s apart: col2im puts dyₒ back there and sums where windows
         overlap.
  (1) dx = Σₒ spreadₒ(dyₒ)
Saved    the windows; no numbers.      Kinks   none.      Half precision accumulates in float32.
Source   Chellapilla, Puri & Simard 2006, "High performance convolutional neural networks"
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, windows
from manual_bp.windows import Numbers, Padding, Windows

NAME = "im2col"


@op.residual
class Residual:
    """The windows, and what `x` was."""

    windows: Windows = op.static()
    batch: int = op.static()
    channels: int = op.static()
    dtype: Any = op.static()


def forward(
    x: Float[Array, "b *size c"],
    *,
    kernel: Numbers,
    strides: Numbers = 1,
    padding: Padding = "SAME",
    dilation: Numbers = 1,
) -> tuple[Float[Array, "b *count n"], Residual]:
    """Return what every window reads, (b, *count, k c), and the residual.

    Args:
      x: inputs, (b, *size, c).
      kernel: taps; one number, or one for each axis.
      strides: places from one window to the next; one number, or one for each axis.
      padding: zeros around `x`: "SAME", "VALID", one number, or a pair for each axis.
      dilation: places from one tap to the next; one number, or one for each axis.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the settings do not fit, or the window is larger than the padded `x`.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 3, None)
    taps = windows.whole_numbers(NAME, "kernel", kernel, x.ndim - 2)
    over = windows.over(
        NAME, x.shape[1:-1], taps, strides=strides, padding=padding, dilation=dilation
    )
    channels = x.shape[-1]
    y = jnp.zeros((x.shape[0], *over.count, len(over.taps) * channels), x.dtype)
    for number, tap in enumerate(over.taps):
        first, read = over.read_inside(x, tap)
        y = jax.lax.dynamic_update_slice(y, read, (0, *first, number * channels))
    return y, Residual(over, x.shape[0], channels, x.dtype)


def backward(
    residual: Residual, dy: Float[Array, "b *count n"]
) -> tuple[Float[Array, "b *size c"]]:
    """Return (dx,)."""
    over, dtype = residual.windows, residual.dtype
    shape = (residual.batch, *over.count, len(over.taps) * residual.channels)
    dy = op.expect_cotangent(NAME, dy, shape, dtype)
    columns = dict(zip(over.taps, jnp.split(op.wide(dy), len(over.taps), -1), strict=True))
    dx = over.put_back(columns.__getitem__)  # (1)
    return (dx.astype(dtype),)
