"""Mixed precision: half in the model, float32 in the update; a scale that finds itself."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import manual_bp
from jax_ref import references
from manual_bp import cnn, mlp, precision, resnet, train

KEY = jax.random.key(2)
LOSS = manual_bp.softmax_cross_entropy
MODELS = {"mlp": mlp, "cnn": cnn}


def network(name: str, dtype: Any = jnp.float32) -> tuple[Any, ...]:
    """Return parameters, inputs and labels."""
    rng = np.random.default_rng(1)
    labels = jnp.asarray(rng.integers(0, 3, 16, np.int32))
    if name == "mlp":
        params = mlp.init(KEY, [6, 8, 3], dtype=dtype)
        return params, jnp.asarray(rng.standard_normal((16, 6)), dtype), labels
    params = cnn.init(KEY, (4, 4), (1, 3), (3,), dtype=dtype)
    return params, jnp.asarray(rng.standard_normal((16, 4, 4, 1)), dtype), labels


def by_hand(name: str, **settings: Any) -> Any:
    full = MODELS[name].loss_gradients_and_deltas

    def loss_and_gradients(*given: Any, **dloss: Any) -> Any:
        return full(*given, loss=LOSS, activation=manual_bp.tanh, **settings, **dloss)[:2]

    return loss_and_gradients


def layer(weight: float) -> Any:
    """Return the parameters of y = weight · x."""
    return (mlp.Layer(jnp.full((1, 1), weight, jnp.float32), jnp.zeros(1, jnp.float32)),)


def leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize(
    ("name", "dtype"), [("mlp", "bfloat16"), ("mlp", "float16"), ("cnn", "bfloat16")]
)
def test_a_gradient_is_as_near_to_the_truth_as_that_of_jax(name: str, dtype: str) -> None:
    """At most twice the error of `jax.grad` of the same in the same dtypes, and two ulp."""
    params, x, labels = network(name)
    forward = getattr(references.models, name)

    @jax.value_and_grad
    def reference(params: Any) -> Any:
        read, given = (jax.tree.map(lambda leaf: leaf.astype(dtype), t) for t in (params, x))
        y = forward(read, given, activation=references.activations.tanh)
        return references.losses.table["softmax_cross_entropy"](y.astype(jnp.float32), labels)

    hand = jax.jit(precision.mixed(by_hand(name), dtype))(params, x, labels)
    theirs = jax.jit(reference)(params)
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, x))
    truth = jax.jit(by_hand(name))(*wide, labels)
    ulp = float(jnp.finfo(dtype).eps)
    assert {leaf.dtype for leaf in jax.tree.leaves(hand)} == {jnp.dtype(jnp.float32)}
    for came, other, wanted in zip(*map(leaves, (hand, theirs, truth)), strict=True):
        error, allowed = np.abs(came - wanted).max(), np.abs(other - wanted).max()
        assert 0 < error <= 2 * allowed + 2 * ulp * np.abs(wanted).max()


def test_the_decay_is_that_of_the_whole_dtype() -> None:
    """In bfloat16 λ W beside a gradient a thousand times as large would be rounded away."""
    params = layer(1.5)
    x, targets = jnp.ones((2, 1), jnp.float32), jnp.full((2, 1), -98.5, jnp.float32)
    loss = partial(mlp.loss_and_gradients, loss=manual_bp.squared_error, decay=2.0**-6)
    value, (gradient,) = precision.mixed(loss, jnp.bfloat16)(params, x, targets)
    assert float(value) == 100**2 / 2 + 2.0**-7 * 1.5**2
    assert float(gradient.W[0, 0]) == 100 + 2.0**-6 * 1.5


def test_updates_below_half_an_ulp_add_up() -> None:
    def slope_of_one(params: Any, targets: Any, *, dloss: Any) -> Any:
        del targets
        assert params.dtype == jnp.bfloat16
        return dloss, jnp.ones_like(params)

    optimizer = optax.sgd(2.0**-12)
    step = jax.jit(train.make_step(precision.mixed(slope_of_one, jnp.bfloat16), optimizer))
    state = train.init(jnp.ones((), jnp.float32), optimizer)
    for _ in range(64):
        state, _ = step(state, (jnp.zeros(()),))
    assert float(state.params) == 1 - 64 * 2.0**-12


def test_running_statistics_keep_what_half_precision_would_drop() -> None:
    params, statistics = resnet.init(KEY, (1, 2, 2), 2)
    rng = np.random.default_rng(0)
    x, labels = jnp.asarray(rng.standard_normal((4, 3, 2, 1)), jnp.float32), jnp.asarray([0, 1] * 2)

    def full(params: Any, statistics: Any, x: Any, labels: Any, **settings: Any) -> Any:
        loss, gradients, _, new = resnet.loss_gradients_deltas_and_statistics(
            *(params, x, labels, statistics), loss=LOSS, momentum=2.0**-9, **settings
        )
        return loss, gradients, new

    half = jax.jit(precision.mixed(full, jnp.bfloat16, stateful=True))
    _, gradients, renewed = half(params, statistics, x, labels)
    assert {leaf.dtype for leaf in jax.tree.leaves((gradients, renewed))} == {
        jnp.dtype(jnp.float32)
    }
    _, _, wanted = jax.jit(full)(params, statistics, x, labels)
    for came, mean in zip(leaves(renewed), leaves(wanted), strict=True):
        np.testing.assert_allclose(came, mean, rtol=0, atol=1e-4)
        assert (came != np.asarray(jnp.asarray(came).astype(jnp.bfloat16), float)).any()


def tiny(scale: Any) -> tuple[Any, Any]:
    """Return a step and a state whose gradient, 2⁻²⁸, is none of float16's numbers."""
    loss = partial(mlp.loss_and_gradients, loss=manual_bp.squared_error)
    step = train.make_step(precision.mixed(loss, jnp.float16), optax.sgd(1.0))
    return jax.jit(step), train.init(layer(2.0**-14), optax.sgd(1.0), scale=scale)


