"""The hinge loss of a multiclass support vector machine.

Shapes   scores s: (*batch, v)   labels k: (*batch,) integers   ℓ: (*batch,)
Forward  mⱼ = sⱼ − s_k + Δ,   ℓ = Σ max(0, mⱼ)                     Σ over the v−1 classes j ≠ k
Derive   With aⱼ = 1[mⱼ > 0] for j ≠ k and a_k = 0, ℓ = Σ aⱼ (sⱼ − s_k + Δ) near s, so
  (1) dsⱼ = dℓ aⱼ for j ≠ k,   ds_k = −dℓ Σ aⱼ:  the label pays for every class in its margin
Saved    a and the labels.
Kinks    mⱼ = 0, where any slope in [0, 1] is a subgradient: 0 is chosen, as a class at the margin
         counts as beaten.
Labels   A label outside 0 … v−1 is an error; under `jit`, where values cannot be read, it makes
         that sample's loss and gradient NaN.
Source   Weston & Watkins 1999, "Support vector machines for multi-class pattern recognition"
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from manual_bp import op, setting
from manual_bp.losses import labels as labelling
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "multiclass_hinge"


@op.residual
class Residual:
    """Which classes are within the margin, the labels, and the dtype of the scores."""

    within: Bool[Array, "*batch v"]
    labels: Integer[Array, "*batch"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def forward(
    scores: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"],
    *,
    margin: float = 1.0,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return Σ max(0, sⱼ − s_label + margin) per sample, reduced over the batch, and the residual.

    Args:
      scores: (*batch, v).
      labels: class numbers, (*batch,) integers.
      margin: by how much the label's score is to exceed every other, positive.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: `scores` is not floating, or `labels` are not integers.
      ValueError: shapes do not fit, a label is out of range, `margin` is not positive, or
        `reduction` is unknown or a mean over no samples.
    """
    (scores,) = op.floating(NAME, scores=scores)
    margin = setting.expect_positive(NAME, "margin", margin)
    op.expect_rank(NAME, "scores", scores, 1, None)
    *batch, classes = scores.shape
    labels = labelling.checked(NAME, labels, tuple(batch), classes)
    reductions.check(NAME, labels.shape, reduction)
    at_label, known = labelling.one_hot(labels, classes)
    s = op.wide(scores)
    of_label = labelling.at_label(s, labels)[..., None]
    missing = jnp.maximum(s - jnp.broadcast_to(of_label, s.shape) + margin, 0)
    missing = jnp.where(at_label, 0, missing)
    losses = jnp.where(known, missing.sum(-1), jnp.nan)
    loss = reductions.reduce(losses, reduction, scores.dtype)
    return loss, Residual(missing > 0, labels, scores.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch v"], None]:
    """Return (dscores, dlabels); dlabels is None."""
    within, labels, dtype = residual.within, residual.labels, residual.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, labels.shape, dtype)
    dl = jnp.where(labelling.known(labels, within.shape[-1])[..., None], dl, jnp.nan)
    # Not dl times 0 or 1, of which XLA makes a choice between dl and 0 that NaN does not survive.
    of_class, of_none = (jnp.broadcast_to(slope, within.shape) for slope in (dl, dl - dl))
    each = jnp.where(within, of_class, of_none)
    dscores = labelling.with_label(each, labels, -each.sum(-1, keepdims=True))  # (1)
    return dscores.astype(dtype), None
