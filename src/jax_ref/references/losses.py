"""Reference losses: per sample as a textbook writes them, then `jnp.mean` or `jnp.sum`."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

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
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    ignored_label: int | None = None,
    reduction: str = "mean",
) -> Loss:
    """Return Σ t (logsumexp u − u) of labels and of an even t, both weighted."""
    classes = logits.shape[-1]
    w = [1.0] * classes if class_weights is None else class_weights
    weights = jnp.broadcast_to(jnp.asarray(w, logits.dtype), logits.shape)
    costs = (logsumexp(logits, axis=-1, keepdims=True) - logits) * weights
    if jnp.issubdtype(labels.dtype, jnp.integer):
        at = jnp.clip(labels.astype(jnp.int32), 0, classes - 1)
        of_label = jnp.take_along_axis(costs, at[..., None], axis=-1)[..., 0]
    else:
        of_label = jnp.sum(labels * costs, -1)
    spread = jnp.sum(costs, -1) / max(classes, 1)
    losses = (1 - label_smoothing) * of_label + label_smoothing * spread
    if ignored_label is None:
        return _reduce(losses, reduction)
    kept = (labels != ignored_label).astype(losses.dtype)
    if reduction == "mean":
        return jnp.vdot(kept, losses) / jnp.maximum(jnp.sum(kept), 1)
    return _reduce(losses * kept, reduction)


def linear_cross_entropy(
    x: Float[Array, "*batch n"],
    W: Float[Array, "n v"],
    b: Float[Array, " v"] | None,
    labels: Integer[Array, "*batch"],
    *,
    block: int | None = None,
    **settings: Any,
) -> Loss:
    """Return the cross-entropy of the logits x W + b."""
    del block
    u = jnp.sum(x[..., None] * W.reshape(*(1,) * (x.ndim - 1), *W.shape), -2)
    return softmax_cross_entropy(
        u if b is None else u + jnp.broadcast_to(b, u.shape), labels, **settings
    )


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


def negative_log_likelihood(
    log_p: Float[Array, "*batch v"], labels: Integer[Array, "*batch"], *, reduction: str = "mean"
) -> Loss:
    """Return −log_p taken along the last axis."""
    picked = jnp.take_along_axis(log_p, labels[..., None].astype(jnp.int32), axis=-1)
    return _reduce(-picked[..., 0], reduction)


def multiclass_hinge(
    scores: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"],
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Loss:
    """Return Σ over all classes, less the margin that the label is short of itself."""
    picked = jnp.take_along_axis(scores, labels[..., None].astype(jnp.int32), axis=-1)
    return _reduce(jax.nn.relu(scores - picked + margin).sum(-1) - margin, reduction)


def cosine(
    prediction: Outputs, target: Outputs, *, epsilon: float = 1e-12, reduction: str = "mean"
) -> Loss:
    """Return 1 − aᵀb/√((aᵀa + ε) (bᵀb + ε))."""
    squares = [jnp.einsum("...n,...n->...", x, x) + epsilon for x in (prediction, target)]
    product = jnp.einsum("...n,...n->...", prediction, target)
    return _reduce(1 - product / jnp.sqrt(squares[0] * squares[1]), reduction)


def focal(
    logits: Outputs,
    targets: Outputs,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    reduction: str = "mean",
) -> Loss:
    """Return −Σ α e^(γ ln(1−p)) ln p of both classes."""
    of_one, of_zero = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    log_p, log_q = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    one = of_one * targets * jnp.exp(gamma * log_q) * log_p
    zero = of_zero * (1 - targets) * jnp.exp(gamma * log_p) * log_q
    return _reduce(-jnp.sum(one + zero, -1), reduction)


def triplet(
    anchor: Outputs,
    positive: Outputs,
    negative: Outputs,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Loss:
    """Return the missing margin of two `jnp.linalg.norm`s."""
    missing = _norm(positive - anchor) - _norm(negative - anchor) + margin
    return _reduce(jax.nn.relu(missing), reduction)


def contrastive(
    first: Outputs,
    second: Outputs,
    alike: Float[Array, "*batch"],
    *,
    margin: float = 1.0,
    reduction: str = "mean",
) -> Loss:
    """Return ½ of the mean, weighted by `alike`, of d² and the squared gap to the margin."""
    d = _norm(first - second)
    apart = jax.nn.relu(margin - d)
    return _reduce(0.5 * (apart**2 + alike * (d**2 - apart**2)), reduction)


def ctc(
    logits: Float[Array, "*batch t v"],
    labels: Integer[Array, "*batch s"],
    logit_lengths: Integer[Array, "*batch"] | None = None,
    label_lengths: Integer[Array, "*batch"] | None = None,
    *,
    blank: int = 0,
    reduction: str = "mean",
) -> Loss:
    """Return −ln of a product of transition matrices, one a step, of probabilities; t is short."""
    batch = logits.shape[:-2]
    time, most = logits.shape[-2], labels.shape[-1]
    T = jnp.full(batch, time) if logit_lengths is None else logit_lengths
    L = jnp.full(batch, most) if label_lengths is None else label_lengths

    def of_one(y: Array, labels: Array, T: Array, L: Array) -> Array:
        z = jnp.stack([jnp.full(most, blank, labels.dtype), labels], axis=1).reshape(-1)
        z = jnp.append(z, jnp.asarray(blank, labels.dtype))
        near = jnp.triu(jnp.tril(jnp.ones((len(z), len(z)), bool), 1))
        by_two = jnp.eye(len(z), k=2, dtype=bool) & (z[:, None] != z[None]) & (z != blank)[None]
        moves = (near | by_two).astype(y.dtype)
        row = jnp.eye(len(z), dtype=y.dtype)[0]
        for step in range(time):
            row = jnp.where(step < T, row @ moves * y[step, z], row)
        last = jnp.arange(len(z), dtype=L.dtype) - 2 * L
        return -jnp.log(jnp.sum(row, where=(last == 0) | (last == -1)))

    for _ in batch:
        of_one = jax.vmap(of_one)
    return _reduce(of_one(jax.nn.softmax(logits), labels, T, L), reduction)


def _norm(x: Outputs) -> Float[Array, "*batch"]:
    return jnp.linalg.norm(x, axis=-1)


table: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        f.__name__: f
        for f in (
            squared_error,
            binary_cross_entropy,
            binary_cross_entropy_on_probabilities,
            softmax_cross_entropy,
            linear_cross_entropy,
            softmax_squared_error,
            absolute_error,
            huber,
            hinge,
            kl_divergence,
            negative_log_likelihood,
            multiclass_hinge,
            cosine,
            focal,
            triplet,
            contrastive,
            ctc,
        )
    }
)
