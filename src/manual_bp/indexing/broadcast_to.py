"""An array repeated to a shape, by NumPy's rules: along new leading axes, and axes of size 1.

Shapes   x, dx: (*shape)   y, dy: (*wanted)
Forward  y[j] = x[i], i being j without the new axes and with 0 along those of size 1
Derive   ∂y[j]/∂x[i] = 1 where j is a copy of i, 0 elsewhere, so ∂L/∂x[i] = Σ dy[j] over its copies
  (1) dx = Σ dy over the new axes and along those of size 1
Saved    nothing but shapes.      Kinks   none.      Half precision accumulates in float32.
Source   `numpy.broadcast_to`; the adjoint of a sum
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting

NAME = "broadcast_to"


@op.residual
class Residual:
    """Both shapes."""

    original: tuple[int, ...] = op.static()
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()


def forward(
    x: Float[Array, "*shape"], *, shape: tuple[int, ...]
) -> tuple[Float[Array, "*wanted"], Residual]:
    """Return x repeated to `shape`, and the residual.

    Args:
      x: any shape whose axes, counted from the last, are those of `shape` or of size 1.
      shape: of y.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the shapes do not fit.
    """
    (x,) = op.floating(NAME, x=x)
    shape = setting.expect_wholes(NAME, "shape", shape, None, "a tuple of sizes")
    new = len(shape) - x.ndim
    if new < 0 or any(m not in (1, n) for m, n in zip(x.shape, shape[max(new, 0) :], strict=True)):
        raise ValueError(op.complaint(NAME, "x", f"a shape that broadcasts to {shape}", x.shape))
    return jnp.broadcast_to(x, shape), Residual(x.shape, shape, x.dtype)


def backward(residual: Residual, dy: Float[Array, "*wanted"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    original, shape = residual.original, residual.shape
    dy = op.expect_cotangent(NAME, dy, shape, residual.dtype)
    aligned = (*(1,) * (len(shape) - len(original)), *original)
    repeated = tuple(i for i, n in enumerate(aligned) if n == 1)
    # JAX accumulates the sums of half precision in float32 and rounds each once.
    dx = dy.sum(repeated)  # (1)
    return (dx.reshape(original),)
