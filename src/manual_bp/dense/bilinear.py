"""The bilinear map of two inputs, and a bias.

Shapes   x: (*batch, n)   z: (*batch, k)   W: (m, n, k)   b: (m,) or None   y, δ: (*batch, m)
Forward  yᵢₒ = xᵢᵀ Wₒ zᵢ + bₒ = Σₚ Σᵣ xᵢₚ Wₒₚᵣ zᵢᵣ + bₒ                  i runs over the batch
Derive   With δ = ∂L/∂y, y being linear in each argument alone:
           ∂L/∂xᵢₚ   = Σₒ δᵢₒ Σᵣ Wₒₚᵣ zᵢᵣ
           ∂L/∂zᵢᵣ  = Σₒ δᵢₒ Σₚ xᵢₚ Wₒₚᵣ
           ∂L/∂Wₒₚᵣ = Σᵢ δᵢₒ xᵢₚ zᵢᵣ
           ∂L/∂bₒ    = Σᵢ δᵢₒ
         The first two share the matrix δᵢ·W of each sample:
  (1) Mᵢ = Σₒ δᵢₒ Wₒ,   (n, k)
  (2) dx = M z
  (3) dz = Mᵀ x
  (4) dWₒ = Σᵢ δᵢₒ xᵢ zᵢᵀ
  (5) db = Σ_batch δ
Saved    x, z, W.      Kinks   none.      Half precision is computed in float32 and rounded once.
Source   Tenenbaum & Freeman 2000, "Separating style and content with bilinear models"
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op

NAME = "bilinear"


@op.residual
class Residual:
    """Both inputs and the weights."""

    x: Float[Array, "*batch n"]
    z: Float[Array, "*batch k"]
    W: Float[Array, "m n k"]
    biased: bool = op.static()


def forward(
    x: Float[Array, "*batch n"],
    z: Float[Array, "*batch k"],
    W: Float[Array, "m n k"],
    b: Float[Array, " m"] | None = None,
) -> tuple[Float[Array, "*batch m"], Residual]:
    """Return yₒ = xᵀ Wₒ z + bₒ and the residual.

    Args:
      x: inputs, (*batch, n).
      z: inputs, (*batch, k), of the dtype of `x`.
      W: weights, (m, n, k), of the dtype of `x`.
      b: biases, (m,), or None for none.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit.
    """
    x, z, W = op.floating(NAME, x=x, z=z, W=W)
    op.expect_rank(NAME, "x", x, 1, None)
    op.expect_shape(NAME, "z", z, (*x.shape[:-1], None), f"for x of shape {x.shape}")
    why = f"for x of shape {x.shape} and z of shape {z.shape}"
    op.expect_shape(NAME, "W", W, (None, x.shape[-1], z.shape[-1]), why)
    xW = jnp.tensordot(op.wide(x), op.wide(W), ((-1,), (1,)))
    y = jnp.einsum("...ok,...k->...o", xW, op.wide(z))
    if b is not None:
        _, b = op.floating(NAME, x=x, b=b)
        op.expect_shape(NAME, "b", b, W.shape[:1], f"for W of shape {W.shape}")
        y = y + jnp.broadcast_to(op.wide(b), y.shape)
    return y.astype(x.dtype), Residual(x, z, W, b is not None)


def backward(
    residual: Residual, dy: Float[Array, "*batch m"]
) -> tuple[
    Float[Array, "*batch n"],
    Float[Array, "*batch k"],
    Float[Array, "m n k"],
    Float[Array, " m"] | None,
]:
    """Return (dx, dz, dW, db); db is None where there was no bias."""
    x, z, W = op.wide(residual.x), op.wide(residual.z), op.wide(residual.W)
    (m, n, k), dtype = W.shape, residual.x.dtype
    dy = op.expect_cotangent(NAME, dy, (*x.shape[:-1], m), dtype)
    samples = math.prod(x.shape[:-1])
    delta = op.wide(dy).reshape(samples, m)
    rows_x, rows_z = x.reshape(samples, n), z.reshape(samples, k)
    M = jnp.tensordot(delta, W, 1)  # (1)
    dx = jnp.einsum("inq,iq->in", M, rows_z)  # (2)
    dz = jnp.einsum("inq,in->iq", M, rows_x)  # (3)
    outer = jnp.einsum("io,in->oni", delta, rows_x)
    dW = jnp.tensordot(outer, rows_z, 1)  # (4)
    db = delta.sum(0).astype(dtype) if residual.biased else None  # (5)
    return (
        dx.reshape(x.shape).astype(dtype),
        dz.reshape(z.shape).astype(dtype),
        dW.astype(dtype),
        db,
    )
