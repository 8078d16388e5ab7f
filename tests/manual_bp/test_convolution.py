"""Convolutions: any shape, padding by hand, equalities among the ops, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from manual_bp import causal_conv_1d, conv, depthwise_conv, im2col, transposed_conv, windows

NAMES = ("causal_conv_1d", "conv", "depthwise_conv", "im2col", "transposed_conv")
F32 = jnp.float32


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def pull(op: Any, *args: Any, dy: Any = None, **settings: Any) -> tuple[Any, ...]:
    """Return the output and the cotangents of all arguments, by default for a random one."""

    @jax.jit
    def both(*args: Any) -> tuple[Any, ...]:
        y, residual = op.forward(*args, **settings)
        return y, *op.backward(residual, random(*y.shape, seed=9) if dy is None else dy)

    return both(*args)


def close(came: Any, wanted: Any) -> None:
    np.testing.assert_allclose(came, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_any_shape_and_dtype(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of(name)))
    check_drawn(case, *data.draw(drawn(case)))


def test_a_convolution_by_hand() -> None:
    x, W = jnp.asarray([1.0, 2, 3, 4]).reshape(1, 4, 1), jnp.asarray([5.0, 7]).reshape(2, 1, 1)
    b, dy = jnp.asarray([0.5]), jnp.asarray([10.0, 100]).reshape(1, 2, 1)
    u, dx, dW, db = pull(conv, x, W, b, dy=dy, padding=((1, 0),), strides=2)
    assert u.ravel().tolist() == [5 * 0 + 7 * 1 + 0.5, 5 * 2 + 7 * 3 + 0.5]
    assert dx.ravel().tolist() == [7 * 10, 5 * 100, 7 * 100, 0]
    assert dW.ravel().tolist() == [0 * 10 + 2 * 100, 1 * 10 + 3 * 100]
    assert db.tolist() == [110]


@pytest.mark.parametrize(
    ("strides", "dilation", "pair"),
    [(1, 1, (1, 2)), (2, 1, (1, 1)), (3, 1, (0, 1)), (2, 3, (4, 4)), (1, 2, (3, 3))],
)
def test_same_padding_gives_an_output_per_stride_with_the_odd_place_after(
    strides: int, dilation: int, pair: tuple[int, int]
) -> None:
    settings: dict[str, Any] = {"strides": strides, "dilation": dilation}
    same = windows.over("conv", (6,), (4,), padding="SAME", **settings)
    assert same == windows.over("conv", (6,), (4,), padding=(pair,), **settings)
    assert same.count == (-(-6 // strides),)


def test_one_number_or_one_for_each_axis() -> None:
    size = (7, 6), (2, 3)
    one = windows.over("conv", *size, strides=2, padding=1, dilation=2)
    each: dict[str, Any] = {"strides": [2, 2], "dilation": (2, 2)}
    assert one == windows.over("conv", *size, padding=[[1, 1], (1, 1)], **each)


def test_valid_is_no_padding() -> None:
    valid = windows.over("conv", (7,), (3,), strides=1, padding="VALID")
    assert valid == windows.over("conv", (7,), (3,), strides=1, padding=0)


def test_a_kernel_of_one_tap_is_the_affine_map_of_every_place() -> None:
    x, W, b = random(2, 4, 5, 3), random(1, 1, 3, 2), random(2)
    here, there = pull(conv, x, W, b), pull(manual_bp.linear, x, W[0, 0], b)
    for came, wanted in zip(here, there, strict=True):
        close(came.reshape(wanted.shape), wanted)


def test_a_kernel_of_the_input_s_size_is_the_affine_map_of_all_places() -> None:
    x, W, b = random(3, 4, 5, 2), random(4, 5, 2, 7), random(7)
    here = pull(conv, x, W, b, padding="VALID")
    there = pull(manual_bp.linear, x.reshape(3, 40), W.reshape(40, 7), b)
    # The cotangents are drawn for shapes of as many numbers.
    for came, wanted in zip(here, there, strict=True):
        close(came.reshape(wanted.shape), wanted)


def test_groups_are_convolutions_side_by_side() -> None:
    x, W, b = random(2, 6, 4), random(3, 2, 6), random(6)
    dy = random(2, 6, 6, seed=1)

    @jax.jit
    def both(x: Any, W: Any, b: Any, dy: Any) -> tuple[Any, ...]:
        u, residual = conv.forward(x, W, b, groups=2 * x.shape[-1] // 4)
        return u, *conv.backward(residual, dy)

    u, dx, dW, db = both(x, W, b, dy)
    for k in range(2):
        c, m = slice(2 * k, 2 * k + 2), slice(3 * k, 3 * k + 3)
        alone = both(x[..., c], W[..., m], b[m], dy[..., m])
        for came, wanted in zip((u[..., m], dx[..., c], dW[..., m], db[m]), alone, strict=True):
            close(came, wanted)


@pytest.mark.parametrize(
    ("axes", "settings"), [(1, {}), (2, {"strides": 2, "padding": 2, "dilation": 2}), (3, {})]
)
def test_a_convolution_is_im2col_and_one_affine_map(axes: int, settings: dict[str, Any]) -> None:
    kernel = (3, 2, 2)[:axes]
    x, W, b = random(2, *(5, 4, 6)[:axes], 3), random(*kernel, 3, 4), random(4)

    @jax.jit
    def by_patches(x: Any, W: Any, b: Any) -> tuple[Any, ...]:
        rows, patches_residual = im2col.forward(x, kernel=kernel, **settings)
        u, linear_residual = manual_bp.linear.forward(rows, W.reshape(-1, 4), b)
        dy = random(*u.shape, seed=9)
        drows, dmatrix, db = manual_bp.linear.backward(linear_residual, dy)
        return u, im2col.backward(patches_residual, drows)[0], dmatrix.reshape(W.shape), db

    for came, wanted in zip(pull(conv, x, W, b, **settings), by_patches(x, W, b), strict=True):
        close(came, wanted)


def test_im2col_by_hand() -> None:
    x = jnp.asarray([[1.0, 2], [3, 4], [5, 6]])[None]
    dy = jnp.asarray([[1.0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 1, 2]])[None]
    y, dx = pull(im2col, x, dy=dy, kernel=2, padding=((1, 0),))
    assert y[0].tolist() == [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 6]]
    assert dx[0].tolist() == [[2 + 4, 3 + 5], [6 + 8, 7 + 9], [1, 2]]


def test_a_depthwise_convolution_has_a_group_for_each_channel() -> None:
    x, W, b = random(2, 6, 5, 3), random(3, 2, 3, 2), random(6)
    here = pull(depthwise_conv, x, W, b, strides=2, dilation=2)
    there = pull(conv, x, W.reshape(3, 2, 1, 6), b, strides=2, dilation=2, groups=3)
    for came, wanted in zip(here, there, strict=True):
        close(came, wanted.reshape(came.shape))


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_causal_convolution_is_padded_before(dilation: int) -> None:
    x, W, b = random(2, 5, 3), random(3, 3, 4), random(4)
    here = pull(causal_conv_1d, x, W, b, dilation=dilation)
    there = pull(conv, x, W, b, dilation=dilation, padding=((2 * dilation, 0),))
    for came, wanted in zip(here, there, strict=True):
        close(came, wanted)


def test_a_causal_convolution_does_not_see_the_future() -> None:
    x, W = random(1, 6, 2), random(3, 2, 2)
    forward, backward = jax.jit(causal_conv_1d.forward), jax.jit(causal_conv_1d.backward)
    u, residual = forward(x, W)
    changed = np.asarray(forward(x.at[:, 4:].add(1), W)[0])
    np.testing.assert_array_equal(changed[:, :4], np.asarray(u)[:, :4])
    assert (changed[:, 4:] != np.asarray(u)[:, 4:]).all()
    dx = np.asarray(backward(residual, jnp.zeros_like(u).at[:, 3].set(1))[0])
    assert not dx[:, 4:].any()
    assert not dx[:, 0].any()
    assert dx[:, 1:4].all()


TRANSPOSED = [
    ({"strides": 2, "padding": 1}, 1, 1),
    ({"strides": 3, "padding": ((2, 1),), "dilation": 2}, 2, 2),
]


@pytest.mark.parametrize(("settings", "output_padding", "groups"), TRANSPOSED)
def test_the_transposed_convolution_is_the_backward_of_the_convolution(
    settings: dict[str, Any], output_padding: int, groups: int
) -> None:
    x, W = random(2, 4, 4), random(3, 4 // groups, 6)
    more: dict[str, Any] = {"output_padding": output_padding, "groups": groups}
    u, dx, *_ = pull(transposed_conv, x, W, **settings, **more)
    # The kernel of the other way has each group's rows and columns exchanged.
    blocks = W.reshape(3, 4 // groups, groups, 6 // groups)
    turned = blocks.transpose(0, 3, 2, 1).reshape(3, 6 // groups, 4)

    @jax.jit
    def other_way(v: Any, turned: Any, x: Any) -> tuple[Any, Any]:
        w, residual = conv.forward(v, turned, **settings, groups=groups)
        return conv.backward(residual, x)[0], w

    wanted_u, wanted_dx = other_way(random(*u.shape, seed=9), turned, x)
    close(u, wanted_u)
    close(dx, wanted_dx)


def test_a_transposed_convolution_by_hand() -> None:
    x, W = jnp.asarray([1.0, 2, 3]).reshape(1, 3, 1), jnp.asarray([5.0, 7, 9]).reshape(3, 1, 1)
    settings: dict[str, Any] = {"strides": 2, "padding": ((1, 0),), "output_padding": 1}
    b, dy = jnp.asarray([0.5]), jnp.asarray([1.0, 2, 3, 4, 5, 6, 7]).reshape(1, 7, 1)
    u, dx, dW, db = pull(transposed_conv, x, W, b, dy=dy, **settings)
    assert u.ravel().tolist() == [7.5, 9 + 10 + 0.5, 14.5, 18 + 15 + 0.5, 21.5, 27.5, 0.5]
    assert dx.ravel().tolist() == [7 * 1 + 9 * 2, 5 * 2 + 7 * 3 + 9 * 4, 5 * 4 + 7 * 5 + 9 * 6]
    assert dW.ravel().tolist() == [2 * 2 + 3 * 4, 1 + 2 * 3 + 3 * 5, 2 + 2 * 4 + 3 * 6]
    assert db.tolist() == [28]


def test_channels_may_be_none() -> None:
    for inputs, outputs in ((0, 2), (2, 0)):
        x, W = random(1, 4, inputs), random(3, inputs, outputs)
        for op in (conv, causal_conv_1d, transposed_conv, depthwise_conv):
            y, dx, dW, _ = pull(op, x, W)
            assert not y.any()
            assert not dx.any()
            assert (dx.shape, dW.shape) == (x.shape, W.shape)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_sums_do_not_stall(dtype: str) -> None:
    ones, b = jnp.ones((1, 4096, 1), dtype), jnp.zeros(1, dtype)
    _, residual = jax.jit(conv.forward)(ones, jnp.ones((1, 1, 1), dtype), b)
    _, dW, db = jax.jit(conv.backward)(residual, ones)
    assert (dW.tolist(), db.tolist()) == ([[[4096]]], [4096])
    long, _ = jax.jit(conv.forward)(jnp.ones((1, 1, 4096), dtype), jnp.ones((1, 4096, 1), dtype))
    assert long.tolist() == [[[4096]]]


def message(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        jax.eval_shape(lambda *args: function(*args, **keywords), *args)
    return str(caught.value)


X, W = jnp.ones((2, 5, 7, 4)), jnp.ones((3, 2, 4, 6))
PADDING = "a whole number ≥ 0, or a pair of them for each of 2 axes"
CONV_COMPLAINTS = [
    (TypeError, (X.astype(int), W), {}, "x: expected a floating dtype, got int64"),
    (TypeError, (X, W.astype(F32)), {}, "W: expected float64, the dtype of x, got float32"),
    (
        TypeError,
        (X, W, jnp.ones(6, F32)),
        {},
        "b: expected float64, the dtype of x, got float32",
    ),
    (ValueError, (X[0, 0], W), {}, "x: expected rank 3 or more, got shape (7, 4)"),
    (
        ValueError,
        (X, W[0]),
        {},
        "W: expected shape (_, _, 4, _) for x of shape (2, 5, 7, 4) and groups=1, got (2, 4, 6)",
    ),
    (
        ValueError,
        (X, W),
        {"groups": 2},
        "W: expected shape (_, _, 2, _) for x of shape (2, 5, 7, 4) and groups=2, got (3, 2, 4, 6)",
    ),
    (ValueError, (X, W), {"groups": 3}, "groups: expected a divisor of the 4 channels of x, got 3"),
    (ValueError, (X, W), {"groups": 0}, "groups: expected a divisor of the 4 channels of x, got 0"),
    (
        ValueError,
        (X, W[:, :, :1]),
        {"groups": 4},
        "groups: expected a divisor of the 6 channels of y, got 4",
    ),
    (ValueError, (X, W[:0]), {}, "W: expected one tap or more, got shape (0, 2, 4, 6)"),
    (
        ValueError,
        (X, W, jnp.ones(4)),
        {},
        "b: expected shape (6,) for 6 channels of y, got (4,)",
    ),
    (
        ValueError,
        (X, W),
        {"strides": 0},
        "strides: expected a whole number ≥ 1, or 2 of them, got 0",
    ),
    (
        ValueError,
        (X, W),
        {"strides": (1, 2, 1)},
        "strides: expected a whole number ≥ 1, or 2 of them, got (1, 2, 1)",
    ),
    (
        ValueError,
        (X, W),
        {"dilation": (1, 0)},
        "dilation: expected a whole number ≥ 1, or 2 of them, got (1, 0)",
    ),
    (
        ValueError,
        (X, W),
        {"dilation": 1.5},
        "dilation: expected a whole number ≥ 1, or 2 of them, got 1.5",
    ),
    *(
        (
            ValueError,
            (X, W),
            {"padding": padding},
            f"padding: expected 'SAME', 'VALID', {PADDING}, got {padding!r}",
        )
        for padding in ("same", -1, ((1, 1),), ((1, 1), (0, -1)), ((1, 1), (0, 1, 2)), (1, 1), 0.5)
    ),
    (
        ValueError,
        (X, W),
        {"padding": ((0, 1), (0, 0)), "dilation": (3, 1)},
        "x: expected at least a window, (7, 2), along the spatial axes with padding, got (6, 7)",
    ),
    (
        ValueError,
        (X[:, :0], W),
        {},
        "x: expected at least a window, (3, 2), along the spatial axes with padding, got (2, 8)",
    ),
]


@pytest.mark.parametrize(("kind", "args", "settings", "wanted"), CONV_COMPLAINTS)
def test_conv_complains(
    kind: type[Exception],
    args: tuple[Any, ...],
    settings: dict[str, Any],
    wanted: str,
    without_annotations: None,
) -> None:
    assert message(kind, conv.forward, *args, **settings) == f"conv: {wanted}"


def test_im2col_complains(without_annotations: None) -> None:
    forward = im2col.forward
    assert message(TypeError, forward, X.astype(int), kernel=2) == (
        "im2col: x: expected a floating dtype, got int64"
    )
    assert message(ValueError, forward, X[0, 0], kernel=2) == (
        "im2col: x: expected rank 3 or more, got shape (7, 4)"
    )
    assert message(ValueError, forward, X, kernel=(2, 0)) == (
        "im2col: kernel: expected a whole number ≥ 1, or 2 of them, got (2, 0)"
    )
    assert message(ValueError, forward, X, kernel=2, strides=0) == (
        "im2col: strides: expected a whole number ≥ 1, or 2 of them, got 0"
    )
    assert message(ValueError, forward, X, kernel=2, padding=-1) == (
        f"im2col: padding: expected 'SAME', 'VALID', {PADDING}, got -1"
    )
    assert message(ValueError, forward, X, kernel=6, padding="VALID") == (
        "im2col: x: expected at least a window, (6, 6), along the spatial axes with padding, "
        "got (5, 7)"
    )


def test_depthwise_conv_complains(without_annotations: None) -> None:
    forward, kernels = depthwise_conv.forward, jnp.ones((3, 2, 4, 2))
    assert message(TypeError, forward, X, kernels.astype(F32)) == (
        "depthwise_conv: W: expected float64, the dtype of x, got float32"
    )
    assert message(ValueError, forward, X[0, 0], kernels) == (
        "depthwise_conv: x: expected rank 3 or more, got shape (7, 4)"
    )
    assert message(ValueError, forward, X, jnp.ones((3, 2, 1, 8))) == (
        "depthwise_conv: W: expected shape (_, _, 4, _) for x of shape (2, 5, 7, 4), "
        "got (3, 2, 1, 8)"
    )
    assert message(ValueError, forward, X, kernels[:, :0]) == (
        "depthwise_conv: W: expected one tap or more, got shape (3, 0, 4, 2)"
    )
    assert message(ValueError, forward, X, kernels, jnp.ones(4)) == (
        "depthwise_conv: b: expected shape (8,) for 8 channels of y, got (4,)"
    )
    assert message(ValueError, forward, X, kernels, strides=0) == (
        "depthwise_conv: strides: expected a whole number ≥ 1, or 2 of them, got 0"
    )
    assert message(ValueError, forward, X, kernels, padding="VALID", dilation=3) == (
        "depthwise_conv: x: expected at least a window, (7, 4), along the spatial axes with "
        "padding, got (5, 7)"
    )


def test_causal_conv_1d_complains(without_annotations: None) -> None:
    forward, x, kernel = causal_conv_1d.forward, jnp.ones((2, 5, 4)), jnp.ones((3, 4, 6))
    assert message(TypeError, forward, x, kernel, jnp.ones(6, F32)) == (
        "causal_conv_1d: b: expected float64, the dtype of x, got float32"
    )
    assert message(ValueError, forward, X, W) == (
        "causal_conv_1d: x: expected rank 3, got shape (2, 5, 7, 4)"
    )
    assert message(ValueError, forward, x, kernel, groups=2) == (
        "causal_conv_1d: W: expected shape (_, 2, _) for x of shape (2, 5, 4) and groups=2, "
        "got (3, 4, 6)"
    )
    assert message(ValueError, forward, x, kernel, groups=3) == (
        "causal_conv_1d: groups: expected a divisor of the 4 channels of x, got 3"
    )
    assert message(ValueError, forward, x, kernel, dilation=0) == (
        "causal_conv_1d: dilation: expected a whole number ≥ 1, or 1 of them, got 0"
    )
    assert message(ValueError, forward, x[:, :0], kernel) == (
        "causal_conv_1d: x: expected one time or more, got shape (2, 0, 4)"
    )


TRANSPOSED_COMPLAINTS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((X[0, 0], W), {}, "x: expected rank 3 or more, got shape (7, 4)"),
    ((X, W), {"groups": 3}, "groups: expected a divisor of the 4 channels of x, got 3"),
    ((X, W, jnp.ones(4)), {}, "b: expected shape (6,) for 6 channels of y, got (4,)"),
    (
        (X, W),
        {"strides": (1, 0)},
        "strides: expected a whole number ≥ 1, or 2 of them, got (1, 0)",
    ),
    ((X, W), {"dilation": 0}, "dilation: expected a whole number ≥ 1, or 2 of them, got 0"),
    ((X, W), {"padding": -1}, f"padding: expected {PADDING}, got -1"),
    ((X, W), {"padding": "SAME"}, f"padding: expected {PADDING}, got 'SAME'"),
    (
        (X, W),
        {"output_padding": -1},
        "output_padding: expected a whole number ≥ 0, or 2 of them, got -1",
    ),
    (
        (X, W),
        {"output_padding": (1, 2), "strides": 2},
        "output_padding: expected less than the strides, (2, 2), got (1, 2)",
    ),
    ((X[:, :0], W), {}, "x: expected one place or more, got spatial shape (0, 7)"),
    (
        (X, W),
        {"padding": ((3, 4), (1, 1))},
        "padding: expected less than would leave no place of y, "
        "got ((3, 4), (1, 1)) and y of (0, 6)",
    ),
]


@pytest.mark.parametrize(("args", "settings", "wanted"), TRANSPOSED_COMPLAINTS)
def test_transposed_conv_complains(
    args: tuple[Any, ...], settings: dict[str, Any], wanted: str, without_annotations: None
) -> None:
    came = message(ValueError, transposed_conv.forward, *args, **settings)
    assert came == f"transposed_conv: {wanted}"


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "causal_conv_1d": ((X[:, 0], W[0]), {}),
    "conv": ((X, W), {}),
    "depthwise_conv": ((X, W), {}),
    "im2col": ((X,), {"kernel": 2}),
    "transposed_conv": ((X, W), {}),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_cotangent_unlike_the_output_is_refused(name: str, without_annotations: None) -> None:
    op, (args, settings) = getattr(manual_bp, name), CALLS[name]
    y, residual = jax.eval_shape(lambda *args: op.forward(*args, **settings), *args)
    for shape in (y.shape[1:], (1, *y.shape[1:]), (*y.shape, 1)):
        assert message(ValueError, op.backward, residual, jnp.ones(shape)) == (
            f"{name}: dy: expected shape {y.shape} of y, got {shape}"
        )
    assert message(TypeError, op.backward, residual, jnp.ones(y.shape, F32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )


@pytest.mark.parametrize(
    ("shape", "channels", "strides", "side_by_side"),
    [
        ((3, 2, 480), (32, 33), 1, True),
        ((3, 2, 480), (32, 33), 2, False),
        ((3, 2, 960), (32, 33), 2, True),
        ((3, 2, 400), (32, 33), 1, False),
        ((3, 2, 480), (31, 33), 1, False),
        ((3, 2, 240), (32, 128), 1, True),
        ((3, 2, 240), (129, 32), 1, False),
        ((3, 2, 240), (128, 128), 1, False),
    ],
)
def test_images_are_laid_side_by_side_where_that_is_faster(
    shape: tuple[int, ...], channels: tuple[int, int], strides: int, side_by_side: bool
) -> None:
    x, W = jnp.zeros((*shape, channels[0])), jnp.zeros((2, 3, *channels))
    program = jax.make_jaxpr(lambda *args: conv.forward(*args, strides=strides)[0])(x, W)
    (convolved,) = (e for e in program.eqns if e.primitive.name == "conv_general_dilated")
    assert (convolved.invars[0].aval.shape[0] == 1) == side_by_side


@pytest.mark.parametrize(
    ("channels", "batch", "products", "convolutions"),
    [
        ((1, 5), 32, 1, 0),
        ((1, 4), 32, 0, 4),
        ((2, 4), 32, 0, 4),
        ((2, 4), 31, 0, 1),
    ],
)
def test_a_kernels_gradient_takes_the_form_that_is_faster(
    channels: tuple[int, int], batch: int, products: int, convolutions: int
) -> None:
    x, W = jnp.zeros((batch, 3, 4, channels[0])), jnp.zeros((2, 3, *channels))
    y, residual = conv.forward(x, W)
    program = jax.make_jaxpr(lambda dy: conv.backward(residual, dy)[1])(y)
    came = [e.primitive.name for e in program.eqns]
    assert came.count("dot_general") == products
    assert came.count("conv_general_dilated") == convolutions + 1  # and that of dx


@pytest.mark.parametrize("first", [np.nan, np.inf, -np.inf, 0.0, 0.5, 2.0, -2.0])
def test_the_gradients_pieces_are_all_of_the_batch_whatever_its_cotangent(first: float) -> None:
    x, W = random(40, 3, 4, 2), random(2, 3, 2, 3, seed=1)
    dy = random(40, 3, 4, 3, seed=2).at[0, 0, 0, 0].set(first)
    dW = conv.backward(conv.forward(x, W)[1], dy)[1]
    by_sample = sum(
        conv.backward(conv.forward(x[i : i + 1], W)[1], dy[i : i + 1])[1] for i in range(40)
    )
    np.testing.assert_allclose(dW, by_sample, rtol=1e-12)
