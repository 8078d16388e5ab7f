"""Affine maps, softmax and sparsemax: any shape, both forms, extreme values, bad input."""

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


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize(
    "case",
    cases_of("linear", "linear_column", "softmax", "log_softmax", "sparsemax"),
    ids=lambda case: case.name,
)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


@pytest.mark.parametrize("batch", [(), (1,), (5,), (0,)])
@pytest.mark.parametrize("biased", [True, False])
def test_s1_17_the_row_form_is_the_column_form_transposed(
    batch: tuple[int, ...], biased: bool
) -> None:
    x, W, dy = random(*batch, 3), random(3, 4), random(*batch, 4)
    b = random(4) if biased else None
    row, row_residual = manual_bp.linear.forward(x, W, b)
    column, column_residual = manual_bp.linear_column.forward(x.T, W.T, b)
    np.testing.assert_allclose(row, column.T, rtol=1e-14, atol=1e-14)
    dx, dW, db = manual_bp.linear.backward(row_residual, dy)
    dx_column, dW_column, db_column = manual_bp.linear_column.backward(column_residual, dy.T)
    np.testing.assert_allclose(dx, dx_column.T, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(dW, dW_column.T, rtol=1e-14, atol=1e-14)
    assert (db is None) == (db_column is None) == (not biased)
    if biased:
        np.testing.assert_allclose(db, db_column, rtol=1e-14, atol=1e-14)


def test_a_square_weight_is_not_transposed() -> None:
    W = jnp.asarray([[0.0, 2.0], [0.0, 0.0]])
    u, residual = manual_bp.linear.forward(jnp.asarray([3.0, 5.0]), W)
    dx, dW, db = manual_bp.linear.backward(residual, jnp.asarray([7.0, 11.0]))
    assert u.tolist() == [0, 6]
    assert dx.tolist() == [22, 0]
    assert dW.tolist() == [[21, 33], [35, 55]]
    assert db is None


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_sums_do_not_stall(dtype: str) -> None:
    ones = jnp.ones((4096, 1), dtype)
    _, residual = manual_bp.linear.forward(ones, jnp.ones((1, 1), dtype), jnp.zeros(1, dtype))
    _, dW, db = manual_bp.linear.backward(residual, ones)
    assert (float(dW[0, 0]), float(db[0])) == (4096, 4096)
    u, _ = manual_bp.linear.forward(ones.T, ones)
    assert float(u[0, 0]) == 4096


SCORES = (1e4, -1e4, 0.0)
UPSTREAM = (0.5, -2.0, 3.0)


@every_dtype
def test_softmax_of_extremes_is_one_hot_and_its_gradient_zero(dtype: str) -> None:
    y, residual = manual_bp.softmax.forward(jnp.asarray(SCORES, dtype))
    (du,) = manual_bp.softmax.backward(residual, jnp.asarray(UPSTREAM, dtype))
    assert y.tolist() == [1, 0, 0]
    assert du.tolist() == [0, 0, 0]


@every_dtype
def test_log_softmax_of_extremes_is_finite(dtype: str) -> None:
    u = jnp.asarray(SCORES, dtype)
    y, residual = manual_bp.log_softmax.forward(u)
    (du,) = manual_bp.log_softmax.backward(residual, jnp.asarray(UPSTREAM, dtype))
    np.testing.assert_array_equal(np.float64(y), np.float64(u) - np.float64(u[0]))
    assert du.tolist() == [0.5 - 1.5, -2, 3]


@every_dtype
@pytest.mark.parametrize("level", [1e4, -1e4])
def test_equal_extremes_share_equally(level: float, dtype: str) -> None:
    u, dy = jnp.full(4, level, dtype), jnp.asarray([1, -2, 4, 0.5], dtype)
    y, residual = manual_bp.softmax.forward(u)
    (du,) = manual_bp.softmax.backward(residual, dy)
    assert y.tolist() == [0.25] * 4
    wanted = (np.float64(dy) - np.float64(dy).mean()) / 4
    ulp = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.float64(du), wanted, rtol=ulp)
    y, residual = manual_bp.log_softmax.forward(u)
    (du,) = manual_bp.log_softmax.backward(residual, dy)
    np.testing.assert_allclose(np.float64(y), -np.log(4), rtol=ulp)
    # e^y is taken from the rounded y, so the error is measured against the largest entry.
    wanted = np.float64(dy) - 3.5 / 4
    np.testing.assert_allclose(np.float64(du), wanted, atol=2 * ulp * np.abs(wanted).max())


