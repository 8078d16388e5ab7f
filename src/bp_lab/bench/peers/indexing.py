"""Look-ups, cuts and joins by `jax.numpy`."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from bp_lab.bench.peers.peer import Peer


def _at(axis: int, indices: jax.Array) -> tuple[slice | jax.Array, ...]:
    return (*(slice(None),) * axis, indices)


def take(x: jax.Array, indices: jax.Array, *, axis: int = 0) -> jax.Array:
    """Return the slices at the numbers, by index."""
    return x[_at(axis, indices)]


def scatter_add(
    x: jax.Array, indices: jax.Array, updates: jax.Array, *, axis: int = 0
) -> jax.Array:
    """Return x with the updates added at the numbers."""
    return x.at[_at(axis, indices)].add(updates)


def pad(x: jax.Array, *, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> jax.Array:
    """Return x in a frame."""
    return jnp.pad(x, widths, constant_values=value)


def strided_slice(
    x: jax.Array,
    *,
    starts: tuple[int, ...],
    limits: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
) -> jax.Array:
    """Return the box that Python's slices cut out."""
    return x[tuple(map(slice, starts, limits, strides or (None,) * x.ndim))]


def concatenate(arrays: Sequence[jax.Array], *, axis: int = 0) -> jax.Array:
    """Return the arrays joined."""
    return jnp.concatenate(arrays, axis)


def clip(x: jax.Array, *, low: float = -math.inf, high: float = math.inf) -> jax.Array:
    """Return x between the bounds."""
    return jnp.clip(x, low, high)


table = {
    "embedding": (
        Peer("indexing", lambda t, i: t[i]),
        Peer("jnp.take", lambda t, i: jnp.take(t, i, 0)),
    ),
    "take": (Peer("indexing", take), Peer("jnp.take", jnp.take)),
    "take_along_axis": (Peer("jnp", jnp.take_along_axis),),
    "scatter_add": (Peer("jnp.at", scatter_add),),
    "pad": (Peer("jnp", pad),),
    "strided_slice": (Peer("slices", strided_slice),),
    "concatenate": (Peer("jnp", concatenate),),
    "flip": (Peer("jnp", jnp.flip),),
    "where": (Peer("jnp", jnp.where),),
    "clip": (Peer("jnp", clip),),
    "broadcast_to": (Peer("jnp", jnp.broadcast_to),),
}
