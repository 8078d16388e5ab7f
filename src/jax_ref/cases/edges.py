"""Losses of one argument, the other being whole numbers: at the edges of what is possible.

Of certainties, where ln p is −∞ for what is certainly not; of labels beside a class that cannot be.
Finite there are the loss and the cotangent of the argument that is not whole.
"""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref.cases.case import Case
from manual_bp import op


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


_LOSSES: tuple[tuple[str, str, Any, Any, Any, Any], ...] = (
    (
        "kl_divergence",
        "certainties",
        _of_certainties,
        _dlog_q,
        _not_said,
        _said,
    ),
    (
        "softmax_cross_entropy",
        "an impossible class",
        _of_possible,
        _dt_of_possible,
        _without_the_last,
        _labelled,
    ),
)


cases: tuple[Case, ...] = tuple(
    Case(
        name,
        SimpleNamespace(forward=forward, backward=backward),
        reference,
        draw,
        ({},),
        variant=variant,
    )
    for name, variant, forward, backward, reference, draw in _LOSSES
)