def test_a_softmax_masked_by_minus_infinity_ignores_the_mask() -> None:
    u = jnp.asarray([0.5, -jnp.inf, 1.5])
    y, residual = manual_bp.softmax.forward(u)
    (du,) = manual_bp.softmax.backward(residual, jnp.asarray(UPSTREAM))
    alone, alone_residual = manual_bp.softmax.forward(u[::2])
    (dalone,) = manual_bp.softmax.backward(alone_residual, jnp.asarray(UPSTREAM[::2]))
    assert y[1] == du[1] == 0
    np.testing.assert_allclose(y[::2], alone, rtol=1e-15)
    np.testing.assert_allclose(du[::2], dalone, rtol=1e-15)


def test_the_small_probabilities_of_a_softmax_keep_their_gradients() -> None:
    u = jnp.asarray([50.0, 0.0], jnp.float32)
    y, residual = manual_bp.softmax.forward(u)
    (du,) = manual_bp.softmax.backward(residual, jnp.asarray([0.0, 1.0], jnp.float32))
    tiny = np.exp(-50.0)
    np.testing.assert_allclose(np.float64(y[1]), tiny, rtol=1e-5)
    np.testing.assert_allclose(np.float64(du), [-tiny, tiny], rtol=1e-5)


SIMPLEX = pytest.mark.parametrize("name", ["softmax", "log_softmax", "sparsemax"])


@SIMPLEX
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_every_axis_is_the_last_one_moved(name: str, axis: int) -> None:
    op, u, dy = getattr(manual_bp, name), random(2, 3, 5), random(2, 3, 5, seed=1)

    def pull(u: Any, dy: Any, axis: int) -> tuple[Any, Any]:
        y, residual = op.forward(u, axis=axis)
        return y, op.backward(residual, dy)[0]

    moved = pull(jnp.moveaxis(u, axis, -1), jnp.moveaxis(dy, axis, -1), -1)
    for came, wanted in zip(pull(u, dy, axis), moved, strict=True):
        np.testing.assert_allclose(jnp.moveaxis(came, axis, -1), wanted, rtol=1e-14, atol=1e-15)


@every_dtype
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_temperature_divides_the_scores_and_their_gradient(name: str, dtype: str) -> None:
    op = getattr(manual_bp, name)
    u, dy = jnp.asarray([0.5, -2, 4, 1], dtype), jnp.asarray([0.5, -2, 3, 1], dtype)
    for tau in (0.25, 1.0, 8.0):  # powers of two, so that the division is exact
        y, residual = op.forward(u, temperature=tau)
        wanted, cold_residual = op.forward(u / tau)
        np.testing.assert_array_equal(y, wanted)
        (du,), (dv,) = op.backward(residual, dy), op.backward(cold_residual, dy)
        np.testing.assert_array_equal(du, dv / tau)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_low_temperature_leaves_the_extremes_finite(name: str) -> None:
    op = getattr(manual_bp, name)
    y, residual = op.forward(jnp.asarray([1e4, 1e4, -1e4]), temperature=1e-3)
    (du,) = op.backward(residual, jnp.asarray([1.0, 2.0, 0.0]))
    wanted = [0.5, 0.5, 0] if name == "softmax" else [-np.log(2), -np.log(2), -2e7 - np.log(2)]
    np.testing.assert_allclose(y, wanted, rtol=1e-15)
    np.testing.assert_allclose(du, [-250, 250, 0] if name == "softmax" else [-500, 500, 0])


