"""Reference dense ops, by einsum, explicit sums and log-sum-exp."""

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


def bilinear(
    x: Float[Array, "*batch n"],
    z: Float[Array, "*batch k"],
    W: Float[Array, "m n k"],
    b: Float[Array, " m"] | None = None,
) -> Float[Array, "*batch m"]:
    """Return one linear map of the outer product of x and z, laid flat."""
    outer = (x[..., :, None] * z[..., None, :]).reshape(*x.shape[:-1], x.shape[-1] * z.shape[-1])
    return linear(outer, W.reshape(W.shape[0], W.shape[1] * W.shape[2]).T, b)


def matmul(a: Float[Array, "*A n k"], b: Float[Array, "*B k m"]) -> Float[Array, "*batch n m"]:
    """Return Σₗ aᵢₗ bₗⱼ, both factors repeated over the batch first."""
    batch = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left = jnp.broadcast_to(a, (*batch, *a.shape[-2:]))[..., :, :, None]
    right = jnp.broadcast_to(b, (*batch, *b.shape[-2:]))[..., None, :, :]
    return jnp.sum(left * right, -2)


def softmax(
    u: Float[Array, "*shape"], *, axis: int = -1, temperature: float = 1.0
) -> Float[Array, "*shape"]:
    """Return exp(u/τ − logsumexp u/τ)."""
    return jnp.exp(log_softmax(u, axis=axis, temperature=temperature))


def softmax_by_pairs(u: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Return 1/(1 + Σ_{k≠j} e^(uₖ − uⱼ)): its derivative keeps every digit where y is near 1."""
    same = jnp.broadcast_to(jnp.eye(u.shape[-1], dtype=bool), (*u.shape, u.shape[-1]))
    others = jnp.exp(jnp.where(same, -jnp.inf, u[..., None, :] - u[..., None]))
    return 1 / (1 + others.sum(-1))


def log_softmax(
    u: Float[Array, "*shape"], *, axis: int = -1, temperature: float = 1.0
) -> Float[Array, "*shape"]:
    """Return u/τ − logsumexp u/τ."""
    v = u / temperature
    return v - logsumexp(v, axis=axis, keepdims=True)


def sparsemax(u: Float[Array, "*shape"], *, axis: int = -1) -> Float[Array, "*shape"]:
    """Return u − τ on the support: where what is above an entry exceeds it by less than 1 in all.

    With the threshold at uⱼ, Σᵢ max(uᵢ − uⱼ, 0) would be the sum of the output; where that is below
    1, the threshold is lower.
    """
    z = jnp.moveaxis(u, axis, -1)
    above = jnp.maximum(z[..., :, None] - z[..., None, :], 0).sum(-2)
    support = (above < 1).astype(u.dtype)
    count = support.sum(-1, keepdims=True)
    threshold = ((support * z).sum(-1, keepdims=True) - 1) / count
    return jnp.moveaxis(support * (z - threshold), -1, axis)
