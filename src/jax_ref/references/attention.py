"""Reference attention: every query with every key at once, and heads repeated."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Bounds = tuple[int | None, int | None]


def dot_product_attention(
    q: Float[Array, "b t n h"],
    k: Float[Array, "b s g h"],
    v: Float[Array, "b s g w"],
    bias: Float[Array, "_b _n _t _s"] | None = None,
    mask: Bool[Array, "_b _n _t _s"] | None = None,
    *,
    scale: float | None = None,
    causal: bool = False,
    window: Bounds = (None, None),
    tile: tuple[int, int, int] | None = None,
) -> Float[Array, "b t n w"]:
    """Return the values weighted by the softmax of what is visible; 0 where nothing is."""
    del tile
    t, n, h = q.shape[1:]
    s = k.shape[1]
    keys, values = (jnp.repeat(x, n // x.shape[2], axis=2) for x in (k, v))
    scores = jnp.sum(q[:, :, None] * keys[:, None], -1)  # (b, t, s, n)
    scores = jnp.moveaxis(scores, -1, 1) * (max(h, 1) ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + jnp.broadcast_to(bias, scores.shape)
    ahead = jnp.arange(s)[None] - jnp.arange(t)[:, None]
    left, right = window
    visible = (ahead >= -(t if left is None else left)) & (ahead <= (s if right is None else right))
    if causal:
        visible = jnp.tril(visible)
    visible = jnp.broadcast_to(visible, scores.shape)
    if mask is not None:
        visible = visible & jnp.broadcast_to(mask, scores.shape)
    some = visible.any(-1, keepdims=True)
    # Where nothing is visible all is, of no weight: a softmax of nothing has no derivative.
    weights = jax.nn.softmax(jnp.where(visible | ~some, scores, -jnp.inf), axis=-1)
    return jnp.einsum("bnts,bsnw->btnw", jnp.where(some, weights, 0), values)
