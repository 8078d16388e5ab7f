"""S2: weight decay, and δ as a sensitivity."""

import jax.numpy as jnp
import numpy as np
import pytest
import written_out as wo
from by_hand import arrays, columns, descend, rows
from claim import claim
from written_out import EXACT, error, seeds

from manual_bp import (
    activations,
    mlp,
    sigmoid,
    softmax_cross_entropy,
    softmax_squared_error,
    squared_error,
    tanh,
)

DECAY = 0.3


@claim("S2.1", says="`z_i^(l+1) = Σ_j W_ij a_j^l`, `a = f(z)`.", verdict="TRUE")
@pytest.mark.parametrize("name", ["tanh", "softplus"])
@seeds
def test_s2_1_a_layer_written_out(seed, name):
    rng = np.random.default_rng(seed)
    network, x = [(W, 0 * b) for W, b in wo.draw(rng, 4, 3, 5, 2)], wo.normal(rng, 6, 4)
    a = [list(xi) for xi in x]
    for W, _ in network:
        z = [[sum(W[i, j] * aj for j, aj in enumerate(ai)) for i in range(len(W))] for ai in a]
        a = [[getattr(wo, name)(zi).real for zi in row] for row in z]
    f = activations.table[name]
    y, _ = mlp.forward(rows(network), jnp.asarray(x), activation=f, output_activation=f)
    assert error(y, a) < EXACT


def _softmax_cross_entropy(output, target):
    pairs = zip(wo.softmax(output), target, strict=True)
    return -sum(t * np.log(p) for p, t in pairs)


def _softmax_squared_error(output, target):
    return wo.half_squared_error(wo.softmax(output), target)


OUTPUTS = {
    "softmax and cross-entropy": (
        softmax_cross_entropy,
        activations.identity,
        _softmax_cross_entropy,
    ),
    "softmax and squared error": (
        softmax_squared_error,
        activations.identity,
        _softmax_squared_error,
    ),
    "sigmoid and squared error": (squared_error, sigmoid, wo.half_squared_error),
}


@claim(
    "S2.2",
    says="The output layer is softmax with cross-entropy, or softmax or another with squared "
    "error: both work.",
    verdict="TRUE",
)
@pytest.mark.parametrize("output", OUTPUTS)
@seeds
def test_s2_2_every_output_layer_learns(seed, output):
    loss, g, written = OUTPUTS[output]
    rng = np.random.default_rng(seed)
    network, x = wo.draw(rng, 3, 6, 4), wo.normal(rng, 9, 3)
    y = np.eye(4)[np.argmax(x @ wo.normal(rng, 3, 4), axis=1)]

    def loss_and_gradients(params, x, y):
        settings = {"activation": tanh, "output_activation": g, "loss": loss}
        return mlp.loss_and_gradients(params, x, y, **settings)

    g_written = getattr(wo, g.name)
    true = wo.gradient(lambda net: wo.mean_loss(net, x, y, wo.tanh, g_written, written), network)
    value, gradients = loss_and_gradients(rows(network), *arrays((x, y)))
    assert error(value, wo.mean_loss(network, x, y, wo.tanh, g_written, written).real) < EXACT
    assert error(columns(gradients), true) < EXACT
    _, losses = descend(loss_and_gradients, rows(network), *arrays((x, y)), rate=0.5, steps=1000)
    assert losses[-1] < losses[0] / 2


def _decayed(params, x, y, decay=DECAY):
    return mlp.loss_and_gradients(params, x, y, loss=squared_error, activation=tanh, decay=decay)


@claim(
    "S2.3",
    says="`J = 1/m Σ ½‖h(x)−y‖² + λ/2 Σ_l Σ_i Σ_j (W_ji^l)²`; biases are not decayed.",
    verdict="TRUE",
)
@seeds
def test_s2_3_the_penalty_is_on_weights_alone(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 5, 2), wo.normal(rng, 7, 3), wo.normal(rng, 7, 2)

    def penalty(network):
        return DECAY / 2 * sum(W[i, j] ** 2 for W, _ in network for i, j in np.ndindex(W.shape))

    def data_loss(network):
        return wo.mean_loss(network, x, y, wo.tanh).real

    value, _ = _decayed(rows(network), *arrays((x, y)))
    assert error(value, data_loss(network) + penalty(network)) < EXACT
    moved = [(W, b + wo.normal(rng, len(b))) for W, b in network]
    value, _ = _decayed(rows(moved), *arrays((x, y)))
    assert error(value - penalty(network), data_loss(moved)) < EXACT


