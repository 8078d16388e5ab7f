"""A frame of one value around an array.

Shapes   x, dx: (n₁, n₂, …)   y, dy: (l₁+n₁+h₁, l₂+n₂+h₂, …),  (lₐ, hₐ) being `widths` of axis a
Forward  y[l+i] = x[i] inside,   y = `value` in the frame                          i runs over x
Derive   ∂y[j]/∂x[i] = 1[j=l+i], so ∂L/∂x[i] = Σⱼ dy[j] 1[j=l+i] = dy[l+i]
  (1) dx = dy inside the frame
Saved    nothing but shapes.      Kinks   none.
Source   the transpose of `strided_slice` with strides 1
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting

NAME = "pad"


@op.residual
class Residual:
    """What x was, and the widths of the frame."""

    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    widths: tuple[tuple[int, int], ...] = op.static()


def forward(
    x: Float[Array, "*shape"], *, widths: tuple[tuple[int, int], ...], value: float = 0.0
) -> tuple[Float[Array, "*framed"], Residual]:
    """Return x in a frame, and the residual.

    Args:
      x: any shape.
      widths: for each axis, how many entries come before and after it.
      value: of the frame.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `widths` are not a pair of numbers ≥ 0 for each axis.
    """
    (x,) = op.floating(NAME, x=x)
    expected = f"a pair of numbers ≥ 0 for each axis of shape {x.shape}"
    widths = setting.expect_pairs(NAME, "widths", widths, x.ndim, expected)
    value = setting.expect_number(NAME, "value", value, "a number", lambda _: True)
    frame = jnp.asarray(value, x.dtype)
    y = jax.lax.pad(x, frame, [(low, high, 0) for low, high in widths])
    return y, Residual(x.shape, x.dtype, widths)


def backward(residual: Residual, dy: Float[Array, "*framed"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    sides = tuple(zip(residual.shape, residual.widths, strict=True))
    framed = tuple(low + n + high for n, (low, high) in sides)
    dy = op.expect_cotangent(NAME, dy, framed, residual.dtype)
    inside = tuple(slice(low, low + n) for n, (low, _) in sides)
    return (dy[inside],)  # (1)
