"""Elementwise functions: any shape, any dtype, extreme values, kinks, settings, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import DTYPES, LOW, cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from jax_ref import cases
from manual_bp.activations import Elementwise, table

every_activation = pytest.mark.parametrize("f", table.values(), ids=list(table))
every_dtype = pytest.mark.parametrize("dtype", DTYPES)

LARGE, SMALL = 1e4, 1 / 10001
# f and f' at +LARGE and at −LARGE.
LIMITS = {
    "identity": ((LARGE, 1), (-LARGE, 1)),
    "sigmoid": ((1, 0), (0, 0)),
    "tanh": ((1, 0), (-1, 0)),
    "relu": ((LARGE, 1), (0, 0)),
    "leaky_relu": ((LARGE, 1), (-0.01 * LARGE, 0.01)),
    "softplus": ((LARGE, 1), (0, 0)),
    "log_sigmoid": ((0, 0), (-LARGE, 1)),
    "relu6": ((6, 0), (0, 0)),
    "squared_relu": ((LARGE**2, 2 * LARGE), (0, 0)),
    "elu": ((LARGE, 1), (-1, 0)),
    "celu": ((LARGE, 1), (-1, 0)),
    "selu": ((1.0507009873554805 * LARGE, 1.0507009873554805), (-1.7580993408473766, 0)),
    "gelu": ((LARGE, 1), (0, 0)),
    "gelu_tanh": ((LARGE, 1), (0, 0)),
    "gelu_quick": ((LARGE, 1), (0, 0)),
    "silu": ((LARGE, 1), (0, 0)),
    "mish": ((LARGE, 1), (0, 0)),
    "softsign": (
        (LARGE / (1 + LARGE), (1 + LARGE) ** -2),
        (-LARGE / (1 + LARGE), (1 + LARGE) ** -2),
    ),
    "hard_sigmoid": ((1, 0), (0, 0)),
    "hard_tanh": ((1, 0), (-1, 0)),
    "hard_swish": ((LARGE, 1), (0, 0)),
}


def value_and_slope(f: Elementwise, u: Any, **chosen: float) -> tuple[jax.Array, jax.Array]:
    y, residual = f.forward(u, **chosen)
    (du,) = f.backward(residual, jnp.ones_like(y))
    return y, du


# One machinery takes all of them through shapes and dtypes, and the registry takes each through
# both; so the function is drawn too.
EVERYWHERE = [case for case in cases_of(*table) if not case.variant]


@given(case=st.sampled_from(EVERYWHERE), data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


def test_every_activation_has_limits_written_down() -> None:
    assert set(LIMITS) == set(table)


@every_dtype
@every_activation
def test_value_and_slope_at_extremes_are_the_limits(f: Elementwise, dtype: str) -> None:
    u = jnp.asarray([LARGE, -LARGE, -LARGE, LARGE], dtype)
    y, du = value_and_slope(f, u)
    above, below = LIMITS[f.name]
    ulp = float(jnp.finfo(dtype).eps)
    wanted_y, wanted_du = np.array([above, below, below, above], np.float64).T
    if f is manual_bp.squared_relu and dtype == "float16":
        wanted_y[wanted_y > 0] = np.inf  # the square of 1e4 is beyond it
    np.testing.assert_allclose(np.float64(y), wanted_y, rtol=ulp, atol=0)
    # A slope of 1e-8 is subnormal in float16.
    subnormal = float(jnp.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(np.float64(du), wanted_du, rtol=2 * ulp, atol=subnormal)


@every_dtype
@every_activation
def test_extremes_do_not_disturb_their_neighbours(f: Elementwise, dtype: str) -> None:
    mixed = value_and_slope(f, jnp.asarray([0.5, LARGE, -1.25, -LARGE], dtype))
    alone = value_and_slope(f, jnp.asarray([0.5, 0.5, -1.25, -1.25], dtype))
    for with_neighbours, without in zip(mixed, alone, strict=True):
        assert not np.isnan(np.float64(with_neighbours)).any()
        np.testing.assert_array_equal(np.float64(with_neighbours)[::2], np.float64(without)[::2])


TAILS = {
    "sigmoid": (-80.0, lambda u: (np.exp(u), np.exp(u))),
    "softplus": (-80.0, lambda u: (np.exp(u), np.exp(u))),
    "log_sigmoid": (80.0, lambda u: (-np.exp(-u), np.exp(-u))),
}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_a_tiny_slope_keeps_every_digit(name: str, dtype: str) -> None:
    u, tail = TAILS[name]
    came = value_and_slope(table[name], jnp.asarray(u, dtype))
    # XLA's float32 exponential is off by u times half an ulp.
    rtol = 4 * float(jnp.finfo(dtype).eps) + (80 * 2.0**-24 if dtype != "float64" else 1e-14)
    np.testing.assert_allclose(np.float64(came), tail(u), rtol=rtol, atol=0)


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_a_slope_from_the_rounded_output_errs_by_its_rounding(name: str, dtype: str) -> None:
    u = jnp.linspace(-9, 9, 181).astype(dtype)
    _, du = value_and_slope(table[name], u)
    _, truth = value_and_slope(table[name], u.astype(jnp.float64))
    error = np.abs(np.float64(du) - np.float64(truth)).max()
    # |d slope / d y| ≤ 2, y is rounded once to half an ulp of 1 and XLA's tanh adds an ulp or two.
    assert error <= 4 * float(jnp.finfo(dtype).eps)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("zero", [0.0, -0.0])
@every_dtype
def test_relu_slope_at_zero_is_the_convention_asked_for(
    slope: float, zero: float, dtype: str
) -> None:
    u = jnp.asarray([-1, zero, 2], dtype)
    y, du = value_and_slope(manual_bp.relu, u, slope_at_zero=slope)
    np.testing.assert_array_equal(np.float64(y), [0, 0, 2])
    np.testing.assert_array_equal(np.float64(du), [0, slope, 1])


def test_relu_agrees_with_jax_under_its_two_conventions() -> None:
    u = jnp.asarray([-1.5, -0.0, 0.0, 3.0])

    def slope_of(f: Any) -> jax.Array:
        return jax.vmap(jax.grad(f))(u)

    (_, by_hand), (_, halved) = (
        value_and_slope(manual_bp.relu, u, slope_at_zero=s) for s in (0.0, 0.5)
    )
    np.testing.assert_array_equal(by_hand, slope_of(jax.nn.relu))
    np.testing.assert_array_equal(halved, slope_of(lambda v: jnp.maximum(v, 0)))
    assert value_and_slope(manual_bp.relu, u)[1].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("below", [0.0, 0.01, 0.3, -0.5])
def test_leaky_relu_has_three_slopes(below: float, at_zero: float) -> None:
    u = jnp.asarray([-2.0, -0.0, 0.0, 2.0])
    y, du = value_and_slope(manual_bp.leaky_relu, u, negative_slope=below, slope_at_zero=at_zero)
    np.testing.assert_array_equal(y, [-2 * below, 0, 0, 2])
    np.testing.assert_array_equal(du, [below, at_zero, at_zero, 1])


def test_leaky_relu_agrees_with_jax() -> None:
    u = jnp.asarray([-1.5, 0.0, 3.0])
    y, du = value_and_slope(manual_bp.leaky_relu, u)
    np.testing.assert_allclose(y, jax.nn.leaky_relu(u), rtol=1e-15)
    np.testing.assert_allclose(du, jax.vmap(jax.grad(jax.nn.leaky_relu))(u), rtol=1e-15)


def test_with_settings_changes_the_defaults_of_a_copy() -> None:
    flat = manual_bp.relu.with_settings(slope_at_zero=0.0)
    zero = jnp.zeros(1)
    assert value_and_slope(flat, zero)[1].tolist() == [0]
    assert value_and_slope(flat, zero, slope_at_zero=0.5)[1].tolist() == [0.5]
    assert value_and_slope(manual_bp.relu, zero)[1].tolist() == [1]
    assert flat != manual_bp.relu
    assert hash(flat) != hash(manual_bp.relu)
    assert repr(flat) == "manual_bp.relu(slope_at_zero=0.0)"
    assert repr(manual_bp.tanh) == "manual_bp.tanh"


KINKS = {
    "relu": {0.0: 1.0},
    "leaky_relu": {0.0: 1.0},
    "relu6": {0.0: 1.0, 6.0: 1.0},
    "elu": {0.0: 1.0},
    "selu": {0.0: 1.0507009873554805},
    "hard_sigmoid": {-3.0: 1 / 6, 3.0: 1 / 6},
    "hard_tanh": {-1.0: 1.0, 1.0: 1.0},
    "hard_swish": {-3.0: -0.5, 3.0: 1.5},
}


@every_activation
def test_the_slope_at_every_kink_is_the_one_declared(f: Elementwise) -> None:
    settings = dict(f.defaults)
    declared = {u: settings[s] if isinstance(s, str) else s for u, s in f.kinks}
    assert declared == KINKS.get(f.name, {})
    for u, slope in declared.items():
        for dtype in DTYPES:
            came = value_and_slope(f, jnp.full(4, u, dtype))[1]
            np.testing.assert_array_equal(came, jnp.full(4, slope, dtype))


@every_activation
def test_a_slope_jumps_at_the_declared_kinks_alone(f: Elementwise) -> None:
    h = 1e-9
    f = f.with_settings(alpha=0.3) if "alpha" in dict(f.defaults) else f
    grid = np.arange(-28, 29) / 4
    below, above = (np.asarray(value_and_slope(f, jnp.asarray(grid + d))[1]) for d in (-h, h))
    jumps = grid[np.abs(above - below) > 1e-3]
    assert jumps.tolist() == [u for u, _ in f.kinks]
    at, sides = np.asarray(value_and_slope(f, jnp.asarray(jumps))[1]), np.abs(jumps[:, None] - grid)
    for slope, k in zip(at, sides.argmin(-1), strict=True):
        assert min(abs(slope - below[k]), abs(slope - above[k])) < 1e-6


JAX = {
    **{name: (name, {}) for name in ("relu6", "elu", "celu", "selu", "silu", "mish", "hard_tanh")},
    **{name: (name, {}) for name in ("hard_sigmoid", "hard_swish")},
    "softsign": ("soft_sign", {}),
    "gelu": ("gelu", {"approximate": False}),
    "gelu_tanh": ("gelu", {"approximate": True}),
}


@pytest.mark.parametrize("name", JAX)
def test_jax_nn_agrees_away_from_the_kinks(name: str) -> None:
    theirs, settings = JAX[name]
    u = jnp.arange(-69, 70, 2) / 10

    def by_jax(v: jax.Array) -> jax.Array:
        with jax.numpy_dtype_promotion("standard"):
            return getattr(jax.nn, theirs)(v, **settings)

    came = value_and_slope(table[name], u)
    wanted = by_jax(u), jax.grad(lambda v: by_jax(v).sum())(u)
    for ours, other in zip(came, wanted, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-12, atol=1e-12)


def test_celu_is_elu_stretched() -> None:
    u, alpha = jnp.asarray([-3.0, -0.4, 0.0, 1.7]), 0.3
    y, du = value_and_slope(manual_bp.elu, u / alpha)
    came_y, came_du = value_and_slope(manual_bp.celu, u, alpha=alpha)
    np.testing.assert_allclose(came_y, alpha * y, rtol=1e-14)
    np.testing.assert_allclose(came_du, du, rtol=1e-14)


def test_the_gelus_are_near_one_another() -> None:
    u = jnp.linspace(-8, 8, 161)
    exact = value_and_slope(manual_bp.gelu, u)
    for f, distance in ((manual_bp.gelu_tanh, 3e-3), (manual_bp.gelu_quick, 5e-2)):
        for ours, other in zip(value_and_slope(f, u), exact, strict=True):
            assert 1e-4 < jnp.abs(ours - other).max() < distance


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "relu6", "hard_sigmoid", "hard_tanh"])
def test_a_slope_of_constants_is_kept_in_one_byte(name: str) -> None:
    _, residual = table[name].forward(jnp.ones(3))
    assert residual.saved is not None
    assert residual.saved.dtype.itemsize == 1


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_celu_refuses_an_alpha_that_is_not_above_zero(alpha: float) -> None:
    message = f"celu: alpha: expected a finite number above 0, got {alpha}"
    for call in (
        lambda: manual_bp.celu.forward(jnp.ones(2), alpha=alpha),
        lambda: manual_bp.celu.with_settings(alpha=alpha),
    ):
        with pytest.raises(ValueError, match="alpha") as caught:
            call()
        assert str(caught.value) == message


def test_a_nan_stays_a_nan() -> None:
    for f in table.values():
        y, du = value_and_slope(f, jnp.asarray([jnp.nan, 1.0, -1.0, 2.0]))
        assert np.isnan(y).tolist() == [True, False, False, False]
        assert np.isfinite(du[1:]).all()


@every_activation
def test_integers_are_refused(f: Elementwise, without_annotations: None) -> None:
    for dtype in (jnp.int32, jnp.uint8, jnp.bool):
        with pytest.raises(TypeError) as caught:
            f.forward(jnp.ones(2, dtype))
        assert str(caught.value) == (
            f"{f.name}: u: expected a floating dtype, got {jnp.dtype(dtype)}"
        )


@every_activation
def test_an_unknown_setting_is_refused(f: Elementwise) -> None:
    known = {
        "relu": "one of slope_at_zero",
        "leaky_relu": "one of negative_slope, slope_at_zero",
        "elu": "one of alpha",
        "celu": "one of alpha",
    }.get(f.name, "no settings")
    message = f"{f.name}: settings: expected {known}, got slope"
    for call in (lambda: f.forward(jnp.ones(2), slope=1.0), lambda: f.with_settings(slope=1.0)):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == message


@every_activation
def test_a_cotangent_unlike_the_output_is_refused(
    f: Elementwise, without_annotations: None
) -> None:
    _, residual = f.forward(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=f.name) as wrong_shape:
        f.backward(residual, jnp.ones((3, 2)))
    assert str(wrong_shape.value) == f"{f.name}: dy: expected shape (2, 3) of y, got (3, 2)"
    with pytest.raises(TypeError) as wrong_dtype:
        f.backward(residual, jnp.ones((2, 3), jnp.float32))
    assert str(wrong_dtype.value) == (
        f"{f.name}: dy: expected float64, the dtype of y, got float32"
    )
