"""The bilinear map of two inputs, and a bias.

Shapes   x: (*batch, n)   z: (*batch, k)   W: (m, n, k)   b: (m,) or None   y, δ: (*batch, m)
Forward  yᵢₒ = xᵢᵀ Wₒ zᵢ + bₒ                                           i runs over the batch
  (1) Aᵢₒₚ = Σᵣ Wₒₚᵣ zᵢᵣ
  (2) yᵢₒ = Σₚ Aᵢₒₚ xᵢₚ + bₒ
Derive   With δ = ∂L/∂y, y being linear in each argument alone, A again, and Q the outer product of
         δ and x, which two gradients share:
  (3) ∂L/∂xᵢₚ = Σₒ δᵢₒ Aᵢₒₚ
  (4) Qᵢₒₚ = δᵢₒ xᵢₚ = ∂L/∂Aᵢₒₚ
  (5) ∂L/∂zᵢᵣ = Σₒ Σₚ Qᵢₒₚ Wₒₚᵣ
  (6) ∂L/∂Wₒₚᵣ = Σᵢ Qᵢₒₚ zᵢᵣ
  (7) ∂L/∂bₒ = Σᵢ δᵢₒ
Saved    x, z, W; in one program XLA forms A once.      Kinks   none.
Extremes Half precision is computed in float32 and rounded once.
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
    y = jnp.einsum("...op,...p->...o", _contracted(op.wide(W), op.wide(z)), op.wide(x))  # (2)
    if b is not None:
        _, b = op.floating(NAME, x=x, b=b)
        op.expect_shape(NAME, "b", b, W.shape[:1], f"for W of shape {W.shape}")
        y = y + jnp.broadcast_to(op.wide(b), y.shape)
    return y.astype(x.dtype), Residual(x, z, W, b is not None)


def _contracted(
    W: Float[Array, "m n k"], z: Float[Array, "*batch k"]
) -> Float[Array, "*batch m n"]:
    """Return W z of each sample."""
    m, n, k = W.shape
    return (z @ W.reshape(m * n, k).T).reshape(*z.shape[:-1], m, n)  # (1)


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
    dx = jnp.einsum("io,iop->ip", delta, _contracted(W, rows_z))  # (1), (3)
    Q = delta[:, :, None] * rows_x[:, None]  # (4)
    dz = Q.reshape(samples, m * n) @ W.reshape(m * n, k)  # (5)
    # Formed with the samples last, as XLA's CPU code takes a product of Qᵀ half as fast.
    turned = delta.T[:, None] * rows_x.T[None]  # (4)
    dW = (turned.reshape(m * n, samples) @ rows_z).reshape(W.shape)  # (6)
    db = delta.sum(0).astype(dtype) if residual.biased else None  # (7)
    return (
        dx.reshape(x.shape).astype(dtype),
        dz.reshape(z.shape).astype(dtype),
        dW.astype(dtype),
        db,
    )
