"""The largest element of each window.

Shapes   x, dx: (b, *spatial, c)   y, dy: (b, *out, c)   w: (b, *out, c), 0 … K−1
Forward  yᵢ = max over the K offsets k of x at (i, k), its window's elements; padding never wins
Derive   yᵢ is a copy of the element at the offset wᵢ that won, and of no other, so of what output i
         is owed the winner gets all and the others nothing; `windows` puts it back where it was
         read and sums where windows overlap.
  (1) dyₖ = dy ⊙ 1[w = k],   dx = Σₖ spreadₖ(dyₖ)
         With `ties="split"` all m elements equal to the largest share:
  (2) m = Σₖ 1[xₖ = y],   dyₖ = dy / m ⊙ 1[xₖ = y]
Saved    w, one byte an output up to 256 elements a window; for "split" x and y.
Kinks    where the largest element occurs twice: the first in window order gets all,
         `ties="first"`, or all share equally, "split".
Extremes −∞ is a value like any other and wins over padding; NaN wins over every number, the first
         or every NaN taking the gradient. Overlapping half precision is summed in float32.
Source   Ranzato, Huang, Boureau & LeCun 2007
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt

from manual_bp import op, setting, windows
from manual_bp.pooling.slide import slide
from manual_bp.reductions import extremum
from manual_bp.resampling import blocks
from manual_bp.windows import Numbers, Padding, Tap, Windows

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
    window: Numbers,
    strides: Numbers | None = None,
    padding: Padding = "VALID",
    dilation: Numbers = 1,
    ties: Ties = "first",
) -> tuple[Float[Array, "b *out c"], Residual]:
    """Return the largest element of each window, and the residual.

    Args:
      x: (b, *spatial, c), with one spatial axis or more.
      window: elements of a window; one number, or one for each axis.
      strides: steps from one window to the next, like `window`, which is the default.
      padding: around `x`: "VALID", "SAME", one number, or a pair for each axis.
      dilation: steps from one element of a window to the next, like `window`.
      ties: "first" in window order, or "split" equally.

    Raises:
      TypeError: `x` is not floating.
      ValueError: the rank or a setting does not fit, or a window reads padding alone.
    """
    (x,) = op.floating(NAME, x=x)
    setting.expect_choice(NAME, "ties", ties, TIES)
    over = slide(NAME, x, window, strides, padding, dilation)
    y, winner = _first_largest(op.wide(x), over)
    y = y.astype(x.dtype)
    if ties == "first":
        return y, Residual(winner, None, None, y.shape, y.dtype, over)
    return y, Residual(None, x, y, y.shape, y.dtype, over)


def _first_largest(x: jax.Array, over: Windows) -> tuple[jax.Array, jax.Array]:
    (first, y), *others = over.reads(x, -jnp.inf)
    narrow = np.min_scalar_type(len(others))
    winner, seen = jnp.zeros(y.shape, narrow), over.inside(first)
    for k, (tap, candidate) in enumerate(others, start=1):
        better = extremum.overtakes(candidate, y)
        fresh = over.inside(tap) & ~seen
        if fresh.any():  # else −∞ in x would lose to padding that came before it
            better = better | fresh
        seen = seen | fresh
        y = jnp.where(better, candidate, y)
        winner = jnp.where(better, jnp.asarray(k, narrow), winner)
    return y, winner


def backward(
    residual: Residual, dy: Float[Array, "b *out c"]
) -> tuple[Float[Array, "b *spatial c"]]:
    """Return (dx,)."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    dy_wide, over = op.wide(dy), residual.windows
    if residual.winner is not None:
        dx = _to_the_first(residual.winner, dy_wide, over)
    else:
        assert residual.x is not None
        assert residual.y is not None
        dx = _to_all(residual.x, residual.y, dy_wide, over)
    return (dx.astype(dy.dtype),)


def _to_the_first(winner: jax.Array, dy: jax.Array, over: Windows) -> jax.Array:
    if over.tile:
        of_place, owed = (blocks.repeated(a, over.size) for a in (winner, dy))
        reader = jnp.broadcast_to(jnp.asarray(over.readers(), winner.dtype), of_place.shape)
        return jnp.where(of_place == reader, owed, 0)  # (1)
    number = {tap: jnp.asarray(k, winner.dtype) for k, tap in enumerate(over.taps)}
    return over.put_back(lambda tap: jnp.where(winner == number[tap], dy, 0))  # (1)


def _to_all(x: jax.Array, y: jax.Array, dy: jax.Array, over: Windows) -> jax.Array:
    largest: dict[Tap, jax.Array] = {
        tap: ((read == y) | jnp.isnan(read)) & over.inside(tap) for tap, read in over.reads(x)
    }
    m = windows.total(chosen.astype(dy.dtype) for chosen in largest.values())
    share = dy / m  # (2)
    return over.put_back(lambda tap: jnp.where(largest[tap], share, 0))  # (2)
