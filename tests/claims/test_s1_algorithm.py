"""S1.1 to S1.13: the network, the lemmas and the recursion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import written_out as wo
from by_hand import arrays, columns, rows
from claim import claim
from written_out import EXACT, error, seeds

from jax_ref import references
from manual_bp import activations, linear_column, mlp, sigmoid, softmax, squared_error, tanh


@claim(
    "S1.1",
    says="`z = f(W² f(W¹ x + b¹) + b²)` is the written-out 3-4-2 sigmoid network.",
    verdict="TRUE",
)
@seeds
def test_s1_1_the_matrix_form_is_the_scalar_form(seed):
    rng = np.random.default_rng(seed)
    (W1, b1), (W2, b2) = network = wo.draw(rng, 3, 4, 2)
    x = x1, x2, x3 = wo.normal(rng, 3)

    def neuron(u):
        return 1 / (1 + np.exp(-u))

    y1, y2, y3, y4 = (
        neuron(W1[i, 0] * x1 + W1[i, 1] * x2 + W1[i, 2] * x3 + b1[i]) for i in range(4)
    )
    z = [
        neuron(W2[i, 0] * y1 + W2[i, 1] * y2 + W2[i, 2] * y3 + W2[i, 3] * y4 + b2[i])
        for i in range(2)
    ]
    a = jnp.asarray(x)
    for W, b in network:
        a, _ = sigmoid.forward(linear_column.forward(a, *arrays((W, b)))[0])
    assert error(a, z) < EXACT
    settings = {"activation": sigmoid, "output_activation": sigmoid}
    assert error(mlp.forward(rows(network), jnp.asarray(x), **settings)[0], z) < EXACT


@claim(
    "S1.2",
    says="`u^l = W^l x^(l-1) + b^l`, `x^l = f(u^l)`; a row of W holds the weights of one neuron.",
    verdict="TRUE",
)
@seeds
def test_s1_2_a_row_holds_the_weights_of_one_neuron(seed):
    rng = np.random.default_rng(seed)
    ((W, b),), x = wo.draw(rng, 4, 3), wo.normal(rng, 4, 5)
    u, _ = linear_column.forward(*arrays((x, W, b)))
    y, _ = tanh.forward(u)
    written = np.array([wo.affine(W, b, x[:, s]) for s in range(5)]).T
    assert error(u, written) < EXACT
    assert error(y, np.tanh(written)) < EXACT
    for neuron in range(3):
        other = W.copy()
        other[neuron] += wo.normal(rng, 4)
        moved = np.asarray(linear_column.forward(*arrays((x, other, b)))[0] - u)
        assert np.abs(moved[neuron]).min() > 1e-3
        np.testing.assert_array_equal(np.delete(moved, neuron, axis=0), 0)


@claim(
    "S1.3",
    says="`L = 1/(2m) Σ ‖h(x_i) − y_i‖²` is the mean of the samples' losses `½ ‖·‖²`.",
    verdict="TRUE",
)
@seeds
def test_s1_3_the_loss_is_the_mean_over_samples(seed):
    rng = np.random.default_rng(seed)
    h, y = wo.normal(rng, 7, 3), wo.normal(rng, 7, 3)
    m = len(h)
    total = sum((h[i, k] - y[i, k]) ** 2 for i in range(m) for k in range(3)) / (2 * m)
    loss, residual = squared_error.forward(*arrays((h, y)))
    each, _ = squared_error.forward(*arrays((h, y)), reduction="none")
    assert error(loss, total) < EXACT
    assert error(np.asarray(each).sum() / m, total) < EXACT
    assert error(each, [wo.half_squared_error(h[i], y[i]) for i in range(m)]) < EXACT
    dh, _ = squared_error.backward(residual, jnp.ones(()))
    assert error(dh, (h - y) / m) < EXACT


@claim("S1.4", says="`∇ ½‖x − c‖² = x − c`.", verdict="TRUE")
@seeds
def test_s1_4_the_gradient_of_half_the_squared_distance(seed):
    rng = np.random.default_rng(seed)
    x, c = wo.normal(rng, 5), wo.normal(rng, 5)
    true = wo.gradient(lambda x: wo.half_squared_error(x, c), x)
    _, residual = squared_error.forward(*arrays((x, c)))
    dx, dc = squared_error.backward(residual, jnp.ones(()))
    assert error(true, x - c) < EXACT
    assert error(dx, true) < EXACT
    assert error(dc, -true) < EXACT


@claim(
    "S1.5",
    says="`∂f/∂x = ∂f/∂u ∂u/∂x + ∂f/∂v ∂v/∂x + ∂f/∂w ∂w/∂x`: a sum over every path.",
    verdict="TRUE",
)
@seeds
def test_s1_5_the_chain_rule_sums_over_every_path(seed):
    rng = np.random.default_rng(seed)
    network, x = wo.draw(rng, 2, 3, 1), wo.normal(rng, 2)
    (W1, _), (W2, _) = network
    true = wo.gradient(lambda x: wo.trace(network, x, wo.tanh)[1][-1][0], x)
    _, residual = mlp.forward(rows(network), jnp.asarray(x), activation=tanh)
    _, dx = mlp.backward(residual, jnp.ones(1))
    inner = np.real(wo.trace(network, x, wo.tanh)[1][1])
    paths = W2[0][:, None] * (1 - inner**2)[:, None] * W1  # (3 paths, 2 inputs)
    assert error(dx, true) < EXACT
    assert error(paths.sum(0), true) < EXACT
    for left_out in range(3):
        assert error(np.delete(paths, left_out, axis=0).sum(0), true) > 1e-3


@claim("S1.6", says="Lemma 1: `y = W x ⇒ ∇_W f = (∇_y f) xᵀ`.", verdict="TRUE")
@seeds
def test_s1_6_the_gradient_of_the_weights(seed):
    rng = np.random.default_rng(seed)
    W, x, c = wo.normal(rng, 4, 3), wo.normal(rng, 3), wo.normal(rng, 4)

    def f(W):
        y = wo.affine(W, np.zeros(4), x)
        return sum(c[i] * wo.sigmoid(y[i]) * y[(i + 1) % 4] for i in range(4))

    y = np.asarray(W @ x)
    dy = _gradient_of_f(c, y)
    true = wo.gradient(f, W)
    _, residual = linear_column.forward(*arrays((x, W)))
    _, dW, _ = linear_column.backward(residual, jnp.asarray(dy))
    assert error(np.outer(dy, x), true) < EXACT
    assert error(dW, true) < EXACT


def _gradient_of_f(c, y):
    s, before, after = 1 / (1 + np.exp(-y)), np.roll(y, 1), np.roll(y, -1)
    return c * s * (1 - s) * after + np.roll(c, 1) / (1 + np.exp(-before))


@claim("S1.7", says="Lemma 2: `y = W x ⇒ ∇_x f = Wᵀ ∇_y f`.", verdict="TRUE")
@seeds
def test_s1_7_the_gradient_of_the_input(seed):
    rng = np.random.default_rng(seed)
    W, x, c = wo.normal(rng, 4, 3), wo.normal(rng, 3), wo.normal(rng, 4)

    def f(x):
        y = wo.affine(W, np.zeros(4), x)
        return sum(c[i] * wo.sigmoid(y[i]) * y[(i + 1) % 4] for i in range(4))

    dy = _gradient_of_f(c, np.asarray(W @ x))
    true = wo.gradient(f, x)
    _, residual = linear_column.forward(*arrays((x, W)))
    dx, _, _ = linear_column.backward(residual, jnp.asarray(dy))
    assert error(W.T @ dy, true) < EXACT
    assert error(dx, true) < EXACT


@claim("S1.8", says="Lemma 3: `y = g(x)` elementwise `⇒ ∇_x f = ∇_y f ⊙ g'(x)`.", verdict="TRUE")
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "softplus", "identity"])
@seeds
def test_s1_8_an_elementwise_function_multiplies_by_its_slope(seed, name):
    rng = np.random.default_rng(seed)
    g, x, c = getattr(wo, name), wo.normal(rng, 5), wo.normal(rng, 5)

    def f(y):
        return sum(c[i] * y[i] ** 3 + y[i] * y[i - 1] for i in range(5))

    y, residual = activations.table[name].forward(jnp.asarray(x))
    dy = wo.gradient(f, np.asarray(y))
    (dx,) = activations.table[name].backward(residual, jnp.asarray(dy))
    true = wo.gradient(lambda x: f([g(xi) for xi in x]), x)
    slope = wo.gradient(lambda x: sum(g(xi) for xi in x), x)
    assert error(dy * slope, true) < EXACT
    assert error(dx, true) < EXACT


@claim(
    "S1.9",
    says="Lemma 4: `u = W x`, `y = g(u) ⇒ ∇_x f = Wᵀ (∇_y f ⊙ g'(u))`.",
    verdict="TRUE",
)
@seeds
def test_s1_9_a_layer_goes_back_in_two_steps(seed):
    rng = np.random.default_rng(seed)
    W, x, c = wo.normal(rng, 5, 3), wo.normal(rng, 3), wo.normal(rng, 5)

    def f(x):
        u = wo.affine(W, np.zeros(5), x)
        return sum(ci * wo.tanh(ui) ** 2 for ci, ui in zip(c, u, strict=True))

    true = wo.gradient(f, x)
    u, linear_residual = linear_column.forward(*arrays((x, W)))
    y, tanh_residual = tanh.forward(u)
    dy = 2 * jnp.asarray(c) * y
    (du,) = tanh.backward(tanh_residual, dy)
    dx, _, _ = linear_column.backward(linear_residual, du)
    assert error(W.T @ np.asarray(dy * (1 - y**2)), true) < EXACT
    assert error(dx, true) < EXACT
    assert error(linear_column.backward(linear_residual, dy)[0], true) > 0.01


@claim("S1.10", says="Lemma 5: `y = g(x)` in general `⇒ ∇_x f = (∂y/∂x)ᵀ ∇_y f`.", verdict="TRUE")
@pytest.mark.parametrize("widths", [(5, 4, 3), (3, 6, 4), (4, 3, 4)])
@seeds
def test_s1_10_a_function_goes_back_through_its_transposed_jacobian(seed, widths):
    rng = np.random.default_rng(seed)
    network, x, dy = wo.draw(rng, *widths), wo.normal(rng, widths[0]), wo.normal(rng, widths[-1])

    def g(x):
        return wo.softmax(wo.trace(network, x, wo.sigmoid)[1][-1])

    jacobian = np.stack([wo.gradient(lambda x, j=j: g(x)[j], x) for j in range(len(dy))])
    u, residual = mlp.forward(rows(network), jnp.asarray(x), activation=sigmoid)
    _, softmax_residual = softmax.forward(u)
    (du,) = softmax.backward(softmax_residual, jnp.asarray(dy))
    _, dx = mlp.backward(residual, du)
    assert error(dx, jacobian.T @ dy) < EXACT
    if widths[0] == widths[-1]:  # only here is there a product without the transpose
        assert error(dx, jacobian @ dy) > 0.1


def _deltas_and_gradients(network, x, y):
    """Return the reference's δ of every layer, and the hand-written δ and gradients."""
    params, batch = rows(network), arrays((x, y))
    settings = {"activation": sigmoid, "output_activation": sigmoid, "loss": squared_error}
    _, gradients, deltas = mlp.loss_gradients_and_deltas(params, *batch, **settings)

    def reference(probes):
        f = references.activations.sigmoid
        output = references.models.mlp(
            params, batch[0], activation=f, output_activation=f, probes=probes
        )
        return references.losses.squared_error(output, batch[1])

    probes = [jnp.zeros((*x.shape[:-1], len(b))) for _, b in network]
    return jax.grad(reference)(probes), list(deltas), columns(gradients)


