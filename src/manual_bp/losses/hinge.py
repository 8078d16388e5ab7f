"""The hinge loss of n binary margins.

Shapes   scores s, targets t: (*batch, n)   ℓ: (*batch,)
Forward  m = 1 − t s,   ℓ = Σ max(0, mⱼ)                                          Σ over n
Derive   A term with m > 0 is 1 − t s, every other is 0:
  (1) dm = −dℓ sign max(0, m)                                            −dℓ 1[m > 0] without NaN
  (2) ds = dm t
  (3) dt = dm s
Saved    s, t.
Kinks    m = 0, where any slope between those of the two sides is a subgradient: 0 is chosen, as a
         sample on its margin counts as classified well.
Targets  ±1. The formula holds for every real t, and so do (2) and (3): another value is a weight
         for the score with the sign of the class.
Source   Cortes & Vapnik 1995
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "hinge"


@op.residual
class Residual:
    """The scores and the targets."""

    scores: Float[Array, "*batch n"]
    targets: Float[Array, "*batch n"]
    reduction: Reduction = op.static()


def forward(
    scores: Float[Array, "*batch n"],
    targets: Float[Array, "*batch n"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return Σ max(0, 1 − targets ⊙ scores) per sample, reduced over the batch, and the residual.

    Args:
      scores: (*batch, n).
      targets: the classes as ±1, same shape and dtype.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, or `reduction` is unknown or a mean over no samples.
    """
    scores, targets = op.floating(NAME, scores=scores, targets=targets)
    reductions.expect_pair(NAME, "scores", "targets", scores, targets, reduction)
    losses = jnp.maximum(1 - op.wide(targets) * op.wide(scores), 0).sum(-1)
    loss = reductions.reduce(losses, reduction, scores.dtype)
    return loss, Residual(scores, targets, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dscores, dtargets)."""
    s, t, dtype = op.wide(residual.scores), op.wide(residual.targets), residual.scores.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, s.shape[:-1], dtype)
    # By the sign of max(0, m): a comparison would make XLA write out an array.
    one, zero = op.own(1.0, t.dtype), op.own(0.0, t.dtype)
    dm = -dl * jnp.sign(jnp.maximum(one - t * s, zero))  # (1)
    dscores, dtargets = dm * t, dm * s  # (2) (3)
    return dscores.astype(dtype), dtargets.astype(dtype)
