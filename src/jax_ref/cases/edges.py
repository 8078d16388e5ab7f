"""Losses of one argument, the other being whole numbers: at the edges of what is possible.

Probabilities of exactly 0 and 1, where the cotangent of the targets is infinite; certainties, of
which ln p is −∞ for what is certainly not; labels beside a class that cannot be. Finite there are
the loss and the cotangent of the argument that is not whole.
"""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref.cases.case import Case
from manual_bp import op


def _of_truths(p: jax.Array, t: jax.Array) -> tuple[jax.Array, Any]:
    return manual_bp.binary_cross_entropy_on_probabilities.forward(p, t.astype(p.dtype))


def _dp(residual: Any, dy: jax.Array) -> tuple[jax.Array, None]:
    dp, _ = manual_bp.binary_cross_entropy_on_probabilities.backward(residual, dy)
    return dp, None


def _mean_log(p: jax.Array, t: jax.Array) -> jax.Array:
    """Return the mean of −ln p for t = 1 and −ln(1−p) for t = 0; each finite at its own edge."""
    return jnp.mean(jnp.sum(-jnp.log(jnp.where(t == 1, p, 1 - p)), -1))


def _some_sure(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    t = np.arange(2 * n, dtype=np.int32).reshape(2, n) % 2
    return np.where(rng.random((2, n)) < 0.5, t, np.round(rng.uniform(0.2, 0.8, (2, n)), 2)), t


def _of_certainties(log_q: jax.Array, p: jax.Array) -> tuple[jax.Array, Any]:
    return manual_bp.kl_divergence.forward(log_q, p.astype(log_q.dtype), reduction="none")


def _dlog_q(residual: Any, dy: jax.Array) -> tuple[jax.Array, None]:
    return manual_bp.kl_divergence.backward(residual, dy)[0], None


def _not_said(log_q: jax.Array, p: jax.Array) -> jax.Array:
    """Return the divergence of certainties: what was not said of that which is."""
    wide = op.wide(log_q)
    return -jnp.einsum("bn,bn->b", wide, p.astype(wide.dtype)).astype(log_q.dtype)


def _of_possible(t: jax.Array, u: jax.Array) -> tuple[jax.Array, Any]:
    """Return the cross-entropy of labels t, and of 0 for a last class with a logit of −∞."""
    never = jnp.zeros((len(t), 1), t.dtype)
    logits = jnp.hstack([u.astype(t.dtype), never - jnp.inf])
    labels = jnp.hstack([t, never])
    return manual_bp.softmax_cross_entropy.forward(logits, labels, reduction="none")


def _dt_of_possible(residual: Any, dy: jax.Array) -> tuple[jax.Array, None]:
    _, dt = manual_bp.softmax_cross_entropy.backward(residual, dy)
    assert dt is not None
    return dt[:, :-1], None


def _without_the_last(t: jax.Array, u: jax.Array) -> jax.Array:
    wide = op.wide(t)
    return -jnp.einsum("bn,bn->b", wide, jax.nn.log_softmax(u.astype(wide.dtype))).astype(t.dtype)


def _said(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.uniform(-4, -1, (2, 3)), np.asarray([[1, 0, 0], [0, 1, 0]], np.int32)


def _labelled(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.uniform(0.1, 0.9, (2, 3)), np.asarray([[1, 0, 2], [0, 3, -1]], np.int32)


cases: tuple[Case, ...] = (
    Case(
        "binary_cross_entropy_on_probabilities",
        SimpleNamespace(forward=_of_truths, backward=_dp),
        _mean_log,
        _some_sure,
        ({"n": 5},),
        variant="edges",
    ),
    Case(
        "kl_divergence",
        SimpleNamespace(forward=_of_certainties, backward=_dlog_q),
        _not_said,
        _said,
        ({},),
        variant="certainties",
    ),
    Case(
        "softmax_cross_entropy",
        SimpleNamespace(forward=_of_possible, backward=_dt_of_possible),
        _without_the_last,
        _labelled,
        ({},),
        variant="an impossible class",
    ),
)
