"""Cross-entropy of a softmax, on logits.

Shapes   logits u: (*batch, v)   labels k: (*batch,) integers, or t: (*batch, v)   ℓ: (*batch,)
Forward  ℓ = −Σ tⱼ ln pⱼ,   p = softmax(u);   an integer label k is t = one-hot(k): ℓ = −ln p_k
Derive   ln p = log_softmax(u), whose rule is du = dy − p Σ dy; here dy = −t, so
           ∂ℓ/∂u = −t + p Σ t,   ∂ℓ/∂t = −ln p
         and where t sums to 1, as a one-hot or soft label does, ∂ℓ/∂u = p − t.
  (1) du = dℓ (p Σt − t)
  (2) dt = −dℓ ln p;   None for integer labels
         Where p is near 1, p Σt − t would cancel, and there
  (3) p Σt − t = expm1(ln p) Σt + (Σt − t);   at an integer label k, du_k = dℓ expm1(ln p_k)
Saved    ln p, labels.      Kinks   none.
Extremes ℓ and du are finite and correct for u = ±1e4. Half precision is computed in float32 and
         rounded once; ln p is kept in float32 then.
Labels   An integer label outside 0 … v−1 is an error; under `jit`, where values cannot be read, it
         makes that sample's loss and gradient NaN.
Source   Bridle 1990
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import op
from manual_bp.dense.log_softmax import log_normalise
from manual_bp.losses import labels as labelling
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "softmax_cross_entropy"


@op.residual
class Residual:
    """The log-probabilities and the labels; `dtype` is that of the logits."""

    log_p: Float[Array, "*batch v"]
    labels: Integer[Array, "*batch"] | Float[Array, "*batch v"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def forward(
    logits: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch v"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return −Σ t ln softmax(logits) per sample, reduced over the batch, and the residual.

    Args:
      logits: (*batch, v).
      labels: class numbers, (*batch,) integers; or one-hot or soft labels, (*batch, v), of the
        dtype of `logits`. Soft labels need not sum to 1.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: `logits` is not floating, or soft labels have another dtype.
      ValueError: shapes do not fit, a label is out of range, or `reduction` is unknown or a mean
        over no samples.
    """
    (logits,) = op.floating(NAME, logits=logits)
    op.expect_rank(NAME, "logits", logits, 1, None)
    log_p = log_normalise(op.wide(logits), -1)
    if jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        shape = logits.shape[:-1]
        op.expect_shape(NAME, "labels", jnp.asarray(labels), shape, "for integer labels")
        # Before JAX sees them: without float64 it would cut 64 bits to 32.
        labelling.expect_range(NAME, labels, logits.shape[-1])
        labels = jnp.asarray(labels)
        reductions.check(NAME, labels.shape, reduction)
        at_label, known = labelling.one_hot(labels, logits.shape[-1])
        losses = jnp.where(known, -jnp.where(at_label, log_p, 0).sum(-1), jnp.nan)
    else:
        _, labels = op.floating(NAME, logits=logits, labels=labels)
        reductions.expect_pair(NAME, "logits", "labels", logits, labels, reduction)
        t = op.wide(labels)
        losses = -jnp.where(t == 0, 0, t * log_p).sum(-1)
    loss = reductions.reduce(losses, reduction, logits.dtype)
    return loss, Residual(log_p, labels, logits.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch v"], Float[Array, "*batch v"] | None]:
    """Return (dlogits, dlabels); dlabels is None for integer labels."""
    log_p, labels, dtype = residual.log_p, residual.labels, residual.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, log_p.shape[:-1], dtype)
    if jnp.issubdtype(labels.dtype, jnp.integer):
        at_label, known = labelling.one_hot(labels, log_p.shape[-1])
        slope = jnp.where(at_label, jnp.expm1(log_p), jnp.exp(log_p))  # (3), (1)
        return jnp.where(known[..., None], dl * slope, jnp.nan).astype(dtype), None
    t = op.wide(labels)
    total = jnp.broadcast_to(t.sum(-1, keepdims=True), t.shape)
    near_one = jnp.expm1(log_p) * total + (total - t)  # (3)
    dlogits = dl * jnp.where(log_p > -0.25, near_one, jnp.exp(log_p) * total - t)  # (1)
    dlabels = -dl * log_p  # (2)
    return dlogits.astype(dtype), dlabels.astype(dtype)
