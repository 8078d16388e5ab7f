"""The rectifier whose slope below 0 is learned.

Shapes   u, y, dy, du: (*batch, n)   α, dα: (n,), one for each channel; or () with u of any shape
Forward  yᵢⱼ = uᵢⱼ where uᵢⱼ ≥ 0, αⱼ uᵢⱼ where uᵢⱼ < 0                i runs over the batch
Derive   ∂yᵢⱼ/∂uᵢⱼ = 1 above 0, αⱼ below;   ∂yᵢⱼ/∂αⱼ = 0 above, uᵢⱼ below, that is min(uᵢⱼ, 0):
  (1) du = dy where u ≥ 0, dy ⊙ α where u < 0
  (2) dα = Σ dy ⊙ min(u, 0)               over the batch, and over n too where α is one number
         With min(u, 0) as ½ (u − |u|) XLA's CPU code takes the sum without writing out its terms.
Saved    u, α.
Kinks    u = 0: slope 1, that of the right, as of `leaky_relu`; PyTorch takes α there. dα has none.
Extremes Finite for u = ±1e4 wherever α u is; an infinite u makes dα NaN. Half precision is computed
         in float32, and dα is accumulated in it.
Source   He et al. 2015, "Delving deep into rectifiers", arXiv:1502.01852
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op

NAME = "prelu"


@op.residual
class Residual:
    """The input and the slope."""

    u: Float[Array, "*shape"]
    alpha: Float[Array, "*channels"]


def forward(
    u: Float[Array, "*shape"], alpha: Float[Array, "*channels"]
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return y, of the shape and dtype of `u`, and the residual.

    Args:
      u: pre-activations, (*batch, n); any shape for one α.
      alpha: the slope below 0, (n,) for one each channel of the last axis, or () for all.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: `alpha` is neither one number nor one each channel.
    """
    u, alpha = op.floating(NAME, u=u, alpha=alpha)
    if alpha.ndim:
        op.expect_rank(NAME, "u", u, 1, None)
        op.expect_shape(NAME, "alpha", alpha, u.shape[-1:], f"or () for u of shape {u.shape}")
    below = op.wide(u) * jnp.broadcast_to(op.wide(alpha), u.shape)
    return jnp.where(u < 0, below.astype(u.dtype), u), Residual(u, alpha)


def backward(
    residual: Residual, dy: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Float[Array, "*channels"]]:
    """Return (du, dalpha)."""
    u, alpha = residual.u, residual.alpha
    dy = op.expect_cotangent(NAME, dy, u.shape, u.dtype)
    below = op.wide(dy) * jnp.broadcast_to(op.wide(alpha), u.shape)
    du = jnp.where(u < 0, below.astype(u.dtype), dy)  # (1)
    summed = tuple(range(u.ndim - alpha.ndim))
    wide = op.wide(u)
    dalpha = (op.wide(dy) * (wide - jnp.abs(wide)) / 2).sum(summed)  # (2)
    return du, dalpha.astype(u.dtype)
