"""The affine map of the textbooks' column form: a sample is a column.

Shapes   x: (n, *batch)   W: (m, n)   b: (m,) or None   u, δ: (m, *batch)
Forward  u = W x + b,   uⱼᵢ = Σₖ Wⱼₖ xₖᵢ + bⱼ        a row of W holds the weights of one neuron
Derive   With δ = ∂L/∂u, summing over every path from an entry to L:
           ∂L/∂xₖᵢ = Σⱼ Wⱼₖ δⱼᵢ,   ∂L/∂Wⱼₖ = Σᵢ δⱼᵢ xₖᵢ,   ∂L/∂bⱼ = Σᵢ δⱼᵢ
  (1) dx = Wᵀ δ
  (2) dW = δ xᵀ
  (3) db = Σ_batch δ
Saved    x, W.      Kinks   none.      Half precision accumulates in float32.
Source   Rumelhart, Hinton & Williams 1986
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


@op.residual
class Residual:
    """The input and the weights."""

    x: Float[Array, " n *batch"]
    W: Float[Array, "m n"]
    biased: bool = op.static()


def forward(
    x: Float[Array, " n *batch"], W: Float[Array, "m n"], b: Float[Array, " m"] | None = None
) -> tuple[Float[Array, " m *batch"], Residual]:
    """Return u = W x + b and the residual.

    Args:
      x: inputs, (n, *batch): one column a sample.
      W: weights, (m, n), of the dtype of `x`.
      b: biases, (m,), or None for none.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit.
    """
    x, W = op.floating("linear_column", x=x, W=W)
    op.expect_rank("linear_column", "x", x, 1, None)
    op.expect_shape("linear_column", "W", W, (None, x.shape[0]), f"for x of shape {x.shape}")
    u = jnp.tensordot(W, x, 1, preferred_element_type=op.wide_dtype(x.dtype))
    if b is not None:
        _, b = op.floating("linear_column", x=x, b=b)
        op.expect_shape("linear_column", "b", b, W.shape[:1], f"for W of shape {W.shape}")
        u = u + jnp.broadcast_to(op.wide(b).reshape(-1, *(1,) * (u.ndim - 1)), u.shape)
    return u.astype(x.dtype), Residual(x, W, b is not None)


def backward(
    residual: Residual, dy: Float[Array, " m *batch"]
) -> tuple[Float[Array, " n *batch"], Float[Array, "m n"], Float[Array, " m"] | None]:
    """Return (dx, dW, db); db is None where there was no bias."""
    x, W = residual.x, residual.W
    m, n = W.shape
    dy = op.expect_cotangent("linear_column", dy, (m, *x.shape[1:]), x.dtype)
    samples = math.prod(x.shape[1:])
    columns, delta = x.reshape(n, samples), dy.reshape(m, samples)
    # JAX accumulates the sums of half precision in float32 and rounds each once.
    dx = jnp.tensordot(W.T, dy, 1)  # (1)
    dW = jnp.matmul(delta, columns.T)  # (2)
    db = delta.sum(1) if residual.biased else None  # (3)
    return dx, dW, db