ONE = tuple(jnp.full((1, 1), value, jnp.float32) for value in (1, 2.0**-14 - 2.0**-28))


def test_a_tiny_gradient_vanishes_without_the_scale_and_survives_with_it() -> None:
    for scale, moved in (((), 0), (precision.loss_scale(2.0**15), 2.0**-28)):
        step, state = tiny(scale)
        after, _ = step(state, ONE)
        assert float((state.params[0].b - after.params[0].b)[0]) == moved


def overflowing(value: float, interval: int = 2) -> tuple[Any, Any, Any]:
    """Return a step, a state and data whose gradient is 8."""
    loss = partial(mlp.loss_and_gradients, loss=manual_bp.squared_error)
    optimizer = optax.adam(0.1)
    step = train.jit_step(precision.mixed(loss, jnp.float16), optimizer)
    scale = precision.loss_scale(value, interval=interval)
    data = (jnp.ones((1, 1), jnp.float32), jnp.full((1, 1), -7.0, jnp.float32))
    return step, train.init(layer(1.0), optimizer, scale=scale), data


def test_an_overflow_leaves_the_update_out_and_halves_the_scale() -> None:
    step, state, data = overflowing(2.0**14)
    before = jax.tree.map(np.array, state)
    state, loss = step(state, data)
    assert float(loss) == 32  # which no scale enters
    for came, wanted in zip(
        jax.tree.leaves((state.params, state.optimizer)),
        jax.tree.leaves((before.params, before.optimizer)),
        strict=True,
    ):
        np.testing.assert_array_equal(came, wanted)
    assert (float(state.scale.value), int(state.scale.good), int(state.step)) == (2.0**13, 0, 1)


def test_the_scale_finds_itself_and_grows_after_good_steps_in_a_row() -> None:
    step, state, data = overflowing(2.0**15)
    powers, moved = [], []
    for _ in range(7):
        before = float(state.params[0].b[0])
        state, _ = step(state, data)
        powers.append(math.log2(float(state.scale.value)))
        moved.append(float(state.params[0].b[0]) != before)
    # The gradient is 8 at first: times 2¹³ it is beyond float16, until an update makes it smaller.
    assert powers == [14, 13, 12, 12, 13, 13, 14]
    assert moved == [False] * 3 + [True] * 4


@pytest.mark.parametrize("start", [2.0**-24, 2.0**24])
def test_the_scale_stays_between_its_bounds(start: float) -> None:
    scale = precision.loss_scale(start, interval=1)
    after = precision.renewed(scale, jnp.asarray(start > 1))
    assert float(after.value) == start


def test_what_is_carried_is_left_alone_as_well() -> None:
    def overflows(params: Any, carried: Any, targets: Any, *, dloss: Any) -> Any:
        return dloss, params * jnp.inf, carried + targets

    step = train.make_step(overflows, optax.sgd(1.0), stateful=True)
    scale = precision.loss_scale(1.0)
    state, _ = step(train.init(jnp.ones(2), optax.sgd(1.0), jnp.ones(()), scale), (jnp.ones(()),))
    assert state.model.tolist() == 1
    assert state.params.tolist() == [1, 1]


def test_parts_share_the_scale_and_their_sum_is_of_float32() -> None:
    params, x, labels = network("mlp")
    half = precision.mixed(by_hand("mlp", decay=0.1), jnp.float16)
    states = []
    for loss_and_gradients in (half, train.accumulated(half, parts=4)):
        step = jax.jit(train.make_step(loss_and_gradients, optax.sgd(0.5)))
        state = train.init(params, optax.sgd(0.5), scale=precision.loss_scale(2.0**10))
        states.append(step(state, (x, labels)))
    for came, wanted in zip(*map(leaves, states), strict=True):
        np.testing.assert_allclose(
            came, wanted, rtol=0, atol=2e-3 * max(1e-9, np.abs(wanted).max())
        )


@pytest.mark.parametrize("value", [0.0, 3.0, 2.0**25, float("nan")])
def test_a_scale_that_is_no_power_of_two_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="value") as refused:
        precision.loss_scale(value)
    assert str(refused.value) == (
        f"loss_scale: value: expected a power of two from 2⁻²⁴ to 2²⁴, got {value}"
    )


def test_bad_dtypes_and_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="interval") as interval:
        precision.loss_scale(interval=0)
    assert str(interval.value) == "loss_scale: interval: expected at least 1, got 0"
    with pytest.raises(TypeError, match="dtype") as floating:
        precision.mixed(by_hand("mlp"), jnp.int8)
    assert str(floating.value) == "mixed: dtype: expected a floating dtype, got int8"
    with pytest.raises(TypeError, match="dtype") as wider:
        precision.mixed(by_hand("mlp"), jnp.float64)(*network("mlp"))
    assert str(wider.value) == (
        "mixed: dtype: expected a dtype narrower than float32, that of the parameters, got float64"
    )


@pytest.mark.parametrize("value", [2.0**-8, 1.0, 2.0**16, 2.0**24])
def test_gradients_in_float16_are_divided_by_a_scale_that_float16_does_not_hold(
    value: float,
) -> None:
    scaled = jnp.asarray([1.5, -3.0, 0.0], jnp.float16)
    came = precision.unscaled([scaled], precision.loss_scale(value))[0]
    assert came.dtype == jnp.float16
    np.testing.assert_array_equal(came, np.float16(np.asarray(scaled, np.float64) / value))
