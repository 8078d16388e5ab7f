"""Reference look-ups, cuts and joins: products with one-hot arrays, slices, stacks."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

Axis = int | tuple[int, ...] | None


def _one_hot(indices: Integer[Array, "*picked"], size: int, dtype: object) -> Array:
    """Return 1 where a number of the last axis is the index, 0 elsewhere; (*picked, size)."""
    return jax.nn.one_hot(indices, size, dtype=dtype)


def embedding(
    table: Float[Array, "v n"], ids: Integer[Array, "*batch"], *, padding_id: int | None = None
) -> Float[Array, "*batch n"]:
    """Return the product of one-hot rows with the table; that of `padding_id` is a row of zeros."""
    chosen = _one_hot(ids, table.shape[0], table.dtype)
    if padding_id is not None:
        chosen = chosen.at[..., padding_id].set(0)
    return jnp.tensordot(chosen, table, 1)


def take(
    x: Float[Array, "*shape"], indices: Integer[Array, "*picked"], *, axis: int = 0
) -> Float[Array, "*taken"]:
    """Return the product of one-hot rows with x along the axis."""
    axis %= x.ndim
    chosen = _one_hot(indices, x.shape[axis], x.dtype)
    y = jnp.tensordot(chosen, x, ((-1,), (axis,)))
    places = list(range(axis, axis + indices.ndim))
    return jnp.moveaxis(y, list(range(indices.ndim)), places)


def take_along_axis(
    x: Float[Array, "*shape"], indices: Integer[Array, "*taken"], *, axis: int = -1
) -> Float[Array, "*taken"]:
    """Return the product of one-hot rows with x, line by line."""
    chosen = _one_hot(jnp.moveaxis(indices, axis, -1), x.shape[axis], x.dtype)
    y = jnp.einsum("...kv,...v->...k", chosen, jnp.moveaxis(x, axis, -1))
    return jnp.moveaxis(y, -1, axis)


def scatter_add(
    x: Float[Array, "*shape"],
    indices: Integer[Array, "*picked"],
    updates: Float[Array, "*taken"],
    *,
    axis: int = 0,
) -> Float[Array, "*shape"]:
    """Return x plus the product of the updates with one-hot columns."""
    axis %= x.ndim
    chosen = _one_hot(indices, x.shape[axis], x.dtype)
    picked = list(range(indices.ndim))
    terms = jnp.tensordot(chosen, updates, (picked, [axis + i for i in picked]))
    return x + jnp.moveaxis(terms, 0, axis)


def pad(
    x: Float[Array, "*shape"], *, widths: tuple[tuple[int, int], ...], value: float = 0.0
) -> Float[Array, "*framed"]:
    """Return x written over an array of the value."""
    shape = [low + n + high for n, (low, high) in zip(x.shape, widths, strict=True)]
    frame = jnp.full(shape, value, x.dtype)
    return jax.lax.dynamic_update_slice(frame, x, [low for low, _ in widths])


def strided_slice(
    x: Float[Array, "*shape"],
    *,
    starts: tuple[int, ...],
    limits: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
) -> Float[Array, "*box"]:
    """Return x taken at the places of a range, axis by axis."""
    strides = strides or (1,) * x.ndim
    for axis, along in enumerate(zip(starts, limits, strides, strict=True)):
        x = jnp.take(x, jnp.arange(*along), axis)
    return x


def concatenate(arrays: Sequence[Float[Array, "..."]], *, axis: int = 0) -> Float[Array, "..."]:
    """Return the slices of all arrays, stacked."""
    slices = [piece for array in arrays for piece in jnp.moveaxis(array, axis, 0)]
    if not slices:
        return arrays[0]
    return jnp.stack(slices, axis)


def flatten(x: Float[Array, " b *rest"]) -> Float[Array, "b n"]:
    """Return the rows of x, each made flat by itself."""
    return jax.vmap(jnp.ravel)(x)


def flip(x: Float[Array, "*shape"], *, axis: Axis = None) -> Float[Array, "*shape"]:
    """Return x taken at the places of a range from the end, axis by axis."""
    for one in range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis:
        x = jnp.take(x, jnp.arange(x.shape[one] - 1, -1, -1), one)
    return x


def where(
    mask: Bool[Array, "*shape"], a: Float[Array, "*shape"], b: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return the entry of the pair (b, a) at the mask as a number."""
    return jnp.take_along_axis(jnp.stack([b, a]), mask[None].astype(jnp.int32), 0)[0]


def clip(
    x: Float[Array, "*shape"],
    *,
    low: float = -jnp.inf,
    high: float = jnp.inf,
    slope_at_bounds: float = 1.0,
) -> Float[Array, "*shape"]:
    """Return x between the bounds, a bound outside, s x plus a constant where x is a bound."""
    edge = slope_at_bounds * x + jax.lax.stop_gradient(x - slope_at_bounds * x)
    between = jnp.where((x == low) | (x == high), edge, x)
    y = jnp.where(x < low, jnp.asarray(low, x.dtype), between)
    return jnp.where(x > high, jnp.asarray(high, x.dtype), y)


def broadcast_to(x: Float[Array, "*shape"], *, shape: tuple[int, ...]) -> Float[Array, "*wanted"]:
    """Return x added to an array of zeros."""
    new = len(shape) - x.ndim
    return jnp.zeros(shape, x.dtype) + x.reshape((*(1,) * new, *x.shape))
