"""The p-norm of each window: a sum, not a mean.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *out, c)
Forward  yᵢ = (Σₖ |x|ᵖ)^(1/p) over the K offsets k of window i, where padding is 0, and p ≥ 1.
         With M = max |x| of the window it is taken as M (Σₖ (|x|/M)ᵖ)^(1/p), which cannot overflow.
Derive   With S = Σₖ |x|ᵖ, y = S^(1/p):
           ∂y/∂x = 1/p S^(1/p − 1) · p |x|^(p−1) sign x = y^(1−p) |x|^(p−1) sign x
         and, as |x| ≤ y, without a power that could overflow
  (1) dyₖ = dy ⊙ sign xₖ ⊙ (|xₖ| / y)^(p−1),   dx = Σₖ spreadₖ(dyₖ)
Saved    x, y; y in float32 for half precision, where (1) takes a power of it.
Kinks    x = 0 for p = 1, and for p > 1 where all of a window is 0: the gradient is 0 there.
Extremes Finite for x = ±1e4 wherever y is. Where an x is infinite y is, and but for p = 1 dx
         is 0 for what is finite beside it and NaN for itself: it would go by how many grow how
         fast. Half precision accumulates in float32.
Source   Sermanet, Chintala & LeCun 2012, arXiv:1204.3968. For odd p PyTorch's sums xᵖ, signs and
         all; it is the same for x ≥ 0 and for even p.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting, windows
from manual_bp.pooling.slide import slide
from manual_bp.resampling import blocks
from manual_bp.windows import Numbers, Padding, Windows

NAME = "lp_pool"


@op.residual
class Residual:
    """The input, and the output in the dtype of sums."""

    x: Float[Array, "b *spatial c"]
    y: Float[Array, "b *out c"]
    windows: Windows = op.static()
    p: float = op.static()


def forward(
    x: Float[Array, "b *spatial c"],
    *,
    window: Numbers,
    strides: Numbers | None = None,
    padding: Padding = "VALID",
    p: float = 2.0,
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return the p-norm of each window, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis or more.
      window: elements of a window; one number, or one for each axis.
      strides: steps from one window to the next, like `window`, which is the default.
      padding: around `x`: "VALID", "SAME", one number, or a pair for each axis.
      p: at least 1.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the rank or a setting does not fit, or a window reads padding alone.
    """
    (x,) = op.floating(NAME, x=x)
    p = setting.expect_number(
        NAME, "p", p, "a finite number of at least 1", lambda p: 1 <= p < math.inf
    )
    over = slide(NAME, x, window, strides, padding)
    reads = [read for _, read in over.reads(jnp.abs(op.wide(x)))]
    largest = functools.reduce(jnp.maximum, reads)
    scale = jnp.where((largest > 0) & (largest < jnp.inf), largest, 1)
    total = windows.total((read / scale) ** p for read in reads)
    y = largest * total ** (1 / p)
    return y.astype(x.dtype), Residual(x, y, over, p)


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    x, y, over, p = residual.x, residual.y, residual.windows, residual.p
    dy = op.expect_cotangent(NAME, dy, y.shape, x.dtype)
    x_wide, dy_wide = op.wide(x), op.wide(dy)

    def owed(read: jax.Array, y: jax.Array, dy: jax.Array) -> jax.Array:
        share = dy * (jnp.abs(read) / y) ** (p - 1)  # (1)
        return jnp.where(read > 0, share, jnp.where(read == 0, 0, -share))  # (1)

    if over.tile:
        dx = owed(x_wide, *(blocks.repeated(a, over.size) for a in (y, dy_wide)))
    else:
        reads = dict(over.reads(x_wide))
        dx = over.put_back(lambda tap: owed(reads[tap], y, dy_wide))
    return (dx.astype(dy.dtype),)
