"""Entries along an axis, by numbers of their own in every line; PyTorch's `gather`.

Shapes   x: (*batch, v), v being the size of `axis`   indices: (*batch, k) integers
         y, dy: (*batch, k)
Forward  yᵢₖ = x[i, indexᵢₖ]                                                  i runs over the batch
Derive   ∂yᵢₖ/∂xⱼᵣ = 1[i=j] 1[indexᵢₖ=r], so
           ∂L/∂xᵢᵣ = Σₖ 1[indexᵢₖ=r] dyᵢₖ
  (1) dxᵢᵣ = Σ dyᵢₖ over the places k at which r was taken;   an index that repeats sums
Saved    indices.      Kinks   none.      Half precision accumulates in float32.
Numbers  An index outside 0 … v−1 is an error; under `jit`, where values cannot be read, its y is
         NaN and its dy is lost. Negative indices do not count from the end.
Source   `numpy.take_along_axis`; the transpose of a scatter that adds
"""

from typing import Any

import jax
from jaxtyping import Array, Float, Integer

from manual_bp import op, setting
from manual_bp.indexing import numbers

NAME = "take_along_axis"


@op.residual
class Residual:
    """The numbers of the entries, and what x was."""

    indices: Integer[Array, "*taken"]
    size: int = op.static()
    dtype: Any = op.static()
    axis: int = op.static()


def _index(indices: Integer[Array, "*taken"], axis: int) -> tuple[Any, ...]:
    """Return the index of every entry: `indices` along the axis, its own place along others."""
    return tuple(
        indices if i == axis else jax.lax.broadcasted_iota(indices.dtype, indices.shape, i)
        for i in range(indices.ndim)
    )


def forward(
    x: Float[Array, "*shape"], indices: Integer[Array, "*taken"], *, axis: int = -1
) -> tuple[Float[Array, "*taken"], Residual]:
    """Return the entries of x at `indices` along `axis`, and the residual.

    Args:
      x: any shape of rank 1 or more.
      indices: numbers of entries, integers, of the shape of `x` but for the size of `axis`.
      axis: of both.

    Raises:
      TypeError: `x` is not floating, or `indices` are not integers.
      ValueError: `x` has no such axis, the shapes do not fit, or an index is outside 0 … v−1.
    """
    (x,) = op.floating(NAME, x=x)
    axis = setting.expect_axis(NAME, x, axis)
    axis %= x.ndim
    indices = numbers.checked(NAME, "indices", indices, x.shape[axis])
    shape = (*x.shape[:axis], None, *x.shape[axis + 1 :])
    op.expect_shape(NAME, "indices", indices, shape, f"for x of shape {x.shape}")
    y = numbers.looked_up(x, _index(indices, axis))
    return y, Residual(indices, x.shape[axis], x.dtype, axis)


def backward(residual: Residual, dy: Float[Array, "*taken"]) -> tuple[Float[Array, "*shape"], None]:
    """Return (dx, dindices); dindices is None."""
    indices, axis = residual.indices, residual.axis
    dy = op.expect_cotangent(NAME, dy, indices.shape, residual.dtype)
    shape = (*indices.shape[:axis], residual.size, *indices.shape[axis + 1 :])
    return numbers.added(shape, _index(indices, axis), dy), None  # (1)
