"""The product that a weight's gradient is, in the form that a machine takes fastest.

Shapes   x: (rows, n)   δ: (rows, m)   xᵀδ: (n, m)
Forward  xᵀδ = (δᵀx)ᵀ
         XLA's CPU code hands a product to a fast library unless its first factor is to be turned on
         the way. Of few columns δ is turned beforehand, and then the result, which costs little
         beside reading x.
Derive   nothing: one sum, of the same terms.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op

# The columns of δ at most, and how many times as many those of x are at least.
FEW, WIDER = 32, 8


def pays_turning(n: int, m: int) -> bool:
    """Return whether δᵀx is taken faster than xᵀδ on this machine."""
    return m <= FEW and n >= WIDER * m and jax.default_backend() == "cpu"


def transposed_times(x: Float[Array, "rows n"], delta: Float[Array, "rows m"]) -> jax.Array:
    """Return xᵀδ, (n, m), in their dtype.

    JAX accumulates the sums of half precision in float32 and rounds each once.
    """
    if pays_turning(x.shape[1], delta.shape[1]):
        return op.again(jnp.matmul(op.again(delta.T), x)).T
    return jnp.matmul(x.T, delta)
