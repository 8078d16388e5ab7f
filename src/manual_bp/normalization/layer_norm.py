"""Layer normalisation over the last axis.

Shapes   x, y, x̂: (*batch, n)   scale, bias: (n,) or None   r: (*batch, 1)
Forward  c = x − ⟨x⟩,  r = (⟨c²⟩ + ε)^(−1/2),  x̂ = r c,  y = x̂ ⊙ scale + bias     ⟨·⟩ = mean over n
Derive   With dx̂ = dy ⊙ scale, along one row:
           dcᵢ = r dx̂ᵢ + dr ∂r/∂cᵢ,   ∂r/∂cᵢ = −½ r³ · 2cᵢ/n,   dr = Σⱼ dx̂ⱼ cⱼ = n ⟨dx̂ ⊙ c⟩,
           so dc = r dx̂ − r³ c ⟨dx̂ ⊙ c⟩ = r (dx̂ − x̂ ⟨dx̂ ⊙ x̂⟩);
           cᵢ = xᵢ − (1/n) Σⱼ xⱼ gives dx = dc − ⟨dc⟩, where ⟨x̂⟩ = 0.
  (1) dbias  = Σ_batch dy
  (2) dscale = Σ_batch dy ⊙ x̂
  (3) dx̂     = dy ⊙ scale
  (4) dx     = r (dx̂ − ⟨dx̂⟩ − x̂ ⟨dx̂ ⊙ x̂⟩)
         A dx̂ that is the same for all features gives dx = 0: neither a shift of x nor, but for ε,
         a scaling of x changes y.
Saved    x, the mean in two parts, r, scale; x̂ is had from them again.      Kinks   none.
Extremes Finite where all xᵢ are equal: y is the bias and r = ε^(−1/2). The digits of deviations far
         smaller than the mean are kept. With n = 2, y hardly depends on x: (4) cancels but for a
         term of order ε. Half precision is computed in float32. How far deviations may go before
         their squares overflow stands in `standardise`.
Source   Ba, Kiros & Hinton 2016, arXiv:1607.06450
"""

from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.normalization import standardise as shared

NAME = "layer_norm"


@op.residual
class Residual:
    """The input, its moments and the scale."""

    x: Float[Array, "*batch n"]
    moments: shared.Moments
    scale: Float[Array, " n"] | None
    biased: bool = op.static()


def forward(
    x: Float[Array, "*batch n"],
    scale: Float[Array, " n"] | None = None,
    bias: Float[Array, " n"] | None = None,
    *,
    epsilon: float = 1e-5,
) -> tuple[Float[Array, "*batch n"], Residual]:
    """Return y = x̂ ⊙ scale + bias, of the shape and dtype of `x`, and the residual.

    Args:
      x: (*batch, n).
      scale: (n,), of the dtype of `x`, or None for 1.
      bias: (n,), of the dtype of `x`, or None for 0.
      epsilon: ε > 0, added to the variance.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit, or `epsilon` is not positive.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 1, None)
    scale, bias = shared.features(NAME, x, scale=scale, bias=bias)
    epsilon = setting.expect_epsilon(NAME, epsilon, x.dtype)
    moments = shared.moments_by(shared.row_mean, op.wide(x), epsilon)
    y = shared.affine(shared.standardise(x, moments), scale, bias)
    return y.astype(x.dtype), Residual(x, moments, scale, bias is not None)


def backward(
    residual: Residual, dy: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch n"], Float[Array, " n"] | None, Float[Array, " n"] | None]:
    """Return (dx, dscale, dbias); None for a scale or bias that was None."""
    x, scale, batch = residual.x, residual.scale, tuple(range(residual.x.ndim - 1))
    dy = op.wide(op.expect_cotangent(NAME, dy, x.shape, x.dtype))
    standard = shared.standardise(x, residual.moments)
    dbias = dy.sum(batch).astype(x.dtype) if residual.biased else None  # (1)
    product = dy * standard
    dscale = None if scale is None else product.sum(batch).astype(x.dtype)  # (2)
    dstandard = dy if scale is None else dy * shared.over(scale, dy)  # (3)
    # Both means are had from what is there without the scale: Σ scale ⊙ dy ⊙ x̂ = (dy ⊙ x̂) scale.
    mean, projection = (shared.row_sums(one, scale) / x.shape[-1] for one in (dy, product))
    dx = residual.moments.rstd * (dstandard - mean - standard * projection)  # (4)
    return dx.astype(x.dtype), dscale, dbias
