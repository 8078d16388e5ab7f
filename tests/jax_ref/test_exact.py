"""The elementwise functions and their slopes against arithmetic of 60 digits."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref.oracles.truth import ulp
from manual_bp.activations import Elementwise, table

mpmath = pytest.importorskip("mpmath")
mp = mpmath.mp

Exact = Callable[[Any], Any]


def sigmoid(u: Any) -> Any:
    return 1 / (1 + mp.exp(-u))


def inside(u: Any, least: float, most: float) -> Any:
    return mp.one if least <= u <= most else mp.zero


SATURATED = (-2e3, 2e3)  # beyond, every exponential is far below the smallest number


def clip(u: Any, least: float, most: float) -> Any:
    return min(max(u, mp.mpf(least)), mp.mpf(most))


def elu(u: Any, alpha: Any) -> tuple[Any, Any]:
    return (u, mp.one) if u >= 0 else (alpha * mp.expm1(u), alpha * mp.exp(u))


def gated(u: Any, beta: Any) -> tuple[Any, Any]:
    w = clip(u, *SATURATED)
    s = sigmoid(beta * w)
    return u * s, s + beta * w * s * sigmoid(-beta * w)


def gelu(u: Any) -> tuple[Any, Any]:
    w = clip(u, *SATURATED)
    s = mp.erfc(-w / mp.sqrt(2)) / 2
    return u * s, s + w * mp.exp(-(w**2) / 2) / mp.sqrt(2 * mp.pi)


def gelu_tanh(u: Any) -> tuple[Any, Any]:
    c, a = 2 * mp.sqrt(2 / mp.pi), mp.mpf("0.044715")
    w = clip(u, *SATURATED)
    v, dv = c * (w + a * w**3), c * (1 + 3 * a * w**2)
    return u * sigmoid(v), sigmoid(v) + w * sigmoid(v) * sigmoid(-v) * dv


def mish(u: Any) -> tuple[Any, Any]:
    n = mp.exp(clip(u, *SATURATED))
    d = n * (n + 2) + 2
    return u * n * (n + 2) / d, n * (n + 2) / d + u * 4 * n * (n + 1) / d**2


def hard_swish(u: Any) -> tuple[Any, Any]:
    slope = (2 * u + 3) / 6 if -3 <= u <= 3 else inside(u, 0, mp.inf)
    return u * clip(u + 3, 0, 6) / 6, slope


SCALE, ALPHA = mp.mpf("1.0507009873554804934"), mp.mpf("1.6732632423543772848")
QUICK = mp.mpf("1.702")

EXACT: dict[str, tuple[Exact, Exact]] = {
    "identity": (lambda u: u, lambda u: mp.one),
    "sigmoid": (sigmoid, lambda u: sigmoid(u) * sigmoid(-u)),
    "tanh": (mp.tanh, lambda u: mp.sech(u) ** 2),
    "relu": (lambda u: max(u, mp.zero), lambda u: mp.one if u >= 0 else mp.zero),
    "leaky_relu": (
        lambda u: u if u >= 0 else mp.mpf(0.01) * u,
        lambda u: mp.one if u >= 0 else mp.mpf(0.01),
    ),
    "softplus": (lambda u: mp.log1p(mp.exp(u)), sigmoid),
    "log_sigmoid": (lambda u: -mp.log1p(mp.exp(-u)), lambda u: sigmoid(-u)),
    "relu6": (lambda u: clip(u, 0, 6), lambda u: inside(u, 0, 6)),
    "squared_relu": (lambda u: max(u, mp.zero) ** 2, lambda u: 2 * max(u, mp.zero)),
    "elu": (lambda u: elu(u, 1)[0], lambda u: elu(u, 1)[1]),
    "celu": (lambda u: elu(u, 1)[0], lambda u: elu(u, 1)[1]),
    "selu": (lambda u: SCALE * elu(u, ALPHA)[0], lambda u: SCALE * elu(u, ALPHA)[1]),
    "gelu": (lambda u: gelu(u)[0], lambda u: gelu(u)[1]),
    "gelu_tanh": (lambda u: gelu_tanh(u)[0], lambda u: gelu_tanh(u)[1]),
    "gelu_quick": (lambda u: gated(u, QUICK)[0], lambda u: gated(u, QUICK)[1]),
    "silu": (lambda u: gated(u, 1)[0], lambda u: gated(u, 1)[1]),
    "mish": (lambda u: mish(u)[0], lambda u: mish(u)[1]),
    "softsign": (lambda u: u / (1 + abs(u)), lambda u: 1 / (1 + abs(u)) ** 2),
    "hard_sigmoid": (lambda u: clip(u + 3, 0, 6) / 6, lambda u: inside(u, -3, 3) / 6),
    "hard_tanh": (lambda u: clip(u, -1, 1), lambda u: inside(u, -1, 1)),
    "hard_swish": (lambda u: hard_swish(u)[0], lambda u: hard_swish(u)[1]),
}
# XLA takes subnormal numbers for 0, so the smallest here is the smallest normal one.
TINY = float(np.finfo(np.float64).tiny)
MAX = float(np.finfo(np.float64).max)
MAGNITUDES = [
    *(TINY, 1e-300, 1e-100, 1e-20, 1e-16, 2.0**-53, 1e-12, 1e-8, 1e-4, 1e-2),
    *(0.1, 0.25, 0.3, 0.5, 0.7, 1.0, 1.3, 2.0, 3.0, 5.0, 9.0, 12.5, 18.0, 18.4, 19.1, 22.0, 30.0),
    *(36.0, 37.5, 40.0, 90.0, 180.0, 350.0, 354.0, 700.0, 708.0, 709.8, 745.0, 746.0, 1e3, 1e4),
    *(1e8, 1e16, 1e100, 1e300, 1e308),
]
POINTS = np.asarray([0.0, *MAGNITUDES, *(-m for m in MAGNITUDES)])
ULPS = 2.0
# XLA's tanh at 18.4 is 0.9999999999999992, five ulp from the truth; mish rounds an exponential,
# two sums of its powers, a quotient and a product, half an ulp or more each; the exponent of a gelu
# in its tail is some hundreds, and rounded.
VALUE_ULPS = {"tanh": 6.0, "mish": 3.0, "gelu": 1e3, "gelu_tanh": 1e3, "gelu_quick": 1e3}
# Near a root of f' its terms cancel.
SLOPE_ULPS = {
    "silu": 24.0,
    "mish": 24.0,
    "softsign": 3.0,
    "gelu": 24.0,
    "gelu_tanh": 1e3,
    "gelu_quick": 1e3,
}


def errors(came: Any, exact: Exact) -> np.ndarray:
    """Return the distance from the truth at each point, in ulp.

    A result below TINY may be 0, and so may u times a factor below TINY; one above MAX is ∞.
    """

    def error(value: float, u: float) -> float:
        truth = exact(mp.mpf(u))
        if abs(truth) > MAX:
            return 0.0 if value == np.sign(float(mp.sign(truth))) * np.inf else np.inf
        small = TINY * max(1.0, abs(u))
        slack = small if abs(truth) < 2 * small else 0.0
        return float((abs(mp.mpf(value) - truth) - slack) / ulp(float(truth), np.float64))

    with mpmath.workdps(60):
        return np.asarray([error(float(v), float(u)) for v, u in zip(came, POINTS, strict=True)])


def test_every_function_has_its_truth() -> None:
    assert set(EXACT) == set(table)


@pytest.mark.parametrize("f", table.values(), ids=list(table))
def test_value_and_slope_are_within_their_bounds(f: Elementwise) -> None:
    y, residual = f.forward(jnp.asarray(POINTS))
    (du,) = f.backward(residual, jnp.ones_like(y))
    value, slope = EXACT[f.name]
    assert errors(y, value).max() <= VALUE_ULPS.get(f.name, ULPS)
    assert errors(du, slope).max() <= SLOPE_ULPS.get(f.name, ULPS)


@pytest.mark.parametrize("f", table.values(), ids=list(table))
def test_a_slope_of_twice_the_bound_is_seen(f: Elementwise) -> None:
    y, residual = f.forward(jnp.asarray(POINTS))
    (du,) = f.backward(residual, jnp.ones_like(y))
    bound = SLOPE_ULPS.get(f.name, ULPS)
    assert errors(np.asarray(du) * (1 + bound * 2.0**-51), EXACT[f.name][1]).max() > bound
