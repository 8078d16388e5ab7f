"""Training steps and epochs: optimisers, batches, donation, line searches, parity with autodiff."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import manual_bp
from jax_ref import references
from manual_bp import mlp, train

KEY = jax.random.key(3)
OPTIMISERS = {
    "gradient descent": (optax.sgd(0.3), 60),
    "momentum": (optax.sgd(0.05, momentum=0.9), 60),
    "Adam": (optax.adam(0.1), 60),
    "L-BFGS": (optax.lbfgs(), 15),
}


def regression(samples: int = 12, n: int = 3, m: int = 2) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, n))
    return jnp.asarray(x), jnp.asarray(x @ rng.standard_normal((n, m)) + 0.3)


def least_squares(params: Any, x: Any, targets: Any) -> Any:
    return mlp.loss_and_gradients(params, x, targets, loss=manual_bp.squared_error)


def logistic(params: Any, x: Any, targets: Any) -> Any:
    return mlp.loss_and_gradients(
        params, x, targets, loss=manual_bp.binary_cross_entropy, decay=0.01
    )


def linear_params() -> Any:
    return mlp.init(KEY, [3, 2], dtype=jnp.float64)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_least_squares_are_solved(name: str) -> None:
    optimizer, steps = OPTIMISERS[name]
    x, targets = regression()
    step = train.jit_step(least_squares, optimizer)
    state = train.init(linear_params(), optimizer)
    losses = []
    for _ in range(steps):
        state, loss = step(state, (x, targets))
        losses.append(float(loss))
    assert losses[-1] < 0.05 * losses[0]
    assert int(state.step) == steps


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_logistic_loss_falls(name: str) -> None:
    optimizer, _ = OPTIMISERS[name]
    x, targets = regression()
    data = (x, (targets > 0).astype(jnp.float64))
    epoch = train.make_epoch(logistic, optimizer, batch_size=12)
    state = train.init(linear_params(), optimizer)
    before = float(logistic(state.params, *data)[0])
    for key in jax.random.split(KEY, 15):
        state, _ = epoch(state, data, key)
    assert float(logistic(state.params, *data)[0]) < 0.8 * before


def test_one_step_of_gradient_descent_is_the_formula() -> None:
    params, (x, targets) = linear_params(), regression()
    loss, gradients = least_squares(params, x, targets)
    step = train.make_step(least_squares, optax.sgd(0.25))
    state, stepped_loss = step(train.init(params, optax.sgd(0.25)), (x, targets))
    assert float(stepped_loss) == float(loss)
    jax.tree.map(
        lambda new, old, g: np.testing.assert_allclose(new, old - 0.25 * g, rtol=1e-15),
        state.params,
        params,
        gradients,
    )


def test_a_line_search_is_given_the_hand_written_gradient() -> None:
    params, data = linear_params(), regression()

    def scaled(params: Any, *data: Any) -> Any:
        loss, gradients = least_squares(params, *data)
        return loss, jax.tree.map(lambda g: 7 * g, gradients)

    def update(updates: Any, state: Any, params: Any = None, *, value_fn: Any, **_: Any) -> Any:
        del updates
        return jax.grad(value_fn)(params), state

    searcher = optax.GradientTransformationExtraArgs(lambda params: (), update)
    step = jax.jit(train.make_step(scaled, searcher))
    state, _ = step(train.init(params, searcher), data)
    _, gradients = scaled(params, *data)
    jax.tree.map(
        lambda new, old, g: np.testing.assert_allclose(new - old, g, rtol=1e-12, atol=1e-15),
        state.params,
        params,
        gradients,
    )


def recording(params: jax.Array, x: jax.Array, marks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A linear loss whose gradient counts the samples of the batch, and those with a wrong mark."""
    misplaced = (x @ jnp.arange(7.0) != marks).astype(jnp.float64)
    return (x @ params).sum(), x.sum(0) + jnp.full(7, 100 * misplaced.sum())


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6, 7, 8, 1000])
def test_an_epoch_visits_every_sample_once(batch_size: int) -> None:
    samples = 7
    optimizer = optax.sgd(1.0)
    epoch = train.make_epoch(recording, optimizer, batch_size=batch_size)
    state = train.init(jnp.zeros(samples), optimizer)
    data = (jnp.eye(samples), jnp.arange(samples, dtype=jnp.float64))
    for number, key in enumerate(jax.random.split(KEY, 3), start=1):
        state, losses = epoch(state, data, key)
        steps = math.ceil(samples / min(batch_size, samples))
        assert losses.shape == (steps,)
        assert int(state.step) == number * steps
        assert state.params.tolist() == [-number] * samples


