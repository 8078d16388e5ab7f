"""The axes of a reduction: which they are, all of them as one last axis, and back."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from manual_bp import op, setting

Axis = int | tuple[int, ...] | None


def listed(name: str, x: jax.Array, axis: Axis) -> tuple[int, ...]:
    """Return the axes that `axis` names, from 0 and in order; None names all.

    Raises:
      ValueError: `x` has no such axis, or one is named twice.
    """
    several = range(x.ndim) if axis is None else setting.entries(axis)
    given = [setting.expect_axis(name, x, one) for one in ((axis,) if several is None else several)]
    axes = tuple(sorted({one % x.ndim for one in given}))
    if len(axes) < len(given):
        raise ValueError(op.complaint(name, "axis", "axes that differ", axis))
    return axes


def expect_entries(name: str, x: jax.Array, axes: Sequence[int], axis: Axis) -> None:
    """Raise a ValueError where there is nothing along the axes."""
    if any(x.shape[i] == 0 for i in axes):
        expected = f"at least one entry along axis={axis}"
        raise ValueError(op.complaint(name, "x", expected, f"shape {x.shape}"))


def size(shape: Sequence[int], axes: Sequence[int]) -> int:
    """Return the number of entries along the axes."""
    return math.prod(shape[i] for i in axes)


def kept(shape: Sequence[int], axes: Sequence[int], *, keepdims: bool) -> tuple[int, ...]:
    """Return the shape of a reduction."""
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def spread(
    y: Shaped[Array, "*reduced"], shape: Sequence[int], axes: Sequence[int]
) -> Shaped[Array, "*shape"]:
    """Return a reduction, its axes kept or not, repeated along them."""
    return jnp.broadcast_to(y.reshape(kept(shape, axes, keepdims=True)), shape)


def as_last(x: Shaped[Array, "*shape"], axes: Sequence[int]) -> Shaped[Array, "rest k"]:
    """Return x with the axes at the end and made one, and so all others."""
    rest = [i for i in range(x.ndim) if i not in axes]
    return x.transpose([*rest, *axes]).reshape(size(x.shape, rest), size(x.shape, axes))


def from_last(
    rows: Shaped[Array, "rest k"], shape: Sequence[int], axes: Sequence[int]
) -> Shaped[Array, "*shape"]:
    """Return x from what `as_last` returned of it."""
    order = [*(i for i in range(len(shape)) if i not in axes), *axes]
    return rows.reshape([shape[i] for i in order]).transpose(tuple(np.argsort(order)))
