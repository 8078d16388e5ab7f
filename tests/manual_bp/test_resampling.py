"""Resampling: any shape and size, both conventions of corners, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp

UPSAMPLE = ("upsample_nearest", "upsample_linear")
SHUFFLE = ("pixel_shuffle", "pixel_unshuffle")
NAMES = (*UPSAMPLE, *SHUFFLE)

every_upsample = pytest.mark.parametrize("name", UPSAMPLE)
every_shuffle = pytest.mark.parametrize("name", SHUFFLE)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def line(*values: float, dtype: str = "float64") -> jax.Array:
    return jnp.asarray(values, dtype)[None, :, None]


def pull(name: str, x: Any, dy: Any, **settings: Any) -> tuple[Any, Any]:
    op = getattr(manual_bp, name)

    @jax.jit
    def both(x: Any, dy: Any) -> tuple[Any, Any]:
        y, residual = op.forward(x, **settings)
        (dx,) = op.backward(residual, dy)
        return y, dx

    return both(x, dy)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_shape_and_dtype(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of(name)))
    check_drawn(case, *data.draw(drawn(case)))


def test_nearest_repeats_and_its_backward_sums_the_copies() -> None:
    dy = line(1, 2, 4, 8, 16, 32)
    y, dx = pull("upsample_nearest", line(3, 5), dy, factor=3)
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([3, 3, 3, 5, 5, 5], [7, 56])


def test_nearest_takes_the_element_at_the_floor() -> None:
    y, dx = pull("upsample_nearest", line(3, 5, 7), line(1, 2, 4, 8, 16), size=(5,))
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([3, 3, 5, 5, 7], [3, 12, 16])
    y, dx = pull("upsample_nearest", line(3, 5, 7, 9, 11), line(1, 2), size=(2,))
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([3, 7], [1, 0, 2, 0, 0])


def test_linear_meets_the_edges_or_the_corners() -> None:
    x = line(0, 4)
    y, dx = pull("upsample_linear", x, line(1, 10, 100, 1000), size=(4,))
    assert y.ravel().tolist() == [0, 1, 3, 4]
    assert dx.ravel().tolist() == [1 + 7.5 + 25, 2.5 + 75 + 1000]
    y, dx = pull("upsample_linear", x, line(1, 10, 100, 1000, 1e4), size=(5,), align_corners=True)
    assert y.ravel().tolist() == [0, 1, 2, 3, 4]
    assert dx.ravel().tolist() == [1 + 7.5 + 50 + 250, 2.5 + 50 + 750 + 1e4]


def test_one_aligned_element_is_the_first() -> None:
    y, dx = pull("upsample_linear", line(3, 5, 7), line(2), size=(1,), align_corners=True)
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([3], [2, 0, 0])
    y, dx = pull("upsample_linear", line(3, 5, 7), line(2), size=(1,))
    assert (y.ravel().tolist(), dx.ravel().tolist()) == ([5], [0, 2, 0])


@every_upsample
@pytest.mark.parametrize("size", [(7, 5), (2, 3)])
def test_the_sum_of_the_gradient_is_kept(name: str, size: tuple[int, int]) -> None:
    x, dy = random(2, 3, 4, 3), random(2, *size, 3, seed=1)
    _, dx = pull(name, x, dy, size=size)
    np.testing.assert_allclose(dx.sum((1, 2)), dy.sum((1, 2)), rtol=1e-12, atol=1e-13)


@every_upsample
@pytest.mark.parametrize("options", [{"factor": 1}, {"size": (3, 4)}])
def test_the_same_size_is_the_identity(name: str, options: dict[str, Any]) -> None:
    x, dy = random(2, 3, 4, 3), random(2, 3, 4, 3, seed=1)
    y, dx = pull(name, x, dy, **options)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)


@every_upsample
def test_infinity_does_not_spread(name: str) -> None:
    y, _ = pull(name, line(np.inf, 1, 2), line(*[1] * 3), size=(3,))
    assert y.ravel().tolist() == [np.inf, 1, 2]


@every_upsample
@pytest.mark.parametrize(("dtype", "full"), [("bfloat16", 256), ("float16", 2048)])
def test_half_precision_sums_do_not_stall(name: str, full: int, dtype: str) -> None:
    dy = line(full, 1, 1, 1, 1, dtype=dtype)
    _, dx = pull(name, line(1, dtype=dtype), dy, factor=5)
    assert float(dx[0, 0, 0]) == full + 4


def test_the_channels_of_a_pixel_stand_together() -> None:
    x = jnp.arange(8.0).reshape(1, 1, 1, 8)
    y, dx = pull("pixel_shuffle", x, 10 * jnp.arange(8.0).reshape(1, 2, 2, 2), factor=2)
    assert y[0, ..., 0].tolist() == [[0, 1], [2, 3]]
    assert y[0, ..., 1].tolist() == [[4, 5], [6, 7]]
    assert dx.ravel().tolist() == [0, 20, 40, 60, 10, 30, 50, 70]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_shuffle_undoes_the_other_and_so_do_their_backwards(factor: int) -> None:
    few, many = random(2, 3, 5, 2 * factor**2), random(2, 3 * factor, 5 * factor, 2, seed=1)
    y, dx = pull("pixel_shuffle", few, many, factor=factor)
    back, dback = pull("pixel_unshuffle", many, few, factor=factor)
    np.testing.assert_array_equal(back, dx)
    np.testing.assert_array_equal(dback, y)
    np.testing.assert_array_equal(manual_bp.pixel_unshuffle.forward(y, factor=factor)[0], few)


def complaint(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return str(caught.value)


PLANE = jnp.ones((2, 4, 6, 8))
FACTOR = "factor: expected a whole number of at least 1, got"


@every_upsample
@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, "size: expected either a factor or a size, got neither"),
        ({"factor": 2, "size": (2, 2)}, "size: expected either a factor or a size, got both"),
        ({"factor": 0}, f"{FACTOR} 0"),
        ({"factor": 1.5}, f"{FACTOR} 1.5"),
        ({"size": (0, 2)}, "size: expected a whole number ≥ 1, or 2 of them, got (0, 2)"),
        ({"size": (2,)}, "size: expected a whole number ≥ 1, or 2 of them, got (2,)"),
    ],
)
def test_a_bad_size_is_refused(
    name: str, settings: dict[str, Any], wanted: str, without_annotations: None
) -> None:
    forward = getattr(manual_bp, name).forward
    assert complaint(ValueError, forward, PLANE, **settings) == f"{name}: {wanted}"


@every_upsample
def test_an_input_without_pixels_is_refused(name: str, without_annotations: None) -> None:
    forward = getattr(manual_bp, name).forward
    assert complaint(ValueError, forward, jnp.ones((2, 3)), factor=2) == (
        f"{name}: x: expected rank 3 or more, got shape (2, 3)"
    )
    assert complaint(ValueError, forward, jnp.ones((2, 0, 3)), factor=2) == (
        f"{name}: x: expected spatial sizes of at least 1, got shape (2, 0, 3)"
    )


@every_shuffle
def test_a_bad_factor_or_rank_is_refused(name: str, without_annotations: None) -> None:
    forward = getattr(manual_bp, name).forward
    assert complaint(ValueError, forward, PLANE, factor=0) == f"{name}: {FACTOR} 0"
    assert complaint(ValueError, forward, PLANE[0], factor=2) == (
        f"{name}: x: expected rank 4, got shape (4, 6, 8)"
    )


def test_a_factor_that_does_not_divide_is_refused(without_annotations: None) -> None:
    assert complaint(ValueError, manual_bp.pixel_shuffle.forward, PLANE, factor=3) == (
        "pixel_shuffle: x: expected channels in multiples of factor² = 9, got shape (2, 4, 6, 8)"
    )
    for x in (PLANE, PLANE.transpose(0, 2, 1, 3)):
        assert complaint(ValueError, manual_bp.pixel_unshuffle.forward, x, factor=3) == (
            "pixel_unshuffle: x: expected height and width in multiples of factor = 3, "
            f"got shape {x.shape}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_dtype_or_cotangent_is_refused(name: str, without_annotations: None) -> None:
    op = getattr(manual_bp, name)
    assert complaint(TypeError, op.forward, jnp.ones((2, 4, 6, 8), int), factor=2) == (
        f"{name}: x: expected a floating dtype, got int64"
    )
    y, residual = op.forward(PLANE, factor=2)
    assert complaint(ValueError, op.backward, residual, y[:1]) == (
        f"{name}: dy: expected shape {y.shape} of y, got {y[:1].shape}"
    )
    assert complaint(TypeError, op.backward, residual, y.astype(jnp.float32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )
