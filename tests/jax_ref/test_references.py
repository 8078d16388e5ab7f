"""The references against numpy, so that no comparison is with something unknown."""

from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref.references import activations, dense, gates, losses, models, regularization, stacks

U = np.array([-6.0, -1.5, -1e-3, 1e-3, 0.7, 5.0])

VALUES = {
    "identity": lambda u: u,
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "tanh": np.tanh,
    "relu": lambda u: np.maximum(u, 0),
    "leaky_relu": lambda u: np.where(u > 0, u, 0.01 * u),
    "softplus": lambda u: np.log1p(np.exp(u)),
    "log_sigmoid": lambda u: -np.log1p(np.exp(-u)),
    "relu6": lambda u: np.clip(u, 0, 6),
    "squared_relu": lambda u: np.maximum(u, 0) ** 2,
    "elu": lambda u: np.where(u > 0, u, np.expm1(u)),
    "celu": lambda u: np.where(u > 0, u, np.expm1(u)),
    "selu": lambda u: 1.0507009873554805 * np.where(u > 0, u, 1.6732632423543772 * np.expm1(u)),
    "gelu": lambda u: u * np.vectorize(NormalDist().cdf)(u),
    "gelu_tanh": lambda u: u / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3))),
    "gelu_quick": lambda u: u / (1 + np.exp(-1.702 * u)),
    "silu": lambda u: u / (1 + np.exp(-u)),
    "mish": lambda u: u * np.tanh(np.log1p(np.exp(u))),
    "softsign": lambda u: u / (1 + np.abs(u)),
    "hard_sigmoid": lambda u: np.clip((u + 3) / 6, 0, 1),
    "hard_tanh": lambda u: np.clip(u, -1, 1),
    "hard_swish": lambda u: u * np.clip((u + 3) / 6, 0, 1),
}


@pytest.mark.parametrize("name", VALUES)
def test_activations_are_what_their_names_say(name: str) -> None:
    y = activations.table[name](jnp.asarray(U))
    np.testing.assert_allclose(y, VALUES[name](U), rtol=1e-12, atol=1e-15)


def test_every_activation_is_known() -> None:
    assert set(activations.table) == set(VALUES)


@pytest.mark.parametrize("slope", [0.0, 0.25, 1.0])
def test_the_slope_at_zero_is_the_one_asked_for(slope: float) -> None:
    for f in (activations.relu, activations.leaky_relu):
        slopes = jax.vmap(jax.grad(lambda u, f=f: f(u, slope_at_zero=slope)))(jnp.zeros(1))
        assert slopes.tolist() == [slope]


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
def test_the_affine_maps(batch: tuple[int, ...]) -> None:
    x, W, b = random(*batch, 3), random(3, 4), random(4)
    product = np.asarray(x) @ np.asarray(W)
    wanted = product + np.asarray(b)
    np.testing.assert_allclose(dense.linear(x, W, b), wanted, rtol=1e-13)
    np.testing.assert_allclose(dense.linear(x, W), product, rtol=1e-13)
    column = dense.linear_column(jnp.moveaxis(x, -1, 0), W.T, b)
    np.testing.assert_allclose(column, np.moveaxis(wanted, -1, 0), rtol=1e-13)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_and_its_logarithm(axis: int) -> None:
    u = random(3, 4)
    exponential = np.exp(np.asarray(u))
    p = exponential / exponential.sum(axis, keepdims=True)
    np.testing.assert_allclose(dense.softmax(u, axis=axis), p, rtol=1e-13)
    np.testing.assert_allclose(dense.log_softmax(u, axis=axis), np.log(p), rtol=1e-13)
    for function, wanted in ((dense.softmax, p), (dense.log_softmax, np.log(p))):
        came = function(1.5 * u, axis=axis, temperature=1.5)
        np.testing.assert_allclose(came, wanted, rtol=1e-13)


