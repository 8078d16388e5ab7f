"""The fully convolutional network: it slides, its start, its gradients, what it refuses."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import check_model, references
from manual_bp import fcn

KERNELS = ((3, 2), (2, 3), (1, 2))
STRIDES = ((2, 1), (1, 2), (1, 1))


def network(channels: tuple[int, ...] = (2, 3, 4, 2)) -> Any:
    params = fcn.init(jax.random.key(0), KERNELS, channels, dtype=jnp.float64)
    return jax.tree.map(lambda leaf: leaf + 0.125 * (leaf.ndim == 1), params)


def test_the_map_is_what_the_network_says_of_every_window_by_itself() -> None:
    params = network()
    x = jax.random.normal(jax.random.key(1), (1, 12, 13, 2), jnp.float64)
    whole, _ = fcn.forward(params, x, strides=STRIDES)
    (high, wide), (down, across) = fcn.window(params, STRIDES)
    assert (high, wide) == (3 + 1 * 2, 2 + 2 + 1 * 2)
    assert (down, across) == (2, 2)
    alone = jax.jit(lambda one: fcn.forward(params, one, strides=STRIDES)[0])
    for i, j in np.ndindex(whole.shape[1:3]):
        seen = x[:, i * down : i * down + high, j * across : j * across + wide]
        np.testing.assert_allclose(alone(seen)[0, 0, 0], whole[0, i, j], rtol=1e-12)
    assert whole.shape == (1, (12 - high) // down + 1, (13 - wide) // across + 1, 2)


def test_it_starts_with_these_shapes() -> None:
    params = fcn.init(jax.random.key(0), KERNELS, (1, 3, 4, 2))
    assert [layer.W.shape for layer in params] == [(3, 2, 1, 3), (2, 3, 3, 4), (1, 2, 4, 2)]
    assert not any(layer.b.any() for layer in params)


def test_every_gradient_and_delta_is_right_with_decay() -> None:
    settings = {"decay": 0.1, "strides": STRIDES}
    x = jax.random.normal(jax.random.key(1), (2, 7, 8, 2), jnp.float64)
    targets = jax.random.uniform(jax.random.key(2), (2, 2, 2, 2), jnp.float64)
    report = check_model(
        partial(fcn.loss_gradients_and_deltas, loss=manual_bp.binary_cross_entropy, **settings),
        partial(
            references.models.fcn_loss, loss=references.losses.binary_cross_entropy, **settings
        ),
        network(),
        x,
        targets,
        tolerance=1e-12,
    )
    assert report
    assert {row.leaf for row in report.rows if row.leaf.startswith("δ")} == {"δ[0]", "δ[1]", "δ[2]"}


def test_bad_input_is_named() -> None:
    params, x = network(), jnp.ones((1, 9, 9, 2), jnp.float64)
    with pytest.raises(ValueError, match="fcn: strides: expected a pair for each of 3 layers"):
        fcn.forward(params, x, strides=STRIDES[:2])
    with pytest.raises(ValueError, match="fcn: params: expected at least one layer"):
        fcn.forward((), x, strides=())
    with pytest.raises(ValueError, match="conv: x: expected at least a window"):
        fcn.forward(params, x[:, :2], strides=STRIDES)
    with pytest.raises(ValueError, match=r"fcn\.init: kernels: expected at least one"):
        fcn.init(jax.random.key(0), (), (1,))
    with pytest.raises(ValueError, match=r"fcn\.init: channels: expected 2 numbers"):
        fcn.init(jax.random.key(0), ((3, 3),), (1,))
