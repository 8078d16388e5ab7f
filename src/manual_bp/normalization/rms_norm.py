"""Root-mean-square normalisation over the last axis.

Shapes   x, y, x̂: (*batch, n)   scale: (n,) or None   r: (*batch, 1)
Forward  r = (⟨x²⟩ + ε)^(−1/2),  x̂ = r x,  y = x̂ ⊙ scale                         ⟨·⟩ = mean over n
Derive   With dx̂ = dy ⊙ scale, along one row:
           dxᵢ = r dx̂ᵢ + dr ∂r/∂xᵢ,   ∂r/∂xᵢ = −½ r³ · 2xᵢ/n,   dr = Σⱼ dx̂ⱼ xⱼ = n ⟨dx̂ ⊙ x⟩,
           so dx = r dx̂ − r³ x ⟨dx̂ ⊙ x⟩. Nothing is centred, and no mean of dx̂ is taken away.
  (1) dscale = Σ_batch dy ⊙ x̂
  (2) dx̂     = dy ⊙ scale
  (3) dx     = r (dx̂ − x̂ ⟨dx̂ ⊙ x̂⟩)
Saved    x, r, scale; x̂ is had from them again.      Kinks   none.
Extremes Finite at x = 0: y = 0 and dx = ε^(−1/2) dx̂. With n = 1, y is the sign of x but for ε: (3)
         cancels but for a term of order ε. Half precision is computed in float32. Squares overflow
         from a norm √(Σ x²) of 1.8e19 in float32 and of 1.3e154 in float64 on: beyond it y and dx
         are 0.
Source   Zhang & Sennrich 2019, arXiv:1910.07467
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.normalization import standardise as shared

NAME = "rms_norm"


@op.residual
class Residual:
    """The input, r = 1/√(⟨x²⟩ + ε) and the scale."""

    x: Float[Array, "*batch n"]
    rrms: Float[Array, "*batch 1"]
    scale: Float[Array, " n"] | None


def forward(
    x: Float[Array, "*batch n"],
    scale: Float[Array, " n"] | None = None,
    *,
    epsilon: float = 1e-5,
) -> tuple[Float[Array, "*batch n"], Residual]:
    """Return y = x̂ ⊙ scale, of the shape and dtype of `x`, and the residual.

    Args:
      x: (*batch, n).
      scale: (n,), of the dtype of `x`, or None for 1.
      epsilon: ε > 0, added to the mean square.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit, or `epsilon` is not positive.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 1, None)
    (scale,) = shared.features(NAME, x, scale=scale)
    epsilon = setting.expect_epsilon(NAME, epsilon, x.dtype)
    rrms = 1 / jnp.sqrt(shared.row_mean(op.wide(x) ** 2) + epsilon)
    y = shared.affine(op.wide(x) * rrms, scale, None)
    return y.astype(x.dtype), Residual(x, rrms, scale)


def backward(
    residual: Residual, dy: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch n"], Float[Array, " n"] | None]:
    """Return (dx, dscale); None for a scale that was None."""
    x, r, scale = residual.x, residual.rrms, residual.scale
    dy = op.wide(op.expect_cotangent(NAME, dy, x.shape, x.dtype))
    standard = op.wide(x) * r
    product, batch = dy * standard, tuple(range(x.ndim - 1))
    dscale = None if scale is None else product.sum(batch).astype(x.dtype)  # (1)
    dstandard = dy if scale is None else dy * shared.over(scale, dy)  # (2)
    # Σ scale ⊙ dy ⊙ x̂ = (dy ⊙ x̂) scale
    dx = r * (dstandard - standard * (shared.row_sums(product, scale) / x.shape[-1]))  # (3)
    return dx.astype(x.dtype), dscale
