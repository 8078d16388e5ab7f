"""Weights as a direction and a length for each output.

Shapes   v, W: (*kernel, m)   g: (m,)   r: (m,); W[…, j] are the weights of output j: a column of a
         matrix in row form, a filter of an HWIO kernel
Forward  rⱼ = (Σᵢ vᵢⱼ² + ε)^(−1/2),   v̂ = v ⊙ r,   W = v̂ ⊙ g          i runs over the kernel
Derive   For one output, W = g r v:
           ∂L/∂g = Σᵢ dWᵢ r vᵢ = Σᵢ dWᵢ v̂ᵢ
           ∂L/∂vᵢ = g (r dWᵢ − ½ r³ · 2vᵢ Σⱼ dWⱼ vⱼ) = g r (dWᵢ − v̂ᵢ Σⱼ dWⱼ v̂ⱼ)
  (1) dg = Σ_kernel dW ⊙ v̂
  (2) dv = g r (dW − v̂ dg)
         But for ε, dv is orthogonal to v: the direction turns, and only g changes the length.
Saved    v, g, r.      Kinks   none: ε > 0 smooths the norm at v = 0, where W = 0.
Extremes With one weight an output, v̂ is the sign of v, and (2) cancels but for a term of order ε.
         Half precision is computed in float32. Squares overflow from a norm of v of 1.8e19 in
         float32 and of 1.3e154 in float64 on: beyond it W, dv and dg are 0.
Source   Salimans & Kingma 2016, arXiv:1602.07868
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.normalization import standardise as shared

NAME = "weight_norm"


@op.residual
class Residual:
    """The direction, the length and r = 1/√(‖v‖² + ε)."""

    v: Float[Array, "*kernel m"]
    g: Float[Array, " m"]
    rnorm: Float[Array, " m"]


def forward(
    v: Float[Array, "*kernel m"], g: Float[Array, " m"], *, epsilon: float = 1e-12
) -> tuple[Float[Array, "*kernel m"], Residual]:
    """Return W = g v/√(‖v‖² + ε) for each output, of the shape and dtype of `v`, and the residual.

    Args:
      v: directions, (*kernel, m); those of an output need not have norm 1.
      g: lengths, (m,), of the dtype of `v`.
      epsilon: ε > 0, added to the squared norm.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit, or `epsilon` is not positive.
    """
    v, g = op.floating(NAME, v=v, g=g)
    op.expect_rank(NAME, "v", v, 1, None)
    op.expect_shape(NAME, "g", g, v.shape[-1:], f"for v of shape {v.shape}")
    epsilon = setting.expect_epsilon(NAME, epsilon, v.dtype)
    rnorm = 1 / jnp.sqrt((op.wide(v) ** 2).sum(tuple(range(v.ndim - 1))) + epsilon)
    W = op.wide(v) * shared.over(rnorm * op.wide(g), v)
    return W.astype(v.dtype), Residual(v, g, rnorm)


def backward(
    residual: Residual, dy: Float[Array, "*kernel m"]
) -> tuple[Float[Array, "*kernel m"], Float[Array, " m"]]:
    """Return (dv, dg)."""
    v, g, r = residual.v, residual.g, residual.rnorm
    dW = op.wide(op.expect_cotangent(NAME, dy, v.shape, v.dtype))
    direction = op.wide(v) * shared.over(r, v)
    dg = (dW * direction).sum(tuple(range(v.ndim - 1)))  # (1)
    dv = shared.over(op.wide(g) * r, v) * (dW - direction * shared.over(dg, v))  # (2)
    return dv.astype(v.dtype), dg.astype(v.dtype)
