"""Losses by Optax, and by `jax.numpy` where it has none."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import optax

from bp_lab.bench.peers.peer import Peer

REDUCE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "mean": jnp.mean,
    "sum": jnp.sum,
    "none": lambda losses: losses,
}


def _reduced(loss: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Return a loss for each sample, reduced over the batch."""

    @wraps(loss)
    def over_batch(*args: Any, reduction: str = "mean", **settings: Any) -> jax.Array:
        return REDUCE[reduction](loss(*args, **settings))

    return over_batch


def _summed(loss: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Return a loss for each entry, summed over the last axis and reduced over the batch."""

    @wraps(loss)
    def of_sample(*args: Any, **settings: Any) -> jax.Array:
        return loss(*args, **settings).sum(-1)

    return _reduced(of_sample)


@_summed
def binary_cross_entropy_on_probabilities(p: jax.Array, t: jax.Array) -> jax.Array:
    """Return −t ln p − (1−t) ln(1−p)."""
    return -t * jnp.log(p) - (1 - t) * jnp.log1p(-p)


@_summed
def focal(logits: jax.Array, targets: jax.Array, *, gamma: float = 2.0) -> jax.Array:
    """Return the cross-entropy of both classes, each by how unsure it is; Optax's bends in t."""
    log_p, log_q = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    p = jax.nn.sigmoid(logits)
    return -targets * (1 - p) ** gamma * log_p - (1 - targets) * p**gamma * log_q


@_reduced
def negative_log_likelihood(log_p: jax.Array, labels: jax.Array) -> jax.Array:
    """Return −ln p at the label."""
    return -jnp.take_along_axis(log_p, labels[..., None], -1)[..., 0]


@_reduced
def multiclass_hinge(scores: jax.Array, labels: jax.Array, *, margin: float = 1.0) -> jax.Array:
    """Return the missing margins to all classes but the label."""
    of_label = jnp.take_along_axis(scores, labels[..., None], -1)
    missing = jax.nn.relu(scores - of_label + margin)
    return jnp.where(jax.nn.one_hot(labels, scores.shape[-1], dtype=bool), 0, missing).sum(-1)


@_reduced
def _all_hinges(scores: jax.Array, labels: jax.Array, *, margin: float = 1.0) -> jax.Array:
    """Return the same, as what is missing to all classes less the label's own margin."""
    of_label = jnp.take_along_axis(scores, labels[..., None], -1)
    return jax.nn.relu(scores - of_label + margin).sum(-1) - margin


@_reduced
def triplet(a: jax.Array, p: jax.Array, n: jax.Array, *, margin: float = 1.0) -> jax.Array:
    """Return the missing margin between two distances."""
    near, far = jnp.linalg.norm(a - p, axis=-1), jnp.linalg.norm(a - n, axis=-1)
    return jax.nn.relu(near - far + margin)


@_reduced
def contrastive(
    first: jax.Array, second: jax.Array, alike: jax.Array, *, margin: float = 1.0
) -> jax.Array:
    """Return ½ d² of pairs that are alike, ½ of the squared gap to the margin of the others."""
    d = jnp.linalg.norm(first - second, axis=-1)
    return 0.5 * (alike * d**2 + (1 - alike) * jax.nn.relu(margin - d) ** 2)


@_reduced
def ctc(
    logits: jax.Array,
    labels: jax.Array,
    logit_lengths: jax.Array,
    label_lengths: jax.Array,
    *,
    blank: int = 0,
) -> jax.Array:
    """Return Optax's loss, with ones where a sequence has ended."""
    *_, t, _ = logits.shape
    after = (jnp.arange(t) >= logit_lengths[:, None]).astype(logits.dtype)
    behind = (jnp.arange(labels.shape[-1]) >= label_lengths[:, None]).astype(logits.dtype)
    return optax.ctc_loss(logits, after, labels, behind, blank_id=blank)


def _is_a_batch(logits: jax.Array, *_: Any, **_settings: Any) -> bool:
    return logits.ndim == 3


def _with_labels(_logits: jax.Array, labels: jax.Array, **_settings: Any) -> bool:
    return jnp.issubdtype(labels.dtype, jnp.integer)


def _with_probabilities(*args: jax.Array, **settings: Any) -> bool:
    return not _with_labels(*args, **settings)


@_reduced
def linear_cross_entropy(
    x: jax.Array, W: jax.Array, b: jax.Array | None, labels: jax.Array
) -> jax.Array:
    """Return Optax's cross-entropy of the logits x W + b."""
    u = x @ W if b is None else x @ W + b
    return optax.softmax_cross_entropy_with_integer_labels(u, labels)


table = {
    "squared_error": (Peer("optax", _summed(optax.l2_loss)),),
    "binary_cross_entropy": (Peer("optax", _summed(optax.sigmoid_binary_cross_entropy)),),
    "binary_cross_entropy_on_probabilities": (Peer("jnp", binary_cross_entropy_on_probabilities),),
    "softmax_cross_entropy": (
        Peer(
            "optax",
            _reduced(optax.softmax_cross_entropy_with_integer_labels),
            fits=_with_labels,
        ),
        Peer("optax", _reduced(optax.softmax_cross_entropy), fits=_with_probabilities),
    ),
    "linear_cross_entropy": (Peer("optax", linear_cross_entropy),),
    "softmax_squared_error": (
        Peer("optax", _summed(lambda u, t: optax.l2_loss(jax.nn.softmax(u), t))),
    ),
    "absolute_error": (Peer("jnp", _summed(lambda y, t: jnp.abs(y - t))),),
    "huber": (Peer("optax", _summed(optax.huber_loss)),),
    "hinge": (Peer("optax", _summed(optax.hinge_loss)),),
    "kl_divergence": (Peer("optax", _reduced(optax.kl_divergence)),),
    "negative_log_likelihood": (Peer("jnp", negative_log_likelihood),),
    "multiclass_hinge": (Peer("jnp.where", multiclass_hinge), Peer("jnp", _all_hinges)),
    "cosine": (Peer("optax", _reduced(optax.cosine_distance)),),
    "focal": (Peer("jax.nn", focal),),
    "triplet": (Peer("jnp.linalg", triplet),),
    "contrastive": (Peer("jnp.linalg", contrastive),),
    "ctc": (Peer("optax", ctc, fits=_is_a_batch),),
}