def test_the_losses_are_those_before_each_update_in_order() -> None:
    optimizer = optax.sgd(1.0)
    epoch = train.make_epoch(recording, optimizer, batch_size=2)
    start = jnp.asarray([1.0, 10, 100, 1000, 10000, 1e5, 1e6])
    data = (jnp.eye(7), jnp.arange(7.0))
    _, losses = epoch(train.init(start, optimizer), data, KEY)
    batches = [sorted(str(int(loss)), reverse=True) for loss in losses]
    assert [digits.count("1") for digits in batches] == [2, 2, 2, 1]
    assert float(losses.sum()) == float(start.sum())


def test_the_key_decides_the_order() -> None:
    optimizer = optax.sgd(1.0)
    epoch = train.make_epoch(recording, optimizer, batch_size=1)
    data = (jnp.eye(7), jnp.arange(7.0))

    def order(key: jax.Array) -> list[float]:
        return epoch(train.init(jnp.arange(7.0), optimizer), data, key)[1].tolist()

    first, again, other = (order(jax.random.key(k)) for k in (1, 1, 2))
    assert first == again
    assert first != other
    assert first != sorted(first)


def test_a_batch_size_below_one_is_refused() -> None:
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match="batch_size") as caught:
            train.make_epoch(recording, optax.sgd(1.0), batch_size=batch_size)
        assert str(caught.value) == (
            f"make_epoch: batch_size: expected a whole number of at least 1, got {batch_size}"
        )


@pytest.mark.parametrize("name", ["jit_step", "make_epoch"])
def test_the_state_is_donated_and_the_callers_parameters_are_not(name: str) -> None:
    params, data = linear_params(), regression()
    optimizer = optax.adam(0.1)
    state = train.init(params, optimizer)
    if name == "jit_step":
        new, _ = train.jit_step(least_squares, optimizer)(state, data)
    else:
        new, _ = train.make_epoch(least_squares, optimizer, batch_size=5)(state, data, KEY)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((params, data, new)))


def test_a_plain_step_donates_nothing() -> None:
    state = train.init(linear_params(), optax.sgd(0.1))
    jax.jit(train.make_step(least_squares, optax.sgd(0.1)))(state, regression())
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(state))


PARITY = [
    ("sigmoid", "squared_error", optax.sgd(0.5), {}),
    ("tanh", "softmax_cross_entropy", optax.sgd(0.1, momentum=0.9), {"decay": 0.01}),
    (
        "softplus",
        "binary_cross_entropy",
        optax.adam(0.01),
        {"decay": 0.1, "decay_per_sample": True},
    ),
    ("leaky_relu", "softmax_squared_error", optax.sgd(0.3), {}),
]


@pytest.mark.parametrize(
    ("activation", "loss", "optimizer", "decay"), PARITY, ids=[p[0] for p in PARITY]
)
def test_200_steps_by_hand_are_200_steps_by_autodiff(
    activation: str, loss: str, optimizer: Any, decay: dict[str, Any]
) -> None:
    rng = np.random.default_rng(1)
    x, targets = rng.standard_normal((18, 3)), rng.uniform(0, 1, (18, 2))
    labels = rng.integers(0, 2, 18) if loss == "softmax_cross_entropy" else targets
    data = (jnp.asarray(x), jnp.asarray(labels))

    def by_hand(params: Any, *batch: Any) -> Any:
        f, ell = getattr(manual_bp, activation), getattr(manual_bp, loss)
        return mlp.loss_and_gradients(params, *batch, loss=ell, activation=f, **decay)

    by_autodiff = jax.value_and_grad(
        lambda params, *batch: references.models.mlp_loss(
            params,
            *batch,
            loss=references.losses.table[loss],
            activation=references.activations.table[activation],
            **decay,
        )
    )
    start = mlp.init(KEY, [3, 5, 2], dtype=jnp.float64)
    states, losses = [], []
    for engine in (by_hand, by_autodiff):
        epoch = train.make_epoch(engine, optimizer, batch_size=4)
        state, seen = train.init(start, optimizer), []
        for key in jax.random.split(KEY, 40):
            state, epoch_losses = epoch(state, data, key)
            seen.append(np.asarray(epoch_losses))
        states.append(state)
        losses.append(np.concatenate(seen))
    assert int(states[0].step) == len(losses[0]) == 200
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)
    for came, wanted in zip(*(jax.tree.leaves(s.params) for s in states), strict=True):
        np.testing.assert_allclose(came, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), states[0].params, start)
    assert min(jax.tree.leaves(moved)) > 1e-3


def test_samples_and_targets_of_different_lengths_are_refused() -> None:
    epoch = train.make_epoch(recording, optax.sgd(1.0), batch_size=2)
    state = train.init(jnp.zeros(5), optax.sgd(1.0))
    with pytest.raises(ValueError, match="lengths") as caught:
        epoch(state, (jnp.eye(5), jnp.zeros(3)), jax.random.key(0))
    message = "epoch: data: expected arrays of one length, at least 1, got lengths [5, 3]"
    assert str(caught.value) == message
