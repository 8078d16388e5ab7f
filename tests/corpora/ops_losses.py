"""Losses with their backward passes, right."""

import jax
import jax.numpy as jnp
import numpy as np
from entry import Op, normal, normals, saving
from ops_elementwise import logistic, logistic_slope


def one_hot(labels, like):
    """Return the labels as rows of 0 and 1, of the shape and dtype of `like`."""
    return (labels[:, None] == jnp.arange(like.shape[1])[None]).astype(like.dtype)


def _cross_entropy(logits, labels):
    y = jax.nn.log_softmax(logits)
    return -(one_hot(labels, y) * y).sum(1).mean()


def _labels(rng, batch, classes):
    return rng.integers(0, classes, batch)


def _classified(rng):
    return normal(rng, 5, 4), _labels(rng, 5, 4)


def _cross_entropy_backward(residual, dloss):
    logits, labels = residual
    return dloss * (jax.nn.softmax(logits) - one_hot(labels, logits)) / labels.size, None


cross_entropy = Op(_cross_entropy, saving(_cross_entropy), _cross_entropy_backward, _classified)


def _each_cross_entropy(logits, labels):
    y = jax.nn.log_softmax(logits)
    return -(one_hot(labels, y) * y).sum(1)


each_cross_entropy = Op(
    _each_cross_entropy,
    saving(_each_cross_entropy),
    lambda r, dy: (dy[:, None] * (jax.nn.softmax(r[0]) - one_hot(r[1], r[0])), None),
    _classified,
)

SMOOTHING = 0.2


def smoothed(labels, like):
    """Return the labels as rows that hold 0.8 at the label beside 0.2 spread over all classes."""
    return (1 - SMOOTHING) * one_hot(labels, like) + SMOOTHING / like.shape[1]


def _smoothed_cross_entropy(logits, labels):
    y = jax.nn.log_softmax(logits)
    return -(smoothed(labels, y) * y).sum(1).mean()


smoothed_cross_entropy = Op(
    _smoothed_cross_entropy,
    saving(_smoothed_cross_entropy),
    lambda r, dloss: (dloss * (jax.nn.softmax(r[0]) - smoothed(r[1], r[0])) / r[1].size, None),
    _classified,
)


def _padded_cross_entropy(logits, labels):
    kept = (labels >= 0).astype(logits.dtype)
    return (kept * _each_cross_entropy(logits, labels)).sum() / kept.sum()


def _padded_backward(residual, dloss):
    logits, labels = residual
    kept = (labels >= 0).astype(logits.dtype)
    d = jax.nn.softmax(logits) - one_hot(labels, logits)
    return dloss * kept[:, None] * d / kept.sum(), None


padded_cross_entropy = Op(
    _padded_cross_entropy,
    saving(_padded_cross_entropy),
    _padded_backward,
    lambda rng: (normal(rng, 5, 4), np.array([2, -1, 0, 3, -1])),
)


def _weighted_cross_entropy(logits, labels, weights):
    return (_each_cross_entropy(logits, labels) * weights[labels]).mean()


def _weighted_backward(residual, dloss):
    logits, labels, weights = residual
    d = jax.nn.softmax(logits) - one_hot(labels, logits)
    losses = _each_cross_entropy(logits, labels)
    dlogits = dloss * weights[labels][:, None] * d / labels.size
    return dlogits, None, dloss * (losses @ one_hot(labels, logits)) / labels.size


weighted_cross_entropy = Op(
    _weighted_cross_entropy,
    saving(_weighted_cross_entropy),
    _weighted_backward,
    lambda rng: (*_classified(rng), np.array([0.5, 2.0, 1.25, 0.75])),
)


def _z_cross_entropy(logits, labels):
    z = jax.scipy.special.logsumexp(logits, axis=1)
    return (_each_cross_entropy(logits, labels) + 0.1 * z**2).mean()


def _z_backward(residual, dloss):
    logits, labels = residual
    z = jax.scipy.special.logsumexp(logits, axis=1)[:, None]
    p = jax.nn.softmax(logits)
    return dloss * (p - one_hot(labels, p) + 0.2 * z * p) / labels.size, None


z_cross_entropy = Op(_z_cross_entropy, saving(_z_cross_entropy), _z_backward, _classified)


def _binary(logits, targets):
    return (jnp.logaddexp(logits, 0.0) - logits * targets).mean()


def _fractions(rng):
    return normal(rng, 6, 3), rng.integers(0, 9, (6, 3)) / 8


binary = Op(
    _binary,
    saving(_binary),
    lambda r, dloss: (dloss * (logistic(r[0]) - r[1]) / r[0].size, -dloss * r[0] / r[0].size),
    _fractions,
)


def _squared_sigmoid(u, target):
    return ((logistic(u) - target) ** 2).sum() / 2


def _squared_sigmoid_backward(residual, dloss):
    u, target = residual
    error = logistic(u) - target
    return dloss * error * logistic_slope(u), -dloss * error


squared_sigmoid = Op(
    _squared_sigmoid, saving(_squared_sigmoid), _squared_sigmoid_backward, _fractions
)


def _squared(y, target):
    return ((y - target) ** 2).sum(1).mean() / 2


squared = Op(
    _squared,
    saving(_squared),
    lambda r, dloss: (dloss * (r[0] - r[1]) / 7, -dloss * (r[0] - r[1]) / 7),
    normals((7, 3), (7, 3)),
)


def _huber(y, target):
    r = jnp.abs(y - target)
    return jnp.where(r < 1, r**2 / 2, r - 0.5)


def _huber_backward(residual, dy):
    slope = jnp.clip(residual[0] - residual[1], -1, 1)
    return dy * slope, -dy * slope


huber = Op(_huber, saving(_huber), _huber_backward, normals((4, 5), (4, 5)))


def _divergence(p, log_q):
    return (p * (jnp.log(p) - log_q)).sum(1)


def _distributions(rng):
    return rng.integers(1, 9, (3, 4)) / 16, normal(rng, 3, 4)


divergence = Op(
    _divergence,
    saving(_divergence),
    lambda r, dy: (dy[:, None] * (jnp.log(r[0]) - r[1] + 1), -dy[:, None] * r[0]),
    _distributions,
)


def _hinge(scores, signs):
    return jnp.maximum(0, 1 - signs * scores).sum()


hinge = Op(
    _hinge,
    saving(_hinge),
    lambda r, dloss: (
        -dloss * r[1] * (r[1] * r[0] < 1).astype(r[0].dtype),
        -dloss * r[0] * (r[1] * r[0] < 1).astype(r[0].dtype),
    ),
    lambda rng: (normal(rng, 9), np.sign(normal(rng, 9))),
)


def _cosine_similarity(a, b):
    return (a * b).sum(1) / jnp.sqrt((a**2).sum(1) * (b**2).sum(1))


def _cosine_forward(a, b):
    ra, rb = (1 / jnp.sqrt((v**2).sum(1, keepdims=True)) for v in (a, b))
    y = (a * ra * b * rb).sum(1)
    return y, {"a": a * ra, "b": b * rb, "ra": ra, "rb": rb, "y": y[:, None]}


def _cosine_backward(r, dy):
    d = dy[:, None]
    return d * r["ra"] * (r["b"] - r["y"] * r["a"]), d * r["rb"] * (r["a"] - r["y"] * r["b"])


cosine_similarity = Op(
    _cosine_similarity, _cosine_forward, _cosine_backward, normals((4, 3), (4, 3))
)