@claim("S1.11", says="`∇_W L = δ xᵀ`, `∇_b L = δ`.", verdict="TRUE")
@seeds
def test_s1_11_weights_and_biases_share_delta(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 4, 5, 2), wo.normal(rng, 3), wo.normal(rng, 2)
    probed, _, by_hand = _deltas_and_gradients(network, x, y)
    batch = x[None], y[None], wo.sigmoid, wo.sigmoid
    true = wo.gradient(lambda network: wo.mean_loss(network, *batch), network)
    assert error(by_hand, true) < EXACT
    _, xs = wo.trace(network, x, wo.sigmoid, wo.sigmoid)
    formula = [(np.outer(d, np.real(a)), d) for d, a in zip(probed, xs[:-1], strict=True)]
    assert error(formula, true) < EXACT


@claim("S1.12", says="Output layer: `δ^L = (x^L − y) ⊙ f'(u^L)`.", verdict="TRUE")
@seeds
def test_s1_12_delta_of_the_output_layer(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 4, 2), wo.normal(rng, 3), wo.normal(rng, 2)
    probed, by_hand, _ = _deltas_and_gradients(network, x, y)
    output = np.real(wo.trace(network, x, wo.sigmoid, wo.sigmoid)[1][-1])
    formula = (output - y) * output * (1 - output)
    assert error(probed[-1], formula) < EXACT
    assert error(by_hand[-1], formula) < EXACT
    assert error(by_hand[-1], output - y) > 0.1


@claim("S1.13", says="Hidden layer: `δ^l = (W^(l+1))ᵀ δ^(l+1) ⊙ f'(u^l)`.", verdict="TRUE")
@seeds
def test_s1_13_the_recursion(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 4, 6, 5, 2), wo.normal(rng, 3), wo.normal(rng, 2)
    probed, by_hand, _ = _deltas_and_gradients(network, x, y)
    _, xs = wo.trace(network, x, wo.sigmoid, wo.sigmoid)
    delta = np.asarray(probed[-1])
    for layer in reversed(range(len(network) - 1)):
        a = np.real(xs[layer + 1])
        delta = network[layer + 1][0].T @ delta * a * (1 - a)
        assert error(delta, probed[layer]) < EXACT
        assert error(by_hand[layer], delta) < EXACT
