"""Reference regularisers."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree, UInt32


def weight_decay(
    weights: PyTree[Float[Array, "..."]], *, decay: float, samples: int = 1
) -> Float[Array, ""]:
    """Return ½ (λ/m) Σ ⟨W, W⟩."""
    squares = [jnp.vdot(W, W) for W in jax.tree.leaves(weights)]
    return jnp.sum(jnp.stack(squares)) * (0.5 * decay / samples)


def dropout(
    x: Float[Array, "*shape"],
    key: Key[Array, ""] | UInt32[Array, "2"],
    *,
    rate: float,
    scaling: str = "inverted",
    training: bool = True,
    shared_axes: tuple[int, ...] = (),
) -> Float[Array, "*shape"]:
    """Return x where a uniform variable is small, or times the expectation of that."""
    keep = 1 - rate
    if not training:
        return x * keep if scaling == "evaluation" else x
    drawn = np.asarray(x.shape)
    drawn[list(shared_axes)] = 1
    kept = jax.random.uniform(key, tuple(drawn.tolist()), jnp.float32) < keep
    y = jnp.where(jnp.broadcast_to(kept, x.shape), x, 0)
    return y / keep if scaling == "inverted" else y