def sparsemax(u: Any, dy: Any) -> tuple[jax.Array, jax.Array]:
    y, residual = manual_bp.sparsemax.forward(u)
    return y, manual_bp.sparsemax.backward(residual, dy)[0]


@every_dtype
def test_an_entry_at_the_threshold_of_sparsemax_is_outside_its_support(dtype: str) -> None:
    dy = jnp.asarray([4, 1, 8], dtype)
    for shift in (0.0, 1e4, -1e4):
        # The first two alone have the threshold 0, at which the third stands.
        u = jnp.asarray([0.5, 0.5, 0], dtype) + jnp.asarray(shift, dtype)
        if float(u[0] - u[2]) != 0.5:
            continue  # the dtype does not hold both at this size
        y, du = sparsemax(u, dy)
        assert y.tolist() == [0.5, 0.5, 0]
        assert du.tolist() == [1.5, -1.5, 0]


@every_dtype
def test_sparsemax_of_extremes_is_one_hot_and_its_gradient_zero(dtype: str) -> None:
    y, du = sparsemax(jnp.asarray(SCORES, dtype), jnp.asarray(UPSTREAM, dtype))
    assert y.tolist() == [1, 0, 0]
    assert du.tolist() == [0, 0, 0]


def test_sparsemax_of_the_simplex_is_itself_and_shares_equally_what_is_equal() -> None:
    y, du = sparsemax(jnp.asarray([0.5, 0.125, 0.375]), jnp.asarray([3.0, 0, 0]))
    assert y.tolist() == [0.5, 0.125, 0.375]
    assert du.tolist() == [2, -1, -1]
    y, du = sparsemax(jnp.full(4, 1e4), jnp.asarray([4.0, 0, 0, 0]))
    assert y.tolist() == [0.25] * 4
    assert du.tolist() == [3, -1, -1, -1]


@pytest.mark.parametrize("n", [2, 1000, 30000])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0])
def test_sparsemax_of_many_entries_sums_to_one(n: int, scale: float) -> None:
    # A threshold near 0 that was reached from −1 has the rounding error of 1.
    u = jnp.asarray(scale * np.random.default_rng(0).standard_normal(n), jnp.float32)
    y, _ = manual_bp.sparsemax.forward(u)
    exact, _ = manual_bp.sparsemax.forward(u.astype(jnp.float64))
    assert float(y.astype(jnp.float64).sum()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(y, exact, rtol=0, atol=2e-6 * float(exact.max()))


def test_the_forward_of_sparsemax_can_be_differentiated_in_both_directions() -> None:
    u, c = random(4, 7), random(4, 7, seed=1)
    y, du = sparsemax(u, c)
    assert ((y > 0).sum(-1) > 1).any()

    def forward(u: jax.Array) -> jax.Array:
        return manual_bp.sparsemax.forward(u)[0]

    np.testing.assert_allclose(jax.vjp(forward, u)[1](c)[0], du, atol=1e-14)
    # ∂y/∂u is its own transpose.
    np.testing.assert_allclose(jax.jvp(forward, (u,), (c,))[1], du, atol=1e-14)


def test_sparsemax_is_nearer_than_any_other_point_of_the_simplex() -> None:
    rng = np.random.default_rng(0)
    u = rng.standard_normal((50, 6))
    y, _ = manual_bp.sparsemax.forward(jnp.asarray(u))
    assert (np.asarray(y) >= 0).all()
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-14)
    others = rng.dirichlet(np.full(6, 0.3), (200, 50))
    nearest = ((np.asarray(y) - u) ** 2).sum(-1)
    assert (((others - u) ** 2).sum(-1) >= nearest).all()


