"""Units in the last place, and raising to float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref.oracles import truth

DTYPES = ("float64", "float32", "bfloat16", "float16")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x", [1.0, 1.5, -1.99, 2.0, 0.1, 0.015625, 3.0e-3, 777.0, -4096.0, 6e4])
def test_an_ulp_is_the_distance_to_the_next_number(dtype: str, x: float) -> None:
    held = jnp.abs(jnp.asarray(x, dtype))
    after = jnp.nextafter(held, jnp.asarray(jnp.inf, dtype))
    assert truth.ulp(float(held), dtype) == float(after) - float(held)


@pytest.mark.parametrize("dtype", DTYPES)
def test_at_a_power_of_two_it_is_the_larger_one(dtype: str) -> None:
    eps = float(jnp.finfo(dtype).eps)
    for exponent in (-3, 0, 1, 5):
        assert truth.ulp(2.0**exponent, dtype) == eps * 2.0**exponent
    assert truth.ulp(1.0, jnp.dtype(dtype)) == eps


@pytest.mark.parametrize("dtype", DTYPES)
def test_below_the_normal_numbers_it_stays(dtype: str) -> None:
    information = jnp.finfo(dtype)
    smallest = float(information.eps) * float(information.tiny)
    for x in (0.0, float(information.tiny), float(information.tiny) / 8):
        assert truth.ulp(x, dtype) == smallest


def test_a_tree_is_raised_to_float64_and_integers_are_left() -> None:
    tree = {"x": jnp.asarray([0.1, 2], jnp.float16), "k": jnp.asarray([3], jnp.int32), "none": None}
    raised = truth.in_float64(tree)
    assert raised["x"].dtype == jnp.float64
    assert raised["k"].dtype == jnp.int32
    assert raised["none"] is None
    np.testing.assert_array_equal(raised["x"], np.asarray(tree["x"]).astype(np.float64))
