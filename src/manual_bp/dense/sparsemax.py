"""Sparsemax over one axis: the point of the probability simplex that is nearest to u.

Shapes   u, y, dy, du: (*batch, n), n being the size of `axis`
Forward  y minimises ½ ‖y − u‖² under y ≥ 0 and Σ y = 1. With a multiplier τ for the sum, where
         yⱼ > 0 the slope yⱼ − uⱼ + τ is 0, and elsewhere it is not below 0: yⱼ = max(uⱼ − τ, 0).
         With S the support, the k entries above 0, Σ y = 1 is τ = (Σ_S u − 1)/k. S holds the
         largest entries: of u₍₁₎ ≥ u₍₂₎ ≥ … the r-th is in it where it is above the τ that the
         first r would have, that is where 1 + r u₍ᵣ₎ > u₍₁₎ + … + u₍ᵣ₎.
Derive   Near u the support stays, so ∂τ/∂uᵢ = 1/k for i in S, 0 elsewhere, and ∂yⱼ/∂uᵢ =
         1[i=j] − 1/k where both are in S, 0 elsewhere. With s = 1 on S and 0 outside,
           duᵢ = Σⱼ dyⱼ ∂yⱼ/∂uᵢ = sᵢ (dyᵢ − Σⱼ sⱼ dyⱼ/k)
  (1) du = s ⊙ (dy − ⟨s, dy⟩/k),   k = Σ s                     ⟨·,·⟩ = sum over n
Saved    s, one byte an element.
Kinks    where uⱼ = τ and an entry is about to enter the support: it is outside, as y = 0 says, and
         gets 0.
Extremes y does not change under a shift of u; of u − max u no entry of the support is below −1, and
         u = ±1e4 is right. Half precision is computed in float32 and rounded once.
Source   Martins & Astudillo 2016, arXiv:1602.02068
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from manual_bp import op

NAME = "sparsemax"


@op.residual
class Residual:
    """The support, the dtype of u and the axis."""

    support: Bool[Array, "*shape"]
    dtype: Any = op.static()
    axis: int = op.static()


def _threshold(c: Float[Array, "*shape"], axis: int) -> Float[Array, "*reduced"]:
    """Return τ, the axis being of size 1."""
    ordered = jnp.flip(jnp.sort(c, axis), axis)
    r = jax.lax.broadcasted_iota(c.dtype, c.shape, axis % c.ndim) + 1
    inside = 1 + r * ordered > jnp.cumsum(ordered, axis)
    k = inside.sum(axis, keepdims=True).astype(c.dtype)
    return (jnp.where(inside, ordered, 0).sum(axis, keepdims=True) - 1) / k


def forward(
    u: Float[Array, "*shape"], *, axis: int = -1
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the sparsemax of `u` over `axis`, of its shape and dtype, and the residual.

    Raises:
      TypeError: `u` is not floating.
      ValueError: `u` has rank 0, or no such axis.
    """
    (u,) = op.floating(NAME, u=u)
    op.expect_axis(NAME, u, axis)
    u_wide = op.wide(u)
    c = u_wide - u_wide.max(axis, keepdims=True, initial=-jnp.inf)
    y = jnp.maximum(c - _threshold(c, axis), 0)
    return y.astype(u.dtype), Residual(y > 0, u.dtype, axis)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (du,)."""
    s, axis = residual.support, residual.axis
    dy = op.wide(op.expect_cotangent(NAME, dy, s.shape, residual.dtype))
    k = s.sum(axis, keepdims=True).astype(dy.dtype)
    mean = jnp.where(s, dy, 0).sum(axis, keepdims=True) / k
    return (jnp.where(s, dy - mean, 0).astype(residual.dtype),)  # (1)
