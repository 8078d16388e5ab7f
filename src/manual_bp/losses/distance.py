"""The Euclidean distance that the losses of pairs and triplets share.

Shapes   a, b, e: (*batch, n)   d: (*batch, 1)
Forward  e = a − b,   d = √(Σ e²)                                                  Σ over n
Derive   ∂d/∂a = 2e / (2d) = e/d, and ∂d/∂b = −e/d. At d = 0 every vector of norm 1 or less is a
         subgradient: 0, the middle, is chosen. So 1/d is taken, one division a sample, and 0 for
         d = 0.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


def between(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch 1"], Float[Array, "*batch n"]]:
    """Return d and e, in float32 for half precision."""
    e = op.wide(a) - op.wide(b)
    return jnp.sqrt((e**2).sum(-1, keepdims=True)), e


def inverse(d: Float[Array, "*batch 1"]) -> Float[Array, "*batch 1"]:
    """Return 1/d, and 0 for d = 0."""
    return 1 / jnp.where(d == 0, jnp.inf, d)