def test_sparsemax_of_two_is_a_hard_sigmoid_of_their_difference() -> None:
    d = jnp.asarray([-3.0, -0.875, 0.0, 0.375, 2.0])
    y, du = sparsemax(
        jnp.stack([d, jnp.zeros(5)], -1), jnp.broadcast_to(jnp.asarray([1.0, 0]), (5, 2))
    )
    np.testing.assert_array_equal(y[:, 0], np.clip((d + 1) / 2, 0, 1))
    np.testing.assert_array_equal(du[:, 0], [0, 0.5, 0.5, 0.5, 0])


def test_a_sparsemax_masked_by_minus_infinity_ignores_the_mask() -> None:
    u = jnp.asarray([0.5, -jnp.inf, 0.75])
    y, du = sparsemax(u, jnp.asarray(UPSTREAM))
    alone = sparsemax(u[::2], jnp.asarray(UPSTREAM[::2]))
    assert y[1] == du[1] == 0
    for came, wanted in zip((y, du), alone, strict=True):
        np.testing.assert_array_equal(came[::2], wanted)


def test_a_row_of_sparsemax_ends_at_the_sorted_threshold_whatever_stands_beside_it() -> None:
    rng = np.random.default_rng(0)
    u = np.stack([rng.standard_normal(2000) * scale for scale in (1e-9, 1e-3, 1, 1e3)])
    u[3, 0] = np.inf
    y, _ = manual_bp.sparsemax.forward(jnp.asarray(u))
    assert jnp.isnan(y[3]).all()
    for row, came in zip(u[:3], y, strict=False):
        ordered = np.sort(row)[::-1] - row.max()
        sums, k = np.cumsum(ordered), np.arange(1, 2001)
        size = (1 + k * ordered > sums).sum()
        wanted = np.maximum(row - row.max() - (sums[size - 1] - 1) / size, 0)
        np.testing.assert_allclose(came, wanted, rtol=1e-12, atol=1e-15)


def test_what_is_owed_to_entries_outside_the_support_of_sparsemax_may_be_infinite() -> None:
    _, du = sparsemax(jnp.asarray([0.5, -3.0, 0.75]), jnp.asarray([1.0, -jnp.inf, 3.0]))
    assert du.tolist() == [-1, 0, 1]


def test_a_nan_is_not_hidden_by_sparsemax() -> None:
    y, _ = sparsemax(jnp.asarray([0.5, jnp.nan, 0.75]), jnp.asarray(UPSTREAM))
    assert jnp.isnan(y).all()


@pytest.mark.parametrize("batch", [(), (4,), (0,), (2, 3)])
def test_the_jacobian_of_softmax_gives_its_backward(batch: tuple[int, ...]) -> None:
    u, dy = random(*batch, 5), random(*batch, 5, seed=1)
    y, residual = manual_bp.softmax.forward(u)
    jacobian = manual_bp.softmax.jacobian(y)
    (du,) = manual_bp.softmax.backward(residual, dy)
    assert jacobian.shape == (*batch, 5, 5)
    np.testing.assert_allclose(du, jnp.einsum("...ji,...j->...i", jacobian, dy), atol=1e-15)
    np.testing.assert_allclose(jacobian, jnp.swapaxes(jacobian, -1, -2), atol=0)


