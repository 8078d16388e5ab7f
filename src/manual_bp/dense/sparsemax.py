"""Sparsemax over one axis: the point of the probability simplex that is nearest to u.

Shapes   u, y, dy, du: (*batch, n), n being the size of `axis`
Forward  y minimises ½ ‖y − u‖² under y ≥ 0 and Σ y = 1. With a multiplier τ for the sum, where
         yⱼ > 0 the slope yⱼ − uⱼ + τ is 0, and elsewhere it is not below 0: yⱼ = max(uⱼ − τ, 0).
         So τ is where g(τ) = Σⱼ max(uⱼ − τ, 0) − 1 is 0. g falls and is convex, with the slope −k
         of its k terms above 0: Newton's steps from where g ≥ 0 never go too far,
  (1) τ ← τ + g(τ)/k,
         and end in finitely many, as each leaves a support of fewer entries or is the last.
         One entry alone puts τ at max u − 1, and more of them no lower: there it starts.
         A τ far nearer to max u has a rounding error of where it started, and may have gone too
         far by it. So at the end one step goes either way, and as g is convex, to where g ≥ 0,
         and one more up.
Derive   Near u the support stays, so ∂τ/∂uᵢ = 1/k for i in S, 0 elsewhere, and ∂yⱼ/∂uᵢ =
         1[i=j] − 1/k where both are in S, 0 elsewhere. With s = 1 on S and 0 outside,
           duᵢ = Σⱼ dyⱼ ∂yⱼ/∂uᵢ = sᵢ (dyᵢ − Σⱼ sⱼ dyⱼ/k)
  (2) du = s ⊙ (dy − ⟨s, dy⟩/k),   k = Σ s                     ⟨·,·⟩ = sum over n
Saved    s, one byte an element, and k.
Kinks    where uⱼ = τ and an entry is about to enter the support: it is outside, as y = 0 says, and
         gets 0.
Extremes y does not change under a shift of u; of u − max u no entry of the support is below −1, and
         u = ±1e4 is right. Half precision is computed in float32 and rounded once.
Source   Martins & Astudillo 2016, arXiv:1602.02068; Michelot 1986, "A finite algorithm for finding
         the projection of a point onto the canonical simplex of ℝⁿ" (the steps)
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from manual_bp import op, setting

NAME = "sparsemax"


@op.residual
class Residual:
    """The support, its size, the dtype of u and the axis."""

    support: Bool[Array, "*shape"]
    size: Float[Array, "*reduced"]
    dtype: Any = op.static()
    axis: int = op.static()


def _threshold(
    u: Float[Array, "*shape"], m: Float[Array, "*reduced"], axis: int
) -> Float[Array, "*reduced"]:
    """Return τ of u less its maximum m, the axis being of size 1.

    u − m is formed in each step and for each sum anew, instead of once and written out.
    """

    def newton(u: jax.Array, tau: jax.Array) -> jax.Array:
        m_here, tau_here = op.again((m, tau))
        g = jnp.maximum(u - m_here - tau_here, 0).sum(axis, keepdims=True) - 1
        m_here, tau_here = op.again((m_here, tau))
        k = _above_0(jnp.maximum(u - m_here, tau_here) - tau_here).sum(axis, keepdims=True)
        return g / jnp.maximum(k, 1)

    def step(u: jax.Array, tau: jax.Array) -> jax.Array:
        return tau + jnp.maximum(newton(u, tau), 0)  # (1)

    def moves(taus: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(taus[1] > taus[0])

    # JAX cannot reverse the loop. Whoever differentiates this finds the slope of τ in one step from
    # it: ∂/∂u (τ + g/k) at a τ held fast is 1/k on the support.
    held = jax.lax.stop_gradient(u)
    start = jnp.full_like(m, -1)
    _, tau = jax.lax.while_loop(
        moves, lambda taus: (taus[1], step(held, taus[1])), (start, step(held, start))
    )
    return step(u, tau + newton(u, tau))


def _above_0(y: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return 1 where y, at most 1, is above 0, else 0.

    Without a comparison, which XLA would write out to sum it.
    """
    return jnp.ceil(y)


def forward(
    u: Float[Array, "*shape"], *, axis: int = -1
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the sparsemax of `u` over `axis`, of its shape and dtype, and the residual.

    Raises:
      TypeError: `u` is not floating.
      ValueError: `u` has rank 0, or no such axis.
    """
    (u,) = op.floating(NAME, u=u)
    axis = setting.expect_axis(NAME, u, axis)
    u_wide = op.wide(u)
    m = jax.lax.stop_gradient(u_wide).max(axis, keepdims=True, initial=-jnp.inf)
    y = jnp.maximum(u_wide - m - _threshold(u_wide, m, axis), 0)
    size = _above_0(y).sum(axis, keepdims=True)
    return y.astype(u.dtype), Residual(y > 0, size, u.dtype, axis)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (du,)."""
    s, axis = residual.support, residual.axis
    dy = op.wide(op.expect_cotangent(NAME, dy, s.shape, residual.dtype))
    owed = jnp.where(s, dy, 0)  # of which XLA forms du in place
    mean = owed.sum(axis, keepdims=True) / residual.size
    return (jnp.where(s, owed - mean, 0).astype(residual.dtype),)  # (2)
