"""The affine map of row storage: a sample is a row.

Shapes   x: (*batch, n)   W: (n, m)   b: (m,) or None   u, δ: (*batch, m)
Forward  u = x W + b,   uᵢⱼ = Σₖ xᵢₖ Wₖⱼ + bⱼ        i runs over the batch
Derive   With δ = ∂L/∂u, summing over every path from an entry to L:
           ∂L/∂xᵢₖ = Σⱼ δᵢⱼ ∂uᵢⱼ/∂xᵢₖ = Σⱼ δᵢⱼ Wₖⱼ
           ∂L/∂Wₖⱼ = Σᵢ δᵢⱼ ∂uᵢⱼ/∂Wₖⱼ = Σᵢ xᵢₖ δᵢⱼ
           ∂L/∂bⱼ  = Σᵢ δᵢⱼ ∂uᵢⱼ/∂bⱼ  = Σᵢ δᵢⱼ
  (1) dx = δ Wᵀ
  (2) dW = xᵀ δ
  (3) db = Σ_batch δ
Saved    x, W.      Kinks   none.      Half precision accumulates in float32.
Source   Rumelhart, Hinton & Williams 1986; the transpose of `linear_column`
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.dense import products


@op.residual
class Residual:
    """The input and the weights."""

    x: Float[Array, "*batch n"]
    W: Float[Array, "n m"]
    biased: bool = op.static()


def forward(
    x: Float[Array, "*batch n"], W: Float[Array, "n m"], b: Float[Array, " m"] | None = None
) -> tuple[Float[Array, "*batch m"], Residual]:
    """Return u = x W + b and the residual.

    Args:
      x: inputs, (*batch, n).
      W: weights, (n, m), of the dtype of `x`.
      b: biases, (m,), or None for none.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit.
    """
    x, W = op.floating("linear", x=x, W=W)
    op.expect_rank("linear", "x", x, 1, None)
    op.expect_shape("linear", "W", W, (x.shape[-1], None), f"for x of shape {x.shape}")
    u = jnp.matmul(x, W, preferred_element_type=op.wide_dtype(x.dtype))
    if b is not None:
        _, b = op.floating("linear", x=x, b=b)
        op.expect_shape("linear", "b", b, W.shape[1:], f"for W of shape {W.shape}")
        u = u + jnp.broadcast_to(op.wide(b), u.shape)
    return u.astype(x.dtype), Residual(x, W, b is not None)


def backward(
    residual: Residual, dy: Float[Array, "*batch m"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "n m"], Float[Array, " m"] | None]:
    """Return (dx, dW, db); db is None where there was no bias."""
    x, W = residual.x, residual.W
    n, m = W.shape
    dy = op.expect_cotangent("linear", dy, (*x.shape[:-1], m), x.dtype)
    samples = math.prod(x.shape[:-1])
    rows, delta = x.reshape(samples, n), dy.reshape(samples, m)
    # JAX accumulates the sums of half precision in float32 and rounds each once.
    dx = jnp.matmul(dy, W.T)  # (1)
    dW = products.transposed_times(rows, delta)  # (2)
    db = delta.sum(0) if residual.biased else None  # (3)
    return dx, dW, db
