"""The Euclidean distance that the losses of pairs and triplets share.

Shapes   a, b, direction: (*batch, n)   d: (*batch, 1)
Forward  e = a − b,   d = √(Σ e²)                                                  Σ over n
Derive   ∂d/∂a = 2e / (2d) = e/d, the direction, and ∂d/∂b = −e/d. At d = 0 every vector of norm 1
         or less is a subgradient: 0, the middle, is chosen.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


def between(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch 1"], Float[Array, "*batch n"]]:
    """Return the distance and its direction, in float32 for half precision."""
    error = op.wide(a) - op.wide(b)
    d = jnp.sqrt((error**2).sum(-1, keepdims=True))
    return d, error / jnp.where(d == 0, 1, d)
