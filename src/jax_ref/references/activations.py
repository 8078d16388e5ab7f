"""Reference activations.

Where the ground floor takes the definition, the reference takes an identity, and the reverse.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from jaxtyping import Array, Float

Vector = Float[Array, "*shape"]


def identity(u: Vector) -> Vector:
    """Return u."""
    return 1 * u


def sigmoid(u: Vector) -> Vector:
    """Return exp(−ln(e^0 + e^(−u))), exact in both tails, as is its derivative."""
    return jnp.exp(-jnp.logaddexp(jnp.zeros_like(u), -u))


def tanh(u: Vector) -> Vector:
    """Return −sign(u) (E−1)/(E+1) with E = e^(−2|u|), exact near 0 and in both tails."""
    n = jnp.where(u > 0, -u, u)
    # Near 0, E − 1 cancels; in the tails the derivative that JAX takes of expm1 does.
    numerator = jnp.where(n > -0.5, jnp.expm1(2 * n), jnp.exp(2 * n) - 1)
    y = numerator / (jnp.exp(2 * n) + 1)
    return jnp.where(u > 0, -y, y)


def relu(u: Vector, *, slope_at_zero: float = 1.0) -> Vector:
    """Return u where u > 0, 0 where u < 0, s u where u = 0: its slope there is s."""
    return jnp.select([u > 0, u < 0], [u, jnp.zeros_like(u)], slope_at_zero * u)


def leaky_relu(u: Vector, *, negative_slope: float = 0.01, slope_at_zero: float = 1.0) -> Vector:
    """Return u where u > 0, α u where u < 0, s u where u = 0: its slope there is s."""
    return jnp.select([u > 0, u < 0], [u, negative_slope * u], slope_at_zero * u)


def softplus(u: Vector) -> Vector:
    """Return ln(e^u + e^0)."""
    return jnp.logaddexp(u, jnp.zeros_like(u))


def log_sigmoid(u: Vector) -> Vector:
    """Return −ln(e^0 + e^(−u))."""
    return -jnp.logaddexp(jnp.zeros_like(u), -u)


table: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {f.__name__: f for f in (identity, sigmoid, tanh, relu, leaky_relu, softplus, log_sigmoid)}
)
