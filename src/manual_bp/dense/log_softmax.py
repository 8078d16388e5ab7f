"""The logarithm of the softmax over one axis.

Shapes   u, y, dy, du: (*batch, n), n being the size of `axis`
Forward  c = u − max u,   yⱼ = cⱼ − ln Σₖ e^(cₖ). One maximum contributes exactly 1 to the sum, and
         with r the sum of all other terms y = c − log1p(r): every digit of a y near 0 is kept.
Derive   ∂/∂uᵢ ln Σₖ e^(cₖ) = softmax(u)ᵢ = e^(yᵢ), so ∂yⱼ/∂uᵢ = 1[i=j] − e^(yᵢ) and
           duᵢ = Σⱼ dyⱼ (1[i=j] − e^(yᵢ)) = dyᵢ − e^(yᵢ) Σⱼ dyⱼ
  (1) du = dy − e^y ⊙ Σ dy                                        Σ over n
Saved    y; for half precision e^y, which a rounded y does not give back to its last digit.
Kinks    none.
Extremes Finite for u = ±1e4: y is then about −2e4, not −∞, and e^y is 0. Half precision is
         computed in float32.
Source   Bridle 1990; the log-sum-exp shift: Blanchard, Higham & Higham 2021, IMA J. Numer. Anal. 41
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


@op.residual
class Residual:
    """The output, or in half precision its exponential, and the axis."""

    saved: Float[Array, "*shape"]
    axis: int = op.static()


def log_normalise(u: Float[Array, "*shape"], axis: int) -> Float[Array, "*shape"]:
    """Return log-softmax(u) in the dtype of `u`, without checks: the value that losses share."""
    c = u - u.max(axis, keepdims=True, initial=-jnp.inf)
    at_maximum = c == 0
    others = jnp.where(at_maximum, 0, jnp.exp(c)).sum(axis, keepdims=True)
    others = others + (at_maximum.sum(axis, keepdims=True) - 1).astype(u.dtype)
    return c - jnp.log1p(others)


def forward(
    u: Float[Array, "*shape"], *, axis: int = -1
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the log-softmax of `u` over `axis`, of its shape and dtype, and the residual.

    Raises:
      TypeError: `u` is not floating.
      ValueError: `u` has rank 0, or no such axis.
    """
    (u,) = op.floating("log_softmax", u=u)
    op.expect_axis("log_softmax", u, axis)
    y = log_normalise(op.wide(u), axis)
    saved = y if y.dtype == u.dtype else jnp.exp(y).astype(u.dtype)
    return y.astype(u.dtype), Residual(saved, axis)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (du,)."""
    saved = residual.saved
    dy = op.expect_cotangent("log_softmax", dy, saved.shape, saved.dtype)
    dy_wide = op.wide(dy)
    exp_y = jnp.exp(saved) if dy_wide.dtype == dy.dtype else op.wide(saved)
    du = dy_wide - exp_y * dy_wide.sum(residual.axis, keepdims=True)  # (1)
    return (du.astype(dy.dtype),)
