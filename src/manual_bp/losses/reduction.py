"""From per-sample losses to the loss, and back.

Shapes   ℓ: (*batch,)   L: () for mean and sum, (*batch,) for none
         N = number of samples; of those that count where some do not, whose ℓ is 0, and at least 1
Forward  mean: L = 1/N Σ ℓᵢ      sum: L = Σ ℓᵢ      none: L = ℓ
Derive   ∂L/∂ℓᵢ is 1/N, 1 or the identity:
  (1) mean: dℓᵢ = dL / N         sum: dℓᵢ = dL         none: dℓ = dL
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from manual_bp import op, setting

Reduction = Literal["mean", "sum", "none"]
CHOICES = ("mean", "sum", "none")


def check(name: str, batch: tuple[int, ...], reduction: str) -> None:
    """Raise a ValueError for an unknown reduction, or for a mean over no samples."""
    setting.expect_choice(name, "reduction", reduction, CHOICES)
    if reduction == "mean" and math.prod(batch) == 0:
        expected = "at least one sample for reduction='mean'"
        raise ValueError(op.complaint(name, "batch", expected, f"batch shape {batch}"))


def number(batch: tuple[int, ...], counted: jax.Array | None, dtype: Any) -> Any:
    """Return N."""
    return math.prod(batch) if counted is None else jnp.maximum(counted.sum(), 1).astype(dtype)


def reduce(
    losses: Float[Array, "*batch"],
    reduction: Reduction,
    dtype: Any,
    counted: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*reduced"]:
    """Return the loss in `dtype` from the losses of the samples, of which all count by default."""
    if reduction == "none":
        return losses.astype(dtype)
    total = losses.sum()
    if reduction == "mean":
        total = total / number(losses.shape, counted, losses.dtype)
    return total.astype(dtype)


def per_sample(
    name: str,
    dy: jax.Array,
    reduction: Reduction,
    batch: tuple[int, ...],
    dtype: Any,
    counted: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch 1"]:
    """Return dℓ with a last axis of size 1, in the dtype in which sums over `dtype` accumulate."""
    dy = op.wide(op.expect_cotangent(name, dy, batch if reduction == "none" else (), dtype))
    scale = number(batch, counted, dy.dtype) if reduction == "mean" else 1
    return jnp.broadcast_to(dy / scale, batch)[..., None]  # (1)


def expect_pair(
    name: str, first: str, second: str, a: jax.Array, b: jax.Array, reduction: str
) -> None:
    """Raise a ValueError unless both arrays have one shape (*batch, n) and can be reduced."""
    op.expect_rank(name, first, a, 1, None)
    op.expect_shape(name, second, b, a.shape, f"of {first}")
    check(name, a.shape[:-1], reduction)
