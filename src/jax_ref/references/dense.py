"""Reference dense ops, by einsum and log-sum-exp."""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float


def linear(
    x: Float[Array, "*batch n"], W: Float[Array, "n m"], b: Float[Array, " m"] | None = None
) -> Float[Array, "*batch m"]:
    """Return x W + b."""
    u = jnp.einsum("...n,nm->...m", x, W)
    return u if b is None else u + jnp.broadcast_to(b, u.shape)


def linear_column(
    x: Float[Array, " n *batch"], W: Float[Array, "m n"], b: Float[Array, " m"] | None = None
) -> Float[Array, " m *batch"]:
    """Return W x + b, as the transpose of the row form."""
    return jnp.moveaxis(linear(jnp.moveaxis(x, 0, -1), W.T, b), -1, 0)


def softmax(u: Float[Array, "*shape"], *, axis: int = -1) -> Float[Array, "*shape"]:
    """Return exp(u − logsumexp u)."""
    return jnp.exp(log_softmax(u, axis=axis))


def softmax_by_pairs(u: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Return 1/(1 + Σ_{k≠j} e^(uₖ − uⱼ)): its derivative keeps every digit where y is near 1."""
    same = jnp.broadcast_to(jnp.eye(u.shape[-1], dtype=bool), (*u.shape, u.shape[-1]))
    others = jnp.exp(jnp.where(same, -jnp.inf, u[..., None, :] - u[..., None]))
    return 1 / (1 + others.sum(-1))


def log_softmax(u: Float[Array, "*shape"], *, axis: int = -1) -> Float[Array, "*shape"]:
    """Return u − logsumexp u."""
    return u - logsumexp(u, axis=axis, keepdims=True)
