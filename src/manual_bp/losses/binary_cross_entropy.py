"""Cross-entropy of n independent logistic outputs, on logits.

Shapes   logits z, targets t: (*batch, n)   ℓ: (*batch,)
Forward  p = σ(z),   ℓ = −Σ [t ln p + (1−t) ln(1−p)]                              Σ over n
         With −ln p = softplus(−z) = softplus(z) − z and −ln(1−p) = softplus(z):
           ℓ = Σ [softplus(z) − t z] = Σ [log1p(e^(−|z|)) + (1−t) max(z, 0) − t min(z, 0)]
         The last form does not cancel where t is 0 or 1, however small the loss.
Derive   softplus' = σ, so
           ∂ℓ/∂z = σ(z) − t = (1−t) σ(z) − t (1 − σ(z)) = (1−t) σ(z) − t σ(−z)
         and the last form does not cancel either.
  (1) dz = dℓ [(1−t) σ(z) − t σ(−z)]
  (2) dt = −dℓ z
Saved    z, t.      Kinks   none.
Extremes ℓ and dz are finite and correct for z = ±1e4. Half precision is computed in float32 and
         rounded once.
Source   Bishop 2006, §5.2 (the matching of the logistic output to the cross-entropy)
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.activations import sigmoid
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "binary_cross_entropy"


@op.residual
class Residual:
    """The logits and the targets."""

    logits: Float[Array, "*batch n"]
    targets: Float[Array, "*batch n"]
    reduction: Reduction = op.static()


def forward(
    logits: Float[Array, "*batch n"],
    targets: Float[Array, "*batch n"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the cross-entropy summed over n, reduced over the batch, and the residual.

    Args:
      logits: pre-activations of the logistic outputs, (*batch, n).
      targets: probabilities of class 1, in [0, 1], same shape and dtype.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, or `reduction` is unknown or a mean over no samples.
    """
    logits, targets = op.floating(NAME, logits=logits, targets=targets)
    reductions.expect_pair(NAME, "logits", "targets", logits, targets, reduction)
    z, t = op.wide(logits), op.wide(targets)
    one, zero = op.own(1.0, z.dtype), op.own(0.0, z.dtype)
    linear = (one - t) * jnp.maximum(z, zero) - t * jnp.minimum(z, zero)
    losses = (jnp.log1p(jnp.exp(-jnp.abs(z))) + linear).sum(-1)
    return reductions.reduce(losses, reduction, logits.dtype), Residual(logits, targets, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dlogits, dtargets)."""
    dtype, batch = residual.logits.dtype, residual.logits.shape[:-1]
    z, t = op.wide(residual.logits), op.wide(residual.targets)
    dl = reductions.per_sample(NAME, dy, residual.reduction, batch, dtype)
    dlogits = dl * ((1 - t) * sigmoid.value(z) - t * sigmoid.value(-z))  # (1)
    dtargets = -dl * z  # (2)
    return dlogits.astype(dtype), dtargets.astype(dtype)
