"""Normalisations: any shape, Jacobians, constant and far inputs, bad input."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import DTYPES, cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from jax_ref import cases

NAMES = (
    "batch_norm",
    "group_norm",
    "instance_norm",
    "l2_normalize",
    "layer_norm",
    "rms_norm",
    "weight_norm",
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def pull(name: str, *args: Any, dy: Any, **settings: Any) -> tuple[Any, ...]:
    """Return the output and the cotangents of all arguments."""
    op = getattr(manual_bp, name)
    y, residual = op.forward(*args, **settings)
    return y, *op.backward(residual, dy)


@pytest.mark.parametrize(
    "case", [case for case in cases_of(*NAMES) if not case.variant], ids=lambda case: case.name
)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


def test_layer_norm_by_its_written_out_jacobian() -> None:
    x, dy, n, epsilon = random(7) + 3, random(7, seed=1), 7, 0.1
    c = np.float64(x) - np.mean(x)
    variance = np.mean(c**2)
    # ∂ŷᵢ/∂xⱼ = (1[i=j] − 1/n)/σ − cᵢ cⱼ/(n σ³)
    jacobian = (np.eye(n) - 1 / n) / np.sqrt(variance + epsilon)
    jacobian -= np.outer(c, c) / n / (variance + epsilon) ** 1.5
    y, dx, *_ = pull("layer_norm", x, dy=dy, epsilon=epsilon)
    np.testing.assert_allclose(y, c / np.sqrt(variance + epsilon), rtol=1e-14)
    np.testing.assert_allclose(dx, jacobian.T @ np.asarray(dy), rtol=1e-13, atol=1e-15)


def test_rms_norm_by_its_written_out_jacobian() -> None:
    x, dy, n, epsilon = random(7) + 3, random(7, seed=1), 7, 0.1
    square = np.mean(np.square(x)) + epsilon
    jacobian = np.eye(n) / np.sqrt(square) - np.outer(x, x) / n / square**1.5
    y, dx, _ = pull("rms_norm", x, dy=dy, epsilon=epsilon)
    np.testing.assert_allclose(y, np.asarray(x) / np.sqrt(square), rtol=1e-14)
    np.testing.assert_allclose(dx, jacobian.T @ np.asarray(dy), rtol=1e-13, atol=1e-15)


def test_a_uniform_cotangent_sees_nothing_of_layer_norm() -> None:
    x, dy = random(3, 5), jnp.asarray([[1.0], [-2.0], [0.5]]) * jnp.ones((3, 5))
    _, dx, *_ = pull("layer_norm", x, dy=dy)
    assert float(jnp.abs(dx).max()) < 1e-14
    _, dx, *_ = pull("layer_norm", x, random(5, seed=1), dy=dy)
    assert float(jnp.abs(dx).max()) > 0.1


@every_dtype
def test_layer_norm_of_equal_features_is_the_bias(dtype: str) -> None:
    x, scale, bias = (jnp.full((2, 4), 3, dtype), jnp.full(4, 2, dtype), jnp.arange(4.0))
    bias, dy = bias.astype(dtype), jnp.asarray([[1, 2, 3, 6], [-1, 0, 0, 1]], dtype)
    y, dx, dscale, dbias = pull("layer_norm", x, scale, bias, dy=dy, epsilon=0.25)
    assert y.tolist() == [bias.tolist()] * 2
    # r = ε^(−1/2) = 2, dx̂ = 2 dy
    assert dx.tolist() == [[-8, -4, 0, 12], [-4, 0, 0, 4]]
    assert dscale.tolist() == [0] * 4
    assert dbias.tolist() == [0, 2, 3, 7]


@pytest.mark.parametrize("name", ["layer_norm", "instance_norm"])
def test_of_huge_numbers_that_are_all_equal_the_bias_is_left(name: str) -> None:
    # The rounding of their mean, squared, is far beyond ε, and what is left of it may be below 0.
    values = 1e25 * np.random.default_rng(0).uniform(1, 8, 30)
    x = jnp.broadcast_to(jnp.asarray(values)[:, None, None], (30, 3, 3))
    y, _ = jax.jit(getattr(manual_bp, name).forward)(x, jnp.ones(3), jnp.arange(3.0))
    np.testing.assert_array_equal(y, np.broadcast_to(np.arange(3), x.shape))


@every_dtype
def test_rms_norm_of_zeros_is_zero(dtype: str) -> None:
    dy = jnp.asarray([[1, 2, -3]], dtype)
    y, dx, dscale = pull(
        "rms_norm", jnp.zeros((1, 3), dtype), jnp.full(3, 2, dtype), dy=dy, epsilon=0.25
    )
    assert not y.any()
    assert not dscale.any()
    assert dx.tolist() == [[4, 8, -12]]


@every_dtype
@pytest.mark.parametrize("level", [1e4, -1e4])
def test_layer_norm_and_rms_norm_of_extremes(level: float, dtype: str) -> None:
    x, dy = jnp.asarray([level, 0, -level, 0], dtype), jnp.asarray([1, -2, 3, 0], dtype)
    at, cotangent, ulp = np.float64(x), np.float64(dy), float(jnp.finfo(dtype).eps)
    r = 1 / np.sqrt(np.mean(at**2) + 1e-5)
    standard = r * at
    for name, mean in (("layer_norm", 0.5), ("rms_norm", 0.0)):
        y, dx, *_ = pull(name, x, dy=dy)
        np.testing.assert_allclose(np.float64(y), standard, rtol=2 * ulp)
        wanted = r * (cotangent - mean - standard * np.mean(cotangent * standard))
        size = 8 * ulp * np.abs(wanted).max() + float(jnp.finfo(dtype).tiny) * ulp
        np.testing.assert_allclose(np.float64(dx), wanted, rtol=0, atol=size)


def test_deviations_far_smaller_than_the_mean_keep_their_digits() -> None:
    steps = np.asarray([3.0, -1.0, 0.0, 2.0, -6.0]) * 2.0**-9
    near, far = (jnp.asarray(level + steps) for level in (0.0, 2.0**40))
    dy = random(5)
    for one, other in zip(
        pull("layer_norm", near, dy=dy)[:2], pull("layer_norm", far, dy=dy)[:2], strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-13)


def batch(*args: Any, dy: Any, **settings: Any) -> tuple[Any, ...]:
    """Return y and the cotangents of batch norm, whose new statistics have none."""
    nothing = jnp.zeros_like(dy, shape=dy.shape[-1:])
    (y, *_), *cotangents = pull("batch_norm", *args, dy=(dy, nothing, nothing), **settings)
    return y, *cotangents


def fresh(n: int) -> tuple[jax.Array, jax.Array]:
    return jnp.zeros(n), jnp.ones(n)


def test_far_samples_keep_their_digits_in_a_compiled_step() -> None:
    # Of this size the compiler fuses the mean into some of what it is taken from.
    x, scale, dy = 1000 + random(100, 256) / 1024, random(256), random(256, 100).T

    def step(x: jax.Array, scale: jax.Array, dy: jax.Array) -> tuple[Any, ...]:
        zeros, ones = jnp.zeros_like(scale), jnp.ones_like(scale)
        return batch(x, scale, None, zeros, ones, dy=dy, epsilon=1e-9)[:3]

    low = [leaf.astype(jnp.float32) for leaf in (x, scale, dy)]
    as_users_do = {"xla_backend_optimization_level": 3, "xla_cpu_use_fusion_emitters": True}
    for came, wanted in zip(
        jax.jit(step, compiler_options=as_users_do)(*low),
        step(*(leaf.astype(jnp.float64) for leaf in low)),
        strict=True,
    ):
        error = jnp.abs(came.astype(jnp.float64) - wanted).max() / jnp.abs(wanted).max()
        assert error < 1e-6


def equal(came: Any, wanted: Any) -> None:
    for one, other in zip(came, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)


def test_batch_norm_is_biased_in_the_batch_and_unbiased_in_the_running_statistics() -> None:
    x, mean, var = random(7, 3) + 2, random(3, seed=1), random(3, seed=2) ** 2
    (y, new_mean, new_var), _ = manual_bp.batch_norm.forward(
        x, None, None, mean, var, momentum=0.3, epsilon=0.1
    )
    standard = (x - np.mean(x, 0, keepdims=True)) / np.sqrt(np.var(x, 0, keepdims=True) + 0.1)
    equal((y,), (standard,))
    equal(
        (new_mean, new_var),
        (0.7 * mean + 0.3 * np.mean(x, 0), 0.7 * var + 0.3 * np.var(x, 0, ddof=1)),
    )


def test_batch_norm_in_evaluation_takes_the_running_statistics_as_they_are() -> None:
    x, dy, mean, var = random(4, 3), random(4, 3, seed=1), random(3, seed=2), random(3) ** 2 + 0.1
    op = manual_bp.batch_norm
    (y, *new), residual = op.forward(x, None, None, mean, var, training=False, epsilon=0.1)
    dx, _, _, dmean, dvar = op.backward(residual, (dy, mean, var))
    r = 1 / np.sqrt(np.float64(var) + 0.1)
    equal((y, *new), ((x - mean[None]) * r[None], mean, var))
    c = np.asarray(x - mean[None])
    wanted = mean - r * dy.sum(0), var - 0.5 * r**3 * (np.asarray(dy) * c).sum(0)
    equal((dx, dmean, dvar), (dy * r[None], *wanted))


def test_the_cotangents_of_the_new_statistics_count() -> None:
    x = jnp.asarray([[1.0], [3.0], [8.0]])
    _, residual = manual_bp.batch_norm.forward(x, None, None, *fresh(1), momentum=0.5)
    dmean, dvar = jnp.asarray([6.0]), jnp.asarray([2.0])
    dx, _, _, dold_mean, dold_var = manual_bp.batch_norm.backward(
        residual, (jnp.zeros((3, 1)), dmean, dvar)
    )
    # q dmean'/3 = 1, q dvar' 2c/2 = c = (−3, −1, 4)
    equal((dx[:, 0], dold_mean, dold_var), ([-2, 0, 5], [3], [1]))


@pytest.mark.parametrize("shape", [(1, 3), (3,), (1, 1, 3)])
def test_a_batch_of_one_sample_is_the_bias(shape: tuple[int, ...]) -> None:
    x, bias = random(*shape) + 5, random(3, seed=1)
    (y, mean, var), residual = manual_bp.batch_norm.forward(x, random(3), bias, *fresh(3))
    dx, dscale, *_ = manual_bp.batch_norm.backward(residual, (x, jnp.zeros(3), jnp.zeros(3)))
    equal((y.reshape(3), mean, var), (bias, 0.1 * x.reshape(3), np.full(3, 0.9)))
    assert not dx.any()
    assert not dscale.any()


def test_an_empty_batch_has_no_statistics_and_in_evaluation_needs_none() -> None:
    forward, x = manual_bp.batch_norm.forward, jnp.zeros((0, 3))
    assert complaint(ValueError, forward, x, None, None, *fresh(3)) == (
        "batch_norm: x: expected at least one sample for training=True, got shape (0, 3)"
    )
    (y, *new), _ = forward(x, None, None, *fresh(3), training=False)
    assert y.shape == (0, 3)
    equal(new, fresh(3))


def test_batch_norm_is_layer_norm_transposed() -> None:
    x, dy = random(5, 3) + 2, random(5, 3, seed=1)
    y, dx, *_ = batch(x, None, None, *fresh(3), dy=dy)
    equal((y.T, dx.T), pull("layer_norm", x.T, dy=dy.T)[:2])


def test_instance_norm_is_batch_norm_of_each_sample() -> None:
    x, scale, bias, dy = (
        random(2, 3, 5, 4),
        random(4),
        random(4, seed=1),
        random(2, 3, 5, 4, seed=2),
    )
    y, dx, dscale, dbias = pull("instance_norm", x, scale, bias, dy=dy)
    alone = [batch(one, scale, bias, *fresh(4), dy=d)[:4] for one, d in zip(x, dy, strict=True)]
    equal((y, dx), (jnp.stack([one[k] for one in alone]) for k in (0, 1)))
    equal((dscale, dbias), (alone[0][k] + alone[1][k] for k in (2, 3)))


def test_group_norm_with_a_channel_a_group_is_instance_norm() -> None:
    args, dy = (random(2, 3, 4) + 1, random(4), random(4, seed=1)), random(2, 3, 4, seed=2)
    equal(pull("group_norm", *args, dy=dy, groups=4), pull("instance_norm", *args, dy=dy))


def test_group_norm_with_one_group_and_no_place_is_layer_norm() -> None:
    args, dy = (random(3, 4) + 1, random(4), random(4, seed=1)), random(3, 4, seed=2)
    equal(pull("group_norm", *args, dy=dy, groups=1), pull("layer_norm", *args, dy=dy))


def test_group_norm_takes_neighbouring_channels_together() -> None:
    x, dy = random(2, 3, 6), random(2, 3, 6, seed=1)
    whole = pull("group_norm", x, dy=dy, groups=2)[:2]
    for part in (slice(0, 3), slice(3, 6)):
        alone = pull("group_norm", x[..., part], dy=dy[..., part], groups=1)[:2]
        equal((one[..., part] for one in whole), alone)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_l2_normalize_over_any_axis_is_rms_norm_over_the_last(axis: int) -> None:
    x, dy = random(2, 3, 5), random(2, 3, 5, seed=1)
    n = x.shape[axis]
    moved = (jnp.moveaxis(array, axis, -1) for array in (x, dy))
    y, dx, _ = pull("rms_norm", next(moved), dy=next(moved), epsilon=0.1 / n)
    came = pull("l2_normalize", x, dy=dy, axis=axis, epsilon=0.1)
    wanted = (jnp.moveaxis(array, -1, axis) / np.sqrt(n) for array in (y, dx))
    equal(came, wanted)


@every_dtype
def test_l2_normalize_and_weight_norm_of_zeros(dtype: str) -> None:
    zeros, dy, g = jnp.zeros((2, 1), dtype), jnp.asarray([[1], [-3]], dtype), jnp.ones(1, dtype)
    y, dx = pull("l2_normalize", zeros, dy=dy, axis=0, epsilon=0.25)
    W, dv, dg = pull("weight_norm", zeros, 2 * g, dy=dy, epsilon=0.25)
    assert not y.any()
    assert not W.any()
    assert dx.tolist() == [[2], [-6]]
    assert dv.tolist() == [[4], [-12]]
    assert dg.tolist() == [0]


def test_weight_norm_has_the_norm_g_and_turns_v_alone_but_for_epsilon() -> None:
    v, g, dW = random(3, 2, 4), random(4), random(3, 2, 4, seed=1)
    W, dv, dg = pull("weight_norm", v, g, dy=dW, epsilon=0.1)
    square = np.square(v).sum((0, 1))
    equal((np.square(W).sum((0, 1)),), (np.square(g) * square / (square + 0.1),))
    # With ε = 0 this were 0.
    equal((np.sum(dv * v, (0, 1)),), (g * dg * 0.1 / (square + 0.1),))
    equal((dg * g,), (np.sum(dW * W, (0, 1)),))
    u, du = pull(
        "l2_normalize", v.reshape(6, 4), dy=dW.reshape(6, 4) * g[None], axis=0, epsilon=0.1
    )
    equal((W, dv), ((u * g[None]).reshape(v.shape), du.reshape(v.shape)))


@every_dtype
def test_long_sums_do_not_stall_in_half_precision(dtype: str) -> None:
    x = jnp.concatenate([jnp.ones((4096, 1), dtype), -jnp.ones((4096, 1), dtype)])
    _, _, dscale, dbias, *_ = batch(
        x, jnp.ones(1, dtype), jnp.ones(1, dtype), jnp.zeros(1, dtype), jnp.ones(1, dtype), dy=x + 1
    )
    np.testing.assert_allclose(float(dscale[0]), 8192, rtol=0.01)
    assert float(dbias[0]) == 8192


def complaint(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return str(caught.value)


F32 = jnp.float32
SCALED = ("layer_norm", "rms_norm", "group_norm", "instance_norm", "batch_norm")
RANKS = (
    ("layer_norm", 1),
    ("rms_norm", 1),
    ("batch_norm", 1),
    ("weight_norm", 1),
    ("group_norm", 2),
    ("instance_norm", 3),
)


def call(name: str, x: Any, *features: Any, **settings: Any) -> Any:
    """Run the forward with what else it must have."""
    forward, n = getattr(manual_bp, name).forward, x.shape[-1] if x.ndim else 1
    match name:
        case "batch_norm":
            pair = (*features, None, None)[:2]
            return forward(x, *pair, *(one.astype(x.dtype) for one in fresh(n)), **settings)
        case "group_norm":
            return forward(x, *features, **{"groups": 1, **settings})
        case "weight_norm":
            return forward(x, jnp.ones(n), **settings)
    return forward(x, *features, **settings)


@pytest.mark.parametrize("name", SCALED)
def test_bad_features_are_refused(name: str, without_annotations: None) -> None:
    forward, x = partial(call, name), jnp.ones((2, 5, 3))
    assert complaint(TypeError, forward, jnp.ones((2, 5, 3), int)) == (
        f"{name}: x: expected a floating dtype, got int64"
    )
    assert complaint(TypeError, forward, x, jnp.ones(3, F32)) == (
        f"{name}: scale: expected float64, the dtype of x, got float32"
    )
    assert complaint(ValueError, forward, x, jnp.ones(5)) == (
        f"{name}: scale: expected shape (3,) for x of shape (2, 5, 3), got (5,)"
    )
    if name != "rms_norm":
        assert complaint(ValueError, forward, x, None, jnp.ones((1, 3))) == (
            f"{name}: bias: expected shape (3,) for x of shape (2, 5, 3), got (1, 3)"
        )
        assert complaint(TypeError, forward, x, None, jnp.ones(3, int)) == (
            f"{name}: bias: expected a floating dtype, got int64"
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("epsilon", [0.0, -1e-5, float("nan"), float("inf")])
def test_an_epsilon_that_is_not_positive_is_refused(name: str, epsilon: float) -> None:
    assert complaint(ValueError, call, name, jnp.ones((2, 5, 3)), epsilon=epsilon) == (
        f"{name}: epsilon: expected a finite number above 0, got {epsilon}"
    )


@pytest.mark.parametrize(("name", "rank"), RANKS)
def test_a_rank_that_is_too_low_is_refused(name: str, rank: int, without_annotations: None) -> None:
    x, argument = jnp.ones((2,) * (rank - 1)), "v" if name == "weight_norm" else "x"
    assert complaint(ValueError, call, name, x) == (
        f"{name}: {argument}: expected rank {rank} or more, got shape {x.shape}"
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "batch_norm"])
def test_a_cotangent_unlike_the_output_is_refused(name: str, without_annotations: None) -> None:
    backward, x = getattr(manual_bp, name).backward, jnp.ones((2, 5, 3))
    _, residual = call(name, x)
    assert complaint(ValueError, backward, residual, jnp.ones((2, 5, 1))) == (
        f"{name}: dy: expected shape (2, 5, 3) of y, got (2, 5, 1)"
    )
    assert complaint(TypeError, backward, residual, x.astype(F32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )


def test_cotangents_unlike_the_outputs_of_batch_norm_are_refused(without_annotations: None) -> None:
    backward, dy, one = manual_bp.batch_norm.backward, jnp.ones((5, 3)), jnp.ones(3)
    _, residual = call("batch_norm", dy)
    outputs = "the tuple (dy, dnew_running_mean, dnew_running_var)"
    for bad, wanted in (
        (dy, f"dy: expected {outputs}, got ArrayImpl"),
        ((dy, one), f"dy: expected {outputs}, got 2 of them"),
        ((one, one, one), "dy: expected shape (5, 3) of y, got (3,)"),
        ((dy, dy, one), "dnew_running_mean: expected shape (3,) of new_running_mean, got (5, 3)"),
        ((dy, one, dy), "dnew_running_var: expected shape (3,) of new_running_var, got (5, 3)"),
    ):
        assert complaint(ValueError, backward, residual, bad) == f"batch_norm: {wanted}"
    assert complaint(TypeError, backward, residual, (dy, one.astype(F32), one)) == (
        "batch_norm: dnew_running_mean: expected float64, the dtype of new_running_mean, "
        "got float32"
    )


def test_bad_running_statistics_and_a_bad_momentum_are_refused(without_annotations: None) -> None:
    forward, x, one = manual_bp.batch_norm.forward, jnp.ones((5, 3)), jnp.ones(3)
    assert complaint(ValueError, forward, x, None, None, jnp.ones(5), one) == (
        "batch_norm: running_mean: expected shape (3,) for x of shape (5, 3), got (5,)"
    )
    assert complaint(ValueError, forward, x, None, None, one, jnp.ones((1, 3))) == (
        "batch_norm: running_var: expected shape (3,) for x of shape (5, 3), got (1, 3)"
    )
    assert complaint(TypeError, forward, x, None, None, one, one.astype(F32)) == (
        "batch_norm: running_var: expected float64, the dtype of x, got float32"
    )
    for momentum in (-0.1, 1.1, float("nan")):
        assert complaint(ValueError, forward, x, None, None, one, one, momentum=momentum) == (
            f"batch_norm: momentum: expected a number in [0, 1], got {momentum}"
        )


@pytest.mark.parametrize("groups", [0, -1, 4, 12])
def test_groups_that_do_not_divide_the_channels_are_refused(groups: int) -> None:
    assert complaint(ValueError, call, "group_norm", jnp.ones((2, 6)), groups=groups) == (
        f"group_norm: groups: expected a divisor of 6, the number of channels, got {groups}"
    )


def test_l2_normalize_of_large_numbers_has_a_finite_gradient_of_large_cotangents() -> None:
    x, dy = jnp.asarray([1e9, 1e9], jnp.float32), jnp.asarray([1e30, 0], jnp.float32)
    residual = manual_bp.l2_normalize.forward(x)[1]
    (dx,) = manual_bp.l2_normalize.backward(residual, dy)
    wanted = 1e30 / 1e9 / 2**1.5
    np.testing.assert_allclose(dx, [wanted, -wanted], rtol=1e-5)


@pytest.mark.parametrize(("dtype", "norm"), [("float32", 1.8e19), ("float64", 1.3e154)])
@pytest.mark.parametrize("name", ["l2_normalize", "weight_norm", "rms_norm", "layer_norm"])
def test_norms_hold_as_far_as_they_say(name: str, dtype: str, norm: float) -> None:
    unit = np.asarray([-1, 1]) / np.sqrt(2)
    whole = 1 if name in ("l2_normalize", "weight_norm") else np.sqrt(2)
    for far, length in ((norm, whole), (1.1 * norm, 0)):
        x = jnp.asarray(far * unit, dtype)
        args = (x[:, None], jnp.ones(1, dtype)) if name == "weight_norm" else (x,)
        y, dx, *_ = pull(name, *args, dy=jnp.ones_like(args[0]))
        np.testing.assert_allclose(y.ravel(), length * unit, rtol=1e-6)
        assert np.isfinite(dx).all()


def test_l2_normalize_and_weight_norm_complain(without_annotations: None) -> None:
    assert complaint(TypeError, manual_bp.l2_normalize.forward, jnp.ones(3, int)) == (
        "l2_normalize: x: expected a floating dtype, got int64"
    )
    assert complaint(ValueError, manual_bp.l2_normalize.forward, jnp.ones((2, 3)), axis=2) == (
        "l2_normalize: axis: expected an axis of shape (2, 3), got 2"
    )
    forward, v = manual_bp.weight_norm.forward, jnp.ones((5, 3))
    assert complaint(ValueError, forward, v, jnp.ones(5)) == (
        "weight_norm: g: expected shape (3,) for v of shape (5, 3), got (5,)"
    )
    assert complaint(TypeError, forward, v, jnp.ones(3, F32)) == (
        "weight_norm: g: expected float64, the dtype of v, got float32"
    )
