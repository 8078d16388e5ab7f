"""Arrays one after another along an axis.

Shapes   arrays: a sequence, the i-th of shape (*before, nᵢ, *after)   y, dy: (*before, Σnᵢ, *after)
Forward  y[oᵢ + k] = arraysᵢ[k],   oᵢ = Σ_{j<i} nⱼ                                k < nᵢ
Derive   Each entry of y is one entry of one array, so with ∂y[r]/∂arraysᵢ[k] = 1[r = oᵢ + k]
           ∂L/∂arraysᵢ[k] = Σᵣ dy[r] 1[r = oᵢ + k] = dy[oᵢ + k]
  (1) darraysᵢ = dy from oᵢ to before oᵢ + nᵢ
Saved    nothing but shapes.      Kinks   none.
Source   the arrays' places in y are disjoint; the transpose is a cut
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting

NAME = "concatenate"


@op.residual
class Residual:
    """What y and the arrays were, and the axis."""

    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    sizes: tuple[int, ...] = op.static()
    axis: int = op.static()
    listed: bool = op.static()


def forward(
    arrays: Sequence[Float[Array, "..."]], *, axis: int = 0
) -> tuple[Float[Array, "..."], Residual]:
    """Return the arrays joined along `axis`, and the residual.

    Args:
      arrays: at least one; of one dtype, and of one shape but for the size of `axis`.
      axis: along which they are joined.

    Raises:
      TypeError: `arrays` is no list or tuple, an array is not floating, or the dtypes differ.
      ValueError: there is no array, the first has no such axis, or the shapes do not fit.
    """
    if not isinstance(arrays, list | tuple):
        expected, came = "a list or tuple of arrays", type(arrays).__name__
        raise TypeError(op.complaint(NAME, "arrays", expected, came))
    if not arrays:
        raise ValueError(op.complaint(NAME, "arrays", "at least one array", "none"))
    named = {f"arrays[{i}]": array for i, array in enumerate(arrays)}
    joined = op.floating(NAME, **named)
    axis = setting.expect_axis(NAME, joined[0], axis)
    axis %= joined[0].ndim
    shape = (*joined[0].shape[:axis], None, *joined[0].shape[axis + 1 :])
    for argument, array in zip(named, joined, strict=True):
        why = f"for arrays[0] of shape {joined[0].shape}"
        op.expect_shape(NAME, argument, array, shape, why)
    sizes = tuple(array.shape[axis] for array in joined)
    y = jnp.concatenate(joined, axis)
    return y, Residual(y.shape, y.dtype, sizes, axis, isinstance(arrays, list))


def backward(residual: Residual, dy: Float[Array, "..."]) -> tuple[Sequence[Float[Array, "..."]]]:
    """Return (darrays,), a list or tuple as `arrays` was."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    pieces = jax.lax.split(dy, residual.sizes, residual.axis)  # (1)
    return (list(pieces) if residual.listed else tuple(pieces),)
