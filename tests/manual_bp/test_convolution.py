"""Convolutions: any shape, padding by hand, equalities among the ops, PyTorch, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from jax_ref import cases
from manual_bp import conv, im2col

NAMES = ("conv", "im2col")
F32 = jnp.float32


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def pull(op: Any, *args: Any, **settings: Any) -> tuple[Any, ...]:
    """Return the output and the cotangents of all arguments for one random cotangent."""
    y, residual = op.forward(*args, **settings)
    return y, *op.backward(residual, random(*y.shape, seed=9).astype(y.dtype))


def close(came: Any, wanted: Any) -> None:
    np.testing.assert_allclose(came, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("case", cases_of(*NAMES), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


def test_a_convolution_by_hand() -> None:
    x, W = jnp.asarray([1.0, 2, 3, 4]).reshape(1, 4, 1), jnp.asarray([5.0, 7]).reshape(2, 1, 1)
    u, residual = conv.forward(x, W, jnp.asarray([0.5]), padding=((1, 0),), strides=2)
    dx, dW, db = conv.backward(residual, jnp.asarray([10.0, 100]).reshape(1, 2, 1))
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
    x, W = random(1, 6, 2), random(4, 2, 3)
    settings = {"strides": strides, "dilation": dilation}
    same = pull(conv, x, W, padding="SAME", **settings)
    given = pull(conv, x, W, padding=(pair,), **settings)
    assert same[0].shape == (1, -(-6 // strides), 3)
    for came, wanted in zip(same[:3], given[:3], strict=True):
        np.testing.assert_array_equal(came, wanted)


def test_one_number_or_one_for_each_axis() -> None:
    x, W = random(2, 7, 6, 2), random(2, 3, 2, 3)
    one = pull(conv, x, W, strides=2, padding=1, dilation=2)
    each = pull(conv, x, W, strides=[2, 2], padding=[[1, 1], [1, 1]], dilation=(2, 2))
    for came, wanted in zip(one[:3], each[:3], strict=True):
        np.testing.assert_array_equal(came, wanted)


def test_valid_is_no_padding() -> None:
    x, W = random(2, 7, 2), random(3, 2, 3)
    for came, wanted in zip(
        pull(conv, x, W, padding="VALID")[:3], pull(conv, x, W, padding=0)[:3], strict=True
    ):
        np.testing.assert_array_equal(came, wanted)


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
    u, residual = conv.forward(x, W, b, groups=2)
    dy = random(*u.shape, seed=1)
    dx, dW, db = conv.backward(residual, dy)
    for k in range(2):
        c, m = slice(2 * k, 2 * k + 2), slice(3 * k, 3 * k + 3)
        alone, alone_residual = conv.forward(x[..., c], W[..., m], b[m])
        close(u[..., m], alone)
        gradients = conv.backward(alone_residual, dy[..., m])
        for came, wanted in zip((dx[..., c], dW[..., m], db[m]), gradients, strict=True):
            close(came, wanted)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"strides": 2, "padding": 2, "dilation": 2}])
def test_a_convolution_is_im2col_and_one_affine_map(axes: int, settings: dict[str, Any]) -> None:
    kernel = (3, 2, 2)[:axes]
    x, W, b = random(2, *(5, 4, 6)[:axes], 3), random(*kernel, 3, 4), random(4)
    u, residual = conv.forward(x, W, b, **settings)
    rows, patches_residual = im2col.forward(x, kernel=kernel, **settings)
    v, linear_residual = manual_bp.linear.forward(rows, W.reshape(-1, 4), b)
    close(u, v)
    dy = random(*u.shape, seed=1)
    dx, dW, db = conv.backward(residual, dy)
    drows, dmatrix, dbias = manual_bp.linear.backward(linear_residual, dy)
    close(dx, im2col.backward(patches_residual, drows)[0])
    close(dW, dmatrix.reshape(W.shape))
    close(db, dbias)


def test_im2col_by_hand() -> None:
    x = jnp.asarray([[1.0, 2], [3, 4], [5, 6]])[None]
    y, residual = im2col.forward(x, kernel=2, padding=((1, 0),))
    (dx,) = im2col.backward(
        residual, jnp.asarray([[1.0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 1, 2]])[None]
    )
    assert y[0].tolist() == [[0, 0, 1, 2], [1, 2, 3, 4], [3, 4, 5, 6]]
    assert dx[0].tolist() == [[2 + 4, 3 + 5], [6 + 8, 7 + 9], [1, 2]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_sums_do_not_stall(dtype: str) -> None:
    ones, b = jnp.ones((1, 4096, 1), dtype), jnp.zeros(1, dtype)
    _, residual = conv.forward(ones, jnp.ones((1, 1, 1), dtype), b)
    _, dW, db = conv.backward(residual, ones)
    assert (float(dW[0, 0, 0]), float(db[0])) == (4096, 4096)
    long, residual = conv.forward(
        jnp.ones((1, 1, 4096), dtype), jnp.ones((1, 4096, 1), dtype), padding="VALID"
    )
    assert float(long[0, 0, 0]) == 4096


def message(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
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


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "conv": ((X[..., :1], W[:, :, :1]), {}),
    "im2col": ((X,), {"kernel": 2}),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_cotangent_unlike_the_output_is_refused(name: str, without_annotations: None) -> None:
    op, (args, settings) = getattr(manual_bp, name), CALLS[name]
    y, residual = op.forward(*args, **settings)
    for shape in (y.shape[1:], (1, *y.shape[1:]), (*y.shape, 1)):
        assert message(ValueError, op.backward, residual, jnp.ones(shape)) == (
            f"{name}: dy: expected shape {y.shape} of y, got {shape}"
        )
    assert message(TypeError, op.backward, residual, y.astype(F32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )


def to_torch(a: jax.Array) -> Any:
    """Return (b, *size, c) as PyTorch's (b, c, *size), to be differentiated."""
    torch = pytest.importorskip("torch")
    return torch.tensor(np.moveaxis(np.asarray(a), -1, 1), requires_grad=True)


def from_torch(tensor: Any) -> np.ndarray:
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_is_pytorch_s(axes: int) -> None:
    torch = pytest.importorskip("torch")
    size, kernel = (7, 6, 5)[:axes], (3, 2, 1)[:axes]
    x, W, b = random(2, *size, 4), random(*kernel, 2, 6), random(6)
    settings = {"dilation": 2, "groups": 2}
    u, residual = conv.forward(x, W, b, strides=2, padding=1, **settings)
    dy = random(*u.shape, seed=1)
    dx, dW, db = conv.backward(residual, dy)
    their_x = to_torch(x)
    their_W = torch.tensor(np.moveaxis(np.asarray(W), (-1, -2), (0, 1)), requires_grad=True)
    their_b = torch.tensor(np.asarray(b), requires_grad=True)
    convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[axes - 1]
    theirs = convolve(their_x, their_W, their_b, stride=2, padding=1, **settings)
    theirs.backward(to_torch(dy).detach())
    close(u, from_torch(theirs))
    close(dx, from_torch(their_x.grad))
    close(dW, np.moveaxis(their_W.grad.numpy(), (0, 1), (-1, -2)))
    close(db, their_b.grad.numpy())
