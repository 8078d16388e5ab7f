"""Central differences against slopes that are known, at kinks, and at the edges of what exists."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref.oracles import finite_difference
from jax_ref.oracles.finite_difference import Slopes, directions

SMOOTH: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sin": (jnp.sin, np.cos),
    "exp": (jnp.exp, np.exp),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
    "reciprocal": (lambda x: 1 / (x + 10), lambda x: -1 / (x + 10) ** 2),
    "tanh": (jnp.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "line": (lambda x: 3 * x - 1, lambda x: 3 + 0 * x),
    "constant": (lambda x: 0 * x + 2, lambda x: 0 * x),
}


def slopes(J: Callable[..., Any], x: Any, along: np.ndarray) -> Slopes:
    """Return the slopes of a function of an array of any shape."""
    x = jnp.asarray(x, jnp.float64)
    scale = finite_difference.scales(x, along)
    flat = along.reshape(len(along), x.size)
    return finite_difference.slopes(lambda v: J(v.reshape(x.shape)), x.reshape(-1), flat, scale)


def along_one(f: Callable[..., Any], x: float) -> Slopes:
    return slopes(f, x, np.ones(1))


@pytest.mark.parametrize("x", [-3.0, -0.7, 0.0, 1e-6, 0.3, 2.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_the_error_bar_covers_the_truth_and_is_short(name: str, x: float) -> None:
    f, slope = SMOOTH[name]
    came = along_one(f, x)
    (error,) = np.abs(came.middle - slope(x))
    assert error <= came.bar[0]
    assert came.bar[0] <= 1e-8 * max(1, abs(float(f(x))))
    assert came.low[0] == came.high[0]


@pytest.mark.parametrize("x", [1e3, 1e8, 1e30, -1e30])
def test_the_step_grows_with_the_argument(x: float) -> None:
    came = along_one(lambda v: 5 * v, x)
    np.testing.assert_allclose(came.middle, 5, rtol=1e-9)
    assert abs(came.middle[0] - 5) <= came.bar[0]
    assert came.bar[0] < 1e-8


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8, 1e30])
def test_the_bar_grows_with_the_function(scale: float) -> None:
    came = along_one(lambda v: scale * jnp.sin(v), 0.3)
    assert abs(came.middle[0] - scale * np.cos(0.3)) <= came.bar[0] <= 1e-9 * scale


def test_every_coordinate_of_a_small_array_is_visited() -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((4, 5)))
    weights = jnp.asarray(np.random.default_rng(1).standard_normal((4, 5)))
    along = directions(x.shape, np.random.default_rng(0))
    assert along.shape == (20, 4, 5)
    came = slopes(lambda v: (weights * jnp.sin(v)).sum(), x, along)
    wanted = np.asarray(weights * jnp.cos(x)).ravel()
    assert (np.abs(came.middle - wanted) <= came.bar).all()
    np.testing.assert_allclose(came.middle, wanted, atol=1e-9)


@pytest.mark.parametrize("shape", [(65,), (13, 7), (100, 30)])
def test_a_large_array_is_seen_whole_by_signed_directions(shape: tuple[int, ...]) -> None:
    along = directions(shape, np.random.default_rng(0))
    count = finite_difference.SIGNED + finite_difference.SAMPLED
    assert along.shape == (count, *shape)
    signed, units = np.split(along.reshape(count, -1), [finite_difference.SIGNED])
    assert set(np.unique(signed)) == {-1.0, 1.0}
    assert len(np.unique(signed, axis=0)) == finite_difference.SIGNED
    assert (units.sum(-1) == 1).all()
    assert (np.count_nonzero(units, axis=-1) == 1).all()
    assert len(np.unique(units.argmax(-1))) == finite_difference.SAMPLED
    x = jnp.asarray(np.random.default_rng(1).standard_normal(shape))
    came = slopes(lambda v: jnp.sin(v).sum(), x, along)
    wanted = np.tensordot(along, np.cos(np.asarray(x)), len(shape))
    # A sum rounds more than its value shows where its terms cancel: the checker allows 10 bars.
    assert (np.abs(came.middle - wanted) <= 10 * came.bar).all()


@pytest.mark.parametrize("shape", [(), (1,), (64,)])
def test_up_to_64_numbers_all_are_visited(shape: tuple[int, ...]) -> None:
    along = directions(shape, np.random.default_rng(0))
    size = int(np.prod(shape))
    assert along.shape == (size, *shape)
    np.testing.assert_array_equal(along.reshape(size, size), np.eye(size))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2)])
def test_an_array_without_entries_has_no_slopes(shape: tuple[int, ...]) -> None:
    along = directions(shape, np.random.default_rng(0))
    assert along.shape == (0, *shape)
    came = slopes(lambda v: v.sum(), jnp.zeros(shape), along)
    assert [a.shape for a in came] == [(0,)] * 3
    assert came.middle.shape == (0,)


KINKS: dict[str, tuple[Callable[..., Any], float, float]] = {
    "abs": (jnp.abs, -1, 1),
    "relu": (lambda v: jnp.maximum(v, 0), 0, 1),
    "leaky relu": (lambda v: jnp.where(v > 0, v, 0.2 * v), 0.2, 1),
    "abs on a slope": (lambda v: jnp.abs(v) + 3 * v + jnp.sin(v), 3, 5),
    "falling": (lambda v: -2 * jnp.abs(v), -2, 2),
}


@pytest.mark.parametrize("name", KINKS)
def test_at_a_kink_the_bounds_are_the_one_sided_slopes(name: str) -> None:
    f, low, high = KINKS[name]
    came = along_one(f, 0.0)
    np.testing.assert_allclose([came.low[0], came.high[0]], [low, high], atol=1e-4)


@pytest.mark.parametrize("x", [1e-2, 1e-3, 1e-4, 1e-6, -1e-2, -1e-3, -1e-4, -1e-6])
@pytest.mark.parametrize("name", ["abs", "relu", "leaky relu", "falling"])
def test_beside_a_kink_the_slope_is_that_of_the_side(name: str, x: float) -> None:
    f, left, right = KINKS[name]
    if name == "falling":
        left, right = right, left
    came = along_one(f, x)
    truth = left if x < 0 else right
    assert came.low[0] - came.bar[0] <= truth <= came.high[0] + came.bar[0]
    if abs(x) > 4 * finite_difference.STEPS[-1]:
        np.testing.assert_allclose([came.low, came.high], truth, atol=1e-6)


@pytest.mark.parametrize("x", [1e-7, 5e-8, 1e-8, 1e-9, -1e-7, -1e-8, -1e-9])
def test_nearer_to_a_kink_than_any_step_the_truth_is_still_covered(x: float) -> None:
    came = along_one(jnp.abs, x)
    assert came.low[0] - came.bar[0] <= np.sign(x) <= came.high[0] + came.bar[0]


def test_a_smooth_bend_is_not_taken_for_a_kink() -> None:
    for f in (
        lambda v: v**2,
        lambda v: jnp.sqrt(v**2 + 1e-2),
        lambda v: jnp.log1p(jnp.exp(20 * v)),
    ):
        came = along_one(f, 0.0)
        assert came.low[0] == came.high[0]


def test_a_jump_has_a_bar_that_says_so() -> None:
    came = along_one(lambda v: jnp.where(v >= 0, 1.0, 0.0), 0.0)
    assert came.bar[0] > 1e3 or came.high[0] - came.low[0] > 1e3


def test_the_bars_cover_random_functions() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b, c, x = rng.standard_normal(4)
        came = along_one(lambda v, a=a, b=b, c=c: a * jnp.sin(3 * b * v) + c * jnp.exp(b * v), x)
        truth = 3 * a * b * np.cos(3 * b * x) + b * c * np.exp(b * x)
        # Where the two terms cancel, they round more than their sum shows.
        assert abs(came.middle[0] - truth) <= 2 * came.bar[0]


def test_a_compiled_function_is_welcome() -> None:
    came = slopes(jax.jit(lambda v: (v**2).sum()), [1.0, -2.0], np.eye(2))
    np.testing.assert_allclose(came.middle, [2, -4], atol=1e-8)


@pytest.mark.parametrize(
    ("x", "scale"), [(0.0, 1), (0.3, 1), (-1.4, 1), (3.0, 4), (-1000.0, 1024), ([1.0, -9.0], 8)]
)
def test_the_scale_is_the_power_of_two_nearest_to_the_largest_entry(x: Any, scale: float) -> None:
    along = np.ones((1, np.size(x)))
    assert finite_difference.scales(x, along).tolist() == [scale]


def test_each_direction_has_a_scale_of_its_own() -> None:
    x = jnp.asarray([1e8, 0.5])
    along = np.eye(2)
    scale = finite_difference.scales(x, along)
    came = finite_difference.slopes(lambda v: v[0] / 1e8 + jnp.sin(v[1]), x, along, scale)
    assert (np.abs(came.middle - [1e-8, np.cos(0.5)]) <= came.bar).all()
    assert (came.bar < [1e-16, 1e-8]).all()


@pytest.mark.parametrize("name", SMOOTH)
def test_five_points_err_less_and_say_so(name: str) -> None:
    f, slope = SMOOTH[name]
    x = np.asarray([-3.0, -0.7, 0.0, 1e-6, 0.3, 2.0, 5.0, 1e3 if name == "line" else 0.1])
    along = np.eye(8)
    scale = finite_difference.scales(x, along)
    three, five = (
        finite_difference.slopes(lambda v: jnp.sum(f(v)), x, along, scale, points=points)
        for points in (3, 5)
    )
    assert (np.abs(five.middle - slope(x)) <= five.bar).all()
    assert five.bar.max() < three.bar.max() / 30
    assert (five.low == five.high).all()


@pytest.mark.parametrize("points", [3, 5])
def test_a_kink_at_any_distance_leaves_the_truth_covered(points: int) -> None:
    rng = np.random.default_rng(0)
    x = 10 ** rng.uniform(-8, -1, 300) * rng.choice([-1, 1], 300)
    came = finite_difference.slopes(
        lambda v: jnp.sum(jnp.abs(v) + jnp.sin(v)), x, np.eye(300), np.ones(300), points=points
    )
    truth = np.sign(x) + np.cos(x)
    outside = np.maximum(came.low - truth, truth - came.high)
    assert (outside <= 4 * came.bar).all()
    assert (came.bar[np.abs(x) > 1e-4] < 1e-8).all()


@pytest.mark.parametrize("points", [3, 5])
def test_at_a_kink_curvature_does_not_hide_the_one_sided_slopes(points: int) -> None:
    for bend in (-1.0, 1.0):
        came = finite_difference.slopes(
            lambda v, bend=bend: jnp.abs(v[0]) + bend * v[0] ** 2,
            np.zeros(1),
            np.ones((1, 1)),
            np.ones(1),
            points=points,
        )
        assert came.low[0] - came.bar[0] <= -1
        assert came.high[0] + came.bar[0] >= 1
        assert came.bar[0] < 1e-4
