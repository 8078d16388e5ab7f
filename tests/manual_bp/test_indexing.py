"""Look-ups, cuts and joins: any shape, repeated and unknown numbers, kinks, bad input."""

import dataclasses
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

LOOKED_UP = ("embedding", "take", "take_along_axis", "scatter_add")
FREE = ("flip", "where", "clip", "concatenate")
BY_SHAPE = ("pad", "strided_slice", "broadcast_to")
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def pull(name: str, *args: Any, dy: Any = None, **settings: Any) -> tuple[Any, ...]:
    """Return the output and the cotangents, by default for dy = 1."""
    op = getattr(manual_bp, name)
    y, residual = op.forward(*args, **settings)
    return y, *op.backward(residual, jnp.ones_like(y) if dy is None else dy)


@pytest.mark.parametrize("name", [*LOOKED_UP, *FREE])
@given(data=st.data())
def test_any_shape_and_dtype(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of(name)))
    check_drawn(case, *data.draw(drawn(case)))


def _settings(name: str, shape: tuple[int, ...], data: st.DataObject) -> dict[str, Any]:
    few, step = st.integers(0, 3), st.integers(1, 3)
    if name == "pad":
        return {"widths": tuple((data.draw(few), data.draw(few)) for _ in shape), "value": 2.5}
    if name == "strided_slice":
        limits = tuple(data.draw(st.integers(0, n)) for n in shape)
        starts = tuple(data.draw(st.integers(0, limit)) for limit in limits)
        strides = data.draw(st.sampled_from([None, tuple(data.draw(step) for _ in shape)]))
        return {"starts": starts, "limits": limits, "strides": strides}
    new = tuple(data.draw(st.lists(few, max_size=2)))
    return {"shape": (*new, *(data.draw(few) if n == 1 else n for n in shape))}


