"""Functions of our own for XLA's, against those of extended precision."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from manual_bp import elementary, normal

FUNCTIONS = {
    "log1p": (elementary.log1p, mpmath.log1p),
    "expm1": (elementary.expm1, mpmath.expm1),
    "mills": (normal.mills, lambda v: mpmath.ncdf(-v) / mpmath.npdf(v)),
}


def arguments(name: str, dtype: Any) -> np.ndarray:
    """Return numbers of all sizes, and those at which the form changes."""
    rng = np.random.default_rng(0)
    small = 10.0 ** np.linspace(-30, 0, 400)
    if name == "log1p":
        return np.concatenate([rng.uniform(0, 1, 1500), small, [1.0]]).astype(dtype)
    if name == "mills":
        far = rng.uniform(0, normal.LARGEST[np.finfo(dtype).bits], 1000)
        return np.concatenate([rng.uniform(0, 6, 1000), far, small, [0.0]]).astype(dtype)
    edge = np.asarray(-1, dtype)
    edges = [edge, np.nextafter(edge, dtype(0)), np.nextafter(edge, dtype(-2))]
    far = rng.uniform(-20, 0, 500)
    return np.concatenate([-rng.uniform(0, 2, 1500), far, -small, edges]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_is_a_few_half_units(name: str, dtype: Any) -> None:
    function, exact = FUNCTIONS[name]
    x = arguments(name, dtype)
    y = np.asarray(jax.jit(function)(jnp.asarray(x)))
    assert y.dtype == dtype
    half_unit = np.finfo(dtype).eps / 2
    with mpmath.workprec(200):
        truth = [exact(mpmath.mpf(float(one))) for one in x]
        errors = [
            float(abs((mpmath.mpf(float(ours)) - true) / true)) / half_unit
            for ours, true in zip(y, truth, strict=True)
        ]
    assert max(errors) < (4.3 if name == "mills" else 2.4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_at_the_ends(dtype: Any) -> None:
    def at(function: Callable[..., Any], *points: float) -> list[float]:
        return [float(function(jnp.asarray(point, dtype))) for point in points]

    assert at(elementary.log1p, 0.0) == [0.0]
    assert at(elementary.expm1, 0.0, -np.inf, -1e4) == [0.0, -1.0, -1.0]
    assert np.signbit(elementary.expm1(jnp.asarray(-0.0, dtype)))
    assert at(normal.mills, 1e30) == [pytest.approx(0, abs=1e-20)]
    assert at(normal.mills, np.inf) == [0.0]
    for function, _ in FUNCTIONS.values():
        assert np.isnan(at(function, np.nan)).all()
