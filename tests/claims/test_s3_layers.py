"""S3: pooling and convolution, written out number by number."""

import jax.numpy as jnp
import numpy as np
import written_out as wo
from claim import claim
from written_out import EXACT, error, seeds

from manual_bp import conv, max_pool, mean_pool


@claim(
    "S3.5",
    says="Pooling keeps the sum of the gradient; with mean pooling each of n × n pixels gets 1/n.",
    verdict="FALSE",
    correction="The sum is kept, and so each pixel gets 1/n², n being the side of the window.",
)
@seeds
def test_s3_5_mean_pooling_shares_by_the_area(seed):
    rng = np.random.default_rng(seed)
    n = 3
    x, dy = wo.normal(rng, 2, 2 * n, n, 2), wo.normal(rng, 2, 2, 1, 2)
    y, residual = mean_pool.forward(jnp.asarray(x), window=(n, n))
    (dx,) = mean_pool.backward(residual, jnp.asarray(dy))
    for b, i, c in np.ndindex(2, 2, 2):
        window = np.s_[b, n * i : n * i + n, :, c]
        assert error(y[b, i, 0, c], sum(x[window].reshape(-1)) / n**2) < EXACT
        assert error(dx[window], np.full((n, n), dy[b, i, 0, c] / n**2)) < EXACT
    assert error(dx.sum(), dy.sum()) < EXACT
    assert abs(n * n * dy.sum() / n - dy.sum()) > 1e-3  # what 1/n would make of the sum


@claim(
    "S3.6",
    says="Max pooling remembers the position of the maximum and routes the gradient there, 0 "
    "elsewhere.",
    verdict="TRUE",
)
@seeds
def test_s3_6_max_pooling_routes_to_the_maximum(seed):
    rng = np.random.default_rng(seed)
    x, dy = wo.normal(rng, 2, 4, 6, 3), wo.normal(rng, 2, 2, 2, 3)
    y, residual = max_pool.forward(jnp.asarray(x), window=(2, 3))
    (dx,) = max_pool.backward(residual, jnp.asarray(dy))
    wanted = np.zeros_like(x)
    for b, i, j, c in np.ndindex(dy.shape):
        places = [(2 * i + p, 3 * j + q) for p in range(2) for q in range(3)]
        row, column = max(places, key=lambda place: x[b, *place, c])
        assert y[b, i, j, c] == x[b, row, column, c]
        wanted[b, row, column, c] = dy[b, i, j, c]
    np.testing.assert_array_equal(dx, wanted)


@claim(
    "S3.7",
    says="Convolution: the gradient goes back from b to a through the same weight w wherever a fed "
    "b.",
    verdict="TRUE",
)
@seeds
def test_s3_7_a_convolution_goes_back_through_the_same_weights(seed):
    rng = np.random.default_rng(seed)
    x, W, dy = (wo.normal(rng, *shape) for shape in ((1, 5, 4, 2), (3, 2, 2, 3), (1, 3, 3, 3)))
    y, residual = conv.forward(jnp.asarray(x), jnp.asarray(W), padding="VALID")
    dx, dW, _ = conv.backward(residual, jnp.asarray(dy))
    written, back, of_weight = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(W)
    for i, j, p, q, c, m in np.ndindex(3, 3, 3, 2, 2, 3):
        a, w, b = (0, i + p, j + q, c), (p, q, c, m), (0, i, j, m)
        written[b] += W[w] * x[a]
        back[a] += W[w] * dy[b]
        of_weight[w] += x[a] * dy[b]
    assert error(y, written) < EXACT
    assert error(dx, back) < EXACT
    assert error(dW, of_weight) < EXACT
