"""The contrastive loss of pairs: near if alike, at least a margin apart if not.

Shapes   first a, second b: (*batch, n)   alike t: (*batch,)   d, ℓ: (*batch,)
Forward  e = a − b,   d = ‖e‖,   h = max(0, m − d),   ℓ = ½ t d² + ½ (1−t) h²
         m being the margin
Derive   ∂d/∂a = e/d and ∂d/∂b = −e/d; ∂h/∂d = −1 where h > 0, so ∂ℓ/∂d = t d − (1−t) h:
  (1) da = dℓ [t − (1−t) h/d] e,   db = −da
  (2) dt = dℓ [½ d² − ½ h²]
Saved    t, d, e; d and e in float32 for half precision, where it is computed so and rounded once.
Kinks    d = 0 with t < 1, where two that should be apart coincide: da = 0, the middle of the
         subgradients, and so they stay. At d = m both slopes are 0.
Alike    1 for a pair that belongs together, 0 for one that does not; Hadsell et al. have it the
         other way round. The formula holds for every real t, and so do (1) and (2).
Extremes d is right from 1e-14 to 1.8e19 in float32 and half precision and from 1e-144 to 1.3e154 in
         float64. Beyond it is ∞: what is kept apart costs 0 and gets 0. Far below it is 0.
Source   Hadsell, Chopra & LeCun 2006, "Dimensionality reduction by learning an invariant mapping"
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.losses import distance
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "contrastive"


@op.residual
class Residual:
    """Which pairs are alike, their distance and their difference."""

    alike: Float[Array, "*batch"]
    d: Float[Array, "*batch"]
    e: Float[Array, "*batch n"]
    margin: float = op.static()
    reduction: Reduction = op.static()


def _parts(alike: jax.Array, d: jax.Array, margin: float) -> tuple[jax.Array, jax.Array]:
    """Return t and h in the dtype of sums."""
    return op.wide(alike), jnp.maximum(margin - d, 0)


def forward(
    first: Float[Array, "*batch n"],
    second: Float[Array, "*batch n"],
    alike: Float[Array, "*batch"],
    *,
    margin: float = 1.0,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the contrastive loss per pair, reduced over the batch, and the residual.

    Args:
      first: (*batch, n).
      second: same shape and dtype.
      alike: 1 for pairs that belong together and 0 for others, (*batch,), of the same dtype.
      margin: the distance from which on pairs that are not alike do not count, positive.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit, `margin` is not positive, or `reduction` is unknown or a
        mean over no samples.
    """
    first, second, alike = op.floating(NAME, first=first, second=second, alike=alike)
    margin = setting.expect_positive(NAME, "margin", margin)
    reductions.expect_pair(NAME, "first", "second", first, second, reduction)
    op.expect_shape(NAME, "alike", alike, first.shape[:-1], f"for first of shape {first.shape}")
    d, e = distance.between(first, second)
    t, h = _parts(alike, d, margin)
    # No more than 0 · ∞ is chosen away, so that whoever differentiates this finds dt at t = 0.
    near = jnp.where((t == 0) & jnp.isinf(d**2), 0, t * d**2 / 2)
    losses = near + (1 - t) * h**2 / 2
    loss = reductions.reduce(losses, reduction, first.dtype)
    return loss, Residual(alike, d, e, margin, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"], Float[Array, "*batch"]]:
    """Return (dfirst, dsecond, dalike)."""
    alike, d = residual.alike, residual.d
    batch = alike.shape
    dl = reductions.per_sample(NAME, dy, residual.reduction, batch, alike.dtype).reshape(batch)
    t, h = _parts(alike, d, residual.margin)
    slope = dl * (t - (1 - t) * h * distance.inverse(d))  # (1)
    dfirst = distance.along(slope, residual.e).astype(alike.dtype)  # (1)
    dalike = dl * (d**2 - h**2) / 2  # (2)
    return dfirst, -dfirst, dalike.astype(alike.dtype)
