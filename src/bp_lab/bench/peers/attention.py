"""Attention by `jax.nn`, and written out."""

from typing import Any

import jax
import jax.numpy as jnp

from bp_lab.bench.peers.peer import Peer


def by_jax_nn(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    *,
    causal: bool = False,
) -> jax.Array:
    """Return the attention of every head."""
    return jax.nn.dot_product_attention(q, k, v, bias, mask, is_causal=causal)


def written_out(
    q: jax.Array, k: jax.Array, v: jax.Array, _bias: None, _mask: None, *, causal: bool = False
) -> jax.Array:
    """Return the softmax of queries times keys, times the values."""
    scores = jnp.einsum("btnh,bsnh->bnts", q, k) / q.shape[-1] ** 0.5
    if causal:
        seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        scores = jnp.where(seen, scores, jnp.finfo(scores.dtype).min)
    return jnp.einsum("bnts,bsnh->btnh", jax.nn.softmax(scores, -1), v)


def _as_wide(*args: Any, **options: Any) -> bool:
    """Return whether values are as wide as keys, and nothing is set but that it is causal."""
    _, k, v, *_ = args
    # It takes the softmax in float32, whatever it is given.
    known = v.shape[-1] == k.shape[-1] and k.dtype != jnp.float64
    return known and options.keys() <= {"causal"}


def _plain(*args: Any, **options: Any) -> bool:
    """Return whether each head has keys of its own, and nothing is set but that it is causal."""
    q, k, _, bias, mask = args
    own = q.shape[2] == k.shape[2]
    return own and (bias, mask) == (None, None) and options.keys() <= {"causal"}


table = {
    "dot_product_attention": (
        Peer("jax.nn", by_jax_nn, fits=_as_wide),
        Peer("jnp.einsum", written_out, fits=_plain),
    ),
}
