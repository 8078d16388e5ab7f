"""Slices along an axis, by their numbers.

Shapes   x: (*before, v, *after), v being the size of `axis`   indices: (*picked,) integers
         y, dy: (*before, *picked, *after)
Forward  yₖ = x[indexₖ]                       k runs over picked; before and after are carried along
Derive   With the one-hot E, Eₖᵣ = 1[indexₖ=r], y = E x along the axis, so dx = Eᵀ dy:
           ∂L/∂xᵣ = Σₖ dyₖ ∂yₖ/∂xᵣ = Σₖ 1[indexₖ=r] dyₖ
  (1) dxᵣ = Σ dyₖ over the places k at which r was taken;   an index that repeats sums
Saved    indices.      Kinks   none.      Half precision accumulates in float32.
Numbers  An index outside 0 … v−1 is an error; under `jit`, where values cannot be read, its slice
         of y is NaN and its dy is lost. Negative indices do not count from the end.
Source   the transpose of `scatter_add`
"""

from typing import Any

from jaxtyping import Array, Float, Integer

from manual_bp import op, setting
from manual_bp.indexing import numbers

NAME = "take"


@op.residual
class Residual:
    """The numbers of the slices, and what x was."""

    indices: Integer[Array, "*picked"]
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    axis: int = op.static()


def forward(
    x: Float[Array, "*shape"], indices: Integer[Array, "*picked"], *, axis: int = 0
) -> tuple[Float[Array, "*taken"], Residual]:
    """Return the slices of x at `indices` along `axis`, and the residual.

    Args:
      x: (*before, v, *after).
      indices: numbers of slices, (*picked,) integers; their axes take the place of `axis`.
      axis: of x.

    Raises:
      TypeError: `x` is not floating, or `indices` are not integers.
      ValueError: `x` has no such axis, or an index is outside 0 … v−1.
    """
    (x,) = op.floating(NAME, x=x)
    axis = setting.expect_axis(NAME, x, axis)
    axis %= x.ndim
    indices = numbers.checked(NAME, "indices", indices, x.shape[axis])
    y = numbers.looked_up(x, (*(slice(None),) * axis, indices))
    return y, Residual(indices, x.shape, x.dtype, axis)


def backward(residual: Residual, dy: Float[Array, "*taken"]) -> tuple[Float[Array, "*shape"], None]:
    """Return (dx, dindices); dindices is None."""
    indices, shape, axis = residual.indices, residual.shape, residual.axis
    taken = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    dy = op.expect_cotangent(NAME, dy, taken, residual.dtype)
    return numbers.added(shape, (*(slice(None),) * axis, indices), dy), None  # (1)
