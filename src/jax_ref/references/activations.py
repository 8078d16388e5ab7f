"""Reference activations.

Where the ground floor takes the definition, the reference takes an identity, and the reverse.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
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


def relu6(u: Vector) -> Vector:
    """Return 0 where u < 0, 6 where u > 6, u between."""
    return jnp.select([u < 0, u > 6], [jnp.zeros_like(u), jnp.full_like(u, 6)], u)


def squared_relu(u: Vector) -> Vector:
    """Return the product of u and relu(u)."""
    return u * jnp.where(u > 0, u, 0)


def elu(u: Vector, *, alpha: float = 1.0) -> Vector:
    """Return α (e^u − 1) where u < 0, u elsewhere."""
    return jnp.select([u < 0], [alpha * (jnp.exp(jnp.where(u < 0, u, 0)) - 1)], u)


def celu(u: Vector, *, alpha: float = 1.0) -> Vector:
    """Return α times elu of u/α."""
    return alpha * elu(u / alpha)


def selu(u: Vector) -> Vector:
    """Return λ elu(u), with λ and α from the fixed point of mean 0 and variance 1."""
    root, whole = math.sqrt(math.e) * math.erfc(math.sqrt(0.5)), math.erfc(math.sqrt(2))
    alpha = math.sqrt(2 / math.pi) / (1 - root)
    variance = 2 * whole * math.e**2 + math.pi * root**2 - 2 * (2 + math.pi) * root + math.pi + 2
    return (1 - root) * math.sqrt(2 * math.pi / variance) * elu(u, alpha=alpha)


def gelu(u: Vector) -> Vector:
    """Return u/2 + u/2 erf(u/√2)."""
    return u / 2 + u / 2 * jax.lax.erf(u / math.sqrt(2))


def gelu_tanh(u: Vector) -> Vector:
    """Return u/2 + u/2 tanh(√(2/π) (u + 0.044715 u³)); the tanh is ±1 long before u is ±20."""
    v = jnp.where(jnp.abs(u) < 20, u, 20 * jnp.sign(u))
    return u / 2 + u / 2 * jnp.tanh(math.sqrt(2 / math.pi) * v * (1 + 0.044715 * v * v))


def gelu_quick(u: Vector) -> Vector:
    """Return silu(β u)/β."""
    return silu(1.702 * u) / 1.702


def silu(u: Vector) -> Vector:
    """Return u exp(−ln(e^0 + e^(−u)))."""
    return u * sigmoid(u)


def mish(u: Vector) -> Vector:
    """Return u tanh(ln(e^u + e^0))."""
    return u * jnp.tanh(softplus(u))


def softsign(u: Vector) -> Vector:
    """Return ±(1 − 1/(1 ± u)), the sign being that of u."""
    sign = jnp.where(u < 0, -1, 1).astype(u.dtype)
    return sign * (1 - 1 / (1 + sign * u))


def hard_sigmoid(u: Vector) -> Vector:
    """Return 0 where u < −3, 1 where u > 3, (u + 3)/6 between."""
    return jnp.select([u < -3, u > 3], [jnp.zeros_like(u), jnp.ones_like(u)], u / 6 + 0.5)


def hard_tanh(u: Vector) -> Vector:
    """Return −1 where u < −1, 1 where u > 1, u between."""
    return jnp.select([u < -1, u > 1], [-jnp.ones_like(u), jnp.ones_like(u)], u)


def hard_swish(u: Vector) -> Vector:
    """Return 0 where u < −3, u where u > 3, u²/6 + u/2 between."""
    inside = jnp.where(jnp.abs(u) <= 3, u, 0)
    return jnp.select([u < -3, u > 3], [jnp.zeros_like(u), u], inside**2 / 6 + inside / 2)


_EVERY = (
    *(identity, sigmoid, tanh, relu, leaky_relu, softplus, log_sigmoid),
    *(relu6, squared_relu, elu, celu, selu, gelu, gelu_tanh, gelu_quick, silu, mish, softsign),
    *(hard_sigmoid, hard_tanh, hard_swish),
)

table: Mapping[str, Callable[..., Array]] = MappingProxyType({f.__name__: f for f in _EVERY})
