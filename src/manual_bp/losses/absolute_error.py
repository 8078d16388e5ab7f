"""The absolute error.

Shapes   prediction, target: (*batch, n)   ℓ: (*batch,)
Forward  e = prediction − target,   ℓ = ‖e‖₁ = Σ |eⱼ|                             Σ over n
Derive   d|e|/de = sign e;  target enters with the opposite sign
  (1) dprediction = dℓ sign e
  (2) dtarget     = −dprediction
Saved    sign e.
Kinks    e = 0, where any slope in [−1, 1] is a subgradient: 0, the middle, is chosen (sign 0 = 0).
Source   Boyd & Vandenberghe 2004, "Convex Optimization", §6.1 (ℓ₁-norm approximation)
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "absolute_error"


@op.residual
class Residual:
    """The sign of the error, of the dtype of the prediction."""

    sign: Float[Array, "*batch n"]
    reduction: Reduction = op.static()


def forward(
    prediction: Float[Array, "*batch n"],
    target: Float[Array, "*batch n"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return Σ |prediction − target| per sample, reduced over the batch, and the residual.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, or `reduction` is unknown or a mean over no samples.
    """
    prediction, target = op.floating(NAME, prediction=prediction, target=target)
    reductions.expect_pair(NAME, "prediction", "target", prediction, target, reduction)
    error = op.wide(prediction) - op.wide(target)
    loss = reductions.reduce(jnp.abs(error).sum(-1), reduction, prediction.dtype)
    return loss, Residual(jnp.sign(error).astype(prediction.dtype), reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dprediction, dtarget)."""
    sign = residual.sign
    dl = reductions.per_sample(NAME, dy, residual.reduction, sign.shape[:-1], sign.dtype)
    dprediction = (dl * op.wide(sign)).astype(sign.dtype)  # (1)
    return dprediction, -dprediction  # (2)
