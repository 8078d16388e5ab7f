"""Cross-entropy of n independent outputs that are probabilities already.

Shapes   probabilities p, targets t: (*batch, n)   ℓ: (*batch,)
Forward  ℓ = −Σ [t ln p + (1−t) ln(1−p)],   0 · ln 0 = 0                          Σ over n
         A term whose weight is 0 takes the logarithm of 1 instead, as 0 times −∞ would be NaN; and
         0 · √(p (1−p)) is added, which is 0 where p is a probability, and NaN elsewhere.
Derive   ∂ℓ/∂p = −t/p + (1−t)/(1−p),   ∂ℓ/∂t = −ln p + ln(1−p)
  (1) dp = dℓ [(1−t)/(1−p) − t/p]
  (2) dt = dℓ [ln(1−p) − ln p] = dℓ ln ((1−p)/p)
         Behind a sigmoid, p' = p (1−p) makes of (1) the p − t of `binary_cross_entropy`.
Saved    p, t.      Kinks   none inside (0, 1).
Edges    At p = 0 with t = 0, and at p = 1 with t = 1, a term is 0/0; it belongs to 0 · ln 0 = 0 and
         is 0. At p = 0 with t > 0 the loss is +∞ and so is the size of its gradient: nothing is
         clipped. A sigmoid in float32 rounds to 1 above z ≈ 17: train on logits.
Source   Ng 2011, "Machine Learning", lecture 9 (the cost of a network of logistic units)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "binary_cross_entropy_on_probabilities"


@op.residual
class Residual:
    """The probabilities and the targets."""

    probabilities: Float[Array, "*batch n"]
    targets: Float[Array, "*batch n"]
    reduction: Reduction = op.static()


def _inside(p: jax.Array) -> jax.Array:
    """Return p in the dtype in which sums accumulate, NaN where it is no probability."""
    return jnp.where((p >= 0) & (p <= 1), op.wide(p), jnp.nan)


def _weighted(weight: jax.Array, term: jax.Array) -> jax.Array:
    """Return weight ⊙ term, 0 wherever the weight is 0, whatever the term."""
    return jnp.where(weight == 0, 0, weight * term)


def _counts(weight: jax.Array) -> jax.Array:
    """Return 0 where the weight is 0, and else 1, by arithmetic alone.

    With that XLA takes the terms of a sum along with the sum; a choice it would write out.
    """
    return jnp.ceil(jnp.minimum(jnp.abs(weight), op.own(1.0, weight.dtype)))


def forward(
    probabilities: Float[Array, "*batch n"],
    targets: Float[Array, "*batch n"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the cross-entropy summed over n, reduced over the batch, and the residual.

    Args:
      probabilities: of class 1, in [0, 1], (*batch, n); outside of it loss and gradient are NaN.
      targets: the wanted probabilities, in [0, 1], same shape and dtype.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, or `reduction` is unknown or a mean over no samples.
    """
    probabilities, targets = op.floating(NAME, probabilities=probabilities, targets=targets)
    reductions.expect_pair(NAME, "probabilities", "targets", probabilities, targets, reduction)
    p, t = op.wide(probabilities), op.wide(targets)
    one, zero = op.own(1.0, t.dtype), op.own(0.0, t.dtype)
    of_one = t * jnp.log(jnp.maximum(p, one - _counts(t)))
    of_zero = (one - t) * jnp.log1p(-jnp.minimum(p, _counts(one - t)))
    outside = zero * jnp.sqrt(p * (one - p))
    losses = -(of_one + of_zero + outside).sum(-1)
    loss = reductions.reduce(losses, reduction, probabilities.dtype)
    return loss, Residual(probabilities, targets, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dprobabilities, dtargets)."""
    dtype, batch = residual.probabilities.dtype, residual.probabilities.shape[:-1]
    p, t = _inside(residual.probabilities), op.wide(residual.targets)
    dl = reductions.per_sample(NAME, dy, residual.reduction, batch, dtype)
    dp = dl * (_weighted(1 - t, 1 / (1 - p)) - _weighted(t, 1 / p))  # (1)
    dt = dl * jnp.log((1 - p) / p)  # (2)
    return dp.astype(dtype), dt.astype(dtype)