F32 = jnp.float32
LINEAR_COMPLAINTS = [
    (TypeError, (jnp.ones(3, int), jnp.ones((3, 2))), "x: expected a floating dtype, got int64"),
    (TypeError, (jnp.ones(3), jnp.ones((3, 2), int)), "W: expected a floating dtype, got int64"),
    (
        TypeError,
        (jnp.ones(3), jnp.ones((3, 2), F32)),
        "W: expected float64, the dtype of x, got float32",
    ),
    (
        TypeError,
        (jnp.ones(3), jnp.ones((3, 2)), jnp.ones(2, F32)),
        "b: expected float64, the dtype of x, got float32",
    ),
    (
        ValueError,
        (jnp.ones(()), jnp.ones((3, 2))),
        "x: expected rank 1 or more, got shape ()",
    ),
    (
        ValueError,
        (jnp.ones((5, 3)), jnp.ones((4, 2))),
        "W: expected shape (3, _) for x of shape (5, 3), got (4, 2)",
    ),
    (
        ValueError,
        (jnp.ones((5, 3)), jnp.ones(3)),
        "W: expected shape (3, _) for x of shape (5, 3), got (3,)",
    ),
    (
        ValueError,
        (jnp.ones((5, 3)), jnp.ones((3, 2)), jnp.ones(3)),
        "b: expected shape (2,) for W of shape (3, 2), got (3,)",
    ),
    (
        ValueError,
        (jnp.ones((5, 3)), jnp.ones((3, 2)), jnp.ones((1, 2))),
        "b: expected shape (2,) for W of shape (3, 2), got (1, 2)",
    ),
]


@pytest.mark.parametrize(("kind", "args", "wanted"), LINEAR_COMPLAINTS)
def test_linear_complains(
    kind: type[Exception], args: tuple[Any, ...], wanted: str, without_annotations: None
) -> None:
    assert message(kind, manual_bp.linear.forward, *args) == f"linear: {wanted}"


def test_linear_column_complains(without_annotations: None) -> None:
    forward, x = manual_bp.linear_column.forward, jnp.ones((3, 5))
    assert message(ValueError, forward, x, jnp.ones((2, 4))) == (
        "linear_column: W: expected shape (_, 3) for x of shape (3, 5), got (2, 4)"
    )
    assert message(ValueError, forward, x, jnp.ones((2, 3)), jnp.ones(3)) == (
        "linear_column: b: expected shape (2,) for W of shape (2, 3), got (3,)"
    )
    assert message(ValueError, forward, jnp.ones(()), jnp.ones((2, 3))) == (
        "linear_column: x: expected rank 1 or more, got shape ()"
    )
    assert message(TypeError, forward, x, jnp.ones((2, 3), F32)) == (
        "linear_column: W: expected float64, the dtype of x, got float32"
    )


@SIMPLEX
def test_softmax_complains(name: str, without_annotations: None) -> None:
    forward = getattr(manual_bp, name).forward
    assert message(TypeError, forward, jnp.ones(3, int)) == (
        f"{name}: u: expected a floating dtype, got int64"
    )
    assert message(ValueError, forward, jnp.ones(())) == (
        f"{name}: axis: expected an axis of shape (), got -1"
    )
    assert message(ValueError, forward, jnp.ones((2, 3)), axis=2) == (
        f"{name}: axis: expected an axis of shape (2, 3), got 2"
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_temperature_is_above_zero(name: str) -> None:
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        forward = getattr(manual_bp, name).forward
        assert message(ValueError, forward, jnp.ones(3), temperature=temperature) == (
            f"{name}: temperature: expected a finite number above 0, got {temperature}"
        )


def test_the_jacobian_complains(without_annotations: None) -> None:
    assert message(ValueError, manual_bp.softmax.jacobian, jnp.ones(())) == (
        "softmax.jacobian: y: expected rank 1 or more, got shape ()"
    )


@pytest.mark.parametrize("name", ["linear", "linear_column", "softmax", "log_softmax", "sparsemax"])
def test_a_cotangent_unlike_the_output_is_refused(name: str, without_annotations: None) -> None:
    op = getattr(manual_bp, name)
    args = (jnp.ones((3, 3)),) * (2 if "linear" in name else 1)
    _, residual = op.forward(*args)
    for shape in ((3,), (3, 1), (2, 3, 3)):
        assert message(ValueError, op.backward, residual, jnp.ones(shape)) == (
            f"{name}: dy: expected shape (3, 3) of y, got {shape}"
        )
    assert message(TypeError, op.backward, residual, jnp.ones((3, 3), F32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )
