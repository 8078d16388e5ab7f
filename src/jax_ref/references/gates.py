"""Reference activations of more than one argument."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jax_ref.references import activations

Joined = Float[Array, "*batch m"]
Half = Float[Array, "*batch n"]


def prelu(u: Float[Array, "*shape"], alpha: Float[Array, "*channels"]) -> Float[Array, "*shape"]:
    """Return max(u, 0) − α max(−u, 0)."""
    slopes = jnp.broadcast_to(alpha, u.shape)
    return jnp.where(u < 0, 0, u) - slopes * jnp.where(u < 0, -u, 0)


def maxout(x: Joined, *, pieces: int, ties: str = "first") -> Half:
    """Return the entry at argmax; for "split", jnp.max, of which JAX shares the slope."""
    rows = jnp.stack([x[..., p::pieces] for p in range(pieces)])
    if ties == "split":
        return jnp.max(rows, 0)
    return jnp.take_along_axis(rows, jnp.argmax(rows, 0)[None], 0)[0]


def _halves(x: Joined) -> Float[Array, "2 *batch n"]:
    return jnp.moveaxis(x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2), -2, 0)


def glu(x: Joined) -> Half:
    """Return a times the reference sigmoid of b."""
    a, b = _halves(x)
    return a * activations.sigmoid(b)


def swiglu(x: Joined) -> Half:
    """Return the product of a, b and the reference sigmoid of b."""
    return jnp.prod(_halves(x), 0) * activations.sigmoid(_halves(x)[1])


def geglu(x: Joined) -> Half:
    """Return a times the reference gelu of b."""
    a, b = _halves(x)
    return a * activations.gelu(b)
