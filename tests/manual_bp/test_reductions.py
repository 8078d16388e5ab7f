"""Reductions and scans: any shape, ties, zeros among factors, infinities, bad input."""

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
from manual_bp.reductions import extremum

EXTREMA = ("reduce_max", "reduce_min")
REDUCTIONS = ("reduce_sum", "reduce_mean", *EXTREMA, "reduce_prod", "logsumexp")
SCANS = ("cumsum", "cumprod")
OF_ENTRIES = ("reduce_mean", *EXTREMA)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_reduction = pytest.mark.parametrize("name", REDUCTIONS)
every_extremum = pytest.mark.parametrize("name", EXTREMA)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def pull(name: str, x: Any, dy: Any = None, **settings: Any) -> tuple[Any, Any]:
    """Return the output and dx, by default for dy = 1."""
    op = getattr(manual_bp, name)

    @jax.jit
    def both(x: Any, dy: Any) -> tuple[Any, Any]:
        y, residual = op.forward(x, **settings)
        (dx,) = op.backward(residual, jnp.ones_like(y) if dy is None else dy)
        return y, dx

    return both(x, dy)


@pytest.mark.parametrize("name", [*REDUCTIONS, *SCANS])
@given(data=st.data())
def test_any_shape_and_dtype(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of(name)))
    check_drawn(case, *data.draw(drawn(case)))


@every_reduction
@pytest.mark.parametrize("axis", [0, -2, (1, 2), (-1, 0), (2, 0, 1), (), None])
def test_the_axes_may_stay(name: str, axis: Any) -> None:
    x = random(2, 3, 5)
    y, dx = jax.eval_shape(lambda x: pull(name, x, axis=axis), x)
    stayed, stayed_dx = jax.eval_shape(lambda x: pull(name, x, axis=axis, keepdims=True), x)
    gone = range(3) if axis is None else (axis,) if isinstance(axis, int) else axis
    wanted = tuple(1 if i in {a % 3 for a in gone} else n for i, n in enumerate(x.shape))
    assert stayed.shape == wanted
    assert y.shape == tuple(n for i, n in enumerate(x.shape) if i not in {a % 3 for a in gone})
    assert dx.shape == stayed_dx.shape == x.shape


@every_reduction
def test_axes_that_stay_change_no_number(name: str) -> None:
    x, dy = random(2, 3, 5), random(3, seed=1)
    y, dx = pull(name, x, dy, axis=(2, 0))
    stayed, stayed_dx = pull(name, x, dy[None, :, None], axis=(2, 0), keepdims=True)
    np.testing.assert_array_equal(stayed[0, :, 0], y)
    np.testing.assert_array_equal(stayed_dx, dx)


@every_reduction
def test_several_axes_are_one_after_another(name: str) -> None:
    x, dy = random(2, 3, 5), random(3, seed=1)
    op = getattr(manual_bp, name)

    @jax.jit
    def one_after_another(x: Any, dy: Any) -> tuple[Any, Any]:
        inner, inner_residual = op.forward(x, axis=2)
        outer, outer_residual = op.forward(inner, axis=0)
        (dinner,) = op.backward(outer_residual, dy)
        return outer, op.backward(inner_residual, dinner)[0]

    y, dx = pull(name, x, dy, axis=(0, 2))
    wanted, wanted_dx = one_after_another(x, dy)
    np.testing.assert_allclose(y, wanted, rtol=1e-14)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-13)


@every_reduction
def test_a_number_is_its_own_reduction(name: str) -> None:
    y, dx = pull(name, jnp.asarray(0.25), jnp.asarray(3.0))
    assert (float(y), float(dx)) == (0.25, 3)


@pytest.mark.parametrize(
    ("name", "of_nothing"), [("reduce_sum", 0), ("reduce_prod", 1), ("logsumexp", -np.inf)]
)
def test_the_reduction_of_nothing(name: str, of_nothing: float) -> None:
    y, dx = pull(name, jnp.ones((2, 0)), axis=1)
    assert y.tolist() == [of_nothing] * 2
    assert dx.shape == (2, 0)