@pytest.mark.parametrize("axis", [0, 1])
def test_sparsemax_is_what_bisection_finds(axis: int) -> None:
    u = np.asarray(random(4, 5))
    low, high = u.max(axis, keepdims=True) - 1, u.max(axis, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        too_low = np.maximum(u - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    wanted = np.maximum(u - low, 0)
    np.testing.assert_allclose(dense.sparsemax(jnp.asarray(u), axis=axis), wanted, atol=1e-14)


def test_activations_of_more_than_one_argument() -> None:
    x, alpha = np.asarray(random(3, 6)), np.asarray(random(6, seed=1))
    a, b = x[:, :3], x[:, 3:]
    given = jnp.asarray(x)
    for name, gate in (("glu", "sigmoid"), ("swiglu", "silu"), ("geglu", "gelu")):
        came = getattr(gates, name)(given)
        np.testing.assert_allclose(came, a * VALUES[gate](b), rtol=1e-12)
    wanted = np.where(x > 0, x, alpha * x)
    np.testing.assert_allclose(gates.prelu(given, jnp.asarray(alpha)), wanted, rtol=1e-14)
    for ties in ("first", "split"):
        came = gates.maxout(given, pieces=2, ties=ties)
        np.testing.assert_array_equal(came, x.reshape(3, 3, 2).max(-1))


Z, T = (
    np.random.default_rng(0).standard_normal((4, 3)),
    np.random.default_rng(1).uniform(0.1, 0.9, (4, 3)),
)
SIGMA = 1 / (1 + np.exp(-Z))
SOFTMAX = np.exp(Z) / np.exp(Z).sum(-1, keepdims=True)
PER_SAMPLE = {
    "squared_error": ((Z, T), ((Z - T) ** 2).sum(-1) / 2),
    "binary_cross_entropy": (
        (Z, T),
        -(T * np.log(SIGMA) + (1 - T) * np.log(1 - SIGMA)).sum(-1),
    ),
    "binary_cross_entropy_on_probabilities": (
        (SIGMA, T),
        -(T * np.log(SIGMA) + (1 - T) * np.log(1 - SIGMA)).sum(-1),
    ),
    "softmax_cross_entropy": ((Z, T), -(T * np.log(SOFTMAX)).sum(-1)),
    "softmax_squared_error": ((Z, T), ((SOFTMAX - T) ** 2).sum(-1) / 2),
}


@pytest.mark.parametrize("name", PER_SAMPLE)
def test_losses_and_their_reductions(name: str) -> None:
    args, wanted = PER_SAMPLE[name]
    args = tuple(map(jnp.asarray, args))
    loss = losses.table[name]
    np.testing.assert_allclose(loss(*args, reduction="none"), wanted, rtol=1e-12)
    np.testing.assert_allclose(loss(*args, reduction="sum"), wanted.sum(), rtol=1e-12)
    np.testing.assert_allclose(loss(*args), wanted.mean(), rtol=1e-12)


def test_integer_labels_pick_their_class() -> None:
    labels = np.array([2, 0, 1, 1])
    wanted = -np.log(SOFTMAX[np.arange(4), labels])
    came = losses.softmax_cross_entropy(jnp.asarray(Z), jnp.asarray(labels), reduction="none")
    np.testing.assert_allclose(came, wanted, rtol=1e-12)


def _network() -> tuple[Any, ...]:
    params = [(random(3, 4), random(4, seed=1)), (random(4, 2, seed=2), random(2, seed=3))]
    return params, random(5, 3, seed=4), random(5, 2, seed=5)


def test_a_perceptron_with_decay() -> None:
    params, x, targets = _network()
    (W1, b1), (W2, b2) = jax.tree.map(np.asarray, params)
    y = np.tanh(np.asarray(x) @ W1 + b1) @ W2 + b2
    plain = ((y - np.asarray(targets)) ** 2).sum() / 10
    squares = (W1**2).sum() + (W2**2).sum()
    for per_sample, share in ((False, 1), (True, 5)):
        loss = models.mlp_loss(
            params,
            x,
            targets,
            loss=losses.squared_error,
            activation=jnp.tanh,
            decay=0.3,
            decay_per_sample=per_sample,
        )
        np.testing.assert_allclose(loss, plain + 0.15 * squares / share, rtol=1e-12)


def test_the_gradient_of_a_probe_is_delta() -> None:
    params, x, targets = _network()
    (W1, b1), (W2, b2) = jax.tree.map(np.asarray, params)

    def loss(probes: Any) -> Any:
        y = models.mlp(params, x, activation=jnp.tanh, probes=probes)
        return ((y - targets) ** 2).sum() / 2

    first, last = jax.grad(loss)((jnp.zeros((5, 4)), jnp.zeros((5, 2))))
    hidden = np.tanh(np.asarray(x) @ W1 + b1)
    delta = hidden @ W2 + b2 - np.asarray(targets)
    np.testing.assert_allclose(last, delta, rtol=1e-12)
    np.testing.assert_allclose(first, delta @ W2.T * (1 - hidden**2), rtol=1e-11, atol=1e-14)


def test_a_chain_is_its_stages_one_after_the_other() -> None:
    y = stacks.chain([(2.0,), ()], jnp.asarray([3.0]), stages=[lambda x, k: k * x, jnp.square])
    assert y.tolist() == [36]


@pytest.mark.parametrize(("samples", "wanted"), [(1, 0.15 * 30), (6, 0.15 * 5)])
def test_weight_decay(samples: int, wanted: float) -> None:
    weights = {"a": jnp.asarray([[1.0, 2]]), "b": [jnp.asarray(-5.0)]}
    came = regularization.weight_decay(weights, decay=0.3, samples=samples)
    np.testing.assert_allclose(came, wanted, rtol=1e-14)
