"""σ and its slope, and that of tanh, which many functions are made of.

Forward  σ(u) = 1/(1+e^(−u)),   tanh u = 2σ(2u) − 1
Derive   σ' = σ(1−σ) = e^(−u)/(1+e^(−u))², even in u. Written of e = e^(−|u|) it keeps its digits
         where σ is near 1, and nothing overflows.
  (1) σ'(u) = e/(1+e)²
  (2) tanh'(u) = 1 − tanh² u = 4σ'(2u)
         Where both are wanted, one exponential and one division do: with s = 1/(1+e) = σ(|u|),
  (3) σ(u) = s where u ≥ 0, e s elsewhere,   σ'(u) = e s s
"""

import jax
import jax.numpy as jnp


def sigmoid(u: jax.Array) -> jax.Array:
    """Return σ(u)."""
    return 1 / (1 + jnp.exp(-u))


def sigmoid_slope(u: jax.Array) -> jax.Array:
    """Return σ'(u)."""
    e = jnp.exp(-jnp.abs(u))
    return e / (1 + e) ** 2  # (1)


def sigmoid_and_slope(u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return σ(u) and σ'(u)."""
    e = jnp.exp(-jnp.abs(u))
    s = 1 / (1 + e)
    return jnp.where(u < 0, e * s, s), e * s * s  # (3)


def tanh_slope(u: jax.Array) -> jax.Array:
    """Return tanh'(u)."""
    return 4 * sigmoid_slope(2 * u)  # (2)