def test_means_are_sums_over_the_number_of_entries() -> None:
    x, dy = random(2, 3, 5), random(3, seed=1)
    mean, dmean = pull("reduce_mean", x, dy, axis=(0, 2))
    total, dtotal = pull("reduce_sum", x, dy, axis=(0, 2))
    np.testing.assert_allclose(mean, total / 10, rtol=1e-15)
    np.testing.assert_allclose(dmean, dtotal / 10, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_sums_do_not_stall(dtype: str) -> None:
    ones = jnp.ones(4096, dtype)
    assert float(pull("reduce_sum", ones)[0]) == 4096
    assert float(pull("reduce_mean", 32 * ones)[0]) == 32
    y, dx = pull("cumsum", ones)
    assert (float(y[-1]), float(dx[0])) == (4096, 4096)


@every_dtype
@every_extremum
def test_the_first_of_equal_entries_gets_all(name: str, dtype: str) -> None:
    sign = 1 if name == "reduce_max" else -1
    x = sign * jnp.asarray([[1, 3, 3, 2], [5, 5, 4, 5]], dtype)
    dy = jnp.asarray([0.5, -2], dtype)
    y, dx = pull(name, x, dy, axis=1)
    assert y.tolist() == [3 * sign, 5 * sign]
    assert dx.tolist() == [[0, 0.5, 0, 0], [-2, 0, 0, 0]]
    assert pull(name, x, dy, axis=1, ties="first")[1].tolist() == dx.tolist()


def test_a_place_that_float32_does_not_hold_is_found() -> None:
    place = extremum.EXACT + 1
    _, dx = pull("reduce_max", jnp.zeros(place + 2, jnp.float16).at[place].set(1))
    assert jnp.flatnonzero(dx).tolist() == [place]


@every_dtype
@every_extremum
def test_equal_entries_may_share(name: str, dtype: str) -> None:
    sign = 1 if name == "reduce_max" else -1
    x = sign * jnp.asarray([[1, 3, 3, 2], [5, 5, 5, 5]], dtype)
    _, dx = pull(name, x, jnp.asarray([0.5, -2], dtype), axis=1, ties="split")
    assert dx.tolist() == [[0, 0.25, 0.25, 0], [-0.5] * 4]


@every_extremum
def test_ties_over_several_axes_are_in_row_major_order(name: str) -> None:
    x = jnp.zeros((2, 3, 2))
    _, dx = pull(name, x, jnp.asarray([1.0, 2.0, 3.0]), axis=(2, 0))
    assert dx[0, :, 0].tolist() == [1, 2, 3]
    assert float(dx.sum()) == 6
    x = jnp.where(jnp.arange(12).reshape(2, 3, 2) == 0, jnp.inf * (-1) ** (name == EXTREMA[0]), x)
    _, dx = pull(name, x, axis=(0, 2))
    assert dx[0, 0].tolist() == [0, 1]


def test_jax_shares_where_we_are_asked_to() -> None:
    x = jnp.asarray([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    for name, function in (("reduce_max", jnp.max), ("reduce_min", jnp.min)):
        _, dx = pull(name, x, axis=1, ties="split")
        wanted = jax.grad(lambda x, function=function: function(x, 1).sum())(x)
        np.testing.assert_array_equal(dx, wanted)


@every_extremum
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("length", range(1, 7))
def test_the_first_of_few_entries_and_of_many_gets_all(name: str, axis: int, length: int) -> None:
    values = np.array([-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan])
    shape = [40, 2, 3]
    shape[axis] = length
    x = np.random.default_rng(length).choice(values, shape)
    # NumPy, too, takes the first NaN for the extremum, or the first of equal numbers.
    place = np.expand_dims((x.argmax if name == "reduce_max" else x.argmin)(axis), axis)
    for keepdims in (False, True):
        y, dx = pull(name, x, axis=axis, keepdims=keepdims)
        wanted = np.take_along_axis(x, place, axis)
        np.testing.assert_array_equal(y, wanted if keepdims else wanted.squeeze(axis))
        np.testing.assert_array_equal(
            dx, np.arange(length).reshape([-1 if at == axis else 1 for at in range(3)]) == place
        )


@every_extremum
def test_infinities_are_entries_and_a_nan_is_the_extremum(name: str) -> None:
    for x in ([1.0, -np.inf, 2.0, np.inf], [1.0, np.nan, np.nan, np.inf]):
        y, dx = pull(name, jnp.asarray(x))
        wanted = np.max(x) if name == "reduce_max" else np.min(x)
        np.testing.assert_array_equal(y, wanted)
        at = x.index(wanted) if wanted == wanted else 1
        assert dx.tolist() == [float(i == at) for i in range(4)]


@every_dtype
def test_the_gradient_of_a_product_at_zeros_is_exact(dtype: str) -> None:
    x = jnp.asarray([[2, 3, 5], [2, 0, 5], [0, 3, 0], [0, 0, 0]], dtype)
    dy = jnp.asarray([1, -2, 3, 4], dtype)
    y, dx = pull("reduce_prod", x, dy, axis=1)
    assert y.tolist() == [30, 0, 0, 0]
    assert dx.tolist() == [[15, 10, 6], [0, -20, 0], [0, 0, 0], [0, 0, 0]]


@every_dtype
def test_the_gradient_of_a_running_product_at_zeros_is_exact(dtype: str) -> None:
    x = jnp.asarray([[2, 0, 5, 3], [0, 3, 0, 2]], dtype)
    dy = jnp.asarray([[1, 2, 3, 4], [5, 6, 7, 8]], dtype)
    y, dx = pull("cumprod", x, dy)
    assert y.tolist() == [[2, 0, 0, 0], [0, 0, 0, 0]]
    # Of the second factor: 2 · (2 + 3·5 + 4·15); of the first of the second row: 5 + 6·3.
    assert dx.tolist() == [[1, 154, 0, 0], [23, 0, 0, 0]]


@every_dtype
def test_an_infinity_leaves_to_a_running_product_what_is_known(dtype: str) -> None:
    inf = float("inf")
    for x, dx in (
        ([2, 3, inf], [inf, inf, 6]),
        ([2, 3, -1, 5, inf], [-inf, -inf, inf, -inf, -30]),
        ([inf, 2, 3], [9, inf, inf]),
        ([2, inf, 3], [inf, 8, inf]),
        ([2, 0, inf], [float("nan"), inf, 0]),
    ):
        factors = jnp.asarray(x, dtype)
        y, came = pull("cumprod", factors, jnp.ones_like(factors))
        np.testing.assert_array_equal(y.astype(float), jnp.cumprod(factors).astype(float))
        np.testing.assert_array_equal(came.astype(float), dx)


def test_a_running_product_ends_in_the_product() -> None:
    x = random(3, 5)
    last = jnp.zeros((3, 5)).at[:, -1].set(jnp.asarray([1.0, -2.0, 0.5]))
    running, drunning = pull("cumprod", x, last, axis=1)
    whole, dwhole = pull("reduce_prod", x, last[:, -1], axis=1)
    np.testing.assert_allclose(running[:, -1], whole, rtol=1e-15)
    np.testing.assert_allclose(drunning, dwhole, rtol=1e-14)


def test_a_product_of_extremes_divides_nothing() -> None:
    _, dx = pull("reduce_prod", jnp.asarray([1e300, 1e-300, 1e-300, 2.0]))
    np.testing.assert_allclose(dx, [0, 2, 2, 1e-300], rtol=1e-14)
    _, dx = pull("reduce_prod", jnp.asarray([1e-290, 3.0, 2.0]))
    np.testing.assert_allclose(dx, [6, 2e-290, 3e-290], rtol=1e-14)


@pytest.mark.parametrize("axis", [0, -2])
@pytest.mark.parametrize("name", SCANS)
def test_every_axis_is_the_last_one_moved(name: str, axis: int) -> None:
    x, dy = random(2, 3, 5), random(2, 3, 5, seed=1)
    moved = pull(name, jnp.moveaxis(x, axis, -1), jnp.moveaxis(dy, axis, -1))
    for came, wanted in zip(pull(name, x, dy, axis=axis), moved, strict=True):
        np.testing.assert_allclose(jnp.moveaxis(came, axis, -1), wanted, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_over_nothing_is_nothing(name: str) -> None:
    for x, axis in ((jnp.ones((2, 0)), 1), (jnp.ones((0, 2)), 1)):
        y, dx = pull(name, x, axis=axis)
        assert y.shape == dx.shape == x.shape


@every_dtype
def test_logsumexp_of_extremes_is_finite(dtype: str) -> None:
    x = jnp.asarray([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4]], dtype)
    y, dx = pull("logsumexp", x, jnp.asarray([0.5, -2, 3], dtype), axis=1)
    ulp = float(jnp.finfo(dtype).eps)
    top = np.float64(x[0, 0])
    wanted = [top, np.log(3) - top, top + np.log(2)]
    np.testing.assert_allclose(np.float64(y), wanted, rtol=ulp)
    shares = [[0.5, 0, 0], [-2 / 3] * 3, [1.5, 1.5, 0]]
    np.testing.assert_allclose(np.float64(dx), shares, rtol=ulp)


@every_dtype
def test_logsumexp_of_minus_infinities(dtype: str) -> None:
    x = jnp.asarray([[-np.inf, -np.inf], [-np.inf, 2]], dtype)
    y, dx = pull("logsumexp", x, jnp.asarray([3, -2], dtype), axis=1)
    assert y.tolist() == [-np.inf, 2]
    assert dx.tolist() == [[0, 0], [0, -2]]
    y, dx = pull("logsumexp", x, jnp.asarray(3, dtype))
    assert (float(y), dx.tolist()) == (2, [[0, 0], [0, 3]])


def test_logsumexp_of_plus_infinity() -> None:
    y, dx = pull("logsumexp", jnp.asarray([np.inf, 1.0]))
    assert float(y) == np.inf
    assert np.isnan(dx).tolist() == [True, False]


def test_a_small_gradient_of_logsumexp_keeps_its_digits() -> None:
    _, dx = pull("logsumexp", jnp.asarray([0.0, -50.0], jnp.float32))
    np.testing.assert_allclose(np.float64(dx), [1, np.exp(-50)], rtol=1e-5)


def test_a_large_logsumexp_keeps_the_digits_of_its_gradient() -> None:
    x = jnp.asarray([1e4, 1e4 + 1], jnp.float32)
    _, dx = pull("logsumexp", x)
    np.testing.assert_allclose(np.float64(dx), [1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-6)


def test_the_gradient_of_logsumexp_is_softmax() -> None:
    x = 3 * random(4, 5)
    _, dx = pull("logsumexp", x, axis=1)
    np.testing.assert_allclose(dx, manual_bp.softmax.forward(x)[0], rtol=1e-14)


@pytest.mark.parametrize("name", [*REDUCTIONS, *SCANS])
def test_what_is_not_floating_and_no_axis_is_refused(name: str, without_annotations: None) -> None:
    forward = getattr(manual_bp, name).forward
    assert message(TypeError, forward, jnp.ones(3, int)) == (
        f"{name}: x: expected a floating dtype, got int64"
    )
    for axis in (2, -3):
        assert message(ValueError, forward, jnp.ones((2, 3)), axis=axis) == (
            f"{name}: axis: expected an axis of shape (2, 3), got {axis}"
        )


@every_reduction
def test_an_axis_named_twice_is_refused(name: str, without_annotations: None) -> None:
    assert message(
        ValueError, getattr(manual_bp, name).forward, jnp.ones((2, 3)), axis=(1, -1)
    ) == (f"{name}: axis: expected axes that differ, got (1, -1)")


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_of_a_number_is_refused(name: str, without_annotations: None) -> None:
    assert message(ValueError, getattr(manual_bp, name).forward, jnp.ones(())) == (
        f"{name}: axis: expected an axis of shape (), got -1"
    )


@pytest.mark.parametrize("name", OF_ENTRIES)
def test_a_mean_or_extremum_of_nothing_is_refused(name: str, without_annotations: None) -> None:
    forward = getattr(manual_bp, name).forward
    assert message(ValueError, forward, jnp.ones((0, 3)), axis=0) == (
        f"{name}: x: expected at least one entry along axis=0, got shape (0, 3)"
    )
    assert message(ValueError, forward, jnp.ones((2, 0))) == (
        f"{name}: x: expected at least one entry along axis=None, got shape (2, 0)"
    )
    assert forward(jnp.ones((0, 3)), axis=1)[0].shape == (0,)


@every_extremum
def test_unknown_ties_are_refused(name: str, without_annotations: None) -> None:
    assert message(ValueError, getattr(manual_bp, name).forward, jnp.ones(3), ties="last") == (
        f"{name}: ties: expected one of 'first', 'split', got 'last'"
    )


@pytest.mark.parametrize("name", [*REDUCTIONS, *SCANS])
def test_a_cotangent_unlike_the_output_is_refused(name: str, without_annotations: None) -> None:
    op = getattr(manual_bp, name)
    y, residual = op.forward(jnp.ones((3, 2)), axis=1)
    for shape in ((2,), (1, 1), (3, 1, 2)):
        assert message(ValueError, op.backward, residual, jnp.ones(shape)) == (
            f"{name}: dy: expected shape {y.shape} of y, got {shape}"
        )
    assert message(TypeError, op.backward, residual, y.astype(jnp.float32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )
