"""S4.1 to S4.9: the algorithm, the logistic cost, bias units, accumulation and decay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import written_out as wo
from by_hand import arrays, columns, descend, rows
from claim import claim
from written_out import EXACT, error, seeds

from manual_bp import (
    activations,
    binary_cross_entropy,
    binary_cross_entropy_on_probabilities,
    init,
    linear_column,
    mlp,
    sigmoid,
    squared_error,
    tanh,
)

DECAY = 0.7


@claim(
    "S4.1",
    says="Backpropagation starts at random, computes the output, pushes the residual back and "
    "repeats until convergence; in essence it is gradient descent.",
    verdict="TRUE",
)
@seeds
def test_s4_1_training_is_gradient_descent_from_a_random_start(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.5, 1.5, (12, 2))
    y = np.sin(x[:, :1] - x[:, 1:])
    start = mlp.init(jax.random.key(seed), (2, 5, 1), initialiser=init.xavier_normal, dtype=x.dtype)

    def loss_and_gradients(params, x, y):
        return mlp.loss_and_gradients(params, x, y, loss=squared_error, activation=tanh)

    true = wo.gradient(lambda network: wo.mean_loss(network, x, y, wo.tanh), columns(start))
    once, _ = descend(loss_and_gradients, start, *arrays((x, y)), rate=0.1, steps=1)
    wanted = jax.tree.map(lambda p, g: p - 0.1 * g, columns(start), true)
    assert error(columns(once), wanted) < EXACT

    end, losses = descend(loss_and_gradients, start, *arrays((x, y)), rate=0.1, steps=5000)
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.02 * losses[0]
    _, slope = loss_and_gradients(end, *arrays((x, y)))
    sizes = [sum(float((g**2).sum()) for g in jax.tree.leaves(tree)) for tree in (slope, true)]
    assert sizes[0] < 1e-4 * sizes[1]


@claim(
    "S4.2",
    says="Gradient diffusion: in a deep sigmoid network the residual that reaches the first layers "
    "is tiny, `σ' ≤ ¼`.",
    verdict="BEHAVIOUR",
)
@seeds
def test_s4_2_delta_shrinks_towards_the_first_layers(seed):
    widths, key = (8,) * 11, jax.random.key(seed)
    params = mlp.init(key, widths, initialiser=init.xavier_normal, dtype=jnp.float64)
    x, dy = jax.random.normal(jax.random.fold_in(key, 1), (2, 16, 8), jnp.float64)

    def sizes(f):
        _, residual = mlp.forward(params, x, activation=f)
        _, _, deltas = mlp.backward_with_deltas(residual, dy)
        return np.array([jnp.linalg.norm(delta) for delta in deltas])

    by_sigmoid = sizes(sigmoid)
    assert (by_sigmoid[:-1] < by_sigmoid[1:]).all()
    assert by_sigmoid[0] < 1e-4 * by_sigmoid[-1]
    for below, above, layer in zip(by_sigmoid[:-1], by_sigmoid[1:], params[1:], strict=True):
        assert below <= np.linalg.norm(layer.W, 2) * above / 4
    by_tanh = sizes(tanh)  # tanh' ≤ 1
    assert by_tanh[0] > 1e-2 * by_tanh[-1]


def _penalty(network, samples):
    return DECAY / (2 * samples) * sum((W**2).sum() for W, _ in network)


def _check_logistic(seed, *widths):
    """Hold the decayed logistic network against its cost, written out."""
    rng = np.random.default_rng(seed)
    m = 7
    network, x = wo.draw(rng, *widths), wo.normal(rng, m, widths[0])
    y = rng.integers(2, size=(m, widths[-1])).astype(float)
    logits = [np.real([wo.trace(network, xi, wo.sigmoid)[0][-1] for xi in x])][0]
    h = 1 / (1 + np.exp(-logits))
    cost = 0.0
    for i in range(m):
        for k in range(widths[-1]):
            cost -= y[i, k] * np.log(h[i, k]) + (1 - y[i, k]) * np.log(1 - h[i, k])
    cost = cost / m + DECAY / (2 * m) * sum(
        W[i, j] ** 2 for W, _ in network for i, j in np.ndindex(W.shape)
    )

    def objective(network):
        data = wo.mean_loss(network, x, y, wo.sigmoid, wo.sigmoid, wo.logistic_cost)
        return data + _penalty(network, m)

    true = wo.gradient(objective, network)
    settings = {"activation": sigmoid, "decay": DECAY, "decay_per_sample": True}
    for loss, g in (
        (binary_cross_entropy, activations.identity),
        (binary_cross_entropy_on_probabilities, sigmoid),
    ):
        value, gradients = mlp.loss_and_gradients(
            rows(network), *arrays((x, y)), loss=loss, output_activation=g, **settings
        )
        assert error(value, cost) < EXACT
        assert error(columns(gradients), true) < EXACT
    without = mlp.loss_and_gradients(
        rows(network), *arrays((x, y)), loss=binary_cross_entropy, activation=sigmoid
    )
    # The intercepts, j = 0, are not in the penalty.
    assert error(without[0] + _penalty(network, m), cost) < EXACT
    assert error([b for _, b in without[1]], [b for _, b in true]) < EXACT
    assert error([W for W, _ in columns(without[1])], [W for W, _ in true]) > 1e-2


@claim(
    "S4.3",
    says="Logistic regression: `J = −1/m Σ [y ln h + (1−y) ln(1−h)] + λ/(2m) Σ_(j≥1) θ_j²`.",
    verdict="TRUE",
)
@seeds
def test_s4_3_the_logistic_cost(seed):
    _check_logistic(seed, 4, 1)


@claim(
    "S4.4",
    says="A network's cost: that of K independent logistic outputs, with the same penalty over all "
    "weights but the biases.",
    verdict="TRUE",
)
@seeds
def test_s4_4_the_network_cost(seed):
    _check_logistic(seed, 3, 5, 4, 2)


@claim(
    "S4.5",
    says="A bias unit `a_0 = 1`, added to every layer but the output, is the same as a separate b.",
    verdict="TRUE",
)
@seeds
def test_s4_5_a_bias_unit_is_a_bias(seed):
    rng = np.random.default_rng(seed)
    network, x, dy = wo.draw(rng, 3, 5, 4, 2), wo.normal(rng, 3, 6), wo.normal(rng, 2, 6)
    a, saved = jnp.asarray(x), []
    for W, b in network:
        with_unit = jnp.concatenate([jnp.ones((1, 6)), a])
        theta = jnp.asarray(np.column_stack([b, W]))
        z, linear_residual = linear_column.forward(with_unit, theta)
        a, f_residual = sigmoid.forward(z)
        saved.append((linear_residual, f_residual))
    settings = {"activation": sigmoid, "output_activation": sigmoid}
    y, residual = mlp.forward(rows(network), jnp.asarray(x.T), **settings)
    assert error(a.T, y) < EXACT

    gradients, _ = mlp.backward(residual, jnp.asarray(dy.T))
    da = jnp.asarray(dy)
    for (linear_residual, f_residual), (dW, db) in zip(
        reversed(saved), reversed(columns(gradients)), strict=True
    ):
        (delta,) = sigmoid.backward(f_residual, da)
        d_with_unit, dtheta, _ = linear_column.backward(linear_residual, delta)
        da = d_with_unit[1:]  # nothing below feeds the bias unit
        assert error(dtheta[:, 0], db) < EXACT
        assert error(dtheta[:, 1:], dW) < EXACT


@claim(
    "S4.6",
    says="`δ^L = a^L − y`, also for `E = ½ Σ (y_out − y_real)²`.",
    verdict="FALSE",
    correction="It holds for the cross-entropy cost of S4.4; for the squared error "
    "`δ^L = (a^L − y) ⊙ g'(z^L)`.",
)
@seeds
def test_s4_6_the_residual_is_delta_for_the_cross_entropy_only(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 5, 4), wo.normal(rng, 3), rng.random(4)
    z = np.real(wo.trace(network, x, wo.sigmoid)[0][-1])
    a = 1 / (1 + np.exp(-z))
    corrected = {
        binary_cross_entropy_on_probabilities: (wo.logistic_cost, a - y),
        squared_error: (wo.half_squared_error, (a - y) * a * (1 - a)),
    }
    settings = {"activation": sigmoid, "output_activation": sigmoid}
    for loss, (written, formula) in corrected.items():
        true = wo.gradient(lambda z, f=written: f([wo.sigmoid(zi) for zi in z], y), z)
        _, _, deltas = mlp.loss_gradients_and_deltas(
            rows(network), *arrays((x, y)), loss=loss, **settings
        )
        assert error(deltas[-1], true) < EXACT
        assert error(formula, true) < EXACT
    assert error(a - y, corrected[squared_error][1]) > 1


@claim(
    "S4.7",
    says="`δ^(L−1) = (Θ^(L))ᵀ δ^L ⊙ a^(L−1) (1 − a^(L−1))`, with Θ^(l) from layer l to l+1.",
    verdict="FALSE",
    correction="`δ^(L−1) = (Θ^(L−1))ᵀ δ^L ⊙ a^(L−1) (1 − a^(L−1))`: there is no Θ^(L); an index "
    "slip.",
)
@pytest.mark.parametrize("widths", [(3, 5, 4, 2), (4, 4, 4, 4)])
@seeds
def test_s4_7_delta_goes_back_through_the_weights_below_it(seed, widths):
    rng = np.random.default_rng(seed)
    network, x, dy = wo.draw(rng, *widths), wo.normal(rng, widths[0]), wo.normal(rng, widths[-1])
    L = len(widths)  # layers of units, the input's among them
    theta = {layer: W for layer, (W, _) in enumerate(network, start=1)}

    def objective(probes):
        output = wo.trace(network, x, wo.sigmoid, wo.identity, probes)[1][-1]
        return sum(c * o for c, o in zip(dy, output, strict=True))

    true = dict(enumerate(wo.gradient(objective, [np.zeros(n) for n in widths[1:]]), start=2))
    a = dict(enumerate(map(np.real, wo.trace(network, x, wo.sigmoid)[1]), start=1))
    _, residual = mlp.forward(rows(network), jnp.asarray(x), activation=sigmoid)
    _, _, deltas = mlp.backward_with_deltas(residual, jnp.asarray(dy))
    assert error(list(deltas), [true[layer] for layer in range(2, L + 1)]) < EXACT

    for layer in range(2, L):
        corrected = theta[layer].T @ true[layer + 1] * a[layer] * (1 - a[layer])
        assert error(corrected, true[layer]) < EXACT
    assert L not in theta
    for layer in range(2, L - 1):  # the slip, where the matrix that it names exists
        slipped = theta[layer + 1]
        if slipped.shape == theta[layer].shape:
            as_written = slipped.T @ true[layer + 1] * a[layer] * (1 - a[layer])
            assert error(as_written, true[layer]) > 0.1
        else:
            with pytest.raises(ValueError, match="mismatch"):
                slipped.T @ true[layer + 1]


@claim(
    "S4.8",
    says="Accumulate `Δ^l += δ^(l+1) (a^l)ᵀ` over the samples; `Δ/m` is the gradient.",
    verdict="TRUE",
)
@seeds
def test_s4_8_accumulation_over_samples(seed):
    rng = np.random.default_rng(seed)
    m = 6
    network, x, y = wo.draw(rng, 3, 5, 2), wo.normal(rng, m, 3), wo.normal(rng, m, 2)
    settings = {"loss": squared_error, "activation": sigmoid, "output_activation": sigmoid}
    accumulated = [np.zeros_like(W) for W, _ in network]
    for i in range(m):
        _, _, deltas = mlp.loss_gradients_and_deltas(
            rows(network), *arrays((x[i], y[i])), **settings
        )
        _, a = wo.trace(network, x[i], wo.sigmoid, wo.sigmoid)
        for layer, delta in enumerate(deltas):
            accumulated[layer] += np.outer(delta, np.real(a[layer]))
    batch = x, y, wo.sigmoid, wo.sigmoid
    true = wo.gradient(lambda network: wo.mean_loss(network, *batch), network)
    assert error([D / m for D in accumulated], [dW for dW, _ in true]) < EXACT
    _, gradients = mlp.loss_and_gradients(rows(network), *arrays((x, y)), **settings)
    assert error([dW for dW, _ in columns(gradients)], [D / m for D in accumulated]) < EXACT


@claim(
    "S4.9",
    says="`D = Δ/m + λ Θ` for j ≠ 0, `Δ/m` for the bias, with the cost's `λ/(2m) Σ Θ²`.",
    verdict="FALSE",
    correction="With `λ/(2m) Σ Θ²` it is `D = Δ/m + (λ/m) Θ`; `λ Θ` belongs to `λ/2 Σ Θ²` (S2.3). "
    "The bias is right.",
)
@seeds
def test_s4_9_decay_is_divided_by_the_samples_where_the_cost_is(seed):
    rng = np.random.default_rng(seed)
    m = 6
    network, x = wo.draw(rng, 3, 5, 2), wo.normal(rng, m, 3)
    y = rng.integers(2, size=(m, 2)).astype(float)
    batch = x, y, wo.sigmoid, wo.sigmoid, wo.logistic_cost
    data = wo.gradient(lambda network: wo.mean_loss(network, *batch), network)
    as_written = [(D + DECAY * W, d) for (D, d), (W, _) in zip(data, network, strict=True)]
    corrected = [(D + DECAY / m * W, d) for (D, d), (W, _) in zip(data, network, strict=True)]
    settings = {"loss": binary_cross_entropy, "activation": sigmoid, "decay": DECAY}

    for samples, formula in ((m, corrected), (1, as_written)):

        def cost(network, samples=samples):
            return wo.mean_loss(network, *batch) + _penalty(network, samples)

        true = wo.gradient(cost, network)
        assert error(formula, true) < EXACT
        value, gradients = mlp.loss_and_gradients(
            rows(network), *arrays((x, y)), decay_per_sample=samples == m, **settings
        )
        assert error(value, cost(network).real) < EXACT
        assert error(columns(gradients), true) < EXACT
    assert error([W for W, _ in as_written], [W for W, _ in corrected]) > 0.1
