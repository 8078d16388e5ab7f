"""A box cut out of an array, every entry of it or every s-th; `x[start:limit:stride]`.

Shapes   x, dx: (n₁, n₂, …)   y, dy: (m₁, m₂, …),  m = ⌈(limit − start) / stride⌉ of each axis
Forward  y[j] = x[start + stride · j]                                              j runs over y
Derive   ∂y[j]/∂x[i] = 1[i = start + stride · j], so each entry of dy has one place in dx:
           ∂L/∂x[i] = Σⱼ dy[j] 1[i = start + stride · j]
  (1) dx[start + stride · j] = dy[j],   0 at all other places
Saved    nothing but shapes.      Kinks   none.
Source   `jax.lax.slice`; the transpose of `pad` with stride − 1 zeros between entries
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting

NAME = "strided_slice"


@op.residual
class Residual:
    """What x was, and the box."""

    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    starts: tuple[int, ...] = op.static()
    limits: tuple[int, ...] = op.static()
    strides: tuple[int, ...] = op.static()


def forward(
    x: Float[Array, "*shape"],
    *,
    starts: tuple[int, ...],
    limits: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
) -> tuple[Float[Array, "*box"], Residual]:
    """Return x from `starts` to before `limits` in steps of `strides`, and the residual.

    Args:
      x: any shape.
      starts: the first place, a number for each axis; negative ones do not count from the end.
      limits: one past the last place, a number for each axis.
      strides: the step, a number ≥ 1 for each axis; None for 1.

    Raises:
      TypeError: `x` is not floating.
      ValueError: there is not one number for each axis, or not 0 ≤ start ≤ limit ≤ size, or a
        stride is below 1.
    """
    (x,) = op.floating(NAME, x=x)
    strides = (1,) * x.ndim if strides is None else strides
    expected = f"a number for each axis of shape {x.shape}"
    starts, limits, strides = (
        setting.expect_wholes(NAME, argument, given, x.ndim, expected)
        for argument, given in (("starts", starts), ("limits", limits), ("strides", strides))
    )
    if not all(0 <= a <= b <= n for a, b, n in zip(starts, limits, x.shape, strict=True)):
        expected = f"0 ≤ start ≤ limit ≤ size of shape {x.shape}"
        raise ValueError(op.complaint(NAME, "starts, limits", expected, f"{starts}, {limits}"))
    if min(strides, default=1) < 1:
        raise ValueError(op.complaint(NAME, "strides", "numbers ≥ 1", strides))
    y = jax.lax.slice(x, starts, limits, strides)
    return y, Residual(x.shape, x.dtype, starts, limits, strides)


def backward(residual: Residual, dy: Float[Array, "*box"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    places = map(range, residual.starts, residual.limits, residual.strides)
    sizes = tuple(map(len, places))
    dy = op.expect_cotangent(NAME, dy, sizes, residual.dtype)
    axes = zip(residual.starts, residual.shape, residual.strides, sizes, strict=True)
    around = [
        (start, n - start - (stride * (count - 1) + 1 if count else 0), stride - 1)
        for start, n, stride, count in axes
    ]
    return (jax.lax.pad(dy, jnp.zeros((), dy.dtype), around),)  # (1)
