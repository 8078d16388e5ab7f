"""Softmax over one axis.

Shapes   u, v, y, dy, du: (*batch, n), n being the size of `axis`
Forward  v = u/τ, with the temperature τ;   yⱼ = e^(vⱼ − max v) / Σₖ e^(vₖ − max v)
Derive   ∂yⱼ/∂vᵢ = yⱼ (1 − yⱼ) where i = j, −yⱼ yᵢ elsewhere, that is yⱼ (1[i=j] − yᵢ). The max is
         a shift, and y does not change under a shift of v, so it needs no derivative. Then
           dvᵢ = Σⱼ dyⱼ yⱼ (1[i=j] − yᵢ) = yᵢ dyᵢ − yᵢ Σⱼ dyⱼ yⱼ
  (1) dv = y ⊙ (dy − ⟨y, dy⟩)                                  ⟨·,·⟩ = sum over n
         which is O(n) and never forms the n×n Jacobian; `jacobian` exists for study.
         ⟨y, dy⟩ is a mean of dy, and where one y is near 1 it is near that dy: the difference is
         small, and the rounding of the mean, and of Σy = 1, is all that is left of it. So the mean
         is taken off twice: of c = dy − ⟨y, dy⟩ the mean is 0 but for that rounding, and
  (2)    dv = y ⊙ (c − ⟨y, c⟩)  is (1), right to the last digits.
  (3) du = dv/τ
Saved    y.      Kinks   none.
Extremes The shift by the max, before the division by τ, keeps e^v finite for u = ±1e4. Half
         precision is computed in float32 and rounded once.
Source   Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs";
         temperature: Hinton, Vinyals & Dean 2015, arXiv:1503.02531
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting


@op.residual
class Residual:
    """The output, the axis and the temperature."""

    y: Float[Array, "*shape"]
    axis: int = op.static()
    temperature: float = op.static()


def normalise(
    u: Float[Array, "*shape"], axis: int, temperature: float = 1.0
) -> Float[Array, "*shape"]:
    """Return softmax(u/τ) in the dtype of `u`, without checks: the value that losses share."""
    numerator = jnp.exp((u - u.max(axis, keepdims=True, initial=-jnp.inf)) / temperature)
    return numerator / numerator.sum(axis, keepdims=True)


def forward(
    u: Float[Array, "*shape"], *, axis: int = -1, temperature: float = 1.0
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return the softmax of u/τ over `axis`, of the shape and dtype of `u`, and the residual.

    Args:
      u: scores, any shape of rank 1 or more.
      axis: the axis over which y sums to 1.
      temperature: τ > 0; the larger, the more even is y.

    Raises:
      TypeError: `u` is not floating.
      ValueError: `u` has rank 0, or no such axis, or `temperature` is not a finite number above 0.
    """
    (u,) = op.floating("softmax", u=u)
    axis = setting.expect_axis("softmax", u, axis)
    temperature = setting.expect_positive("softmax", "temperature", temperature)
    y = normalise(op.wide(u), axis, temperature).astype(u.dtype)
    return y, Residual(y, axis, temperature)


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"]]:
    """Return (du,)."""
    dy = op.expect_cotangent("softmax", dy, residual.y.shape, residual.y.dtype)
    dv = pull_back(op.wide(residual.y), op.wide(dy), residual.axis)
    return ((dv / residual.temperature).astype(dy.dtype),)  # (3)


def pull_back(
    y: Float[Array, "*shape"], dy: Float[Array, "*shape"], axis: int
) -> Float[Array, "*shape"]:
    """Return dv without checks: the rule that losses share."""
    centred = dy - (y * dy).sum(axis, keepdims=True)  # (1)
    return y * (centred - (y * centred).sum(axis, keepdims=True))  # (2)


def jacobian(y: Float[Array, "*batch n"]) -> Float[Array, "*batch n n"]:
    """Return J with J[..., j, i] = ∂yⱼ/∂vᵢ = yⱼ (1[i=j] − yᵢ), for study; `backward` is O(n).

    Args:
      y: outputs of `forward` over the last axis, (*batch, n).
    """
    (y,) = op.floating("softmax.jacobian", y=y)
    op.expect_rank("softmax.jacobian", "y", y, 1, None)
    yj, yi = jnp.expand_dims(y, -1), jnp.expand_dims(y, -2)
    same = jnp.broadcast_to(jnp.eye(y.shape[-1], dtype=y.dtype), (*y.shape, y.shape[-1]))
    return yj * (same - yi)