@claim(
    "S2.4",
    says="`∂J/∂W = 1/m Σ ∂J_i/∂W + λ W`; `∂J/∂b = 1/m Σ ∂J_i/∂b`.",
    verdict="TRUE",
)
@seeds
def test_s2_4_decay_adds_to_the_weights_gradient(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 5, 2), wo.normal(rng, 7, 3), wo.normal(rng, 7, 2)

    def objective(network):
        squares = sum((W**2).sum() for W, _ in network)
        return wo.mean_loss(network, x, y, wo.tanh) + DECAY / 2 * squares

    true = wo.gradient(objective, network)
    singles = [
        columns(_decayed(rows(network), *arrays((x[i], y[i])), decay=0.0)[1]) for i in range(7)
    ]
    formula = [
        (sum(s[k][0] for s in singles) / 7 + DECAY * W, sum(s[k][1] for s in singles) / 7)
        for k, (W, _) in enumerate(network)
    ]
    assert error(formula, true) < EXACT
    assert error(columns(_decayed(rows(network), *arrays((x, y)))[1]), true) < EXACT
    with_biases = [(dW, db + DECAY * b) for (dW, db), (_, b) in zip(true, network, strict=True)]
    assert error(with_biases, true) > 0.01


def _single(seed, f, *widths):
    """Return a network, a sample, its target, and the hand-written gradients and δ."""
    rng = np.random.default_rng(seed)
    network = wo.draw(rng, *widths)
    x, y = wo.normal(rng, widths[0]), wo.normal(rng, widths[-1])
    settings = {"loss": squared_error, "activation": f, "output_activation": f}
    _, gradients, deltas = mlp.loss_gradients_and_deltas(rows(network), *arrays((x, y)), **settings)
    return network, x, y, columns(gradients), list(deltas)


@claim("S2.5", says="Output layer: `δ_i = −(y_i − f(z_i)) f'(z_i)`.", verdict="TRUE")
@seeds
def test_s2_5_delta_of_the_output_unit(seed):
    network, x, y, _, deltas = _single(seed, tanh, 3, 5, 4)
    z = np.real(wo.trace(network, x, wo.tanh, wo.tanh)[0][-1])
    true = wo.gradient(lambda z: wo.half_squared_error([wo.tanh(zi) for zi in z], y), z)
    formula = [-(y[i] - np.tanh(z[i])) / np.cosh(z[i]) ** 2 for i in range(4)]
    assert error(np.array(formula), true) < EXACT
    assert error(deltas[-1], true) < EXACT


@claim(
    "S2.6",
    says="`δ_i^l = (Σ_j W_ji^l δ_j^(l+1)) f'(z_i^l)` is the sensitivity of the loss to the "
    "activation `a_i^l`.",
    verdict="FALSE",
    correction="The formula holds, and δ is the sensitivity to the pre-activation: `δ = ∂L/∂z`; "
    "that to the activation is `∂L/∂a_i = Σ_j W_ji δ_j`, without `f'`.",
)
@seeds
def test_s2_6_delta_is_the_sensitivity_to_the_pre_activation(seed):
    network, x, y, _, deltas = _single(seed, sigmoid, 3, 5, 4, 2)
    us, xs = wo.trace(network, x, wo.sigmoid, wo.sigmoid)
    for layer in (0, 1):
        above = network[layer + 1 :]

        def from_activation(a, above=above):
            return wo.half_squared_error(wo.trace(above, a, wo.sigmoid, wo.sigmoid)[1][-1], y)

        def from_pre_activation(z, from_activation=from_activation):
            return from_activation([wo.sigmoid(zi) for zi in z])

        a = np.real(xs[layer + 1])
        to_z = wo.gradient(from_pre_activation, np.real(us[layer]))
        to_a = wo.gradient(from_activation, a)
        W, next_delta = above[0][0], deltas[layer + 1]
        returned = [sum(W[j, i] * next_delta[j] for j in range(len(W))) for i in range(len(a))]
        assert error(np.array(returned) * a * (1 - a), to_z) < EXACT
        assert error(deltas[layer], to_z) < EXACT
        assert error(np.array(returned), to_a) < EXACT
        assert error(deltas[layer], to_a) > 0.5  # σ' ≤ ¼, so they cannot be near


@claim(
    "S2.7",
    says="`∂J/∂W_ij^l = a_j^l δ_i^(l+1)`, `∂J/∂b_i^l = δ_i^(l+1)`.",
    verdict="TRUE",
)
@seeds
def test_s2_7_gradients_entry_by_entry(seed):
    network, x, y, gradients, deltas = _single(seed, sigmoid, 3, 5, 2)
    batch = x[None], y[None], wo.sigmoid, wo.sigmoid
    true = wo.gradient(lambda network: wo.mean_loss(network, *batch), network)
    assert error(gradients, true) < EXACT
    _, xs = wo.trace(network, x, wo.sigmoid, wo.sigmoid)
    for layer, (dW, db) in enumerate(true):
        a, delta = np.real(xs[layer]), deltas[layer]
        by_entry = [[a[j] * delta[i] for j in range(dW.shape[1])] for i in range(dW.shape[0])]
        assert error(np.array(by_entry), dW) < EXACT
        assert error(delta, db) < EXACT
