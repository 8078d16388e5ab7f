"""Resampling to a given size by linear interpolation; over two axes bilinear.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *size, c)   on each axis n elements become m
Forward  Output i stands at s of x. With `align_corners` the first and last elements of both meet,
         s = i (n−1)/(m−1), and 0 for m = 1; else the edges of both do, s = (i + ½) n/m − ½, kept
         within 0 … n−1. With k = ⌊s⌋ and λ = s − k
           yᵢ = (1−λ) x_k + λ x_(k+1)     on one axis, and so on the next
Derive   y = A x with Aᵢ,k = 1−λ and Aᵢ,(k+1) = λ, so ∂yᵢ/∂xⱼ = Aᵢⱼ and
  (1) dx = Aᵀ dy                          on one axis, and so on the next
Saved    nothing but sizes: interpolation is linear in x.      Kinks   none.
         Half precision accumulates in float32, through all axes. Both k and λ come from whole
         numbers, so that no rounding moves k.
Source   Keys 1981, IEEE Trans. ASSP 29; the two conventions are PyTorch's
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.resampling import banded, phases, sizes
from manual_bp.windows import Numbers

NAME = "upsample_linear"


@op.residual
class Residual:
    """The shape and dtype of x, the sizes of y and where its elements stand; nothing is traced."""

    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()
    size: tuple[int, ...] = op.static()
    align_corners: bool = op.static()


def forward(
    x: Float[Array, "b *spatial c"],
    *,
    factor: int | None = None,
    size: Numbers | None = None,
    align_corners: bool = False,
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return x interpolated linearly, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis or more.
      factor: size of the output over that of x, on each spatial axis; or
      size: of the output; one number, or one for each axis.
      align_corners: whether the outermost elements meet, and not the edges.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no spatial axis, or one of size 0, or `factor` and `size` do not fit.
    """
    (x,) = op.floating(NAME, x=x)
    size = sizes.resolve(NAME, x, factor, size)
    y = op.wide(x)
    for axis, m in enumerate(size, start=1):
        n = y.shape[axis]
        if _by_phases(n, m, align_corners=align_corners):
            y = phases.stretch(y, m // n, axis)
        else:
            y = banded.apply(_weights(n, m, align_corners=align_corners), y, axis)
    return y.astype(x.dtype), Residual(x.shape, x.dtype, size, align_corners)


def _by_phases(n: int, m: int, *, align_corners: bool) -> bool:
    """Return whether rows of A repeat after a whole factor, edges aside."""
    return m % n == 0 and not align_corners


def _weights(n: int, m: int, *, align_corners: bool) -> np.ndarray:
    """Return A, (m, n)."""
    i = np.arange(m)
    # s is the quotient of two whole numbers.
    above, below = (2 * i + 1) * n - m, 2 * m
    if align_corners:
        above, below = i * (n - 1), m - (m > 1)
    above = above.clip(0)
    k, rest = above // below, above % below
    weights = np.zeros((m, n))
    weights[i, k] = (below - rest) / below
    weights[i, np.minimum(k + 1, n - 1)] += rest / below
    return weights


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    shape, size = residual.shape, residual.size
    dy = op.expect_cotangent(NAME, dy, (shape[0], *size, shape[-1]), residual.dtype)
    dx = op.wide(dy)
    for axis, m in enumerate(size, start=1):
        n, align_corners = shape[axis], residual.align_corners
        if _by_phases(n, m, align_corners=align_corners):
            dx = phases.stretch_transposed(dx, m // n, axis)  # (1)
        else:
            weights = _weights(n, m, align_corners=align_corners)
            dx = banded.apply_transpose(weights, dx, axis)  # (1)
    return (dx.astype(dy.dtype),)
