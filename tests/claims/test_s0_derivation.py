"""S0: the derivation, layer by layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import written_out as wo
from by_hand import arrays, columns, rows
from claim import claim
from written_out import EXACT, error, seeds

from jax_ref import references
from manual_bp import linear, linear_column, mlp, sigmoid, squared_error, tanh


def _first_gradient(network, x, y):
    settings = {"loss": squared_error, "activation": sigmoid}
    return mlp.loss_and_gradients(rows(network), *arrays((x, y)), **settings)[1][0].W


@claim(
    "S0.1",
    says="The gradient of an early weight cannot be had in one step from the output; it needs the "
    "chain through every later layer.",
    verdict="TRUE",
)
@seeds
def test_s0_1_an_early_gradient_depends_on_every_later_weight(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 4, 2, 3), wo.normal(rng, 5, 3), wo.normal(rng, 5, 3)
    before = _first_gradient(network, x, y)
    for later in (1, 2):
        W, b = network[later]
        for index in np.ndindex(W.shape):
            moved = W.copy()
            moved[index] += 0.5
            changed = [*network[:later], (moved, b), *network[later + 1 :]]
            assert error(_first_gradient(changed, x, y), before) > 1e-6
        # A cut anywhere on the way leaves an error at the output, and nothing of the gradient.
        cut = [*network[:later], (0 * W, b), *network[later + 1 :]]
        assert abs(wo.mean_loss(cut, x, y, wo.sigmoid)) > 0.1
        np.testing.assert_array_equal(_first_gradient(cut, x, y), 0)


@claim("S0.2", says="`z^l = W^l a^(l-1)`, `a^l = σ(z^l)`, σ = sigmoid.", verdict="TRUE")
@seeds
def test_s0_2_a_layer_is_a_product_and_a_sigmoid(seed):
    rng = np.random.default_rng(seed)
    network = [(W, 0 * b) for W, b in wo.draw(rng, 3, 5, 4, 2)]
    x = wo.normal(rng, 3)
    us, xs = wo.trace(network, x, wo.sigmoid, wo.sigmoid)
    a = jnp.asarray(x)
    for (W, _), u, wanted in zip(network, us, xs[1:], strict=True):
        z, _ = linear_column.forward(a, jnp.asarray(W))
        a, _ = sigmoid.forward(z)
        assert error(z, np.real(u)) < EXACT
        assert error(a, np.real(wanted)) < EXACT


@claim(
    "S0.3",
    says="`W_ij^l` joins neuron i of layer l to neuron j of layer l+1, and of `∂z/∂W_ij` the one "
    "component that is not 0 is an entry of `a`.",
    verdict="FALSE",
    correction="With `z = W a`, `W_ij` joins unit j below to unit i above: `∂z_k/∂W_ij = "
    "1[k=i] a_j`, so `∂ℓ/∂W_ij = Σ_k ∂ℓ/∂z_k ∂z_k/∂W_ij = δ_i a_j`.",
)
@seeds
def test_s0_3_a_weight_feeds_the_unit_of_its_row(seed):
    rng = np.random.default_rng(seed)
    W, a, delta = wo.normal(rng, 4, 3), wo.normal(rng, 3), wo.normal(rng, 4)
    m, n = W.shape
    _, residual = linear_column.forward(*arrays((a, W)))
    by_hand = [linear_column.backward(residual, jnp.eye(m)[k])[1] for k in range(m)]

    true = [wo.gradient(lambda W, k=k: wo.affine(W, np.zeros(m), a)[k], W) for k in range(m)]
    assert error(by_hand, true) < EXACT

    as_corrected, as_written = np.zeros((m, m, n)), np.zeros((m, m, n))
    for i, j in np.ndindex(m, n):
        as_corrected[i, i, j] = a[j]
        if i < n:  # a_i is there only where layer l has a unit i
            as_written[j, i, j] = a[i]
    assert error(true, list(as_corrected)) < EXACT
    assert error(np.stack(true), as_written) > 0.1

    product = np.einsum("k,kij->ij", delta, as_corrected)
    assert error(linear_column.backward(residual, jnp.asarray(delta))[1], product) < EXACT
    assert error(np.einsum("k,kij->ij", delta, as_written), product) > 0.1


@claim(
    "S0.4",
    says="`δ^l = δ^(l+1) W^(l+1) σ'(z^l)`.",
    verdict="FALSE",
    correction="In column form `δ^l = (W^(l+1))ᵀ δ^(l+1) ⊙ σ'(z^l)`; as written the product exists "
    "for a row δ only, or where W is square, and there it is wrong.",
)
@pytest.mark.parametrize("widths", [(3, 5), (4, 2), (4, 4)])
@seeds
def test_s0_4_delta_goes_back_through_the_transpose(seed, widths):
    n, m = widths
    rng = np.random.default_rng(seed)
    W, b, z, above = (wo.normal(rng, *shape) for shape in ((m, n), (m,), (n, m), (m, m)))

    def objective(z):  # m samples, so that a product with a square W exists whichever way round
        samples = [wo.affine(W, b, [wo.sigmoid(z[k, s]) for k in range(n)]) for s in range(m)]
        return sum(above[i, s] * samples[s][i] for s in range(m) for i in range(m))

    true = wo.gradient(objective, z)
    a, sigmoid_residual = sigmoid.forward(jnp.asarray(z))
    _, residual = linear_column.forward(a, *arrays((W, b)))
    da, _, _ = linear_column.backward(residual, jnp.asarray(above))
    (dz,) = sigmoid.backward(sigmoid_residual, da)
    slope = np.asarray(a * (1 - a))
    assert error(dz, true) < EXACT
    assert error(W.T @ above * slope, true) < EXACT
    assert error((above.T @ W).T * slope, true) < EXACT  # a row for each sample

    column = above[:, :1]
    with pytest.raises(ValueError, match="mismatch"):
        column @ W
    if m == n:
        assert error(above @ W * slope, true) > 0.1


@claim("S0.5", says="`σ' = σ (1 − σ)`.", verdict="TRUE")
@seeds
def test_s0_5_the_slope_of_the_sigmoid(seed):
    rng = np.random.default_rng(seed)
    u, dy = 4 * wo.normal(rng, 3, 7), wo.normal(rng, 3, 7)
    true = wo.gradient(lambda u: sum(map(wo.sigmoid, u.flat)), u)
    value, residual = sigmoid.forward(jnp.asarray(u))
    (du,) = sigmoid.backward(residual, jnp.asarray(dy))
    assert error(value * (1 - value), true) < EXACT
    assert error(du, dy * true) < EXACT


@claim(
    "S0.6",
    says="`∂ℓ/∂W^l = δ^l (a^(l-1))ᵀ` with `δ^l = ∂ℓ/∂z^l`, at every layer.",
    verdict="TRUE",
)
@seeds
def test_s0_6_every_delta_and_every_weight_gradient(seed):
    rng = np.random.default_rng(seed)
    network, x, y = wo.draw(rng, 3, 5, 4, 2), wo.normal(rng, 6, 3), wo.normal(rng, 6, 2)
    settings = {"loss": squared_error, "activation": sigmoid}
    params, batch = rows(network), arrays((x, y))
    _, gradients, deltas = mlp.loss_gradients_and_deltas(params, *batch, **settings)

    def reference(probes):
        losses, activations = references.losses.table, references.activations.table
        return references.models.mlp_loss(
            params,
            *batch,
            loss=losses["squared_error"],
            activation=activations["sigmoid"],
            probes=probes,
        )

    probed = jax.grad(reference)([jnp.zeros((6, len(b))) for _, b in network])
    assert error(list(deltas), probed) < EXACT

    true_W = wo.gradient(lambda network: wo.mean_loss(network, x, y, wo.sigmoid), network)
    a = [np.real([wo.trace(network, xi, wo.sigmoid)[1][layer] for xi in x]) for layer in range(3)]
    for (dW, _), (wanted, _), delta, below in zip(
        columns(gradients), true_W, probed, a, strict=True
    ):
        assert error(dW, wanted) < EXACT
        assert error(np.asarray(delta).T @ below, wanted) < EXACT


@claim(
    "S0.8",
    says="`y = y1 + y2 ⇒ y' = y1' + y2'`: a value used twice gets the sum of its cotangents.",
    verdict="TRUE",
)
@seeds
def test_s0_8_a_residual_connection_adds_cotangents(seed):
    rng = np.random.default_rng(seed)
    x, dy = wo.normal(rng, 5), wo.normal(rng, 5)
    ((W, b),) = wo.draw(rng, 5, 5)

    def objective(x):
        branch = [wo.tanh(u) for u in wo.affine(W, b, x)]
        return sum(c * (xi + fi) for c, xi, fi in zip(dy, x, branch, strict=True))

    true = wo.gradient(objective, x)
    u, linear_residual = linear_column.forward(*arrays((x, W, b)))
    _, tanh_residual = tanh.forward(u)
    straight = jnp.asarray(dy)
    (du,) = tanh.backward(tanh_residual, straight)
    branch, _, _ = linear_column.backward(linear_residual, du)
    assert error(straight + branch, true) < EXACT
    for one_use in (straight, branch):
        assert error(one_use, true) > 0.1


@claim(
    "S0.9",
    says="A weight used twice, `y1 = W x`, `y2 = W² x`: its gradient is the sum over its uses.",
    verdict="TRUE",
)
@seeds
def test_s0_9_a_shared_weight_sums_its_uses(seed):
    rng = np.random.default_rng(seed)
    W, x, c1, c2 = (wo.normal(rng, *shape) for shape in ((3, 3), (3, 5), (3, 5), (3, 5)))

    def objective(W):
        total = 0
        for s in range(5):
            y1 = wo.affine(W, np.zeros(3), x[:, s])
            y2 = wo.affine(W, np.zeros(3), y1)
            total += sum(c1[i, s] * y1[i] + c2[i, s] * y2[i] for i in range(3))
        return total

    true = wo.gradient(objective, W)
    y1, first = linear_column.forward(*arrays((x, W)))
    _, second = linear_column.forward(y1, jnp.asarray(W))
    dy1, dW_second, _ = linear_column.backward(second, jnp.asarray(c2))
    _, dW_first, _ = linear_column.backward(first, jnp.asarray(c1) + dy1)
    assert error(dW_first + dW_second, true) < EXACT
    for one_use in (dW_first, dW_second):
        assert error(one_use, true) > 0.05

    z1, first_row = linear.forward(*arrays((x.T, W.T)))
    _, second_row = linear.forward(z1, jnp.asarray(W.T))
    dz1, dV_second, _ = linear.backward(second_row, jnp.asarray(c2.T))
    _, dV_first, _ = linear.backward(first_row, jnp.asarray(c1.T) + dz1)
    assert error((dV_first + dV_second).T, true) < EXACT
