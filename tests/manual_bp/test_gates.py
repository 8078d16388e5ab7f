"""Activations with a slope, pieces or a gate: any shape, kinks, ties, extremes, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import DTYPES, cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st
from refusing import message

import manual_bp
from jax_ref import cases

every_dtype = pytest.mark.parametrize("dtype", DTYPES)

GATES = {"glu": "sigmoid", "swiglu": "silu", "geglu": "gelu"}
every_gate = pytest.mark.parametrize(("name", "gate"), GATES.items())


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def pull(op: Any, *args: Any, dy: Any = None, **settings: Any) -> tuple[jax.Array, ...]:
    """Return y and the cotangents, dy being 1 by default."""
    y, residual = op.forward(*args, **settings)
    return y, *op.backward(residual, jnp.ones_like(y) if dy is None else dy)


@pytest.mark.parametrize(
    "case",
    [case for case in cases_of("prelu", "maxout", *GATES) if not case.variant],
    ids=lambda case: case.name,
)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


@every_dtype
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_slope_of_prelu_at_zero_is_that_of_the_right(zero: float, dtype: str) -> None:
    u = jnp.asarray([-2, zero, 3], dtype)
    y, du, dalpha = pull(manual_bp.prelu, u, jnp.asarray([0.25, 0.25, 0.25], dtype))
    np.testing.assert_array_equal(np.float64(y), [-0.5, 0, 3])
    np.testing.assert_array_equal(np.float64(du), [0.25, 1, 1])
    np.testing.assert_array_equal(np.float64(dalpha), [-2, 0, 0])


def test_one_slope_for_all_is_equal_slopes_of_which_the_gradients_are_summed() -> None:
    u, dy = random(2, 3, 5), random(2, 3, 5, seed=1)
    y, du, dalpha = pull(manual_bp.prelu, u, jnp.asarray(0.3), dy=dy)
    y_each, du_each, dalpha_each = pull(manual_bp.prelu, u, jnp.full(5, 0.3), dy=dy)
    np.testing.assert_array_equal(y, y_each)
    np.testing.assert_array_equal(du, du_each)
    np.testing.assert_allclose(dalpha, dalpha_each.sum(), rtol=1e-14)


def test_prelu_with_a_given_slope_is_leaky_relu() -> None:
    u, dy = jnp.append(random(6), 0.0), random(7, seed=1)
    y, du, _ = pull(manual_bp.prelu, u, jnp.asarray(-0.4), dy=dy)
    wanted = pull(manual_bp.leaky_relu, u, dy=dy, negative_slope=-0.4)
    for came, other in zip((y, du), wanted, strict=True):
        np.testing.assert_array_equal(came, other)


def test_prelu_of_a_number() -> None:
    y, du, dalpha = pull(manual_bp.prelu, jnp.asarray(-2.0), jnp.asarray(0.5))
    assert (float(y), float(du), float(dalpha)) == (-1, 0.5, -2)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_gradient_of_a_slope_does_not_stall_in_half_precision(dtype: str) -> None:
    u = -jnp.ones((4096, 1), dtype)
    for alpha in (jnp.ones(1, dtype), jnp.ones((), dtype)):
        assert float(pull(manual_bp.prelu, u, alpha)[2].sum()) == -4096


def test_maxout_takes_the_largest_of_neighbours() -> None:
    x = jnp.asarray([[1.0, 4, 2, -3, -1, -2]])
    y, dx = pull(manual_bp.maxout, x, dy=jnp.asarray([[10.0, 20]]), pieces=3)
    assert y.tolist() == [[4, -1]]
    assert dx.tolist() == [[0, 10, 0, 0, 20, 0]]


@every_dtype
def test_ties_go_to_the_first_piece_or_are_split(dtype: str) -> None:
    x, dy = jnp.asarray([1, 1, 0, 2, 2, 2], dtype), jnp.asarray([3, 6], dtype)
    for ties, wanted in (("first", [3, 0, 0, 6, 0, 0]), ("split", [1.5, 1.5, 0, 2, 2, 2])):
        assert pull(manual_bp.maxout, x, dy=dy, pieces=3, ties=ties)[1].tolist() == wanted
    assert pull(manual_bp.maxout, x, dy=dy, pieces=3)[1].tolist() == [3, 0, 0, 6, 0, 0]


def test_maxout_is_other_functions() -> None:
    x, dy = random(3, 6), random(3, 6, seed=1)
    for came, wanted in zip(pull(manual_bp.maxout, x, dy=dy, pieces=1), (x, dy), strict=True):
        np.testing.assert_array_equal(came, wanted)
    alone = pull(manual_bp.maxout, x, dy=dy[:, :1], pieces=6)
    whole = pull(manual_bp.reduce_max, x, dy=dy[:, 0], axis=-1)
    np.testing.assert_array_equal(alone[0][:, 0], whole[0])
    np.testing.assert_array_equal(alone[1], whole[1])


@every_gate
def test_a_gate_is_a_product_with_an_activation_of_the_second_half(name: str, gate: str) -> None:
    x, dy = random(2, 3, 10), random(2, 3, 5, seed=1)
    a, b = jnp.split(x, 2, -1)
    value, residual = manual_bp.activations.table[gate].forward(b)
    (db,) = manual_bp.activations.table[gate].backward(residual, dy * a)
    y, dx = pull(getattr(manual_bp, name), x, dy=dy)
    np.testing.assert_allclose(y, a * value, rtol=1e-15)
    np.testing.assert_allclose(dx, jnp.concatenate([dy * value, db], -1), rtol=1e-14)


@every_dtype
@every_gate
def test_gates_at_extremes_are_open_or_shut(name: str, gate: str, dtype: str) -> None:
    x = jnp.asarray([3.0, 3.0, -1e4, 1e4, -1e4, -1e4], dtype)  # a: 3, 3, −1e4; b: 1e4, −1e4, −1e4
    y, dx = pull(getattr(manual_bp, name), x)
    large = float(x[3])
    opened = 1.0 if gate == "sigmoid" else large
    slope = 0.0 if gate == "sigmoid" else 3.0
    wanted_y = np.asarray([3 * opened, 0, 0], np.float64)
    ulp = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.float64(y), wanted_y, rtol=ulp, atol=0)
    np.testing.assert_array_equal(np.float64(dx), [opened, 0, 0, slope, 0, 0])


@every_gate
def test_a_gate_complains(name: str, gate: str, without_annotations: None) -> None:
    forward = getattr(manual_bp, name).forward
    assert message(TypeError, forward, jnp.ones(4, int)) == (
        f"{name}: x: expected a floating dtype, got int64"
    )
    assert message(ValueError, forward, jnp.ones(())) == (
        f"{name}: x: expected rank 1 or more, got shape ()"
    )
    assert message(ValueError, forward, jnp.ones((2, 3))) == (
        f"{name}: x: expected an even last axis, got shape (2, 3)"
    )


def test_prelu_complains(without_annotations: None) -> None:
    forward, u = manual_bp.prelu.forward, jnp.ones((2, 3))
    assert message(TypeError, forward, jnp.ones(3, int), jnp.ones(3)) == (
        "prelu: u: expected a floating dtype, got int64"
    )
    assert message(TypeError, forward, u, jnp.ones(3, jnp.float32)) == (
        "prelu: alpha: expected float64, the dtype of u, got float32"
    )
    for shape in ((2,), (1,), (2, 3)):
        assert message(ValueError, forward, u, jnp.ones(shape)) == (
            f"prelu: alpha: expected shape (3,) or () for u of shape (2, 3), got {shape}"
        )
    assert message(ValueError, forward, jnp.ones(()), jnp.ones(3)) == (
        "prelu: u: expected rank 1 or more, got shape ()"
    )


def test_maxout_complains(without_annotations: None) -> None:
    forward, x = manual_bp.maxout.forward, jnp.ones((2, 6))
    assert message(TypeError, forward, jnp.ones(4, int), pieces=2) == (
        "maxout: x: expected a floating dtype, got int64"
    )
    assert message(ValueError, forward, jnp.ones(()), pieces=1) == (
        "maxout: x: expected rank 1 or more, got shape ()"
    )
    for pieces in (0, -1, 1.5):
        assert message(ValueError, forward, x, pieces=pieces) == (
            f"maxout: pieces: expected a whole number of at least 1, got {pieces}"
        )
    assert message(ValueError, forward, x, pieces=4) == (
        "maxout: x: expected a last axis in multiples of pieces = 4, got shape (2, 6)"
    )
    assert message(ValueError, forward, x, pieces=2, ties="last") == (
        "maxout: ties: expected one of 'first', 'split', got 'last'"
    )


@pytest.mark.parametrize("name", ["prelu", "maxout", *GATES])
def test_a_cotangent_unlike_the_output_is_refused(name: str, without_annotations: None) -> None:
    op, x = getattr(manual_bp, name), jnp.ones((2, 6))
    if name == "prelu":
        y, residual = op.forward(x, jnp.ones(6))
    else:
        y, residual = op.forward(x, **({"pieces": 2} if name == "maxout" else {}))
    assert message(ValueError, op.backward, residual, jnp.ones((6, 2))) == (
        f"{name}: dy: expected shape {y.shape} of y, got (6, 2)"
    )
    assert message(TypeError, op.backward, residual, jnp.ones(y.shape, jnp.float32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )
