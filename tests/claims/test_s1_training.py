"""S1.14 to S1.18: descent, its modes, and how the passes are programmed."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import written_out as wo
from by_hand import arrays, columns, rows
from claim import claim
from jaxprs import primitives
from written_out import EXACT, error, seeds

from jax_ref import newton
from manual_bp import activations, linear, linear_column, mlp, sigmoid, squared_error, tanh, train


@jax.jit
def loss_and_gradients(params, x, y):
    return mlp.loss_and_gradients(params, x, y, loss=squared_error, activation=tanh)


@claim(
    "S1.14",
    says="`W ← W − η ∇_W L`, `b ← b − η ∇_b L`; for small η the loss falls.",
    verdict="TRUE",
)
@seeds
def test_s1_14_a_small_step_lowers_the_loss(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 5, 2), wo.normal(rng, 7, 3), wo.normal(rng, 7, 2)
    data = arrays((x, y))
    true = wo.gradient(lambda network: wo.mean_loss(network, x, y, wo.tanh), network)
    squared_length = sum(float((g**2).sum()) for g in jax.tree.leaves(true))
    shortfalls = []
    for rate in (1e-3, 5e-4):
        step = train.make_step(loss_and_gradients, optax.sgd(rate))
        state, before = step(train.init(rows(network), optax.sgd(rate)), data)
        wanted = [
            (W - rate * dW, b - rate * db) for (W, b), (dW, db) in zip(network, true, strict=True)
        ]
        assert error(columns(state.params), wanted) < EXACT
        after, _ = loss_and_gradients(state.params, *data)
        assert after < before
        shortfalls.append(1 - float(before - after) / (rate * squared_length))
        uphill, _ = train.make_step(loss_and_gradients, optax.sgd(-rate))(
            train.init(rows(network), optax.sgd(rate)), data
        )
        assert loss_and_gradients(uphill.params, *data)[0] > before
    # The fall is η‖∇L‖² and a rest of second order, which halves, against the fall, with η.
    assert abs(shortfalls[0]) < 0.1
    assert 1.9 < shortfalls[0] / shortfalls[1] < 2.1


@claim(
    "S1.15",
    says="Single samples, mini-batches or the whole batch: the mean of the single-sample gradients "
    "is the batch's.",
    verdict="TRUE",
)
@pytest.mark.parametrize("batch_size", [1, 3, 7])
@seeds
def test_s1_15_the_batch_gradient_is_the_mean_of_single_ones(seed, batch_size):
    rng = np.random.default_rng(seed)
    m, rate = 7, 0.1
    params = rows(wo.draw(rng, 3, 4, 2))
    x, y = arrays((wo.normal(rng, m, 3), wo.normal(rng, m, 2)))

    def mean_of_single(params, chosen):
        single = [loss_and_gradients(params, x[i], y[i])[1] for i in chosen]
        return jax.tree.map(lambda *g: sum(g) / len(g), *single)

    assert error(loss_and_gradients(params, x, y)[1], mean_of_single(params, range(m))) < EXACT

    # In place of the loss a step reports Σ 2^i over its samples i: which samples it saw.
    def step_with_code(params, x, y, code):
        return code.sum(), loss_and_gradients(params, x, y)[1]

    epoch = train.make_epoch(step_with_code, optax.sgd(rate), batch_size=batch_size)
    data = (x, y, 2.0 ** jnp.arange(m, dtype=x.dtype))
    state, codes = epoch(train.init(params, optax.sgd(rate)), data, jax.random.key(seed))
    batches = [[i for i in range(m) if int(code) >> i & 1] for code in codes]
    assert sorted(itertools.chain(*batches)) == list(range(m))
    assert [len(batch) for batch in batches] == {1: [1] * 7, 3: [3, 3, 1], 7: [7]}[batch_size]
    for chosen in batches:
        mean = mean_of_single(params, chosen)
        params = jax.tree.map(lambda p, g: p - rate * g, params, mean)
    assert error(state.params, params) < EXACT


@claim(
    "S1.16",
    says="Second-order methods can take the place of gradient descent: one Newton step solves a "
    "quadratic problem.",
    verdict="TRUE",
)
@seeds
def test_s1_16_one_newton_step_solves_a_quadratic(seed):
    rng = np.random.default_rng(seed)
    x, y = wo.normal(rng, 9, 3), wo.normal(rng, 9, 2)
    start = arrays((wo.normal(rng, 3, 2), wo.normal(rng, 2)))

    def gradient(params):
        prediction, residual = linear.forward(jnp.asarray(x), *params)
        loss, loss_residual = squared_error.forward(prediction, jnp.asarray(y))
        dprediction, _ = squared_error.backward(loss_residual, jnp.ones_like(loss))
        _, dW, db = linear.backward(residual, dprediction)
        return dW, db

    with_one = np.column_stack([x, np.ones(9)])
    solution = np.linalg.lstsq(with_one, y)[0]
    by_newton = newton.step(gradient, start)
    # A solve loses as many digits as its matrix, x̃ᵀx̃/m, has in its condition number.
    tolerance = EXACT * np.linalg.cond(with_one) ** 2
    assert error(by_newton, (solution[:3], solution[3])) < tolerance
    by_descent = jax.tree.map(lambda p, g: p - 0.1 * g, start, gradient(start))
    assert error(by_descent, (solution[:3], solution[3])) > 0.1

    eigenvalues = np.repeat(np.linalg.eigvalsh(with_one.T @ with_one / 9), 2)
    assert error(np.linalg.eigvalsh(newton.hessian(gradient, start)), eigenvalues) < EXACT


@claim(
    "S1.17",
    says="Row storage: `u = x W + b`, `δ^l = δ^(l+1) (W^(l+1))ᵀ ⊙ f'(u^l)`, "
    "`∇_W L = (x^(l-1))ᵀ δ^l`; the transpose of the column form.",
    verdict="TRUE",
)
@seeds
def test_s1_17_the_row_form_is_the_column_form_transposed(seed):
    rng = np.random.default_rng(seed)
    network, x, dy = wo.draw(rng, 3, 5, 4, 2), wo.normal(rng, 6, 3), wo.normal(rng, 6, 2)
    y, residual = mlp.forward(rows(network), jnp.asarray(x), activation=sigmoid)
    gradients, dx, deltas = mlp.backward_with_deltas(residual, jnp.asarray(dy))

    a, saved = jnp.asarray(x.T), []
    for layer, (W, b) in enumerate(network):
        u, linear_residual = linear_column.forward(a, *arrays((W, b)))
        f = sigmoid if layer < 2 else activations.identity
        a, f_residual = f.forward(u)
        saved.append((f, f_residual, linear_residual))
    assert error(y.T, a) < EXACT
    da = jnp.asarray(dy.T)
    for (f, f_residual, linear_residual), row, delta in zip(
        reversed(saved), reversed(gradients), reversed(deltas), strict=True
    ):
        (du,) = f.backward(f_residual, da)
        da, dW, db = linear_column.backward(linear_residual, du)
        assert error(delta.T, du) < EXACT
        assert error(row.W.T, dW) < EXACT
        assert error(row.b, db) < EXACT
    assert error(dx.T, da) < EXACT

    # The three formulas themselves, in row form.
    values = [x]
    for W, b in network[:-1]:
        values.append(1 / (1 + np.exp(-(values[-1] @ W.T + b))))
    below = dy
    for layer in (1, 0):
        slope = values[layer + 1] * (1 - values[layer + 1])
        below = below @ network[layer + 1][0] * slope
        assert error(deltas[layer], below) < EXACT
        assert error(gradients[layer].W, values[layer].T @ below) < EXACT


TRANSCENDENTAL = {"exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh"}


@claim(
    "S1.18",
    says="Activations are computed in the forward pass and kept for the backward pass, which "
    "computes none of them again; `f'` comes from the kept values.",
    verdict="TRUE",
)
@pytest.mark.parametrize("f", [sigmoid, tanh])
@seeds
def test_s1_18_the_backward_pass_computes_no_activation(seed, f):
    rng = np.random.default_rng(seed)
    depth = 4
    params = rows(wo.draw(rng, 3, 5, 4, 6, 2))
    x, dy = arrays((wo.normal(rng, 7, 3), wo.normal(rng, 7, 2)))

    def forward(params, x):
        return mlp.forward(params, x, activation=f)

    def recomputing(params, x, dy):
        return mlp.backward(forward(params, x)[1], dy)

    _, residual = forward(params, x)
    kept, again = primitives(mlp.backward, residual, dy), primitives(recomputing, params, x, dy)
    assert not TRANSCENDENTAL & kept.keys()
    assert kept["dot_general"] <= 2 * depth
    assert sum(again[name] for name in TRANSCENDENTAL) >= depth - 1
    assert again["dot_general"] == kept["dot_general"] + depth
    assert error(recomputing(params, x, dy), mlp.backward(residual, dy)) < EXACT

    written = getattr(wo, f.name)
    xs = [wo.trace(columns(params), xi, written)[1] for xi in np.asarray(x)]
    for layer in range(1, depth):
        value = np.real([trace[layer] for trace in xs])
        leaves = [leaf for leaf in jax.tree.leaves(residual) if leaf.shape == value.shape]
        assert any(error(leaf, value) < EXACT for leaf in leaves)
