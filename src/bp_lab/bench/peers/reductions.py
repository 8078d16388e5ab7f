"""Reductions and scans by `jax.numpy`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bp_lab.bench.peers.peer import Peer


def _without_ties(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Return an extremum, which knows no rule for ties: JAX splits them."""

    def extremum(x: jax.Array, *, ties: str, **settings: Any) -> jax.Array:
        del ties
        return function(x, **settings)

    return extremum


table = {
    "reduce_sum": (Peer("jnp", jnp.sum),),
    "reduce_mean": (Peer("jnp", jnp.mean),),
    "reduce_max": (Peer("jnp", _without_ties(jnp.max)),),
    "reduce_min": (Peer("jnp", _without_ties(jnp.min)),),
    "reduce_prod": (Peer("jnp", jnp.prod),),
    "cumsum": (Peer("jnp", jnp.cumsum),),
    "cumprod": (Peer("jnp", jnp.cumprod),),
    "logsumexp": (Peer("jax.nn", jax.nn.logsumexp),),
}
