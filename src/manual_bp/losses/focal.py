"""The focal loss of n independent logistic outputs, on logits.

Shapes   logits z, targets t: (*batch, n)   ℓ: (*batch,)
Forward  With p = σ(z), q = 1 − p = σ(−z) and f(z) = −q^γ ln p = q^γ softplus(−z):
           ℓ = Σ [α t f(z) + (1−α) (1−t) f(−z)]                                   Σ over n
         `alpha=None` leaves both weights out, that is they are 1.
Derive   dp/dz = p q, so dq^γ/dz = −γ q^γ p and d softplus(−z)/dz = −q:
           f'(z) = −q^γ [γ p softplus(−z) + q] = −[γ p f(z) + q^γ q] = −g(z)
  (1) dz = dℓ [(1−α) (1−t) g(−z) − α t g(z)]
  (2) dt = dℓ [α f(z) − (1−α) f(−z)]
         With γ = 0 and no α, (1) and (2) are those of `binary_cross_entropy`.
Saved    z, t.      Kinks   none.
Extremes ℓ and dz are finite and correct for z = ±1e4; with e = e^(−|z|) the larger of p and q is
         1/(1+e) and the other e/(1+e), so that none cancels. Half precision is computed in float32
         and rounded once.
Targets  0 or 1. The formula holds for every real t, and so do (1) and (2).
Source   Lin, Goyal, Girshick, He & Dollár 2017, arXiv:1708.02002
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import elementary, op, setting
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "focal"


@op.residual
class Residual:
    """The logits and the targets."""

    logits: Float[Array, "*batch n"]
    targets: Float[Array, "*batch n"]
    gamma: float = op.static()
    alpha: float | None = op.static()
    reduction: Reduction = op.static()


def _both(z: jax.Array, gamma: float) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return p, q, f(z) and f(−z)."""
    e = jnp.exp(-jnp.abs(z))
    likely = 1 / (1 + e)
    unlikely, spread = e * likely, elementary.log1p(e)
    negative = z < 0
    p, q = jnp.where(negative, unlikely, likely), jnp.where(negative, likely, unlikely)
    minus_ln_p, minus_ln_q = jnp.maximum(-z, 0) + spread, jnp.maximum(z, 0) + spread
    return p, q, q**gamma * minus_ln_p, p**gamma * minus_ln_q


def _weights(alpha: float | None) -> tuple[float, float]:
    """Return the weights of class 1 and of class 0."""
    return (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)


def forward(
    logits: Float[Array, "*batch n"],
    targets: Float[Array, "*batch n"],
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the focal loss summed over n, reduced over the batch, and the residual.

    Args:
      logits: pre-activations of the logistic outputs, (*batch, n).
      targets: the classes as 0 or 1, same shape and dtype.
      gamma: γ ≥ 0, how much less an output counts the surer it is; 0 for the cross-entropy.
      alpha: the weight of class 1 in [0, 1], that of class 0 being the rest; None for 1 and 1.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, `gamma` or `alpha` is out of range, or `reduction` is unknown
        or a mean over no samples.
    """
    logits, targets = op.floating(NAME, logits=logits, targets=targets)
    gamma = setting.expect_number(
        NAME, "gamma", gamma, "a finite number not below 0", lambda gamma: 0 <= gamma < math.inf
    )
    if alpha is not None:
        alpha = setting.expect_number(
            NAME, "alpha", alpha, "a number from 0 to 1", lambda alpha: 0 <= alpha <= 1
        )
    reductions.expect_pair(NAME, "logits", "targets", logits, targets, reduction)
    z, t = op.wide(logits), op.wide(targets)
    one, zero = _weights(alpha)
    _, _, of_one, of_zero = _both(z, gamma)
    losses = (one * t * of_one + zero * (op.own(1.0, t.dtype) - t) * of_zero).sum(-1)
    loss = reductions.reduce(losses, reduction, logits.dtype)
    return loss, Residual(logits, targets, gamma, alpha, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (dlogits, dtargets)."""
    dtype, gamma = residual.logits.dtype, residual.gamma
    z, t = op.wide(residual.logits), op.wide(residual.targets)
    dl = reductions.per_sample(NAME, dy, residual.reduction, z.shape[:-1], dtype)
    one, zero = _weights(residual.alpha)
    p, q, of_one, of_zero = _both(z, gamma)
    g_of_one = gamma * p * of_one + q**gamma * q
    g_of_zero = gamma * q * of_zero + p**gamma * p
    dlogits = dl * (zero * (1 - t) * g_of_zero - one * t * g_of_one)  # (1)
    dtargets = dl * (one * of_one - zero * of_zero)  # (2)
    return dlogits.astype(dtype), dtargets.astype(dtype)
