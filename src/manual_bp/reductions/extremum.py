"""Which entries are the largest along some axes, and what each gets of the cotangent.

Ties     "first": of equal entries the first in row-major order gets all.   "split": each of c equal
         entries gets a share of 1/c.   A NaN is larger than every number.
Saved    "first": the place of the entry along the axes, one int32 for each y, or one byte if there
         are few.   "split": whether an entry is the largest, one byte for each x.
"""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int8, Int32

from manual_bp import op, setting
from manual_bp.reductions import axes as axes_of
from manual_bp.reductions.axes import Axis

Ties = Literal["first", "split"]
CHOICES = ("first", "split")

# The largest number up to which float32 holds every whole one.
EXACT = 2**24
# As many entries along an axis, or fewer, are compared one after the other.
FEW = 4


@op.residual
class Residual:
    """The chosen entries: places along the axes, or a mask; and what x was."""

    chosen: Int[Array, "*reduced"] | Bool[Array, "*shape"]
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    axes: tuple[int, ...] = op.static()
    keepdims: bool = op.static()
    ties: Ties = op.static()


def overtakes(entry: Float[Array, "*shape"], y: Float[Array, "*shape"]) -> Bool[Array, "*shape"]:
    """Return where an entry is larger than y, the largest before it."""
    return ~((entry <= y) | jnp.isnan(y))


def first_place(chosen: Bool[Array, "*shape"], axes: Sequence[int]) -> Int32[Array, "*reduced"]:
    """Return the first place along the axes where an entry is chosen, as one of them is.

    As floating numbers, while these hold every place: on a CPU XLA has a library for the least of
    those, and none for integers (docs/FORMS.md).
    """
    size = axes_of.size(chosen.shape, axes)
    dtype = jnp.float32 if size <= EXACT else jnp.int32
    places = _places(chosen.shape, axes).astype(dtype)
    return jnp.where(chosen, places, jnp.asarray(size, dtype)).min(axes).astype(jnp.int32)


def _places(shape: Sequence[int], axes: Sequence[int]) -> Int32[Array, "*shape"]:
    """Return the place of each entry along the axes, counted in row-major order."""
    places = jnp.zeros(shape, jnp.int32)
    for axis in axes:
        places = places * shape[axis] + jax.lax.broadcasted_iota(jnp.int32, shape, axis)
    return places


def largest(
    name: str, x: Float[Array, "*shape"], axis: Axis, ties: Ties, *, keepdims: bool
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the maximum over the axes and the residual.

    Raises:
      ValueError: `x` has no such axis or nothing along it, one is named twice, or `ties` is
        unknown.
    """
    setting.expect_choice(name, "ties", ties, CHOICES)
    axes = axes_of.listed(name, x, axis)
    axes_of.expect_entries(name, x, axes, axis)
    reduced = axes_of.kept(x.shape, axes, keepdims=keepdims)
    if ties == "first" and pays_comparing(x.shape, axes):
        y, place = _first_largest(x, *axes)
        return y.reshape(reduced), Residual(place, x.shape, x.dtype, axes, keepdims, ties)
    y = x.max(axes, keepdims=True)
    chosen = (x == jnp.broadcast_to(y, x.shape)) | jnp.isnan(x)
    if ties == "first":
        chosen = first_place(chosen, axes)
    return y.reshape(reduced), Residual(chosen, x.shape, x.dtype, axes, keepdims, ties)


def pays_comparing(shape: Sequence[int], axes: Sequence[int]) -> bool:
    """Return whether the entries are few along one axis: compared, nothing of them is written."""
    return len(axes) == 1 and shape[axes[0]] <= FEW


def _first_largest(
    x: Float[Array, "*shape"], axis: int
) -> tuple[Float[Array, "*reduced"], Int8[Array, "*reduced"]]:
    """Return the maximum along the axis and its first place."""
    y, *others = jnp.unstack(op.wide(x), axis=axis)
    place = jnp.zeros(y.shape, jnp.int8)
    for number, entry in enumerate(others, 1):
        better = overtakes(entry, y)
        y, place = jnp.where(better, entry, y), jnp.where(better, jnp.int8(number), place)
    return y.astype(x.dtype), place


def pull_back(
    name: str, residual: Residual, dy: Float[Array, "*reduced"]
) -> Float[Array, "*shape"]:
    """Return dy at the chosen entries, 0 elsewhere."""
    shape, axes, chosen = residual.shape, residual.axes, residual.chosen
    reduced = axes_of.kept(shape, axes, keepdims=residual.keepdims)
    dy = op.expect_cotangent(name, dy, reduced, residual.dtype)
    if residual.ties == "first" and pays_comparing(shape, axes):
        owed, (axis,) = dy.reshape(chosen.shape), axes
        parts = [jnp.where(chosen == place, owed, 0) for place in range(shape[axis])]
        return jnp.stack(parts, axis)
    if residual.ties == "split":
        count = chosen.sum(axes).reshape(dy.shape).astype(op.wide_dtype(dy.dtype))
        dy = (op.wide(dy) / count).astype(dy.dtype)
    else:
        chosen = axes_of.spread(chosen, shape, axes) == _places(shape, axes)
    return jnp.where(chosen, axes_of.spread(dy, shape, axes), 0)
