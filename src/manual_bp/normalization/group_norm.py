"""Group normalisation: over all places and the channels of a group, for each sample alone.

Shapes   x, y, x̂: (b, *spatial, c)   scale, bias: (c,) or None   r: (b, 1…, groups, 1)
Forward  The channels are cut into groups of c/groups neighbours. With ⟨·⟩ the mean over the places
         and the channels of one group of one sample, of N entries,
           x̂ = r (x − ⟨x⟩),  r = (⟨(x − ⟨x⟩)²⟩ + ε)^(−1/2),  y = x̂ ⊙ scale + bias
Derive   With u = x − ⟨x⟩ and dx̂ = dy ⊙ scale, within one group of one sample:
           duᵢ = r dx̂ᵢ + (−½ r³ · 2uᵢ/N) Σⱼ dx̂ⱼ uⱼ = r (dx̂ᵢ − x̂ᵢ ⟨dx̂ ⊙ x̂⟩),
           dx = du − ⟨du⟩, where ⟨x̂⟩ = 0. Scale and bias act at every place of every sample.
  (1) dbias  = Σ_(b, spatial) dy
  (2) dscale = Σ_(b, spatial) dy ⊙ x̂
  (3) dx̂     = dy ⊙ scale
  (4) dx     = r (dx̂ − ⟨dx̂⟩ − x̂ ⟨dx̂ ⊙ x̂⟩)
         The scale differs within a group, so that ⟨dx̂⟩ is not had from (1).
Saved    x, the mean in two parts, r, scale; x̂ is had from them again.      Kinks   none.
Extremes Finite where a group is constant: y is the bias and r = ε^(−1/2). With groups of 2 entries,
         (4) cancels but for a term of order ε. Half precision is computed in float32.
Source   Wu & He 2018, arXiv:1803.08494
"""

from collections.abc import Sequence

import jax
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.normalization import standardise as shared

NAME = "group_norm"


@op.residual
class Residual:
    """The input, the moments of its groups and the scale."""

    x: Float[Array, "b *spatial c"]
    moments: shared.Moments
    scale: Float[Array, " c"] | None
    biased: bool = op.static()
    groups: int = op.static()


def _grouped(x: jax.Array, groups: int) -> tuple[jax.Array, Sequence[int]]:
    """Return x as (b, *spatial, groups, c/groups) and the axes of one group of one sample."""
    axes = (*range(1, x.ndim - 1), x.ndim)
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), axes


def forward(
    x: Float[Array, "b *spatial c"],
    scale: Float[Array, " c"] | None = None,
    bias: Float[Array, " c"] | None = None,
    *,
    groups: int,
    epsilon: float = 1e-5,
) -> tuple[Float[Array, "b *spatial c"], Residual]:
    """Return y = x̂ ⊙ scale + bias, of the shape and dtype of `x`, and the residual.

    Args:
      x: (b, *spatial, c).
      scale: (c,), of the dtype of `x`, or None for 1.
      bias: (c,), of the dtype of `x`, or None for 0.
      groups: number of groups, a divisor of c. One group is a layer norm over all of a sample, c
        groups are an instance norm.
      epsilon: ε > 0, added to the variance.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit, `groups` does not divide c, or `epsilon` is not positive.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 2, None)
    scale, bias = shared.features(NAME, x, scale=scale, bias=bias)
    if groups < 1 or x.shape[-1] % groups:
        expected = f"a divisor of {x.shape[-1]}, the number of channels"
        raise ValueError(op.complaint(NAME, "groups", expected, groups))
    shared.expect_epsilon(NAME, epsilon)
    grouped, axes = _grouped(op.wide(x), groups)
    moments = shared.moments(grouped, axes, epsilon)
    standard = shared.standardise(grouped, moments).reshape(x.shape)
    y = shared.affine(standard, scale, bias)
    return y.astype(x.dtype), Residual(x, moments, scale, bias is not None, groups)


def backward(
    residual: Residual, dy: Float[Array, "b *spatial c"]
) -> tuple[Float[Array, "b *spatial c"], Float[Array, " c"] | None, Float[Array, " c"] | None]:
    """Return (dx, dscale, dbias); None for a scale or bias that was None."""
    x, scale, samples = residual.x, residual.scale, tuple(range(residual.x.ndim - 1))
    dy = op.wide(op.expect_cotangent(NAME, dy, x.shape, x.dtype))
    grouped, axes = _grouped(x, residual.groups)
    standard = shared.standardise(grouped, residual.moments)
    dbias = dy.sum(samples).astype(x.dtype) if residual.biased else None  # (1)
    dscale, dstandard = None, dy
    if scale is not None:
        dscale = (dy * standard.reshape(x.shape)).sum(samples).astype(x.dtype)  # (2)
        dstandard = dy * shared.over(scale, dy)  # (3)
    dstandard, _ = _grouped(dstandard, residual.groups)
    projection = standard * shared.mean(dstandard * standard, axes)
    dx = residual.moments.rstd * (dstandard - shared.mean(dstandard, axes) - projection)  # (4)
    return dx.reshape(x.shape).astype(x.dtype), dscale, dbias
