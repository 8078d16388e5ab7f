"""Reference regularisers."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


def weight_decay(
    weights: PyTree[Float[Array, "..."]], *, decay: float, samples: int = 1
) -> Float[Array, ""]:
    """Return ½ (λ/m) Σ ⟨W, W⟩."""
    squares = [jnp.vdot(W, W) for W in jax.tree.leaves(weights)]
    return jnp.sum(jnp.stack(squares)) * (0.5 * decay / samples)
