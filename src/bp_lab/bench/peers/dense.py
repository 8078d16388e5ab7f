"""Products and softmax by `jax.numpy` and `jax.nn`."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from bp_lab.bench.peers.peer import Peer


def linear(x: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """Return x W + b."""
    return x @ W + b


def linear_column(x: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """Return W x + b, the samples in columns."""
    return jnp.tensordot(W, x, 1) + b.reshape(-1, *(1,) * (x.ndim - 1))


def bilinear(x: jax.Array, z: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """Return xᵀ W z + b."""
    return jnp.einsum("...n,mnk,...k->...m", x, W, z) + b


def softmax(u: jax.Array, *, axis: int = -1, temperature: float = 1.0) -> jax.Array:
    """Return the softmax of u/τ."""
    return jax.nn.softmax(u if temperature == 1 else u / temperature, axis)


def log_softmax(u: jax.Array, *, axis: int = -1, temperature: float = 1.0) -> jax.Array:
    """Return the log-softmax of u/τ."""
    return jax.nn.log_softmax(u if temperature == 1 else u / temperature, axis)


def sparsemax(u: jax.Array) -> jax.Array:
    """Return the projection of u on the simplex, by sorting, as its paper has it."""
    ordered = jnp.flip(jnp.sort(u, -1), -1)
    sums = jnp.cumsum(ordered, -1)
    ranks = jnp.arange(1, u.shape[-1] + 1)
    size = jnp.sum(1 + ranks * ordered > sums, -1, keepdims=True)
    threshold = (jnp.take_along_axis(sums, size - 1, -1) - 1) / size.astype(u.dtype)
    return jnp.maximum(u - threshold, 0)


def _projected(u: jax.Array) -> Any:
    """Return Optax's projection of every row, which it differentiates in float32 alone."""
    rows = u.reshape(-1, u.shape[-1])
    return jax.vmap(optax.projections.projection_simplex)(rows).reshape(u.shape)


table = {
    "linear": (Peer("jnp", linear),),
    "linear_column": (Peer("jnp", linear_column),),
    "bilinear": (Peer("jnp.einsum", bilinear),),
    "matmul": (Peer("jnp", jnp.matmul),),
    "softmax": (Peer("jax.nn", softmax),),
    "log_softmax": (Peer("jax.nn", log_softmax),),
    "sparsemax": (
        Peer("jnp.sort", sparsemax),
        Peer("optax", _projected, fits=lambda u: u.dtype == jnp.float32),
    ),
}
