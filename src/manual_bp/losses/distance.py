"""The Euclidean distance that the losses of pairs and triplets share.

Shapes   a, b, e: (*batch, n)   d: (*batch,)
Forward  e = a − b,   d = √(Σ e²)                                                  Σ over n
Derive   ∂d/∂a = 2e / (2d) = e/d, and ∂d/∂b = −e/d. At d = 0 every vector of norm 1 or less is a
         subgradient: 0, the middle, is chosen. So 1/d is taken, one division a sample, and 0 for
         d = 0.
Range    Squares are numbers of the dtype: d is right from 1e-14 to 1.8e19 in float32 and in half
         precision, and from 1e-144 to 1.3e154 in float64; beyond it is ∞, and far below 0.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


def between(
    a: Float[Array, "*batch n"], b: Float[Array, "*batch n"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch n"]]:
    """Return d and e, in float32 for half precision.

    Of one e for both uses XLA's CPU code would write it out before it is summed.
    """
    d = jnp.sqrt(((op.wide(a) - op.wide(b)) ** 2).sum(-1))
    return d, op.wide(op.again(a)) - op.wide(op.again(b))


def inverse(d: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Return 1/d, and 0 for d = 0."""
    return 1 / jnp.where(d == 0, jnp.inf, d)


def along(slope: Float[Array, "*batch"], e: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Return e times each sample's slope, formed once a sample; of a slope of 0 and ∞ that is 0."""
    once = op.again(slope)[..., None]
    return jnp.where(once == 0, 0, once * e)
