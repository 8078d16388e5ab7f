"""The normal distribution by its tail, for less than XLA's erfc costs; gelu is made of it.

Forward  Φ is the distribution function, φ(u) = Φ'(u) = e^(−u²/2)/√(2π) the density. With v = |u|
         and Mills' ratio m(v) = Φ(−v)/φ(v), which keeps its digits where Φ is near 0,
  (1) u Φ(u) = max(u, 0) − v φ(v) m(v)
         m falls like 1/v. So with p the polynomial through m(v)/t at Chebyshev's nodes
  (2) m(v) = t p(t),   t = 1/(1+v/2)
         for all v with φ(v) above 0, and finite beyond. At the nodes, by the series in v and by
         Laplace's continued fraction,
  (3) m(v) = √(π/2) e^(v²/2) − (v + v³/3 + v⁵/(3·5) + …) = 1/(v + 1/(v + 2/(v + 3/(v + …))))
Derive   (u Φ(u))' = Φ(u) + u φ(u). For u < 0 that is φ(v) m(v) − v φ(v), and for u ≥ 0 it is
         1 − φ(v) m(v) + v φ(v), as Φ(u) = 1 − Φ(−u). So with s = φ(v) (m(v) − v)
  (4) (u Φ(u))' = s for u < 0, 1 − s for u ≥ 0
Error    Of m at most 4.2 half units of the last place, in float32 and in float64: where v is small
         t's own come out larger by half.
Source   Mills 1926, Biometrika 18; Laplace 1805, "Traité de mécanique céleste", book 10 (3)
"""

import math
from decimal import Decimal

import jax
import jax.numpy as jnp

from manual_bp import elementary

PI = Decimal("3.14159265358979323846264338327950288419716939937511")


def _mills(v: Decimal) -> Decimal:
    """Return m(v) of a positive number to about 40 digits."""
    if v > 4:
        below = v
        for n in range(200, 0, -1):
            below = v + n / below
        return 1 / below  # (3)
    term = odd = v
    for n in range(3, 400, 2):
        term *= v * v / n
        odd += term
    return (PI / 2).sqrt() * (v * v / 2).exp() - odd  # (3)


# By bits. Beyond the largest v not even a subnormal number is left of e^(−v²/2); of m the
# polynomials leave out less than a tenth of a half unit of the last place.
LARGEST = {32: 14.5, 64: 39.0}
MILLS = {
    bits: elementary.interpolating(
        lambda t: _mills(2 / t - 2) / t, 1 / (1 + Decimal(LARGEST[bits]) / 2), degree
    )
    for bits, degree in ((32, 11), (64, 29))
}


def mills(v: jax.Array) -> jax.Array:
    """Return Φ(−v)/φ(v) of numbers that are not negative, float32 or float64."""
    t = 1 / (1 + v / 2)
    return t * elementary.polynomial(MILLS[jnp.finfo(v.dtype).bits], t)  # (2)


def density(u: jax.Array) -> jax.Array:
    """Return φ(u)."""
    return jnp.exp(-(u * u) / 2) / math.sqrt(2 * math.pi)


def weighted(u: jax.Array) -> jax.Array:
    """Return u Φ(u)."""
    v = jnp.abs(u)
    return jnp.maximum(u, 0) - v * density(v) * mills(v)  # (1)


def weighted_slope(u: jax.Array) -> jax.Array:
    """Return the derivative of u Φ(u)."""
    v = jnp.abs(u)
    s, below = density(v) * (mills(v) - v), u < 0
    return jnp.where(below, 0, 1) + jnp.where(below, s, -s)  # (4)
