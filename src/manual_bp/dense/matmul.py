"""The product of matrices, one for each entry of the batch.

Shapes   a: (*A, n, k)   b: (*B, k, m)   y, dy: (*batch, n, m), batch being A and B
         broadcast by NumPy's rules: new leading axes, and axes of size 1, repeat
Forward  yᵢⱼ = Σₗ aᵢₗ bₗⱼ                                            for each entry of the batch
Derive   ∂L/∂aᵢₗ = Σⱼ dyᵢⱼ ∂yᵢⱼ/∂aᵢₗ = Σⱼ dyᵢⱼ bₗⱼ,   ∂L/∂bₗⱼ = Σᵢ dyᵢⱼ ∂yᵢⱼ/∂bₗⱼ = Σᵢ aᵢₗ dyᵢⱼ
         and a matrix that is used for several entries of the batch sums over them:
  (1) da = Σ dy bᵀ                                             Σ over the axes along which a repeats
  (2) db = Σ aᵀ dy                                             Σ over the axes along which b repeats
         Each is one contraction, so that no product is formed for every entry only to be summed.
Saved    a, b.      Kinks   none.      Half precision accumulates in float32.
Source   the transposes of `linear`'s; Giles 2008, "Collected matrix derivative results"
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op

NAME = "matmul"


@op.residual
class Residual:
    """Both factors and the shape of the batch."""

    a: Float[Array, "*A n k"]
    b: Float[Array, "*B k m"]
    batch: tuple[int, ...] = op.static()


def _batch(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the batch.

    Raises:
      ValueError: the two do not broadcast.
    """
    try:
        return tuple(jnp.broadcast_shapes(a, b))
    except ValueError:
        expected = f"batch axes that broadcast with {a}"
        raise ValueError(op.complaint(NAME, "b", expected, b)) from None


def _used(x: Float[Array, "*X i j"], batch: tuple[int, ...]) -> tuple[Array, list[int]]:
    """Return x without the axes along which it repeats, and the numbers of those it has."""
    new = len(batch) - (x.ndim - 2)
    own = [i for i, n in enumerate(x.shape[:-2], new) if n == batch[i]]
    return x.reshape(*(batch[i] for i in own), *x.shape[-2:]), own


def forward(
    a: Float[Array, "*A n k"], b: Float[Array, "*B k m"]
) -> tuple[Float[Array, "*batch n m"], Residual]:
    """Return a b and the residual.

    Args:
      a: matrices, (*A, n, k).
      b: matrices, (*B, k, m), of the dtype of `a`; A and B broadcast.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit.
    """
    a, b = op.floating(NAME, a=a, b=b)
    op.expect_rank(NAME, "a", a, 2, None)
    op.expect_rank(NAME, "b", b, 2, None)
    if b.shape[-2] != a.shape[-1]:
        expected = f"{a.shape[-1]} rows for a of shape {a.shape}"
        raise ValueError(op.complaint(NAME, "b", expected, f"shape {b.shape}"))
    batch = _batch(a.shape[:-2], b.shape[:-2])
    whole = tuple(range(len(batch)))
    n, k, m = range(len(batch), len(batch) + 3)
    (a_used, of_a), (b_used, of_b) = _used(a, batch), _used(b, batch)
    wide = op.wide_dtype(a.dtype)
    y = jnp.einsum(
        a_used, [*of_a, n, k], b_used, [*of_b, k, m], [*whole, n, m], preferred_element_type=wide
    )
    return y.astype(a.dtype), Residual(a, b, batch)


def backward(
    residual: Residual, dy: Float[Array, "*batch n m"]
) -> tuple[Float[Array, "*A n k"], Float[Array, "*B k m"]]:
    """Return (da, db)."""
    a, b, batch = residual.a, residual.b, residual.batch
    dy = op.expect_cotangent(NAME, dy, (*batch, a.shape[-2], b.shape[-1]), a.dtype)
    whole = tuple(range(len(batch)))
    n, k, m = range(len(batch), len(batch) + 3)
    (a_used, of_a), (b_used, of_b) = _used(a, batch), _used(b, batch)
    of_dy = [*whole, n, m]
    # JAX accumulates the sums of half precision in float32 and rounds each once.
    da = jnp.einsum(dy, of_dy, b_used, [*of_b, k, m], [*of_a, n, k])  # (1)
    db = jnp.einsum(a_used, [*of_a, n, k], dy, of_dy, [*of_b, k, m])  # (2)
    return da.reshape(a.shape), db.reshape(b.shape)
