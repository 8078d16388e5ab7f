"""Reference losses: per sample as a textbook writes them, then `jnp.mean` or `jnp.sum`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jax.scipy.special import entr, logsumexp, xlog1py, xlogy
from jaxtyping import Array, Float, Integer

Outputs = Float[Array, "*batch n"]
Loss = Float[Array, "*reduced"]


def _reduce(losses: Float[Array, "*batch"], reduction: str) -> Loss:
    return {"mean": jnp.mean, "sum": jnp.sum, "none": lambda losses: losses}[reduction](losses)


def squared_error(prediction: Outputs, target: Outputs, *, reduction: str = "mean") -> Loss:
    """Return ½ eᵀe."""
    e = prediction - target
    return _reduce(0.5 * jnp.einsum("...n,...n->...", e, e), reduction)


def binary_cross_entropy(logits: Outputs, targets: Outputs, *, reduction: str = "mean") -> Loss:
    """Return −Σ [t ln σ(z) + (1−t) ln σ(−z)]."""
    terms = targets * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits)
    return _reduce(-jnp.sum(terms, -1), reduction)


def binary_cross_entropy_on_probabilities(
    probabilities: Outputs, targets: Outputs, *, reduction: str = "mean"
) -> Loss:
    """Return −Σ [t ln p + (1−t) ln(1−p)]."""
    terms = xlogy(targets, probabilities) + xlog1py(1 - targets, -probabilities)
    return _reduce(-jnp.sum(terms, -1), reduction)


def softmax_cross_entropy(
    logits: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch v"],
    *,
    reduction: str = "mean",
) -> Loss:
    """Return Σ t (logsumexp u − u); for an integer label, logsumexp u − u_label."""
    log_z = logsumexp(logits, axis=-1, keepdims=True)
    if jnp.issubdtype(labels.dtype, jnp.integer):
        picked = jnp.take_along_axis(logits, labels[..., None], axis=-1)
        return _reduce((log_z - picked)[..., 0], reduction)
    return _reduce(jnp.sum(labels * (log_z - logits), -1), reduction)


def softmax_cross_entropy_by_pairs(
    logits: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch v"],
    *,
    reduction: str = "mean",
) -> Loss:
    """Return Σⱼ tⱼ ln(1 + Σ_{k≠j} e^(uₖ − uⱼ)): every digit, however sure the logits; v > 1."""
    classes = logits.shape[-1]
    same = jnp.broadcast_to(jnp.eye(classes, dtype=bool), (*logits.shape, classes))
    differences = jnp.where(same, -jnp.inf, logits[..., None, :] - logits[..., None])
    losses = jnp.logaddexp(jnp.zeros_like(logits), logsumexp(differences, axis=-1))
    if jnp.issubdtype(labels.dtype, jnp.integer):
        picked = jnp.take_along_axis(losses, labels[..., None], axis=-1)
        return _reduce(picked[..., 0], reduction)
    return _reduce(jnp.sum(labels * losses, -1), reduction)


def softmax_squared_error(
    logits: Float[Array, "*batch v"], target: Float[Array, "*batch v"], *, reduction: str = "mean"
) -> Loss:
    """Return ½ ‖softmax(u) − t‖²."""
    return squared_error(jax.nn.softmax(logits, axis=-1), target, reduction=reduction)


def absolute_error(prediction: Outputs, target: Outputs, *, reduction: str = "mean") -> Loss:
    """Return Σ (max(prediction, target) − min(prediction, target))."""
    spread = jnp.maximum(prediction, target) - jnp.minimum(prediction, target)
    return _reduce(jnp.sum(spread, -1), reduction)


def huber(
    prediction: Outputs, target: Outputs, *, delta: float = 1.0, reduction: str = "mean"
) -> Loss:
    """Return ½ e² less what the parabola exceeds its tangents by beyond ±δ."""
    e = prediction - target
    beyond = jax.nn.relu(e - delta) ** 2 + jax.nn.relu(-e - delta) ** 2
    return _reduce(0.5 * jnp.sum(e**2 - beyond, -1), reduction)


def hinge(scores: Outputs, targets: Outputs, *, reduction: str = "mean") -> Loss:
    """Return Σ ½ (m + |m|) of the margins that are missing."""
    missing = 1 - targets * scores
    return _reduce(0.5 * jnp.sum(missing + jnp.abs(missing), -1), reduction)


def kl_divergence(log_q: Outputs, p: Outputs, *, reduction: str = "mean") -> Loss:
    """Return the cross-entropy less the entropy."""
    cross = -jnp.einsum("...n,...n->...", p, log_q)
    return _reduce(cross - jnp.sum(entr(p), -1), reduction)


table: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        f.__name__: f
        for f in (
            squared_error,
            binary_cross_entropy,
            binary_cross_entropy_on_probabilities,
            softmax_cross_entropy,
            softmax_squared_error,
            absolute_error,
            huber,
            hinge,
            kl_divergence,
        )
    }
)
