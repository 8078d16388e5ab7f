"""S3: the worked 1-2-2 example, relu at 0, the cost of the backward pass, softmax."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import written_out as wo
from by_hand import arrays, rows
from claim import claim
from jaxprs import equations, primitives, products
from written_out import EXACT, error, seeds

from manual_bp import chain, linear, mlp, relu, sigmoid, softmax, softmax_cross_entropy
from manual_bp import squared_error as half_squared_error

STAGES = tuple(chain.Stage(op) for op in (linear, sigmoid, linear, sigmoid))


def _example(seed):
    """Return w = (w1 … w6), x and (y_O1, y_O2)."""
    rng = np.random.default_rng(seed)
    return wo.normal(rng, 6), 0.5 + rng.random(), rng.random(2)


def _outputs(w, x):
    """Return f(H1), f(H2), f(O1), f(O2), as the notes write them."""
    w1, w2, w3, w4, w5, w6 = w
    h1, h2 = wo.sigmoid(w1 * x), wo.sigmoid(w2 * x)
    return h1, h2, wo.sigmoid(w3 * h1 + w4 * h2), wo.sigmoid(w5 * h1 + w6 * h2)


def _squared_error(w, x, y):
    _, _, o1, o2 = _outputs(w, x)
    return (o1 - y[0]) ** 2 / 2 + (o2 - y[1]) ** 2 / 2


def _by_hand(w, x, y, sign=1.0):
    """Return the outputs and the gradient of `sign` times the squared error, by the ops."""
    w1, w2, w3, w4, w5, w6 = (float(wi) for wi in w)
    layers = arrays((np.array([[w1, w2]]), np.array([[w3, w5], [w4, w6]])))
    parameters = ((layers[0], None), (), (layers[1], None), ())
    output, residual = chain.forward(parameters, jnp.asarray([float(x)]), stages=STAGES)
    _, loss_residual = half_squared_error.forward(output, jnp.asarray(y))
    doutput, _ = half_squared_error.backward(loss_residual, jnp.asarray(sign))
    ((first, _), _, (second, _), _), _ = chain.backward(residual, doutput)
    (d1, d2), ((d3, d5), (d4, d6)) = np.asarray(first)[0], np.asarray(second)
    return np.asarray(output), np.array([d1, d2, d3, d4, d5, d6])


@claim(
    "S3.1",
    says="The 1-2-2 network: `H1 = w1 x`, `H2 = w2 x`, `O1 = w3 f(H1) + w4 f(H2)`, "
    "`O2 = w5 f(H1) + w6 f(H2)`, sigmoid f.",
    verdict="TRUE",
)
@seeds
def test_s3_1_the_small_network(seed):
    w, x, y = _example(seed)
    outputs, _ = _by_hand(w, x, y)
    assert error(outputs, np.real(_outputs(w, x)[2:])) < EXACT


@claim(
    "S3.2",
    says="`E = −Σ ½(f(O)−y)²`, `∂E/∂w3 = (y−f(O1)) f(O1)(1−f(O1)) f(H1)`, and "
    "`w ← w − η ∂E/∂w` trains the network.",
    verdict="FALSE",
    correction="The derivative fits that E, but descending it raises the squared error; "
    "`E = +Σ ½(f(O)−y)²`, with `∂E/∂w3 = (f(O1)−y) f(O1)(1−f(O1)) f(H1)`, lowers it.",
)
@seeds
def test_s3_2_the_minus_sign_climbs(seed):
    w, x, y = _example(seed)
    h1, _, o1, _ = np.real(_outputs(w, x))
    true = wo.gradient(lambda w: -_squared_error(w, x, y), w)
    _, minus = _by_hand(w, x, y, sign=-1.0)
    assert error(minus, true) < EXACT
    assert error(np.asarray((y[0] - o1) * o1 * (1 - o1) * h1), true[2]) < EXACT

    def errors(sign):
        moving, seen = w.copy(), []
        for _ in range(30):
            seen.append(_squared_error(moving, x, y).real)
            moving -= 0.5 * _by_hand(moving, x, y, sign)[1]
        return np.array(seen)

    assert (np.diff(errors(-1.0)) > 0).all()
    assert (np.diff(errors(1.0)) < 0).all()
    assert errors(1.0)[-1] < 0.9 * errors(1.0)[0]


@claim("S3.3", says="`∂E/∂w1` sums the paths through O1 and through O2.", verdict="TRUE")
@seeds
def test_s3_3_the_first_weight_has_two_paths(seed):
    w, x, y = _example(seed)
    h1, _, o1, o2 = np.real(_outputs(w, x))
    true = wo.gradient(lambda w: _squared_error(w, x, y), w)
    through_o1 = (o1 - y[0]) * o1 * (1 - o1) * w[2] * h1 * (1 - h1) * x
    through_o2 = (o2 - y[1]) * o2 * (1 - o2) * w[4] * h1 * (1 - h1) * x
    assert error(np.asarray(through_o1 + through_o2), true[0]) < EXACT
    assert error(_by_hand(w, x, y)[1], true) < EXACT
    for alone in (through_o1, through_o2):
        assert error(np.asarray(alone), true[0]) > 1e-3


@claim(
    "S3.4",
    says="`ReLU'(0) = 1`.",
    verdict="CONVENTION",
    correction="Any value in [0, 1] is a subgradient: `slope_at_zero`, 1 by default; 0 gives "
    "`jax.nn.relu`, ½ `jnp.maximum(x, 0)`.",
)
@seeds
def test_s3_4_the_slope_of_relu_at_zero_is_chosen(seed):
    rng = np.random.default_rng(seed)
    u, dy = np.round(wo.normal(rng, 7), 2).astype(np.float32).astype(float), wo.normal(rng, 7)
    u[[1, 4]] = 0.0
    h = 2.0**-20  # u has few digits, so that u ± h and its differences are exact
    right = (np.maximum(u + h, 0) - np.maximum(u, 0)) / h
    left = (np.maximum(u, 0) - np.maximum(u - h, 0)) / h
    by_jax = jax.grad(lambda u: jax.nn.relu(u).sum())(jnp.asarray(u))
    by_maximum = jax.grad(lambda u: jnp.maximum(u, 0.0).sum())(jnp.asarray(u))
    assert (right[1], left[1], by_jax[1], by_maximum[1]) == (1.0, 0.0, 0.0, 0.5)
    for setting, slope in ((1.0, right), (0.0, left), (0.0, by_jax), (0.5, by_maximum)):
        _, residual = relu.forward(jnp.asarray(u), slope_at_zero=setting)
        (du,) = relu.backward(residual, jnp.asarray(dy))
        assert error(du, dy * np.asarray(slope)) < EXACT
    _, residual = relu.forward(jnp.asarray(u))
    assert error(relu.backward(residual, jnp.asarray(dy))[0], dy * right) < EXACT


def _sum_over_paths(network, x, dy):
    """Return Σ over all paths of the products of their local derivatives, and their number."""
    _, xs = wo.trace(network, x, wo.sigmoid)
    slopes = [np.real(a) * (1 - np.real(a)) for a in xs[1:-1]] + [np.ones(len(dy))]
    dx, paths = np.zeros(len(x)), 0
    for units in itertools.product(*(range(len(a)) for a in xs)):
        product = dy[units[-1]]
        for layer, (below, above) in enumerate(itertools.pairwise(units)):
            product *= network[layer][0][above, below] * slopes[layer][above]
        dx[units[0]] += product
        paths += 1
    return dx, paths


@claim(
    "S3.8",
    says="The core is the chain rule with dynamic programming: each δ is computed once, so the "
    "backward pass costs a small multiple of the forward, where the number of paths explodes.",
    verdict="TRUE",
)
@seeds
def test_s3_8_the_cost_of_the_backward_pass_is_linear_in_depth(seed):
    rng = np.random.default_rng(seed)
    numbers_of_equations, numbers_of_paths = [], []
    for depth in (2, 4, 6):
        network = wo.draw(rng, *[3] * (depth + 1))
        x, dy = wo.normal(rng, 3), wo.normal(rng, 3)

        def forward(params, x):
            return mlp.forward(params, x, activation=sigmoid)

        arguments = rows(network), jnp.asarray(x)
        back = forward(*arguments)[1], jnp.asarray(dy)
        assert primitives(mlp.backward, *back)["dot_general"] <= 2 * depth
        assert products(mlp.backward, *back) <= 2 * products(forward, *arguments)
        numbers_of_equations.append(len(equations(mlp.backward, *back)))

        by_paths, paths = _sum_over_paths(network, x, dy)
        assert error(mlp.backward(*back)[1], by_paths) < EXACT
        numbers_of_paths.append(paths)
    assert numbers_of_paths == [3**3, 3**5, 3**7]
    growth = np.diff(numbers_of_equations)
    assert growth[0] == growth[1] > 0


@claim("S3.9", says="`∂a_j/∂z_i = a_j (1 − a_j)` if i = j, `−a_j a_i` otherwise.", verdict="TRUE")
@seeds
def test_s3_9_the_jacobian_of_softmax(seed):
    rng = np.random.default_rng(seed)
    z, da = wo.normal(rng, 5), wo.normal(rng, 5)
    true = np.stack([wo.gradient(lambda z, j=j: wo.softmax(z)[j], z) for j in range(5)])
    a, residual = softmax.forward(jnp.asarray(z))
    a_written = np.real(wo.softmax(z))
    cases = [
        [a_written[j] * (1 - a_written[j]) if i == j else -a_written[j] * a_written[i]]
        for j, i in np.ndindex(5, 5)
    ]
    assert error(np.reshape(cases, (5, 5)), true) < EXACT
    assert error(softmax.jacobian(a), true) < EXACT
    assert error(softmax.backward(residual, jnp.asarray(da))[0], true.T @ da) < EXACT


@claim(
    "S3.10",
    says="Cross-entropy with one-hot y has the gradient `p − y`: for `p = softmax([1, 2, 3]) = "
    "[0.0903, 0.2447, 0.665]` and class 1 it is `[0.0903, −0.7553, 0.665]`.",
    verdict="FALSE",
    correction="The rule `p − y` holds; `softmax([1, 2, 3])` is `[0.0900, 0.2447, 0.6652]`, so the "
    "gradient is `[0.0900, −0.7553, 0.6652]`: a misprint.",
)
def test_s3_10_cross_entropy_gives_p_minus_y():
    printed, label = np.array([0.0903, 0.2447, 0.665]), 1
    cost = wo.gradient(lambda z: -np.log(wo.softmax(z)[label]), np.log(printed))
    assert error(cost, [0.0903, -0.7553, 0.665]) < EXACT  # the rule, at the printed p
    _, residual = softmax_cross_entropy.forward(jnp.log(printed), jnp.asarray(label))
    assert error(softmax_cross_entropy.backward(residual, jnp.ones(()))[0], cost) < EXACT

    logits = jnp.asarray([1.0, 2.0, 3.0])
    p = np.array([math.e, math.e**2, math.e**3]) / (math.e + math.e**2 + math.e**3)
    assert error(softmax.forward(logits)[0], p) < EXACT
    np.testing.assert_array_equal(p.round(4), [0.0900, 0.2447, 0.6652])
    assert abs(p[0] - 0.0903) > 2e-4  # four digits were printed: half a unit is 5e-5
    for labels in (jnp.asarray(label), jnp.eye(3)[label]):
        _, residual = softmax_cross_entropy.forward(logits, labels)
        dlogits, _ = softmax_cross_entropy.backward(residual, jnp.ones(()))
        assert error(dlogits, p - np.eye(3)[label]) < EXACT
        np.testing.assert_array_equal(np.asarray(dlogits).round(4), [0.0900, -0.7553, 0.6652])
        assert error(dlogits, cost) > 2e-4
