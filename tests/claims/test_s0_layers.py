"""S0: dropout and batch normalisation, written out number by number."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import written_out as wo
from claim import claim
from written_out import EXACT, error, seeds

from manual_bp import batch_norm, dropout


@claim(
    "S0.7",
    says="Dropout: a unit is dropped (×0), or kept and rescaled (“0.5 … ×0.5”).",
    verdict="CONVENTION",
    correction="Kept units are scaled by 1/p in training (`scaling='inverted'`, by default), or "
    "all by p in evaluation (`scaling='evaluation'`), p being the share that is kept; with both "
    "the expectation in training is what evaluation returns.",
)
@seeds
def test_s0_7_both_scalings_agree_in_expectation(seed):
    x = wo.normal(np.random.default_rng(seed), 3)
    key, keep = jax.random.key(seed), 0.75
    evaluated = {}
    for scaling in ("inverted", "evaluation"):
        settings = {"rate": 1 - keep, "scaling": scaling}
        scale = 1 / keep if scaling == "inverted" else 1.0
        y, residual = dropout.forward(jnp.asarray(x), key, **settings)
        (dx,) = dropout.backward(residual, jnp.ones(3))[:1]
        for xi, yi, di in zip(x, y, dx, strict=True):
            assert (yi, di) == (0, 0) or error(np.asarray([yi, di]), [scale * xi, scale]) < EXACT
        # Over all 2³ masks, each with its probability.
        expected = np.zeros(3)
        for mask in itertools.product((0, 1), repeat=3):
            probability = math.prod(keep if kept else 1 - keep for kept in mask)
            expected += probability * scale * np.asarray(mask) * x
        evaluated[scaling], _ = dropout.forward(jnp.asarray(x), key, training=False, **settings)
        assert error(evaluated[scaling], expected) < EXACT
    assert error(evaluated["evaluation"], keep * np.asarray(evaluated["inverted"])) < EXACT


@claim(
    "S0.10",
    says="Batch normalisation: `μ = 1/N Σ x_j`, `σ² = 1/N Σ (x_j − μ)²`, `x̂ = (x − μ)/√(σ² + ε)`, "
    "`y = γ x̂ + β`.",
    verdict="TRUE",
)
@seeds
def test_s0_10_batch_normalisation_written_out(seed):
    rng = np.random.default_rng(seed)
    N, epsilon = 5, 1e-3
    x, gamma, beta, dy = (wo.normal(rng, *shape) for shape in ((N, 2), (2,), (2,), (N, 2)))
    state = jnp.zeros(2), jnp.ones(2)
    (y, *new), residual = batch_norm.forward(
        *map(jnp.asarray, (x, gamma, beta)), *state, epsilon=epsilon
    )
    dx, dgamma, dbeta, _, _ = batch_norm.backward(
        residual, (jnp.asarray(dy), *map(jnp.zeros_like, new))
    )

    def loss(flat):
        total = 0.0
        for k in range(2):
            column = [flat[2 * j + k] for j in range(N)]
            mean = sum(column) / N
            variance = sum((value - mean) ** 2 for value in column) / N
            for j, value in enumerate(column):
                normalised = (value - mean) / (variance + epsilon) ** 0.5
                total += dy[j, k] * (flat[2 * N + k] * normalised + flat[2 * N + 2 + k])
        return total

    point = np.concatenate([x.reshape(-1), gamma, beta])
    slopes = _slopes(loss, point)
    assert error((dy * np.asarray(y)).sum(), np.real(loss(point))) < EXACT
    for came, wanted in zip(
        (dx.reshape(-1), dgamma, dbeta), np.split(slopes, [2 * N, 2 * N + 2]), strict=True
    ):
        assert error(came, wanted) < 1e-11


def _slopes(loss, point):
    """Return ∂loss/∂pointᵢ, each by a complex step of its own."""
    slopes = []
    for i in range(len(point)):
        moved = [complex(value) for value in point]
        moved[i] += 1j * wo.STEP
        slopes.append(loss(moved).imag / wo.STEP)
    return np.asarray(slopes)
