"""Pooling: any shape and window, ties, padding, extremes, other writings, bad input."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import manual_bp
from manual_bp.pooling.slide import slide

WINDOWED = ("max_pool", "mean_pool", "lp_pool")
GLOBAL = ("global_max_pool", "global_mean_pool")
ADAPTIVE = ("adaptive_max_pool", "adaptive_mean_pool")
NAMES = (*WINDOWED, *GLOBAL, *ADAPTIVE)

every_windowed = pytest.mark.parametrize("name", WINDOWED)

GEOMETRIES: tuple[dict[str, Any], ...] = (
    {"window": (2, 3)},
    {"window": (3, 2), "strides": (1, 2), "padding": "SAME"},
    {"window": (2, 2), "strides": (3, 1), "padding": ((1, 0), (0, 1))},
)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def whole(*shape: int, seed: int = 0) -> jax.Array:
    """Return small whole numbers, of which many are equal and every sum is exact."""
    return jnp.asarray(np.random.default_rng(seed).integers(-2, 3, shape).astype(float))


def pull(name: str, x: Any, dy: Any = None, **settings: Any) -> tuple[Any, Any]:
    """Return the output and the cotangent of x, for ones by default."""
    op = getattr(manual_bp, name)

    @jax.jit
    def both(x: Any, dy: Any) -> tuple[Any, Any]:
        y, residual = op.forward(x, **settings)
        (dx,) = op.backward(residual, jnp.ones_like(y) if dy is None else dy)
        return y, dx

    return both(x, dy)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_shape_and_dtype(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of(name)))
    check_drawn(case, *data.draw(drawn(case)))


def max_pool_by_loops(x: Any, dy: Any, windows: Any, ties: str) -> tuple[Any, Any]:
    """Return y and dx, one output at a time; `windows` are the geometry and nothing else."""
    x = np.asarray(x)
    y, dx = np.full((x.shape[0], *windows.count, x.shape[-1]), -np.inf), np.zeros(x.shape)
    for b, *i, c in np.ndindex(*y.shape):
        spans = []
        for axis, at in enumerate(i):
            start = at * windows.strides[axis] - windows.padding[axis][0]
            step = windows.dilation[axis]
            reads = range(start, start + windows.kernel[axis] * step, step)
            spans.append([j for j in reads if 0 <= j < windows.size[axis]])
        read = [(b, *j, c) for j in itertools.product(*spans)]
        y[b, *i, c] = max(x[j] for j in read)
        largest = [j for j in read if x[j] == y[b, *i, c]]
        paid = largest[:1] if ties == "first" else largest
        for j in paid:
            dx[j] += np.asarray(dy)[b, *i, c] / len(paid)
    return y, dx


@pytest.mark.parametrize("ties", ["first", "split"])
@pytest.mark.parametrize(
    "settings",
    [
        *GEOMETRIES[1:],
        {"window": (2, 2), "strides": (1, 2), "dilation": (2, 3), "padding": ((1, 1), (2, 1))},
    ],
)
def test_ties_go_to_the_first_or_are_split_as_loops_do(settings: dict[str, Any], ties: Any) -> None:
    x = whole(2, 5, 7, 3)
    windows = slide("max_pool", x, **{"dilation": 1, **settings})
    dy = random(2, *windows.count, 3, seed=1)
    y, dx = pull("max_pool", x, dy, ties=ties, **settings)
    wanted_y, wanted_dx = max_pool_by_loops(x, dy, windows, ties)
    np.testing.assert_array_equal(y, wanted_y)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-13, atol=1e-14)


def test_the_first_in_window_order_is_the_last_axis_fastest() -> None:
    x = jnp.asarray([[0.0, 1.0], [1.0, 1.0]])[None, :, :, None]
    for name, settings in (("max_pool", {"window": (2, 2)}), ("global_max_pool", {})):
        _, first = pull(name, x, **settings)
        _, split = pull(name, x, **settings, ties="split")
        assert first[0, ..., 0].tolist() == [[0, 1], [0, 0]]
        np.testing.assert_allclose(split[0, ..., 0], np.asarray([[0, 1], [1, 1]]) / 3, rtol=1e-15)


@pytest.mark.parametrize("ties", ["first", "split"])
def test_minus_infinity_wins_over_padding(ties: str) -> None:
    x = jnp.full((1, 3, 1), -jnp.inf)
    geometry = {"window": (3,), "strides": (3,), "padding": ((2, 1),)}
    y, dx = pull("max_pool", x, **geometry, ties=ties)
    assert y.ravel().tolist() == [-np.inf] * 2
    assert dx.ravel().tolist() == ([1, 1, 0] if ties == "first" else [1, 0.5, 0.5])


@pytest.mark.parametrize("name", ["max_pool", "global_max_pool"])
def test_nan_wins_over_every_number(name: str) -> None:
    settings = {"window": (4,)} if name == "max_pool" else {}
    x = jnp.asarray([np.inf, np.nan, 3.0, np.nan])[None, :, None]
    y, first = pull(name, x, **settings)
    _, split = pull(name, x, **settings, ties="split")
    assert np.isnan(y).all()
    assert first.ravel().tolist() == [0, 1, 0, 0]
    assert split.ravel().tolist() == [0, 0.5, 0, 0.5]


@pytest.mark.parametrize(("size", "dtype"), [(256, "uint8"), (257, "uint16")])
def test_a_winner_takes_a_byte_up_to_256_elements(size: int, dtype: str) -> None:
    x = jnp.zeros((1, size, 1))
    saved = jax.eval_shape(lambda x: manual_bp.max_pool.forward(x, window=(size,))[1].winner, x)
    assert saved.dtype == dtype


def test_one_number_or_one_for_each_axis() -> None:
    x = jnp.ones((1, 5, 7, 1))
    each = slide("mean_pool", x, (2, 2), (3, 3), ((1, 1), (1, 1)), [1, 1])
    assert slide("mean_pool", x, 2, 3, 1) == each
    assert slide("mean_pool", x, 2, None, "VALID") == slide("mean_pool", x, [2, 2], (2, 2), 0)


@every_windowed
def test_windows_are_those_of_reduce_window(name: str) -> None:
    x, settings = random(2, 5, 7, 3), GEOMETRIES[2]
    window, strides = ((1, *settings[key], 1) for key in ("window", "strides"))
    padding = ((0, 0), *settings["padding"], (0, 0))

    def reduced(x: Any) -> Any:
        if name == "max_pool":
            return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, padding)
        total = lax.reduce_window(
            x**2 if name == "lp_pool" else x, 0.0, lax.add, window, strides, padding
        )
        return jnp.sqrt(total) if name == "lp_pool" else total / (window[1] * window[2])

    wanted, wanted_pull = jax.vjp(reduced, x)
    dy = random(*wanted.shape, seed=1)
    y, dx = pull(name, x, dy, **settings)
    np.testing.assert_allclose(y, wanted, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(dx, wanted_pull(dy)[0], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("n", [2, 3])
def test_the_mean_gives_each_pixel_its_share_and_the_maximum_the_winner_all(n: int) -> None:
    x, dy = random(2, 2 * n, 3 * n, 3), random(2, 2, 3, 3, seed=1)
    over = jnp.repeat(jnp.repeat(dy, n, 1), n, 2)
    _, dx = pull("mean_pool", x, dy, window=(n, n))
    np.testing.assert_allclose(dx, over / n**2, rtol=1e-15)
    y, dx = pull("max_pool", x, dy, window=(n, n))
    won = x == jnp.repeat(jnp.repeat(y, n, 1), n, 2)
    np.testing.assert_array_equal(dx, jnp.where(won, over, 0))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("max_pool", {"ties": "first"}),
        ("max_pool", {"ties": "split"}),
        ("mean_pool", {"count_padding": False}),
    ],
)
def test_the_sum_of_the_gradient_is_kept(name: str, options: dict[str, Any]) -> None:
    x, settings = whole(2, 5, 7, 3), GEOMETRIES[1]
    shape = jax.eval_shape(lambda x: getattr(manual_bp, name).forward(x, **settings)[0], x).shape
    dy = random(*shape, seed=1)
    _, dx = pull(name, x, dy, **settings, **options)
    np.testing.assert_allclose(dx.sum((1, 2)), dy.sum((1, 2)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["mean", "max"])
def test_a_global_pool_is_a_pool_of_one_window(name: str) -> None:
    x, dy = whole(2, 3, 5, 4), random(2, 4)
    for options in ({"ties": "first"}, {"ties": "split"}) if name == "max" else ({},):
        y, dx = pull(f"global_{name}_pool", x, dy, **options)
        wanted, wanted_dx = pull(f"{name}_pool", x, dy[:, None, None], window=(3, 5), **options)
        np.testing.assert_allclose(y, wanted[:, 0, 0], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(dx, wanted_dx, rtol=1e-14)


@pytest.mark.parametrize("name", ["mean", "max"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_adaptive_bins_that_divide_the_input_are_windows(name: str, size: tuple[int, int]) -> None:
    x, dy = whole(2, 6, 3, 4), random(2, *size, 4, seed=1)
    y, dx = pull(f"adaptive_{name}_pool", x, dy, size=size)
    wanted, wanted_dx = pull(f"{name}_pool", x, dy, window=(6 // size[0], 3 // size[1]))
    np.testing.assert_allclose(y, wanted, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-14)


def test_adaptive_bins_share_elements() -> None:
    x = jnp.asarray([1.0, 2.0, 6.0, 3.0, 2.0])[None, :, None]
    dy = jnp.asarray([1.0, 10.0, 100.0])[None, :, None]
    y, dx = pull("adaptive_mean_pool", x, dy * 6, size=(3,))
    assert y.ravel().tolist() == [1.5, 11 / 3, 2.5]
    assert dx.ravel().tolist() == [3, 23, 20, 320, 300]
    y, dx = pull("adaptive_max_pool", x, dy, size=(3,))
    assert y.ravel().tolist() == [2, 6, 3]
    assert dx.ravel().tolist() == [0, 1, 10, 100, 0]


def test_more_bins_than_elements_repeat_them() -> None:
    x, dy = jnp.asarray([4.0, 3.0])[None, :, None], jnp.asarray([1.0, 2.0, 4.0])[None, :, None]
    y, dx = pull("adaptive_max_pool", x, dy, size=(3,))
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([4, 4, 3], [3, 4])
    y, dx = pull("adaptive_mean_pool", x, dy, size=(3,))
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([4, 3.5, 3], [2, 5])


def test_an_adaptive_tie_goes_to_the_first_in_row_major_order() -> None:
    x, dy = whole(2, 5, 7, 3), random(2, 2, 3, 3, seed=1)
    _, dx = pull("adaptive_max_pool", x, dy, size=(2, 3))
    wanted = np.zeros(x.shape)
    for b, i, j, c in np.ndindex(*dy.shape):
        row, column = i * 5 // 2, j * 7 // 3
        box = x[b, row : -(-(i + 1) * 5 // 2), column : -(-(j + 1) * 7 // 3), c]
        at = np.unravel_index(np.argmax(box), box.shape)
        wanted[b, row + at[0], column + at[1], c] += dy[b, i, j, c]
    np.testing.assert_allclose(dx, wanted, rtol=1e-13)


def test_an_adaptive_maximum_with_nan_is_nan() -> None:
    x = jnp.asarray([[np.nan, 5.0], [7.0, np.nan]])[None, :, :, None]
    y, dx = pull("adaptive_max_pool", x, size=(1, 1))
    assert np.isnan(y).all()
    assert dx[0, ..., 0].tolist() == [[1, 0], [0, 0]]


def test_an_infinity_stays_in_its_bin() -> None:
    x = jnp.asarray([np.inf, 1.0, 2.0, 3.0, 4.0])[None, :, None]
    y, _ = pull("adaptive_mean_pool", x, size=(3,))
    assert y.ravel().tolist() == [np.inf, 2, 3.5]


def test_padding_counts_or_does_not() -> None:
    x = jnp.asarray([6.0, 3.0])[None, :, None]
    geometry = {"window": (3,), "strides": (1,), "padding": "SAME"}
    y, dx = pull("mean_pool", x, **geometry)
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([3, 3], [2 / 3, 2 / 3])
    y, dx = pull("mean_pool", x, **geometry, count_padding=False)
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([4.5, 4.5], [1, 1])


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_the_gradient_of_the_norm_of_zeros_is_zero(p: float) -> None:
    x = jnp.asarray([0.0, 0.0, 0.0, 2.0])[None, :, None]
    y, dx = pull("lp_pool", x, window=(2,), p=p)
    assert y.ravel().tolist() == [0, 2]
    assert dx.ravel().tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("p", [1.0, 50.0])
def test_the_norm_of_extremes_is_finite(p: float, dtype: str) -> None:
    x = jnp.asarray([1e4, 1e4, -1e4, 1e4], dtype)[None, :, None]
    y, dx = pull("lp_pool", x, window=(4,), p=p)
    ulp = float(jnp.finfo(dtype).eps)
    wanted = 4 ** (1 / p) * abs(np.float64(x[0, 0, 0]))
    np.testing.assert_allclose(np.float64(y).ravel(), wanted, rtol=2 * ulp)
    wanted = np.asarray([1, 1, -1, 1]) * 4 ** (1 / p - 1)
    np.testing.assert_allclose(np.float64(dx).ravel(), wanted, rtol=max(2 * ulp, 1e-5))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
def test_the_norm_of_an_infinity_is_infinite_and_of_nothing_else(p: float, dtype: str) -> None:
    x = jnp.asarray([-np.inf, 3.0, 0.0, 2.0], dtype)[None, :, None]
    y, dx = pull("lp_pool", x, window=(2,), p=p)
    assert y.ravel().tolist() == [np.inf, 2]
    # Beside an infinity a finite x counts for p = 1 alone; of its own slope p > 1 knows nothing.
    wanted = [-1, 1, 0, 1] if p == 1 else [np.nan, 0, 0, 1]
    np.testing.assert_array_equal(dx.ravel(), wanted)


def test_the_mean_of_extremes_does_not_overflow() -> None:
    x = jnp.full((1, 64, 1), 6e4, "float16")
    for name, settings in (("mean_pool", {"window": (64,)}), ("global_mean_pool", {})):
        y, dx = pull(name, x, **settings)
        assert float(y.ravel()[0]) == float(x[0, 0, 0])
        assert dx.ravel().tolist() == [1 / 64] * 64


STALL = pytest.mark.parametrize(("dtype", "full"), [("bfloat16", 256), ("float16", 2048)])


@STALL
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("max_pool", {"window": (5,), "strides": (1,)}),
        ("max_pool", {"window": (5,), "strides": (1,), "ties": "split"}),
        ("mean_pool", {"window": (5,), "strides": (1,)}),
        ("lp_pool", {"window": (5,), "strides": (1,), "p": 1.0}),
        ("adaptive_max_pool", {"size": (5,)}),
    ],
)
def test_half_precision_sums_over_windows_do_not_stall(
    name: str, settings: dict[str, Any], full: int, dtype: str
) -> None:
    size = 1 if "adaptive" in name else 9
    x = jnp.zeros((1, size, 1), dtype).at[0, size // 2].set(1)
    dy = jnp.asarray([full, 1, 1, 1, 1], dtype)[None, :, None]
    dy = dy * 5 if name == "mean_pool" else dy
    _, dx = pull(name, x, dy, **settings)
    assert float(dx[0, size // 2, 0]) == full + 4


@STALL
def test_half_precision_means_do_not_stall(full: int, dtype: str) -> None:
    x = jnp.asarray([full, 1, 1, 1, 1, 1, 1, 0], dtype)[None, :, None]
    for name, settings in (
        ("mean_pool", {"window": (8,)}),
        ("adaptive_mean_pool", {"size": (1,)}),
        ("global_mean_pool", {}),
    ):
        y, _ = pull(name, x, **settings)
        wanted = jnp.asarray((full + 6) / 8, dtype)
        assert y.ravel().tolist() == [float(wanted)]


def complaint(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return str(caught.value)


PLANE = jnp.ones((2, 4, 5, 3))
WHOLE = "a whole number ≥ 1, or 2 of them"
PAIRS = (
    "padding: expected 'SAME', 'VALID', a whole number ≥ 0, or a pair of them for each of 2 axes"
)
ROOM = "x: expected at least a window, {}, along the spatial axes with padding, got {}"
WINDOW_COMPLAINTS = [
    *(
        ({"window": window}, f"window: expected {WHOLE}, got {window}")
        for window in ((), 0, (2, 0), (2, 1.5), (2,), (2, 2, 2))
    ),
    ({"window": (2, 2), "strides": (1, 0)}, f"strides: expected {WHOLE}, got (1, 0)"),
    ({"window": (2, 2), "strides": (1,)}, f"strides: expected {WHOLE}, got (1,)"),
    *(
        ({"window": (2, 2), "padding": padding}, f"{PAIRS}, got {padding!r}")
        for padding in ("HALF", -1, ((0, 1),), ((0, 1), (0, -1)), ((0, 1), (0, 1, 1)))
    ),
    ({"window": (3, 6)}, ROOM.format("(3, 6)", "(4, 5)")),
    ({"window": 6, "padding": ((1, 0), (0, 1))}, ROOM.format("(6, 6)", "(5, 6)")),
    (
        {"window": (2, 2), "padding": ((2, 0), (0, 0))},
        "padding: expected an element of x in every window, got ((2, 0), (0, 0))",
    ),
]


@every_windowed
@pytest.mark.parametrize(("settings", "wanted"), WINDOW_COMPLAINTS)
def test_a_window_that_does_not_fit_is_refused(
    name: str, settings: dict[str, Any], wanted: str, without_annotations: None
) -> None:
    forward = getattr(manual_bp, name).forward
    assert complaint(ValueError, forward, PLANE, **settings) == f"{name}: {wanted}"


def test_other_settings_are_refused(without_annotations: None) -> None:
    forward = manual_bp.max_pool.forward
    assert complaint(ValueError, forward, PLANE, window=(2, 2), dilation=(0, 1)) == (
        f"max_pool: dilation: expected {WHOLE}, got (0, 1)"
    )
    assert complaint(ValueError, forward, PLANE, window=(3, 3), dilation=(1, 3)) == (
        f"max_pool: {ROOM.format('(3, 7)', '(4, 5)')}"
    )
    assert complaint(ValueError, forward, PLANE[:, :, 0], window=(2,), strides=(0,)) == (
        "max_pool: strides: expected a whole number ≥ 1, or 1 of them, got (0,)"
    )
    for name, settings in (("max_pool", {"window": (2, 2)}), ("global_max_pool", {})):
        forward = getattr(manual_bp, name).forward
        assert complaint(ValueError, forward, PLANE, **settings, ties="last") == (
            f"{name}: ties: expected one of 'first', 'split', got 'last'"
        )
    for p in (0.5, np.inf, np.nan):
        assert complaint(ValueError, manual_bp.lp_pool.forward, PLANE, window=(2, 2), p=p) == (
            f"lp_pool: p: expected a finite number of at least 1, got {p}"
        )


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("size", [(0, 2), (2,), (1, 2, 3), 0])
def test_a_bad_size_is_refused(name: str, size: Any, without_annotations: None) -> None:
    assert complaint(ValueError, getattr(manual_bp, name).forward, PLANE, size=size) == (
        f"{name}: size: expected {WHOLE}, got {size}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_input_or_cotangent_is_refused(name: str, without_annotations: None) -> None:
    op = getattr(manual_bp, name)
    settings = {"window": (2, 2)} if name in WINDOWED else {}
    settings = {"size": (2, 2)} if name in ADAPTIVE else settings
    assert complaint(TypeError, op.forward, jnp.ones((2, 4, 5, 3), int), **settings) == (
        f"{name}: x: expected a floating dtype, got int64"
    )
    nowhere = "x: expected spatial sizes of at least 1, got shape (2, 4, 0, 3)"
    if name in WINDOWED:
        nowhere = ROOM.format("(2, 2)", "(4, 0)")
    assert complaint(ValueError, op.forward, jnp.ones((2, 4, 0, 3)), **settings) == (
        f"{name}: {nowhere}"
    )
    assert complaint(ValueError, op.forward, jnp.ones((2, 3)), **settings) == (
        f"{name}: x: expected rank 3 or more, got shape (2, 3)"
    )
    y, residual = jax.eval_shape(lambda x: op.forward(x, **settings), PLANE)
    assert complaint(ValueError, op.backward, residual, jnp.ones(y.shape[:1])) == (
        f"{name}: dy: expected shape {y.shape} of y, got {y.shape[:1]}"
    )
    assert complaint(TypeError, op.backward, residual, jnp.ones(y.shape, jnp.float32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )
