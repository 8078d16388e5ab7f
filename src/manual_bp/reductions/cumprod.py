"""The running product along one axis.

Shapes   x, y, dy, dx: (*shape)
Forward  yⱼ = Π_{i≤j} xᵢ                                                          along the axis
         By halves: the products of pairs pₖ = x₂ₖ x₂ₖ₊₁ have a running product r half as long, and
           y₂ₖ₊₁ = rₖ,   y₂ₖ = rₖ₋₁ x₂ₖ,   r₋₁ = 1
         so that the work grows with n and its depth with ln n. The last of an odd number is in no
         pair: it multiplies nothing that another entry depends on, and so may be ∞.
Derive   rₖ is y₂ₖ₊₁, and a factor of y₂ₖ₊₂; dp follows from p, r and dr by the same rule:
  (1) drₖ = dy₂ₖ₊₁ + dy₂ₖ₊₂ x₂ₖ₊₂
  (2) dx₂ₖ = dy₂ₖ rₖ₋₁ + dpₖ x₂ₖ₊₁,   dx₂ₖ₊₁ = dpₖ x₂ₖ
         Nothing is divided, so dx is exact at zeros too, where Σ dy y / x is not defined.
Saved    x, and y in the dtype of the products.      Kinks   none.
Extremes A partial product that overflows is ∞, and beside a zero NaN, in y as in dx. Half precision
         is computed in float32 and rounded once.
Source   Blelloch 1990, "Prefix sums and their applications", §1.4
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting

NAME = "cumprod"


@op.residual
class Residual:
    """The factors, their running product along the last axis, and the axis."""

    x: Float[Array, "*shape"]
    y: Float[Array, "*moved"]
    axis: int = op.static()


def forward(
    x: Float[Array, "*shape"], *, axis: int = -1
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the running product of x along `axis`, of its shape and dtype, and the residual.

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has rank 0, or no such axis.
    """
    (x,) = op.floating(NAME, x=x)
    axis = setting.expect_axis(NAME, x, axis)
    y = _running(jnp.moveaxis(op.wide(x), axis, -1))
    return jnp.moveaxis(y, -1, axis).astype(x.dtype), Residual(x, y, axis)


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the entries at even and at odd places; of an odd length there is one less of these."""
    return x[..., ::2], x[..., 1::2]


def _pairs(even: jax.Array, odd: jax.Array) -> jax.Array:
    return even[..., : odd.shape[-1]] * odd


def _filled(x: jax.Array, like: jax.Array) -> jax.Array:
    """Return x with a 0 behind it where it is one shorter."""
    missing = like.shape[-1] - x.shape[-1]
    return jnp.concatenate([x, jnp.zeros_like(like[..., :missing])], -1)


def _merged(even: jax.Array, odd: jax.Array) -> jax.Array:
    n = even.shape[-1]
    pairs = jnp.stack([even, _filled(odd, even)], -1).reshape(*even.shape[:-1], 2 * n)
    return pairs[..., : n + odd.shape[-1]]


def _before(r: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.concatenate([jnp.ones_like(like[..., :1]), r], -1)[..., : like.shape[-1]]


def _running(x: jax.Array) -> jax.Array:
    """Return y along the last axis."""
    if x.shape[-1] < 2:
        return x
    even, odd = _halves(x)
    r = _running(_pairs(even, odd))
    return _merged(_before(r, even) * even, r)


def _pulled(x: jax.Array, y: jax.Array, dy: jax.Array) -> jax.Array:
    """Return dx along the last axis."""
    if x.shape[-1] < 2:
        return dy
    even, odd = _halves(x)
    dy_even, dy_odd = _halves(dy)
    _, r = _halves(y)
    dr = dy_odd + _filled((dy_even * even)[..., 1:], odd)  # (1)
    dp = _pulled(_pairs(even, odd), r, dr)
    dx_even = dy_even * _before(r, even) + _filled(dp * odd, even)  # (2)
    return _merged(dx_even, _pairs(even, dp))  # (2)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    x, axis = residual.x, residual.axis
    dy = op.expect_cotangent(NAME, dy, x.shape, x.dtype)
    wide_x, wide_dy = (jnp.moveaxis(op.wide(one), axis, -1) for one in (x, dy))
    dx = _pulled(wide_x, residual.y, wide_dy)
    return (jnp.moveaxis(dx, -1, axis).astype(x.dtype),)
