"""The largest element of each window.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *out, c)   w: (b, *out, c), 0 … K−1
Forward  yᵢ = max over the K offsets k of x at (i, k), its window's elements; padding never wins
Derive   yᵢ is a copy of the element at the offset wᵢ that won, and of no other, so of what output i
         is owed the winner gets all and the others nothing; `windows` puts it back where it was
         read and sums where windows overlap.
  (1) dyₖ = dy ⊙ 1[w = k],   dx = Σₖ putₖ(dyₖ)
         With `ties="split"` all m elements equal to the largest share:
  (2) m = Σₖ 1[xₖ = y],   dyₖ = dy / m ⊙ 1[xₖ = y]
Saved    w, one byte an output up to 256 elements a window; for "split" x and y.
Kinks    where the largest element occurs twice: the first in window order gets all,
         `ties="first"`, or all share equally, "split".
Extremes −∞ is a value like any other and wins over padding; NaN wins over every number, the first
         or every NaN taking the gradient. Overlapping half precision is summed in float32.
Source   Ranzato, Huang, Boureau & LeCun 2007
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt

from manual_bp import op
from manual_bp.pooling.windows import Offset, Padding, Windows, slide, spread

NAME = "max_pool"

Ties = Literal["first", "split"]
TIES = ("first", "split")


@op.residual
class Residual:
    """The offset that won, or the input and the output that show who shares."""

    winner: UInt[Array, "b *out c"] | None
    x: Float[Array, "b *spatial c"] | None
    y: Float[Array, "b *out c"] | None
    shape: tuple[int, ...] = op.static()
    dtype: jnp.dtype = op.static()
    windows: Windows = op.static()


def forward(
    x: Float[Array, "b *spatial c"],
    *,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: Sequence[int] | None = None,
    ties: Ties = "first",
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return the largest element of each window, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis, of 1 to 3, for each size of `window`.
      window: sizes of a window.
      strides: steps from one window to the next; by default those of `window`.
      padding: "VALID", "SAME", or a pair (before, after) for each axis.
      dilation: steps from one element of a window to the next; by default 1.
      ties: "first" in window order, or "split" equally.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the rank or a setting does not fit, or a window reads padding alone.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_choice(NAME, "ties", ties, TIES)
    windows = slide(NAME, x.shape, window, strides, padding, dilation)
    y, winner = _first_largest(x, windows)
    if ties == "first":
        return y, Residual(winner, None, None, y.shape, y.dtype, windows)
    return y, Residual(None, x, y, y.shape, y.dtype, windows)


def _first_largest(x: jax.Array, windows: Windows) -> tuple[jax.Array, jax.Array]:
    padded, offsets = windows.pad(x, -jnp.inf), windows.offsets
    y = windows.read(padded, offsets[0])
    narrow = np.min_scalar_type(len(offsets) - 1)
    winner, seen = jnp.zeros(y.shape, narrow), windows.inside(offsets[0])
    for k, offset in enumerate(offsets[1:], start=1):
        candidate = windows.read(padded, offset)
        better = ~((candidate <= y) | jnp.isnan(y))
        fresh = windows.inside(offset) & ~seen
        if fresh.any():  # else −∞ in x would lose to padding that came before it
            better = better | spread(fresh, y.shape, bool)
        seen = seen | fresh
        y = jnp.where(better, candidate, y)
        winner = jnp.where(better, jnp.asarray(k, narrow), winner)
    return y, winner


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    dy_wide, windows = op.wide(dy), residual.windows
    if residual.winner is not None:
        dx = _to_the_first(residual.winner, dy_wide, windows)
    else:
        assert residual.x is not None
        assert residual.y is not None
        dx = _to_all(residual.x, residual.y, dy_wide, windows)
    return (dx.astype(dy.dtype),)


def _to_the_first(winner: jax.Array, dy: jax.Array, windows: Windows) -> jax.Array:
    number = {offset: k for k, offset in enumerate(windows.offsets)}

    def owed(offset: Offset) -> jax.Array:
        return jnp.where(winner == jnp.asarray(number[offset], winner.dtype), dy, 0)  # (1)

    return windows.put_back(owed)


def _to_all(x: jax.Array, y: jax.Array, dy: jax.Array, windows: Windows) -> jax.Array:
    padded = windows.pad(x, -jnp.inf)

    def largest(offset: Offset) -> jax.Array:
        value = windows.read(padded, offset)
        same = (value == y) | (jnp.isnan(value) & jnp.isnan(y))
        return same & spread(windows.inside(offset), y.shape, bool)

    m = sum(largest(offset).astype(dy.dtype) for offset in windows.offsets)
    share = dy / m  # (2)
    return windows.put_back(lambda offset: jnp.where(largest(offset), share, 0))  # (2)
