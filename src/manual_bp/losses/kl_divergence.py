"""The Kullback–Leibler divergence of a model's log-probabilities from target probabilities.

Shapes   log_q, p: (*batch, n)   ℓ: (*batch,)
Forward  ℓ = KL(p ‖ q) = Σ p g,   g = ln p − log_q,   0 · ln 0 = 0                Σ over n
Derive   ∂ℓ/∂log_q = −p,   ∂ℓ/∂p = g + p/p
  (1) dlog_q = −dℓ p
  (2) dp     = dℓ (g + 1)
Saved    log_q, p.      Kinks   none for p > 0.
Edges    A term with p = 0 is 0, even where log_q = −∞; there dp is −∞, the slope of p ln p, and
         nothing is clipped. Where p < 0 the loss and dp are NaN.
Source   Kullback & Leibler 1951
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "kl_divergence"


def _difference(log_q: Float[Array, "*shape"], p: Float[Array, "*shape"]) -> jax.Array:
    """Return g, but 0 where p is 0: both passes want it, and a compiler forms it once."""
    return jnp.where(p == 0, 0, jnp.log(p) - log_q)


@op.residual
class Residual:
    """The log-probabilities of the model and the target probabilities."""

    log_q: Float[Array, "*batch n"]
    p: Float[Array, "*batch n"]
    reduction: Reduction = op.static()


def forward(
    log_q: Float[Array, "*batch n"],
    p: Float[Array, "*batch n"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return KL(p ‖ exp log_q) per sample, reduced over the batch, and the residual.

    Args:
      log_q: log-probabilities of the model, (*batch, n); need not be normalised.
      p: target probabilities, not negative, same shape and dtype; need not sum to 1.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, or `reduction` is unknown or a mean over no samples.
    """
    log_q, p = op.floating(NAME, log_q=log_q, p=p)
    reductions.expect_pair(NAME, "log_q", "p", log_q, p, reduction)
    wide = op.wide(p)
    terms = wide * _difference(op.wide(log_q), wide)
    loss = reductions.reduce(terms.sum(-1), reduction, log_q.dtype)
    return loss, Residual(log_q, p, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dlog_q, dp)."""
    log_q, p, dtype = op.wide(residual.log_q), op.wide(residual.p), residual.p.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, p.shape[:-1], dtype)
    dlog_q = -dl * p  # (1)
    dp = dl * jnp.where(p == 0, -jnp.inf, _difference(log_q, p) + 1)  # (2)
    return dlog_q.astype(dtype), dp.astype(dtype)
