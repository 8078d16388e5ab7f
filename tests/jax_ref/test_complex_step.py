"""The complex step: right to rounding where it is allowed, and refused by name where it is not."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ref.oracles import complex_step

Function = Callable[..., Any]
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((5, 7)))
W = jnp.asarray(RNG.standard_normal((7, 3)))
ALONG = RNG.choice([-1.0, 1.0], (3, 5, 7))


@jax.custom_vjp
def wrongly_ruled(x: Any) -> Any:
    return jnp.sin(x)


wrongly_ruled.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (7 * dy,))


def normalised(x: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(1, keepdims=True) + 1e-5)


def recurrent(x: Any) -> Any:
    def body(carry: Any, row: Any) -> Any:
        carry = jax.checkpoint(jnp.tanh)(carry + row)
        return carry, lax.cond(True, jnp.sin, jnp.cos, carry)

    return lax.scan(body, x[0], x[1:])


HOLOMORPHIC: dict[str, Function] = {
    "linear": lambda x: x @ W,
    "tanh": lambda x: jnp.tanh(x @ W),
    "softmax without a shift": lambda x: jnp.exp(x) / jnp.exp(x).sum(1, keepdims=True),
    "normalised": normalised,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "roots and powers": lambda x: jnp.sqrt(x**2 + 1) + x**-3 + lax.rsqrt(2 + jnp.cos(x)),
    "products": lambda x: jnp.prod(x[0]) + jnp.cumprod(x, 1).sum() + jnp.cumsum(x, 0)[2, 3],
    "places": lambda x: x[jnp.asarray([0, 0, 3])].T[:, 1:] * jnp.concatenate([x, x], 1)[0, 3],
    "added twice": lambda x: x.at[jnp.asarray([1, 1])].add(x[:2] ** 2).sum(0),
    "masked": lambda x: jnp.where(jnp.arange(7) > 3, x[0], 0.0) ** 2,
    "recurrent": recurrent,
    "loop": lambda x: lax.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.log1p(c[1] ** 2)), (0, x)
    )[1],
    "vmap of jit": jax.vmap(jax.jit(lambda row: jnp.expm1(row @ W))),
    "custom vjp": wrongly_ruled,
    "constant": lambda x: jnp.ones(3),
}


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_the_slope_is_right_to_rounding(name: str) -> None:
    f = HOLOMORPHIC[name]
    assert complex_step.refusal(f, (X,)) is None
    plain = jnp.sin if f is wrongly_ruled else f
    came = jax.tree.leaves(complex_step.slopes(f, (X,), (ALONG,)))
    truth = jax.vmap(lambda d: jax.jvp(plain, (X,), (d,))[1])(jnp.asarray(ALONG))
    for one, other in zip(came, jax.tree.leaves(truth), strict=True):
        assert one.shape == other.shape
        assert one.dtype == np.float64
        assert np.abs(one - other).max() <= 1e-14 * np.abs(other).max()


# Where a root or logarithm begins, h must be small beside the argument.
ARGUMENTS = np.asarray(
    [-700, -40, -3, -0.7, -1e-3, -1e-9, 1e-12, 1e-5, 0.3, 0.999, 1.001, 1.5, 2.5, 9, 40, 700]
)


@pytest.mark.parametrize("name", sorted(complex_step.ELEMENTWISE - {"add", "sub", "integer_pow"}))
def test_every_elementwise_function_keeps_its_digits(name: str) -> None:
    function = getattr(lax, name)
    f = (lambda x: function(x, x + 2)) if name in ("mul", "div") else function
    value, slope = jax.vmap(jax.value_and_grad(f))(jnp.asarray(ARGUMENTS))
    inside = np.isfinite(value) & np.isfinite(slope)
    x = ARGUMENTS[inside]
    assert len(x) > 5
    (came,) = complex_step.slopes(f, (x,), (np.ones((1, len(x))),))
    # In the tails JAX's own slope of tanh and of the logistic function loses its digits.
    np.testing.assert_allclose(came, slope[inside], rtol=1e-13, atol=1e-15)


REFUSED: dict[str, tuple[Function, str]] = {
    "abs": (jnp.abs, "abs"),
    "relu": (jax.nn.relu, "max"),
    "minimum": (lambda x: jnp.minimum(x, 1.0), "min"),
    "softmax": (jax.nn.softmax, "reduce_max"),
    "clip": (lambda x: lax.clamp(0.0, x.real, 1.0), "real"),
    "sign": (jnp.sign, "sign"),
    "comparison": (lambda x: jnp.where(x > 0, x, 0.0), "real"),
    "equality": (lambda x: jnp.where(x == 0, 1.0, x), "eq"),
    "sort": (jnp.sort, "sort"),
    "round": (jnp.round, "real"),
    "conjugate": (lambda x: jnp.vdot(x, x), "conj"),
    "imaginary part": (lambda x: x + x.imag, "imag"),
    "power": (lambda x: x**2.0, "pow"),
    "to float64": (lambda x: x.astype(jnp.float64), "convert_element_type"),
    "to float32": (lambda x: jnp.sin(x.astype(jnp.float32)), "convert_element_type"),
    "to complex64": (lambda x: x.astype(jnp.complex64), "convert_element_type"),
    "convolution": (lambda x: jnp.convolve(x[0], x[1]), "conv_general_dilated"),
    "factors": (lambda x: lax.linalg.lu(x[:5, :5])[0], "lu"),
    "cosh": (jnp.cosh, "cosh"),
    "stopped": (lambda x: lax.stop_gradient(x) * x, "stop_gradient"),
    "nested": (lambda x: lax.map(jax.jit(jax.checkpoint(jnp.abs)), x), "abs"),
    "custom vjp": (jax.vmap(lambda row: jnp.abs(wrongly_ruled(row))), "abs"),
    "in a loop": (lambda x: lax.while_loop(lambda c: c[0, 0] < 3, lambda c: 2 * c, x), "real"),
    "in a branch": (lambda x: lax.cond(True, jnp.sin, lambda x: x * jnp.conj(x), x), "conj"),
    "callback": (
        lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x),
        "pure_callback",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_holomorphic_is_refused_by_name(name: str) -> None:
    f, primitive = REFUSED[name]
    refusal = complex_step.refusal(f, (X,))
    assert refusal is not None
    assert refusal.split(" at ")[0] == primitive


@pytest.mark.parametrize(
    ("f", "error"),
    [
        (jax.scipy.special.erf, "TypeError"),
        (jax.scipy.special.gammaln, "TypeError"),
        (jnp.fft.rfft, "ValueError"),
        (np.asarray, "TracerArrayConversionError"),
        (lambda x: {}[x.dtype], "KeyError"),
    ],
)
def test_what_raises_at_complex_arguments_is_refused_in_one_line(f: Function, error: str) -> None:
    refusal = complex_step.refusal(f, (X,))
    assert refusal is not None
    assert refusal.startswith(f"at complex arguments it raises {error}")
    assert "\n" not in refusal


def test_complex_arguments_are_refused() -> None:
    assert complex_step.refusal(jnp.sin, (X, lax.complex(X, X))) == "an argument is complex already"


def test_only_floating_leaves_move() -> None:
    def f(tree: Any, at: Any, key: Any) -> Any:
        return {"y": jnp.sin(tree["x"])[at] + jax.random.uniform(key), "n": at}

    args = ({"x": X[0], "none": None}, jnp.asarray(3), jax.random.key(1))
    directions = ({"x": np.eye(7)[2:4], "none": None}, None, None)
    assert complex_step.refusal(f, args) is None
    came = complex_step.slopes(f, args, directions)
    np.testing.assert_allclose(came["y"], [0, np.cos(X[0, 3])], rtol=1e-15)
    assert not came["n"].any()


def test_it_sees_an_error_that_differences_cannot() -> None:
    def f(x: Any) -> Any:
        return 1e8 + jnp.sin(x)

    (came,) = complex_step.slopes(f, (0.3,), (np.ones(1),))
    assert came == pytest.approx(np.cos(0.3), rel=1e-15)
