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
}
# XLA takes subnormal numbers for 0, so the smallest here is the smallest normal one.
TINY = float(np.finfo(np.float64).tiny)
MAGNITUDES = [
    *(TINY, 1e-300, 1e-100, 1e-20, 1e-16, 2.0**-53, 1e-12, 1e-8, 1e-4, 1e-2),
    *(0.1, 0.25, 0.3, 0.5, 0.7, 1.0, 1.3, 2.0, 3.0, 5.0, 9.0, 12.5, 18.0, 18.4, 19.1, 22.0, 30.0),
    *(36.0, 37.5, 40.0, 90.0, 180.0, 350.0, 354.0, 700.0, 708.0, 709.8, 745.0, 746.0, 1e3, 1e4),
    *(1e8, 1e16, 1e100, 1e300, 1e308),
]
POINTS = np.asarray([0.0, *MAGNITUDES, *(-m for m in MAGNITUDES)])
ULPS = 2.0
XLA_TANH = 6.0  # at 18.4 it is 0.9999999999999992, five ulp from the truth


def errors(came: Any, exact: Exact) -> np.ndarray:
    """Return the distance from the truth at each point, in ulp; a result below TINY may be 0."""

    def error(value: float, u: float) -> float:
        truth = exact(mp.mpf(u))
        slack = TINY if abs(truth) < TINY else 0.0
        return float((abs(mp.mpf(value) - truth) - slack) / ulp(float(truth), np.float64))

    with mpmath.workdps(60):
        return np.asarray([error(float(v), float(u)) for v, u in zip(came, POINTS, strict=True)])


def test_every_function_has_its_truth() -> None:
    assert set(EXACT) == set(table)


@pytest.mark.parametrize("f", table.values(), ids=list(table))
def test_value_and_slope_are_within_two_ulp(f: Elementwise) -> None:
    y, residual = f.forward(jnp.asarray(POINTS))
    (du,) = f.backward(residual, jnp.ones_like(y))
    value, slope = EXACT[f.name]
    assert errors(y, value).max() <= (XLA_TANH if f.name == "tanh" else ULPS)
    assert errors(du, slope).max() <= ULPS


@pytest.mark.parametrize("f", table.values(), ids=list(table))
def test_a_slope_of_three_ulp_more_is_seen(f: Elementwise) -> None:
    y, residual = f.forward(jnp.asarray(POINTS))
    (du,) = f.backward(residual, jnp.ones_like(y))
    assert errors(np.asarray(du) * (1 + 2.0**-50), EXACT[f.name][1]).max() > ULPS
