"""Half the squared error.

Shapes   prediction, target: (*batch, n)   ℓ: (*batch,)
Forward  e = prediction − target,   ℓ = ½ ‖e‖² = ½ Σ eⱼ²                          Σ over n
Derive   ∂ℓ/∂predictionⱼ = ½ · 2 eⱼ · ∂eⱼ/∂predictionⱼ = eⱼ;  target enters with the opposite sign
  (1) dprediction = dℓ e
  (2) dtarget     = −dprediction
         and dℓ = ∂L/∂ℓ is that of `reduction`. The ½ is there to cancel the 2.
Saved    e; in float32 for half precision, which might not hold the difference.
Kinks    none.
Source   Rumelhart, Hinton & Williams 1986
"""

from typing import Any

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "squared_error"


@op.residual
class Residual:
    """The error, in float32 for half precision; `dtype` is that of the prediction."""

    error: Float[Array, "*batch n"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def forward(
    prediction: Float[Array, "*batch n"],
    target: Float[Array, "*batch n"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return ½‖prediction − target‖² per sample, reduced over the batch, and the residual.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, or `reduction` is unknown or a mean over no samples.
    """
    prediction, target = op.floating(NAME, prediction=prediction, target=target)
    reductions.expect_pair(NAME, "prediction", "target", prediction, target, reduction)
    error = op.wide(prediction) - op.wide(target)
    loss = reductions.reduce((error**2).sum(-1) / 2, reduction, prediction.dtype)
    return loss, Residual(error, prediction.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dprediction, dtarget)."""
    e, dtype = residual.error, residual.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, e.shape[:-1], dtype)
    dprediction = (dl * e).astype(dtype)  # (1)
    return dprediction, -dprediction  # (2)
