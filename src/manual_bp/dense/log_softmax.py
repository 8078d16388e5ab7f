"""The logarithm of the softmax over one axis.

Shapes   u, y, dy, du: (*batch, n), n being the size of `axis`
Forward  c = u − max u,   yⱼ = cⱼ − ln Σₖ e^(cₖ)
Derive   ∂/∂uᵢ ln Σₖ e^(cₖ) = softmax(u)ᵢ = e^(yᵢ), so ∂yⱼ/∂uᵢ = 1[i=j] − e^(yᵢ) and
           duᵢ = Σⱼ dyⱼ (1[i=j] − e^(yᵢ)) = dyᵢ − e^(yᵢ) Σⱼ dyⱼ
  (1) du = dy − e^y ⊙ Σ dy                                        Σ over n
Saved    y.      Kinks   none.
Extremes Finite for u = ±1e4: y is then about −2e4, not −∞, and e^y is 0. Half precision is
         computed in float32 and rounded once.
Source   Bridle 1990; the log-sum-exp shift: Blanchard, Higham & Higham 2021, IMA J. Numer. Anal. 41
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


@op.residual
class Residual:
    """The output and the axis."""

    y: Float[Array, "*shape"]
    axis: int = op.static()


def log_normalise(u: Float[Array, "*shape"], axis: int) -> Float[Array, "*shape"]:
    """Return log-softmax(u) in the dtype of `u`, without checks: the value that losses share."""
    c = u - u.max(axis, keepdims=True, initial=-jnp.inf)
    return c - jnp.log(jnp.exp(c).sum(axis, keepdims=True))


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
    y = log_normalise(op.wide(u), axis).astype(u.dtype)
    return y, Residual(y, axis)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (du,)."""
    dy = op.expect_cotangent("log_softmax", dy, residual.y.shape, residual.y.dtype)
    y, dy_wide = op.wide(residual.y), op.wide(dy)
    du = dy_wide - jnp.exp(y) * dy_wide.sum(residual.axis, keepdims=True)  # (1)
    return (du.astype(dy.dtype),)
