"""One minus the cosine of the angle between prediction and target.

Shapes   prediction a, target b: (*batch, n)   r, c, ℓ: (*batch,)
Forward  r_a = (Σ a² + ε)^(−1/2),   â = r_a a,   b̂ likewise,   c = Σ â b̂,   ℓ = 1 − c    Σ over n
Derive   â is `l2_normalize`, whose rule is da = r_a (dâ − â ⟨â, dâ⟩); here dâ = −dℓ b̂ and
         ⟨â, b̂⟩ = c. b enters as a does:
  (1) da = dℓ r_a (c â − b̂)
  (2) db = dℓ r_b (c b̂ − â)
         A gradient has no part along its own vector but for a term of order ε: it only turns it.
Saved    â, b̂, r_a, r_b; in float32 for half precision, where it is computed so and rounded once.
Kinks    none: ε > 0 smooths the norm at 0, where c = 0, ℓ = 1 and da = −dℓ ε^(−1/2) b̂. PyTorch
         bounds the norm from below by ε instead.
Extremes Squares overflow from a norm of 1.8e19 in float32 and half precision and of 1.3e154 in
         float64 on: beyond it a vector counts as 0, and both gradients are 0.
Source   Bromley et al. 1993, "Signature verification using a Siamese time delay neural network"
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "cosine"


@op.residual
class Residual:
    """Both vectors over their norms, and one over the norms; `dtype` is that of the prediction."""

    a: Float[Array, "*batch n"]
    b: Float[Array, "*batch n"]
    ra: Float[Array, "*batch 1"]
    rb: Float[Array, "*batch 1"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def _normalised(x: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array]:
    """Return x/√(Σx² + ε) and 1/√(Σx² + ε)."""
    r = 1 / jnp.sqrt((x**2).sum(-1, keepdims=True) + epsilon)
    return x * r, r


def forward(
    prediction: Float[Array, "*batch n"],
    target: Float[Array, "*batch n"],
    *,
    epsilon: float = 1e-12,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return 1 − cos(prediction, target) per sample, reduced over the batch, and the residual.

    Args:
      prediction: (*batch, n).
      target: same shape and dtype.
      epsilon: ε > 0, added to the sums of squares.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, `epsilon` is not positive, or `reduction` is unknown or a mean
        over no samples.
    """
    prediction, target = op.floating(NAME, prediction=prediction, target=target)
    epsilon = setting.expect_epsilon(NAME, epsilon, prediction.dtype)
    reductions.expect_pair(NAME, "prediction", "target", prediction, target, reduction)
    a, ra = _normalised(op.wide(prediction), epsilon)
    b, rb = _normalised(op.wide(target), epsilon)
    loss = reductions.reduce(1 - (a * b).sum(-1), reduction, prediction.dtype)
    return loss, Residual(a, b, ra, rb, prediction.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dprediction, dtarget)."""
    a, b, dtype = residual.a, residual.b, residual.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, a.shape[:-1], dtype)
    c = (a * b).sum(-1, keepdims=True)
    dprediction = dl * residual.ra * (c * a - b)  # (1)
    dtarget = dl * residual.rb * (c * b - a)  # (2)
    return dprediction.astype(dtype), dtarget.astype(dtype)
