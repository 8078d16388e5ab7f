"""Activations of more than one argument by `jax.nn` and `jax.numpy`."""

import jax
import jax.numpy as jnp

from bp_lab.bench.peers.peer import Peer


def prelu(u: jax.Array, alpha: jax.Array) -> jax.Array:
    """Return u where it is positive, α u elsewhere."""
    return jnp.where(u >= 0, u, alpha * u)


def maxout(x: jax.Array, *, pieces: int) -> jax.Array:
    """Return the largest of every few neighbours."""
    return x.reshape(*x.shape[:-1], -1, pieces).max(-1)


def swiglu(x: jax.Array) -> jax.Array:
    """Return the first half times the silu of the second."""
    a, b = jnp.split(x, 2, -1)
    return a * jax.nn.silu(b)


def geglu(x: jax.Array) -> jax.Array:
    """Return the first half times the gelu of the second."""
    a, b = jnp.split(x, 2, -1)
    return a * jax.nn.gelu(b, approximate=False)


table = {
    "prelu": (Peer("jnp.where", prelu),),
    "maxout": (Peer("jnp.max", maxout),),
    "glu": (Peer("jax.nn", jax.nn.glu),),
    "swiglu": (Peer("jax.nn", swiglu),),
    "geglu": (Peer("jax.nn", geglu),),
}
