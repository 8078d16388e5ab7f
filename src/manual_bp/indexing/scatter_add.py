"""Slices added to others along an axis, by their numbers.

Shapes   x, y, dy: (*before, v, *after), v being the size of `axis`   indices: (*picked,) integers
         updates: (*before, *picked, *after)
Forward  yᵣ = xᵣ + Σ updatesₖ over the places k at which indexₖ = r
Derive   With the one-hot E, Eₖᵣ = 1[indexₖ=r], y = x + Eᵀ updates, so dx = dy and
           ∂L/∂updatesₖ = Σᵣ dyᵣ ∂yᵣ/∂updatesₖ = Σᵣ 1[indexₖ=r] dyᵣ
  (1) dx       = dy
  (2) dupdates = dy at indices
Saved    indices.      Kinks   none.      Half precision accumulates in float32.
Numbers  An index outside 0 … v−1 is an error; under `jit`, where values cannot be read, there is no
         place for its update, and all of y and its dupdates are NaN. Negative indices do not count
         from the end.
Source   the transpose of `take`
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import op, setting
from manual_bp.indexing import numbers

NAME = "scatter_add"


@op.residual
class Residual:
    """The numbers of the slices, and what x was."""

    indices: Integer[Array, "*picked"]
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    axis: int = op.static()


def forward(
    x: Float[Array, "*shape"],
    indices: Integer[Array, "*picked"],
    updates: Float[Array, "*taken"],
    *,
    axis: int = 0,
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return x with the updates added at `indices` along `axis`, and the residual.

    Args:
      x: (*before, v, *after).
      indices: numbers of slices, (*picked,) integers; one that repeats adds up.
      updates: (*before, *picked, *after), of the dtype of `x`.
      axis: of x.

    Raises:
      TypeError: an array is not floating, the dtypes differ, or `indices` are not integers.
      ValueError: `x` has no such axis, the shapes do not fit, or an index is outside 0 … v−1.
    """
    x, updates = op.floating(NAME, x=x, updates=updates)
    axis = setting.expect_axis(NAME, x, axis)
    axis %= x.ndim
    v = x.shape[axis]
    indices = numbers.checked(NAME, "indices", indices, v)
    taken = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    why = f"for x of shape {x.shape} and indices of shape {indices.shape}"
    op.expect_shape(NAME, "updates", updates, taken, why)
    index = (*(slice(None),) * axis, indices)
    y = op.wide(x).at[index].add(op.wide(updates), mode="drop").astype(x.dtype)
    known = ((indices >= 0) & (indices < v)).all()
    return jnp.where(known, y, jnp.nan), Residual(indices, x.shape, x.dtype, axis)


def backward(
    residual: Residual, dy: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], None, Float[Array, "*taken"]]:
    """Return (dx, dindices, dupdates); dindices is None."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    dupdates = numbers.looked_up(dy, (*(slice(None),) * residual.axis, residual.indices))  # (2)
    return dy, None, dupdates  # (1)
