"""A row of a table for each number.

Shapes   table: (v, n)   ids: (*batch,) integers   y, dy: (*batch, n)
Forward  yᵢ = table[idᵢ];   0 where idᵢ is `padding_id`                            i runs over batch
Derive   With the one-hot E, Eᵢᵣ = 1[idᵢ=r], y = E table, so dtable = Eᵀ dy:
           ∂L/∂tableᵣ = Σᵢ dyᵢ ∂yᵢ/∂tableᵣ = Σᵢ 1[idᵢ=r] dyᵢ
  (1) dtableᵣ = Σ dyᵢ over the places i at which r was looked up; 0 for r = `padding_id`
         added up row by row; E is never formed. A number that repeats sums.
Saved    ids.      Kinks   none.      Half precision accumulates in float32.
Numbers  An id outside 0 … v−1 is an error; under `jit`, where values cannot be read, its row of y
         is NaN and its dy is lost. Negative ids do not count from the end.
Padding  y is 0 at `padding_id`, whatever the table holds there, and so that row has no gradient.
         PyTorch's `Embedding` returns the row, which it starts at 0 and never moves.
Source   Bengio, Ducharme, Vincent & Jauvin 2003, "A neural probabilistic language model"
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import op, setting
from manual_bp.indexing import numbers

NAME = "embedding"


@op.residual
class Residual:
    """The numbers of the rows, and what the table was."""

    ids: Integer[Array, "*batch"]
    shape: tuple[int, int] = op.static()
    dtype: Any = op.static()
    padding_id: int | None = op.static()


def forward(
    table: Float[Array, "v n"],
    ids: Integer[Array, "*batch"],
    *,
    padding_id: int | None = None,
) -> tuple[Float[Array, "*batch n"], Residual]:
    """Return the rows of the table at `ids`, and the residual.

    Args:
      table: (v, n).
      ids: numbers of rows, (*batch,) integers.
      padding_id: the number that stands for no row, of which y is 0; None for none.

    Raises:
      TypeError: `table` is not floating, or `ids` are not integers.
      ValueError: `table` is no matrix, or an id or `padding_id` is outside 0 … v−1.
    """
    (table,) = op.floating(NAME, table=table)
    op.expect_rank(NAME, "table", table, 2, 2)
    v, n = table.shape
    ids = numbers.checked(NAME, "ids", ids, v)
    y = numbers.looked_up(table, (ids,))
    if padding_id is not None:
        padding_id = setting.expect_below(NAME, "padding_id", padding_id, v)
        y = jnp.where((ids == padding_id)[..., None], 0, y)
    return y, Residual(ids, (v, n), table.dtype, padding_id)


def backward(residual: Residual, dy: Float[Array, "*batch n"]) -> tuple[Float[Array, "v n"], None]:
    """Return (dtable, dids); dids is None."""
    ids, shape, padding_id = residual.ids, residual.shape, residual.padding_id
    dy = op.expect_cotangent(NAME, dy, (*ids.shape, shape[1]), residual.dtype)
    dtable = numbers.added(shape, (ids,), dy)  # (1)
    if padding_id is not None:
        dtable = dtable.at[padding_id].set(0)
    return dtable, None
