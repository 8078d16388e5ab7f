"""S0: what batch normalisation does, seen in seeded experiments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from claim import claim

from bp_lab.experiments import batch_norm, normalised_rnn
from jax_ref.compiling import quick

LABELS = jnp.asarray([0, 2, 1, 1, 0], jnp.int32)


def _agree(came, expected):
    for hand, wanted in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        atol = 1e-12 * float(jnp.abs(wanted).max())
        np.testing.assert_allclose(hand, wanted, rtol=1e-10, atol=atol)


def _gradients_are_right(loss_and_gradients, params):
    """Hold gradients against those of the same forward pass by JAX."""

    @quick
    def both(params):
        return loss_and_gradients(params)[-1], jax.grad(lambda p: loss_and_gradients(p)[0])(params)

    _agree(*both(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)))


@pytest.mark.parametrize("normalised", [False, True])
def test_the_gradients_of_the_deep_network_are_right(normalised):
    x = jax.random.normal(jax.random.key(1), (5, 4), jnp.float64)

    def of(params):
        return batch_norm.loss_and_gradients(params, x, LABELS, normalised=normalised)

    _gradients_are_right(of, batch_norm.parameters(jax.random.key(0), 4, 3, 1.0))


@pytest.mark.parametrize("norm", normalised_rnn.NORMS)
def test_the_gradients_of_the_recurrent_network_are_right(norm):
    statistics = jnp.zeros(normalised_rnn.WIDTH), jnp.ones(normalised_rnn.WIDTH)
    x = jax.random.normal(jax.random.key(1), (5, 3, 4), jnp.float64)

    def of(params):
        return normalised_rnn.loss_and_gradients(params, statistics, x, LABELS, norm=norm)

    _gradients_are_right(of, normalised_rnn.parameters(jax.random.key(0), 4, 3))


@claim(
    "S0.11",
    says="Batch normalisation eases vanishing gradients, speeds up convergence and makes "
    "initialisation matter less.",
    verdict="BEHAVIOUR",
)
def test_s0_11_batch_norm_keeps_gradients_alive():
    result = batch_norm.run(seed=0, epochs=4)
    faded = {key: norms[0] / norms[-1] for key, norms in result.norms.items()}
    assert faded["plain", 1.0] < 1e-2
    assert min(faded["batch norm", scale] for scale in batch_norm.SCALES) > 0.5
    last = {key: loss[-1] for key, loss in result.loss.items()}
    for scale in batch_norm.SCALES:
        assert last["batch norm", scale] < last["plain", scale] - 0.5


@claim(
    "S0.12",
    says="Batch normalisation mostly hurts in recurrent networks, which is why layer normalisation "
    "takes μ and σ² over the features of each step.",
    verdict="BEHAVIOUR",
)
def test_s0_12_batch_norm_hurts_a_recurrent_network():
    result = normalised_rnn.run(seed=0, epochs=6)
    after = {norm: curve[-1] for norm, curve in result.evaluated.items()}
    assert after["layer norm"] > 0.85
    assert after["batch norm"] < min(after["none"], after["layer norm"]) - 0.05
    # It is the statistics: with those of each batch it reads better than with the running ones.
    assert result.trained["batch norm"][-1] > after["batch norm"] + 0.03
