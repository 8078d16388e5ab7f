"""Regularisers by `jax.random` and `jax.numpy`."""

from typing import Any

import jax
import jax.numpy as jnp

from bp_lab.bench.peers.peer import Peer


def dropout(x: jax.Array, key: jax.Array, *, rate: float) -> jax.Array:
    """Return what Flax's Dropout does, the mask drawn in float32."""
    kept = jax.random.bernoulli(key, jnp.float32(1 - rate), x.shape)
    return jnp.where(kept, x / (1 - rate), 0)


def weight_decay(weights: Any, *, decay: float) -> jax.Array:
    """Return ½ λ Σ W²."""
    return 0.5 * decay * jnp.asarray(sum(jnp.sum(W**2) for W in jax.tree.leaves(weights)))


table = {
    "dropout": (Peer("jax.random", dropout),),
    "weight_decay": (Peer("jnp", weight_decay),),
}
