"""ln(1+e), e^u − 1 and the normal distribution's tail, for less than XLA's functions cost.

Those hold everywhere; these hold where they are wanted.

Forward  With q the polynomial through (e − ln(1+e))/e² at Chebyshev's nodes, in powers of e − ½,
  (1) ln(1+e) = e − e² q(e),   0 ≤ e ≤ 1
         That function has its singularity at −1, so a degree more leaves 1/(3+√8) of the error.
  (2) e^u − 1 = u + u²/2! + u³/3! + …,   −1 ≤ u ≤ 0
         Below −1 the difference loses no digit.
         Mills' ratio m(v) = Φ(−v)/φ(v), Φ the normal distribution function and φ its density,
         falls like 1/v. So with p the polynomial through m(v)/t at Chebyshev's nodes
  (3) m(v) = t p(t),   t = 1/(1+v/2),   v ≥ 0
         for all v with φ(v) above 0, and finite beyond. At the nodes, by the series in v and by
         Laplace's continued fraction,
  (4) m(v) = √(π/2) e^(v²/2) − (v + v³/3 + v⁵/(3·5) + …) = 1/(v + 1/(v + 2/(v + 3/(v + …))))
Error    Of (1) and (2) at most 2.3 half units of the last place, in float32 and in float64; of (3)
         4.2, where v is small, as t's own come out larger by half.
Form     XLA's CPU code fuses no exponential and no quotient with what takes it more than 15 times,
         but writes it out: so q has few powers of e besides those of its own sum.
Source   Trefethen 2019, "Approximation theory and approximation practice", chapters 4 and 8;
         Mills 1926; Laplace 1805, "Traité de mécanique céleste", book 10 (4)
"""

import decimal
import math
from collections.abc import Callable
from decimal import Decimal

import jax
import jax.numpy as jnp

PI = Decimal("3.14159265358979323846264338327950288419716939937511")


def _mills(v: Decimal) -> Decimal:
    """Return m(v) of a positive number to about 40 digits."""
    if v > 4:
        below = v
        for n in range(200, 0, -1):
            below = v + n / below
        return 1 / below  # (4)
    term = odd = v
    for n in range(3, 400, 2):
        term *= v * v / n
        odd += term
    return (PI / 2).sqrt() * (v * v / 2).exp() - odd  # (4)


def _interpolating(
    function: Callable[[Decimal], Decimal], least: Decimal, degree: int
) -> tuple[float, ...]:
    """Return the polynomial through `function` at Chebyshev's nodes from `least` to 1.

    Its coefficients in powers of t − ½, that of the 0th first, by Newton's divided differences.
    """
    angles = [math.pi * (k + 0.5) / (degree + 1) for k in range(degree + 1)]
    nodes = [(1 + least + (1 - least) * Decimal(math.cos(angle))) / 2 for angle in angles]
    differences = [function(node) for node in nodes]
    for order in range(1, degree + 1):
        for k in range(degree, order - 1, -1):
            step = nodes[k] - nodes[k - order]
            differences[k] = (differences[k] - differences[k - 1]) / step
    powers = [Decimal(0)]
    for node, difference in zip(reversed(nodes), reversed(differences), strict=True):
        # times t − node, which is (t − ½) − (node − ½)
        raised, lowered = [Decimal(0), *powers], [*powers, Decimal(0)]
        shift = node - Decimal("0.5")
        powers = [one - shift * other for one, other in zip(raised, lowered, strict=True)]
        powers[0] += difference
    return tuple(float(power) for power in powers[: degree + 1])


def _log1p_coefficients(degree: int) -> tuple[float, ...]:
    with decimal.localcontext(prec=50):
        return _interpolating(lambda e: (e - (1 + e).ln()) / (e * e), Decimal(0), degree)


def _mills_coefficients(largest: float, degree: int) -> tuple[float, ...]:
    with decimal.localcontext(prec=50):
        least = 1 / (1 + Decimal(largest) / 2)
        return _interpolating(lambda t: _mills(2 / t - 2) / t, least, degree)


# By bits. What they leave out is below a fifth of a half unit of the last place.
TERMS = {32: 11, 64: 18}
LOG1P = {32: _log1p_coefficients(9), 64: _log1p_coefficients(21)}
# Of e^(−v²/2) not even a subnormal number is left beyond.
LARGEST = {32: 14.5, 64: 39.0}
MILLS = {32: _mills_coefficients(LARGEST[32], 11), 64: _mills_coefficients(LARGEST[64], 29)}


def log1p(e: jax.Array) -> jax.Array:
    """Return ln(1+e) of numbers from 0 to 1, float32 or float64."""
    q = _sum(LOG1P[jnp.finfo(e.dtype).bits], e)
    return e - e * (e * q)  # (1)


def expm1(u: jax.Array) -> jax.Array:
    """Return e^u − 1 of numbers that are not positive, float32 or float64."""
    last = TERMS[jnp.finfo(u.dtype).bits]
    near = jnp.maximum(u, -1)
    series = near / math.factorial(last)
    for n in range(last - 1, 0, -1):
        series = near * (1 / math.factorial(n) + series)  # (2)
    return jnp.where(u < -1, jnp.exp(u) - 1, series)


def mills(v: jax.Array) -> jax.Array:
    """Return Φ(−v)/φ(v) of numbers that are not negative, float32 or float64."""
    t = 1 / (1 + v / 2)
    return t * _sum(MILLS[jnp.finfo(v.dtype).bits], t)  # (3)


def _sum(coefficients: tuple[float, ...], t: jax.Array) -> jax.Array:
    """Return the polynomial of those coefficients in powers of t − ½, the lowest first."""
    *rest, highest = coefficients
    t, total = t - 0.5, jnp.full_like(t, highest)
    for coefficient in reversed(rest):
        total = coefficient + t * total
    return total
