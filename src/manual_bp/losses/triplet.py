"""The triplet loss: an anchor nearer to its positive than to its negative.

Shapes   anchor a, positive p, negative n: (*batch, n)   d, ℓ: (*batch,)
Forward  d_p = ‖a − p‖,   d_n = ‖a − n‖,   m = d_p − d_n + margin,   ℓ = max(0, m)
Derive   With e = a − p and f = a − n, ∂d_p/∂a = e/d_p, ∂d_p/∂p = −e/d_p, ∂d_n/∂a = f/d_n and
         ∂d_n/∂n = −f/d_n. With h = 1 where m > 0 and 0 elsewhere:
  (1) u = (dℓ h/d_p) e,   w = (dℓ h/d_n) f
  (2) da = u − w,   dp = −u,   dn = w
Saved    e, f, h/d_p, h/d_n; in float32 for half precision, where it is computed so and rounded
         once.
Kinks    m = 0, where any h in [0, 1] is right: 0 is chosen, as a triplet at the margin counts as
         kept apart. At a distance of 0 its direction is 0, the middle of the subgradients.
Extremes d is right from 1e-14 to 1.8e19 in float32 and half precision and from 1e-144 to 1.3e154 in
         float64. Beyond it is ∞: a negative there costs 0 and gets 0; with a positive there the
         loss is ∞ and all of its gradient NaN, as its direction is not known. Far below d is 0.
Source   Schroff, Kalenichenko & Philbin 2015, arXiv:1503.03832, with the distance of Balntas et al.
         2016, "Learning local feature descriptors with triplets", in place of its square
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.losses import distance
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "triplet"


@op.residual
class Residual:
    """From positive and negative to the anchor, and 1 over their lengths, 0 beyond the margin."""

    e: Float[Array, "*batch n"]
    f: Float[Array, "*batch n"]
    over_near: Float[Array, "*batch"]
    over_far: Float[Array, "*batch"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def forward(
    anchor: Float[Array, "*batch n"],
    positive: Float[Array, "*batch n"],
    negative: Float[Array, "*batch n"],
    *,
    margin: float = 1.0,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return max(0, ‖a − p‖ − ‖a − n‖ + margin), reduced over the batch, and the residual.

    Args:
      anchor: (*batch, n).
      positive: what the anchor is to be near to, same shape and dtype.
      negative: what it is to be far from, same shape and dtype.
      margin: by how much, positive.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, `margin` is not positive, or `reduction` is unknown or a mean
        over no samples.
    """
    anchor, positive, negative = op.floating(
        NAME, anchor=anchor, positive=positive, negative=negative
    )
    margin = setting.expect_positive(NAME, "margin", margin)
    reductions.expect_pair(NAME, "anchor", "positive", anchor, positive, reduction)
    op.expect_shape(NAME, "negative", negative, anchor.shape, "of anchor")
    near, e = distance.between(anchor, positive)
    far, f = distance.between(anchor, negative)
    missing = near - far + margin
    losses = jnp.maximum(missing, 0)
    held = jnp.where(jnp.isfinite(losses), jnp.sign(losses), jnp.nan)
    loss = reductions.reduce(losses, reduction, anchor.dtype)
    over_near, over_far = (held * distance.inverse(d) for d in (near, far))
    return loss, Residual(e, f, over_near, over_far, anchor.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return (danchor, dpositive, dnegative)."""
    e, f, dtype = residual.e, residual.f, residual.dtype
    batch = e.shape[:-1]
    dl = reductions.per_sample(NAME, dy, residual.reduction, batch, dtype).reshape(batch)
    u, w = (
        distance.along(dl * over, of)
        for over, of in ((residual.over_near, e), (residual.over_far, f))
    )  # (1)
    danchor, dpositive, dnegative = u - w, -u, w  # (2)
    return danchor.astype(dtype), dpositive.astype(dtype), dnegative.astype(dtype)
