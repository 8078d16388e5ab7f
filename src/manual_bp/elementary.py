"""ln(1+e) and e^u − 1 where they are wanted, for less than those cost that hold everywhere.

Forward  With q the polynomial through (e − ln(1+e))/e² at Chebyshev's nodes, in powers of e − ½,
  (1) ln(1+e) = e − e² q(e),   0 ≤ e ≤ 1
         That function has its singularity at −1, so a degree more leaves 1/(3+√8) of the error.
  (2) e^u − 1 = u + u²/2! + u³/3! + …,   −1 ≤ u ≤ 0
         Below −1 the difference loses no digit.
Error    Of either at most 2.3 times a half unit of the last place, in float32 and in float64.
Form     XLA's CPU code fuses no exponential with what takes it more than 15 times, but writes it
         out: so q has few powers of e besides those of its own sum.
Source   Trefethen 2019, "Approximation theory and approximation practice", chapters 4 and 8
"""

import decimal
import math
from collections.abc import Callable
from decimal import Decimal

import jax
import jax.numpy as jnp


def interpolating(
    function: Callable[[Decimal], Decimal], least: Decimal, degree: int
) -> tuple[float, ...]:
    """Return the polynomial through `function` at Chebyshev's nodes from `least` to 1.

    Its coefficients in powers of t − ½, that of the 0th first, by Newton's divided differences in
    50 digits.
    """
    with decimal.localcontext(prec=50):
        return _by_differences(function, least, degree)


def _by_differences(
    function: Callable[[Decimal], Decimal], least: Decimal, degree: int
) -> tuple[float, ...]:
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


# By bits. What they leave out is below a fifth of a half unit of the last place.
TERMS = {32: 11, 64: 18}
LOG1P = {
    bits: interpolating(lambda e: (e - (1 + e).ln()) / (e * e), Decimal(0), degree)
    for bits, degree in ((32, 9), (64, 21))
}


def log1p(e: jax.Array) -> jax.Array:
    """Return ln(1+e) of numbers from 0 to 1, float32 or float64."""
    q = polynomial(LOG1P[jnp.finfo(e.dtype).bits], e)
    return e - e * (e * q)  # (1)


def expm1(u: jax.Array) -> jax.Array:
    """Return e^u − 1 of numbers that are not positive, float32 or float64."""
    last = TERMS[jnp.finfo(u.dtype).bits]
    near = jnp.maximum(u, -1)
    series = near / math.factorial(last)
    for n in range(last - 1, 0, -1):
        series = near * (1 / math.factorial(n) + series)  # (2)
    return jnp.where(u < -1, jnp.exp(u) - 1, series)


def polynomial(coefficients: tuple[float, ...], t: jax.Array) -> jax.Array:
    """Return the polynomial of those coefficients in powers of t − ½, the lowest first."""
    *rest, highest = coefficients
    t, total = t - 0.5, jnp.full_like(t, highest)
    for coefficient in reversed(rest):
        total = coefficient + t * total
    return total
