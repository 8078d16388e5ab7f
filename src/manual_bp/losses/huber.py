"""The Huber loss: squared near the target, absolute far from it.

Shapes   prediction, target: (*batch, n)   ℓ: (*batch,)
Forward  e = prediction − target,   a = min(|e|, δ),   ℓ = Σ aⱼ (|eⱼ| − ½ aⱼ)      Σ over n
         Where |e| ≤ δ, a = |e| and a term is ½ e²; elsewhere a = δ and it is δ (|e| − ½ δ).
Derive   d(½ e²)/de = e inside,  d(δ |e| − ½ δ²)/de = δ sign e outside: c = min(max(e, −δ), δ)
  (1) dprediction = dℓ c
  (2) dtarget     = −dprediction
Saved    c; in float32 for half precision, which might not hold the difference.
Kinks    none: at |e| = δ value and slope agree, only the curvature jumps from 1 to 0.
Extremes e² is formed nowhere, so a large error does not overflow sooner than δ |e| does.
Source   Huber 1964, "Robust estimation of a location parameter"
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "huber"


@op.residual
class Residual:
    """The clipped error, in float32 for half precision; `dtype` is that of the prediction."""

    clipped: Float[Array, "*batch n"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def forward(
    prediction: Float[Array, "*batch n"],
    target: Float[Array, "*batch n"],
    *,
    delta: float = 1.0,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the Huber loss per sample, reduced over the batch, and the residual.

    Args:
      prediction: (*batch, n).
      target: same shape and dtype.
      delta: the error at which the parabola goes over into a straight line, positive.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, `delta` is not positive, or `reduction` is unknown or a mean
        over no samples.
    """
    prediction, target = op.floating(NAME, prediction=prediction, target=target)
    delta = setting.expect_number(
        NAME, "delta", delta, "a positive number", lambda delta: delta > 0
    )
    reductions.expect_pair(NAME, "prediction", "target", prediction, target, reduction)
    y, t = op.wide(prediction), op.wide(target)
    # By |e| and not by c, which XLA's CPU code would write out for both.
    size = jnp.abs(t - y)
    near = jnp.minimum(size, delta)
    losses = (near * (size - near / 2)).sum(-1)
    loss = reductions.reduce(losses, reduction, prediction.dtype)
    limit = op.own(delta, y.dtype)
    return loss, Residual(jnp.clip(y - t, min=-limit, max=limit), prediction.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dprediction, dtarget)."""
    c, dtype = residual.clipped, residual.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, c.shape[:-1], dtype)
    dprediction = (dl * c).astype(dtype)  # (1)
    return dprediction, -dprediction  # (2)
