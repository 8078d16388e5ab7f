"""All axes but the first made one.

Shapes   x, dx: (b, *rest)   y, dy: (b, n),  n = Π rest
Forward  y[i, k] = x[i, j], k being the place of j in row-major order
Derive   Each entry of y is one entry of x, so ∂L/∂x[i, j] = dy[i, k]
  (1) dx = dy in the shape of x
Saved    nothing but the shape.      Kinks   none.
Source   a change of shape is its own transpose
"""

import math
from typing import Any

from jaxtyping import Array, Float

from manual_bp import op

NAME = "flatten"


@op.residual
class Residual:
    """What x was."""

    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()


def forward(x: Float[Array, " b *rest"]) -> tuple[Float[Array, "b n"], Residual]:
    """Return x with one axis behind the first, and the residual.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has rank 0.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 1, None)
    return x.reshape(_flat(x.shape)), Residual(x.shape, x.dtype)


def _flat(shape: tuple[int, ...]) -> tuple[int, int]:
    # Sizes are written out, as -1 is not known of 0 entries.
    return shape[0], math.prod(shape[1:])


def backward(residual: Residual, dy: Float[Array, "b n"]) -> tuple[Float[Array, " b *rest"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, _flat(residual.shape), residual.dtype)
    return (dy.reshape(residual.shape),)  # (1)