@pytest.mark.parametrize("case", cases_of(*BY_SHAPE), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape_setting_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    settings = _settings(case.op_name, shape, data)
    dtype = data.draw(st.sampled_from(DTYPES))
    free = dataclasses.replace(case, fits=cases.case.always)
    check_drawn(free, {"batch": shape}, settings, dtype, data.draw(st.integers(0, 99)))


def test_a_number_that_repeats_sums() -> None:
    dy = jnp.asarray([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    ids = jnp.asarray([2, 0, 2])
    _, dtable, none = pull("embedding", jnp.zeros((4, 2)), ids, dy=dy)
    assert dtable.tolist() == [[10, 20], [0, 0], [101, 202], [0, 0]]
    assert none is None
    assert pull("take", jnp.zeros((4, 2)), ids, dy=dy)[1].tolist() == dtable.tolist()
    across = jnp.broadcast_to(ids[:, None], (3, 2))
    assert pull("take_along_axis", jnp.zeros((4, 2)), across, dy=dy, axis=0)[1].tolist() == (
        dtable.tolist()
    )
    assert pull("scatter_add", jnp.zeros((4, 2)), ids, dy)[0].tolist() == dtable.tolist()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_sums_do_not_stall(dtype: str) -> None:
    ids, ones = jnp.zeros(4096, int), jnp.ones((4096, 1), dtype)
    _, dtable, _ = pull("embedding", jnp.ones((2, 1), dtype), ids, dy=ones)
    assert dtable.tolist() == [[4096], [0]]
    y, *_ = pull("scatter_add", jnp.zeros((2, 1), dtype), ids, ones)
    assert y.tolist() == [[4096], [0]]
    _, dx = pull("broadcast_to", jnp.ones(1, dtype), shape=(4096, 1))
    assert dx.tolist() == [4096]


def test_embedding_is_take_of_rows_and_linear_in_one_hot_rows() -> None:
    table, ids, dy = random(5, 3), jnp.asarray([[1, 4, 1], [0, 0, 3]]), random(2, 3, 3, seed=1)
    y, dtable, _ = pull("embedding", table, ids, dy=dy)
    taken, dtaken, _ = pull("take", table, ids, dy=dy)
    np.testing.assert_array_equal(y, taken)
    np.testing.assert_array_equal(dtable, dtaken)
    product, _, dW, _ = pull("linear", jnp.eye(5)[ids], table, dy=dy)
    np.testing.assert_allclose(y, product, rtol=1e-15)
    np.testing.assert_allclose(dtable, dW, rtol=1e-14)


def test_the_padding_row_is_zero_and_has_no_gradient() -> None:
    table, ids = jnp.asarray([[1.0], [2.0], [jnp.nan]]), jnp.asarray([2, 0, 2, 1, 0])
    y, dtable, _ = pull("embedding", table, ids, padding_id=2)
    assert y[:, 0].tolist() == [0, 1, 0, 2, 1]
    assert dtable[:, 0].tolist() == [2, 1, 0]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_taking_and_adding_are_transposes(axis: int) -> None:
    x, ids = random(2, 3, 5), jnp.asarray([[1, 0], [1, 1], [0, 0]])
    y, dx, _ = pull("take", x, ids, axis=axis)
    assert y.shape == (*x.shape[: axis % 3], 3, 2, *x.shape[axis % 3 + 1 :])
    np.testing.assert_array_equal(y, jnp.take(x, ids, axis))
    dy = random(*y.shape, seed=1)
    _, dx, _ = pull("take", x, ids, axis=axis, dy=dy)
    added, dadded, none, dupdates = pull("scatter_add", jnp.zeros_like(x), ids, dy, axis=axis, dy=x)
    np.testing.assert_allclose(added, dx, rtol=1e-14)
    np.testing.assert_array_equal(dupdates, y)
    np.testing.assert_array_equal(dadded, x)
    assert none is None


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_every_line_may_have_numbers_of_its_own(axis: int) -> None:
    x = random(2, 3, 5)
    ids = jnp.argsort(x, axis)[tuple(slice(2) if i == axis % 3 else slice(None) for i in range(3))]
    y, _, _ = pull("take_along_axis", x, ids, axis=axis)
    np.testing.assert_array_equal(y, jnp.take_along_axis(x, ids, axis))
    np.testing.assert_array_equal(y, jnp.sort(x, axis)[tuple(slice(n) for n in y.shape)])


UNKNOWN = ((0, 3, 1), (0, -1, 1), (0, 2**31 - 1, 1))


@pytest.mark.parametrize("name", ["embedding", "take", "take_along_axis"])
def test_an_unknown_number_under_jit_is_nan_and_its_cotangent_lost(name: str) -> None:
    x, settings = random(3, 1), {"axis": 0} if name == "take_along_axis" else {}
    jitted = jax.jit(lambda x, k: pull(name, x, k, **settings))
    for ids in UNKNOWN:
        numbers = np.asarray(ids)
        y, dx, _ = jitted(x, numbers[:, None] if name == "take_along_axis" else numbers)
        assert np.isnan(y[:, 0]).tolist() == [False, True, False]
        np.testing.assert_array_equal(np.asarray(y)[::2], np.asarray(x)[:2])
        assert dx[:, 0].tolist() == [1, 1, 0]


def test_an_update_without_a_place_under_jit_is_nan() -> None:
    jitted = jax.jit(lambda *args: pull("scatter_add", *args))
    for ids in UNKNOWN:
        y, dx, _, dupdates = jitted(random(3), np.asarray(ids), jnp.ones(3))
        assert np.isnan(y).all()
        assert dx.tolist() == [1, 1, 1]
        assert np.isnan(dupdates).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint32"])
def test_numbers_may_be_of_any_integer_dtype(dtype: str) -> None:
    table = random(200, 2)
    y, dtable, _ = pull("embedding", table, jnp.asarray([100, 3], dtype))
    np.testing.assert_array_equal(y, table[jnp.asarray([100, 3])])
    assert np.flatnonzero(dtable[:, 0]).tolist() == [3, 100]


def test_a_frame_and_a_cut_are_transposes() -> None:
    x, dy = random(2, 3), random(5, 4, seed=1)
    y, dx = pull("pad", x, dy=dy, widths=((1, 2), (0, 1)), value=0.0)
    cut, dcut = pull("strided_slice", dy, dy=x, starts=(1, 0), limits=(3, 3))
    np.testing.assert_array_equal(dx, cut)
    np.testing.assert_array_equal(dcut, y)


@every_dtype
def test_the_frame_has_the_value(dtype: str) -> None:
    y, dx = pull("pad", jnp.ones(2, dtype), widths=((1, 2),), value=-jnp.inf)
    assert y.tolist() == [-np.inf, 1, 1, -np.inf, -np.inf]
    assert dx.tolist() == [1, 1]


def test_strides_leave_out_what_lies_between() -> None:
    y, dx = pull(
        "strided_slice", jnp.arange(7.0), dy=jnp.asarray([2.0, 3.0]), starts=(1,), limits=(6,),
        strides=(3,),
    )  # fmt: skip
    assert y.tolist() == [1, 4]
    assert dx.tolist() == [0, 2, 0, 0, 3, 0, 0]


@pytest.mark.parametrize("kind", [list, tuple])
def test_the_cotangents_of_a_join_are_in_a_sequence_of_its_kind(kind: Any) -> None:
    arrays = kind(random(n, 2) for n in (3, 0, 1))
    dy = random(4, 2, seed=1)
    y, darrays = pull("concatenate", arrays, dy=dy)
    assert y.shape == (4, 2)
    assert type(darrays) is kind
    assert [d.shape for d in darrays] == [(3, 2), (0, 2), (1, 2)]
    np.testing.assert_array_equal(jnp.concatenate(darrays), dy)


def test_a_flip_twice_is_none() -> None:
    x = random(2, 3, 4)
    for axis in (None, 1, (0, 2), ()):
        y, dx = pull("flip", x, dy=x, axis=axis)
        np.testing.assert_array_equal(pull("flip", y, axis=axis)[0], x)
        np.testing.assert_array_equal(dx, jnp.flip(x, axis))


@every_dtype
def test_what_is_not_chosen_does_not_leak(dtype: str) -> None:
    mask = jnp.asarray([True, False, True])
    a = jnp.asarray([1, np.nan, 3], dtype)
    b = jnp.asarray([np.inf, 5, np.nan], dtype)
    y, none, da, db = pull("where", mask, a, b, dy=jnp.asarray([2, np.nan, -3], dtype))
    assert none is None
    assert y.tolist() == [1, 5, 3]
    assert da.tolist() == [2, 0, -3]
    assert jnp.isnan(db).tolist() == [False, True, False]
    assert (float(db[0]), float(db[2])) == (0, 0)


BOUNDED = (-1.0, -0.5, 0.0, 0.5, 2.0)


@every_dtype
@pytest.mark.parametrize("slope", [1.0, 0.5, 0.0])
def test_the_slope_at_the_bounds(slope: float, dtype: str) -> None:
    x, dy = jnp.asarray(BOUNDED, dtype), jnp.asarray([1, 2, 3, 4, 5], dtype)
    y, dx = pull("clip", x, dy=dy, low=-0.5, high=0.5, slope_at_bounds=slope)
    assert y.tolist() == [-0.5, -0.5, 0, 0.5, 0.5]
    assert dx.tolist() == [0, 2 * slope, 3, 4 * slope, 0]


def test_the_slopes_at_the_bounds_are_those_of_others() -> None:
    x = jnp.asarray(BOUNDED)
    _, dx = pull("clip", x, low=-0.5, high=0.5, slope_at_bounds=0.5)
    np.testing.assert_array_equal(dx, jax.grad(lambda x: jnp.clip(x, -0.5, 0.5).sum())(x))
    _, dx = pull("clip", x, low=-0.5, high=0.5, slope_at_bounds=0.0)
    np.testing.assert_array_equal(dx, jax.grad(lambda x: jax.lax.clamp(-0.5, x, 0.5).sum())(x))


def test_clipping_at_zero_is_relu() -> None:
    x = jnp.asarray([-2.0, 0.0, 3.0])
    for came, wanted in zip(pull("clip", x, low=0.0), pull("relu", x), strict=True):
        np.testing.assert_array_equal(came, wanted)


def test_clip_of_extremes() -> None:
    x = jnp.asarray([np.inf, -np.inf, np.nan])
    y, dx = pull("clip", x, low=-1.0, high=2.0)
    np.testing.assert_array_equal(y, [2, -1, np.nan])
    assert dx.tolist() == [0, 0, 1]


@every_dtype
def test_an_infinite_bound_has_no_slope_of_its_own(dtype: str) -> None:
    x = jnp.asarray([-np.inf, 0.0, np.inf], dtype)
    y, dx = pull("clip", x, slope_at_bounds=0.0)
    assert (y.tolist(), dx.tolist()) == (x.tolist(), [1, 1, 1])
    y, dx = pull("clip", x, low=0.0, slope_at_bounds=0.5)
    assert (y.tolist(), dx.tolist()) == ([0, 0, np.inf], [0, 0.5, 1])


def test_broadcasting_is_the_transpose_of_summing() -> None:
    x, dy = random(3, 1), random(2, 3, 5, seed=1)
    y, dx = pull("broadcast_to", x, dy=dy, shape=(2, 3, 5))
    np.testing.assert_array_equal(y, jnp.broadcast_to(x, (2, 3, 5)))
    total, dtotal = pull("reduce_sum", dy, dy=x[:, 0], axis=(0, 2))
    np.testing.assert_allclose(dx[:, 0], total, rtol=1e-14)
    np.testing.assert_array_equal(dtotal, y)


ONE, TWO, WHOLE = jnp.ones(3), jnp.ones((2, 3)), jnp.zeros(2, int)
F32 = jnp.ones((2, 3), jnp.float32)
WRONG: list[tuple[str, type[Exception], tuple[Any, ...], dict[str, Any], str]] = [
    ("embedding", TypeError, (WHOLE, WHOLE), {}, "table: expected a floating dtype, got int64"),
    ("embedding", TypeError, (TWO, ONE), {}, "ids: expected an integer dtype, got float64"),
    ("embedding", ValueError, (ONE, WHOLE), {}, "table: expected rank 2, got shape (3,)"),
    ("embedding", ValueError, (TWO, WHOLE + 2), {}, "ids: expected 0 … 1, got 2"),
    ("embedding", ValueError, (TWO, WHOLE - 1), {}, "ids: expected 0 … 1, got -1"),
    ("embedding", ValueError, (TWO, WHOLE), {"padding_id": 2}, "padding_id: expected 0 … 1, got 2"),
    ("take", TypeError, (TWO, TWO > 0), {}, "indices: expected an integer dtype, got bool"),
    ("take", ValueError, (TWO, WHOLE + 3), {"axis": 1}, "indices: expected 0 … 2, got 3"),
    (
        "take",
        ValueError,
        (TWO, WHOLE),
        {"axis": 2},
        "axis: expected an axis of shape (2, 3), got 2",
    ),
    (
        "take_along_axis",
        ValueError,
        (TWO, WHOLE),
        {},
        "indices: expected shape (2, _) for x of shape (2, 3), got (2,)",
    ),
    (
        "take_along_axis",
        ValueError,
        (TWO, jnp.zeros((3, 3), int)),
        {"axis": 1},
        "indices: expected shape (2, _) for x of shape (2, 3), got (3, 3)",
    ),
    (
        "take_along_axis",
        TypeError,
        (TWO, TWO),
        {},
        "indices: expected an integer dtype, got float64",
    ),
    (
        "scatter_add",
        TypeError,
        (TWO, WHOLE, F32),
        {},
        "updates: expected float64, the dtype of x, got float32",
    ),
    (
        "scatter_add",
        ValueError,
        (TWO, WHOLE, ONE),
        {},
        "updates: expected shape (2, 3) for x of shape (2, 3) and indices of shape (2,), got (3,)",
    ),
    ("scatter_add", ValueError, (TWO, WHOLE + 2, TWO), {}, "indices: expected 0 … 1, got 2"),
    (
        "pad",
        ValueError,
        (TWO,),
        {"widths": ((1, 1),)},
        "widths: expected a pair of numbers ≥ 0 for each axis of shape (2, 3), got ((1, 1),)",
    ),
    (
        "pad",
        ValueError,
        (ONE,),
        {"widths": ((1, -1),)},
        "widths: expected a pair of numbers ≥ 0 for each axis of shape (3,), got ((1, -1),)",
    ),
    (
        "strided_slice",
        ValueError,
        (TWO,),
        {"starts": (0,), "limits": (1, 1)},
        "starts: expected a number for each axis of shape (2, 3), got (0,)",
    ),
    (
        "strided_slice",
        ValueError,
        (TWO,),
        {"starts": (0, 2), "limits": (1, 4)},
        "starts, limits: expected 0 ≤ start ≤ limit ≤ size of shape (2, 3), got (0, 2), (1, 4)",
    ),
    (
        "strided_slice",
        ValueError,
        (ONE,),
        {"starts": (0,), "limits": (1,), "strides": (0,)},
        "strides: expected numbers ≥ 1, got (0,)",
    ),
    (
        "concatenate",
        TypeError,
        (TWO,),
        {},
        "arrays: expected a list or tuple of arrays, got ArrayImpl",
    ),
    ("concatenate", ValueError, ([],), {}, "arrays: expected at least one array, got none"),
    (
        "concatenate",
        ValueError,
        ([TWO, ONE],),
        {},
        "arrays[1]: expected shape (_, 3) for arrays[0] of shape (2, 3), got (3,)",
    ),
    (
        "concatenate",
        TypeError,
        ((TWO, F32),),
        {},
        "arrays[1]: expected float64, the dtype of arrays[0], got float32",
    ),
    (
        "concatenate",
        ValueError,
        ([ONE],),
        {"axis": 1},
        "axis: expected an axis of shape (3,), got 1",
    ),
    ("flip", ValueError, (ONE,), {"axis": (0, -1)}, "axis: expected axes that differ, got (0, -1)"),
    ("flip", ValueError, (ONE,), {"axis": 1}, "axis: expected an axis of shape (3,), got 1"),
    ("where", TypeError, (WHOLE, ONE, ONE), {}, "mask: expected bool, got int64"),
    ("where", ValueError, (TWO > 0, ONE, TWO), {}, "a: expected shape (2, 3) of mask, got (3,)"),
    ("where", ValueError, (TWO > 0, TWO, ONE), {}, "b: expected shape (2, 3) of mask, got (3,)"),
    (
        "where",
        TypeError,
        (TWO > 0, TWO, F32),
        {},
        "b: expected float64, the dtype of a, got float32",
    ),
    (
        "clip",
        ValueError,
        (ONE,),
        {"low": 1.0, "high": 0.5},
        "high: expected a number ≥ low=1.0, got 0.5",
    ),
    ("clip", TypeError, (WHOLE,), {"low": 0.0}, "x: expected a floating dtype, got int64"),
    (
        "broadcast_to",
        ValueError,
        (TWO,),
        {"shape": (3,)},
        "x: expected a shape that broadcasts to (3,), got (2, 3)",
    ),
    (
        "broadcast_to",
        ValueError,
        (TWO,),
        {"shape": (4, 1, 3)},
        "x: expected a shape that broadcasts to (4, 1, 3), got (2, 3)",
    ),
]


@pytest.mark.parametrize(("name", "kind", "args", "settings", "wanted"), WRONG)
def test_bad_input_is_refused(
    name: str, kind: type[Exception], args: Any, settings: Any, wanted: str,
    without_annotations: None,
) -> None:  # fmt: skip
    forward = getattr(manual_bp, name).forward
    assert message(kind, forward, *args, **settings) == f"{name}: {wanted}"


@pytest.mark.parametrize("case", cases_of(*LOOKED_UP, *FREE, *BY_SHAPE), ids=lambda case: case.name)
def test_a_cotangent_unlike_the_output_is_refused(
    case: cases.Case, without_annotations: None
) -> None:
    name, args = case.op_name, case.arguments(case.sizes[0], "float64", 0)
    y, residual = case.op.forward(*args, **case.options[0])
    assert message(ValueError, case.op.backward, residual, y[None]) == (
        f"{name}: dy: expected shape {y.shape} of y, got {(1, *y.shape)}"
    )
    assert message(TypeError, case.op.backward, residual, y.astype(jnp.float32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )
