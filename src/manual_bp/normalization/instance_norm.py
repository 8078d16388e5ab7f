"""Instance normalisation: over all places, for each channel of each sample alone.

Shapes   x, y, x̂: (b, *spatial, c)   scale, bias: (c,) or None   r: (b, 1…, c)
Forward  x̂ = r (x − ⟨x⟩),  r = (⟨(x − ⟨x⟩)²⟩ + ε)^(−1/2),  y = x̂ ⊙ scale + bias
                                                       ⟨·⟩ = mean over the N places of a channel
Derive   With u = x − ⟨x⟩ and dx̂ = dy ⊙ scale, within one channel of one sample:
           duᵢ = r dx̂ᵢ + (−½ r³ · 2uᵢ/N) Σⱼ dx̂ⱼ uⱼ = r (dx̂ᵢ − x̂ᵢ ⟨dx̂ ⊙ x̂⟩),
           dx = du − ⟨du⟩, where ⟨x̂⟩ = 0; and the scale is the same in all of a channel, so that it
           comes out of both means.
  (1) dbias  = Σ_b Σ_spatial dy
  (2) dscale = Σ_b Σ_spatial dy ⊙ x̂
  (3) dx     = scale ⊙ r (dy − ⟨dy⟩ − x̂ ⟨dy ⊙ x̂⟩)
         The sums over the places, of dy and of dy ⊙ x̂, serve all three.
Saved    x, the mean in two parts, r, scale; x̂ is had from them again.      Kinks   none.
Extremes Finite where a channel is constant, as with a single place: y is the bias, and dx = 0 for a
         single place. With 2 places, (3) cancels but for a term of order ε. Half precision is
         computed in float32. How far deviations may go before their squares overflow stands in
         `standardise`.
Source   Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022
"""

import math

from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.normalization import standardise as shared

NAME = "instance_norm"


@op.residual
class Residual:
    """The input, the moments of its channels and the scale."""

    x: Float[Array, "b *spatial c"]
    moments: shared.Moments
    scale: Float[Array, " c"] | None
    biased: bool = op.static()


def forward(
    x: Float[Array, "b *spatial c"],
    scale: Float[Array, " c"] | None = None,
    bias: Float[Array, " c"] | None = None,
    *,
    epsilon: float = 1e-5,
) -> tuple[Float[Array, "b *spatial c"], Residual]:
    """Return y = x̂ ⊙ scale + bias, of the shape and dtype of `x`, and the residual.

    Args:
      x: (b, *spatial, c), with at least one spatial axis.
      scale: (c,), of the dtype of `x`, or None for 1.
      bias: (c,), of the dtype of `x`, or None for 0.
      epsilon: ε > 0, added to the variance.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit, or `epsilon` is not positive.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 3, None)
    scale, bias = shared.features(NAME, x, scale=scale, bias=bias)
    epsilon = setting.expect_epsilon(NAME, epsilon, x.dtype)
    moments = shared.moments(op.wide(x), range(1, x.ndim - 1), epsilon)
    y = shared.affine(shared.standardise(x, moments), scale, bias)
    return y.astype(x.dtype), Residual(x, moments, scale, bias is not None)


def backward(
    residual: Residual, dy: Float[Array, "b *spatial c"]
) -> tuple[Float[Array, "b *spatial c"], Float[Array, " c"] | None, Float[Array, " c"] | None]:
    """Return (dx, dscale, dbias); None for a scale or bias that was None."""
    x, scale, moments = residual.x, residual.scale, residual.moments
    dy = op.wide(op.expect_cotangent(NAME, dy, x.shape, x.dtype))
    standard = shared.standardise(x, moments)
    places, samples = tuple(range(1, x.ndim - 1)), tuple(range(x.ndim - 1))
    number = math.prod(x.shape[1:-1])
    total = dy.sum(places, keepdims=True)
    product = (dy * standard).sum(places, keepdims=True)
    dbias = total.sum(samples).astype(x.dtype) if residual.biased else None  # (1)
    dscale = None if scale is None else product.sum(samples).astype(x.dtype)  # (2)
    dx = moments.rstd * (dy - total / number - standard * (product / number))  # (3)
    dx = dx if scale is None else dx * shared.over(scale, dx)
    return dx.astype(x.dtype), dscale, dbias
