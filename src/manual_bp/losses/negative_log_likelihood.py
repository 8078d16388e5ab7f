"""The negative log-likelihood of integer labels, on log-probabilities.

Shapes   log_p: (*batch, v)   labels k: (*batch,) integers   ℓ: (*batch,)
Forward  ℓ = −log_p_k
Derive   Of the entries of log_p the loss holds the labelled one alone, with the factor −1:
  (1) dlog_pⱼ = −dℓ 1[j=k]
         Behind a log-softmax, whose rule is du = dy − p Σ dy, (1) makes du = dℓ (p − one-hot(k)),
         as in `softmax_cross_entropy`, which keeps the digits that this difference loses.
Saved    labels.      Kinks   none.
Labels   A label outside 0 … v−1 is an error; under `jit`, where values cannot be read, it makes
         that sample's loss and gradient NaN.
Source   Bridle 1990
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import op
from manual_bp.losses import labels as labelling
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "negative_log_likelihood"


@op.residual
class Residual:
    """The labels, the number of classes and the dtype of the log-probabilities."""

    labels: Integer[Array, "*batch"]
    classes: int = op.static()
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def forward(
    log_p: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return −log_p at the label per sample, reduced over the batch, and the residual.

    Args:
      log_p: log-probabilities, (*batch, v); need not be normalised.
      labels: class numbers, (*batch,) integers.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: `log_p` is not floating, or `labels` are not integers.
      ValueError: shapes do not fit, a label is out of range, or `reduction` is unknown or a mean
        over no samples.
    """
    (log_p,) = op.floating(NAME, log_p=log_p)
    op.expect_rank(NAME, "log_p", log_p, 1, None)
    *batch, classes = log_p.shape
    labels = labelling.checked(NAME, labels, tuple(batch), classes)
    reductions.check(NAME, labels.shape, reduction)
    losses = -labelling.at_label(op.wide(log_p), labels)
    loss = reductions.reduce(losses, reduction, log_p.dtype)
    return loss, Residual(labels, classes, log_p.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch v"], None]:
    """Return (dlog_p, dlabels); dlabels is None."""
    labels, dtype = residual.labels, residual.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, labels.shape, dtype)
    at_label, known = labelling.one_hot(labels, residual.classes)
    dlog_p = jnp.where(at_label, -dl, 0)  # (1)
    return jnp.where(known[..., None], dlog_p, jnp.nan).astype(dtype), None
