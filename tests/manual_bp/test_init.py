"""Initialisers: bounds, variances, dtypes, keys, bad input."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual_bp import init

SHAPE = (300, 200)
BOUNDS = {
    "uniform": 0.12,
    "xavier_uniform": math.sqrt(6 / 500),
    "he_uniform": math.sqrt(6 / 300),
}
DEVIATIONS = {
    "xavier_normal": math.sqrt(2 / 500),
    "he_normal": math.sqrt(2 / 300),
    **{name: bound / math.sqrt(3) for name, bound in BOUNDS.items()},
}
RANDOM = sorted(DEVIATIONS)
FANNED = sorted(set(RANDOM) - {"uniform"})
KEY = jax.random.key(7)


def test_all_are_listed() -> None:
    assert set(init.table) == {*RANDOM, "zeros"}
    assert all(getattr(init, name) is f for name, f in init.table.items())


@pytest.mark.parametrize(("name", "bound"), BOUNDS.items())
def test_uniform_ones_fill_their_interval(name: str, bound: float) -> None:
    W = init.table[name](KEY, SHAPE, jnp.float64)
    assert -bound <= W.min() < -0.999 * bound
    assert 0.999 * bound < W.max() < bound


@pytest.mark.parametrize(("name", "deviation"), DEVIATIONS.items())
def test_mean_and_variance(name: str, deviation: float) -> None:
    W = np.asarray(init.table[name](KEY, SHAPE, jnp.float64))
    # Of 60000 numbers the mean errs by s/245 and s by at most s/346: 5 such errors.
    assert abs(W.mean()) < 5 * deviation / math.sqrt(W.size)
    assert W.std() == pytest.approx(deviation, rel=5 / math.sqrt(2 * W.size))


@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "xavier_normal", "xavier_uniform"])
def test_n_is_the_number_of_inputs(name: str) -> None:
    wide, tall = (init.table[name](KEY, shape, jnp.float64).std() for shape in ((4, 900), (900, 4)))
    ratio = 1 if name.startswith("xavier") else math.sqrt(900 / 4)
    assert float(wide / tall) == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("name", RANDOM)
def test_keys_decide(name: str) -> None:
    first, again, other = (
        init.table[name](jax.random.key(k), SHAPE, jnp.float32) for k in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.99


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", init.table)
def test_shape_and_dtype(name: str, dtype: str) -> None:
    W = init.table[name](KEY, (3, 5), jnp.dtype(dtype))
    assert (W.shape, W.dtype) == ((3, 5), dtype)


@pytest.mark.parametrize("name", init.table)
def test_float32_is_the_default(name: str) -> None:
    assert init.table[name](KEY, (3, 5)).dtype == jnp.float32


def test_zeros_need_no_key() -> None:
    assert not init.zeros(None, (2, 3)).any()
    assert not init.zeros(KEY, (2, 3)).any()


def test_uniform_takes_epsilon_and_any_shape() -> None:
    W = init.uniform(KEY, (1000,), epsilon=2.5)
    assert 2.4 < jnp.abs(W).max() <= 2.5
    assert init.uniform(KEY, ()).shape == ()


@pytest.mark.parametrize("shape", [(3,), (), (2, 3, 4), (0, 3), (3, 0)])
@pytest.mark.parametrize("name", FANNED)
def test_a_shape_without_fans_is_refused(
    name: str, shape: tuple[int, ...], without_annotations: None
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        init.table[name](KEY, shape, jnp.float32)
    assert str(caught.value) == f"{name}: shape: expected (n, m), both at least 1, got {shape}"


@pytest.mark.parametrize("epsilon", [0.0, -0.1, float("nan")])
def test_epsilon_must_be_positive(epsilon: float) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        init.uniform(KEY, (2, 3), epsilon=epsilon)
    assert str(caught.value) == f"uniform: epsilon: expected a number > 0, got {epsilon}"


@pytest.mark.parametrize("f", [init.he_normal, init.xavier_uniform])
def test_under_jit_it_is_the_same(f: Callable[..., Any]) -> None:
    compiled = jax.jit(f, static_argnums=(1, 2))(KEY, (4, 3), jnp.float64)
    np.testing.assert_allclose(compiled, f(KEY, (4, 3), jnp.float64), rtol=1e-14)
