"""The logarithm of the softmax over one axis.

Shapes   u, v, y, dy, du: (*batch, n), n being the size of `axis`
Forward  v = u/τ, with the temperature τ;   c = v − max v,   yⱼ = cⱼ − ln Σₖ e^(cₖ). One maximum
         contributes exactly 1 to the sum, and with r the sum of all other terms y = c − log1p(r):
         every digit of a y near 0 is kept.
Derive   ∂/∂vᵢ ln Σₖ e^(cₖ) = softmax(v)ᵢ = e^(yᵢ), so ∂yⱼ/∂vᵢ = 1[i=j] − e^(yᵢ) and
           dvᵢ = Σⱼ dyⱼ (1[i=j] − e^(yᵢ)) = dyᵢ − e^(yᵢ) Σⱼ dyⱼ
  (1) dv = dy − e^y ⊙ Σ dy                                        Σ over n
  (2) du = dv/τ
Saved    y; for half precision e^y, which a rounded y does not give back to its last digit.
Kinks    none.
Extremes Finite for u = ±1e4: y is then about −2e4, not −∞, and e^y is 0. Half precision is
         computed in float32.
Source   Bridle 1990; the log-sum-exp shift: Blanchard, Higham & Higham 2021, IMA J. Numer. Anal.
         41; temperature: Hinton, Vinyals & Dean 2015, arXiv:1503.02531
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting


@op.residual
class Residual:
    """The output, or in half precision its exponential; the axis and the temperature."""

    saved: Float[Array, "*shape"]
    axis: int = op.static()
    temperature: float = op.static()


def log_normalise(
    u: Float[Array, "*shape"], axis: int, temperature: float = 1.0
) -> Float[Array, "*shape"]:
    """Return log-softmax(u/τ) in the dtype of `u`, without checks: the value that losses share.

    With t = ⌊e^c⌋, 1 at a maximum and 0 elsewhere, the sum is 1 + Σ (e^c − t) + (Σ t − 1).
    """
    c = (u - u.max(axis, keepdims=True, initial=-jnp.inf)) / temperature
    e = jnp.exp(c)
    maximal = jnp.floor(e)
    below, maxima = ((e - maximal).sum(axis, keepdims=True), maximal.sum(axis, keepdims=True))
    return c - jnp.log1p(below + (maxima - 1))


def forward(
    u: Float[Array, "*shape"], *, axis: int = -1, temperature: float = 1.0
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the log-softmax of u/τ over `axis`, of the shape and dtype of `u`, and the residual.

    Args:
      u: scores, any shape of rank 1 or more.
      axis: the axis over which e^y sums to 1.
      temperature: τ > 0; the larger, the more even is y.

    Raises:
      TypeError: `u` is not floating.
      ValueError: `u` has rank 0, or no such axis, or `temperature` is not a finite number above 0.
    """
    (u,) = op.floating("log_softmax", u=u)
    axis = setting.expect_axis("log_softmax", u, axis)
    temperature = setting.expect_positive("log_softmax", "temperature", temperature)
    y = log_normalise(op.wide(u), axis, temperature)
    saved = y if y.dtype == u.dtype else jnp.exp(y).astype(u.dtype)
    return y.astype(u.dtype), Residual(saved, axis, temperature)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (du,)."""
    saved = residual.saved
    dy = op.expect_cotangent("log_softmax", dy, saved.shape, saved.dtype)
    dy_wide = op.wide(dy)
    exp_y = jnp.exp(saved) if dy_wide.dtype == dy.dtype else op.wide(saved)
    dv = dy_wide - exp_y * dy_wide.sum(residual.axis, keepdims=True)  # (1)
    return ((dv / residual.temperature).astype(dy.dtype),)  # (2)
