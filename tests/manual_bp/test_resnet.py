"""The residual network: its start, its gradients, its statistics, what it refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import manual_bp
from jax_ref import check_model, references
from manual_bp import activations, resnet, train

KEY = jax.random.key(0)
LABELS = jnp.asarray([0, 2, 1, 1], jnp.int32)
IMAGES = jax.random.normal(jax.random.key(1), (4, 6, 5, 1), jnp.float64)


def network(*channels: int) -> tuple[resnet.Params, resnet.Statistics]:
    return resnet.init(KEY, channels, 3, dtype=jnp.float64)


def by_hand(params: Any, x: Any, labels: Any, statistics: Any, **settings: Any) -> Any:
    return resnet.loss_gradients_deltas_and_statistics(
        params, x, labels, statistics, loss=manual_bp.softmax_cross_entropy, **settings
    )


def test_it_starts_with_these_shapes() -> None:
    params, statistics = network(1, 2, 2, 3, 3)
    shapes = [unit.W.shape for unit in resnet.units(params)]
    assert shapes == [
        (3, 3, 1, 2),
        *((3, 3, 2, 2), (3, 3, 2, 2)),
        *((3, 3, 2, 3), (3, 3, 3, 3), (1, 1, 2, 3)),
        *((3, 3, 3, 3), (3, 3, 3, 3), (1, 1, 3, 3)),
    ]
    assert [block.shortcut is None for block in params.blocks] == [True, False, False]
    assert [running.mean.shape for running in statistics] == [(s[-1],) for s in shapes]
    assert all(
        (r.mean == 0).all() and (r.var == 1).all() and (u.scale == 1).all() and (u.bias == 0).all()
        for r, u in zip(statistics, resnet.units(params), strict=True)
    )
    y, _ = jax.eval_shape(lambda *given: resnet.forward(*given)[0], params, IMAGES, statistics)
    assert y.shape == (4, 3)
    # He: the variance of a weight is 2 over its inputs.
    wide, _ = resnet.init(KEY, (1, 64, 64), 3)
    assert abs(float(wide.blocks[0].first.W.std()) - np.sqrt(2 / 576)) < 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_every_gradient_and_delta_is_right_with_decay(training: bool) -> None:
    params, statistics = network(1, 2, 3, 2)
    settings = {"decay": 0.1, "training": training}
    tanh = activations.tanh

    def of_hand(*given: Any) -> Any:
        return by_hand(*given, activation=tanh, **settings)[:3]

    def of_reference(*given: Any, probes: Any) -> Any:
        loss = references.losses.softmax_cross_entropy
        f = references.activations.tanh
        return references.models.resnet_loss(
            *given, loss=loss, activation=f, probes=probes, **settings
        )[0]

    report = check_model(of_hand, of_reference, params, IMAGES, LABELS, statistics, tolerance=1e-12)
    assert report
    assert {row.leaf for row in report.rows if row.leaf.startswith("δ")} == {
        f"δ[{number}]" for number in range(6)
    }


def test_without_its_blocks_inner_part_a_network_hands_its_input_on() -> None:
    params, statistics = network(1, 2, 2)
    (block,) = params.blocks
    still = block.second._replace(scale=jnp.zeros_like(block.second.scale))
    params = params._replace(blocks=(block._replace(second=still),))
    (y, _), residual = resnet.forward(params, IMAGES, statistics)
    u, _ = manual_bp.conv.forward(IMAGES, params.stem.W)
    (u, *_), _ = manual_bp.batch_norm.forward(
        u, params.stem.scale, params.stem.bias, *statistics[0]
    )
    np.testing.assert_allclose(y, jnp.maximum(u, 0).mean((1, 2)) @ params.V, rtol=1e-12)
    # All of the cotangent comes through the shortcut, and nothing stops at the first unit.
    dy = jnp.ones_like(y), jax.tree.map(jnp.zeros_like, statistics)
    dparams, *_ = resnet.backward(residual, dy)
    assert (dparams.blocks[0].first.W == 0).all()
    assert (dparams.stem.W != 0).any()


def test_the_statistics_approach_those_of_the_data() -> None:
    params, statistics = network(1, 2, 3)
    for _ in range(60):
        (of_batch, statistics), _ = resnet.forward(params, IMAGES, statistics, momentum=0.5)
    (again, kept), _ = resnet.forward(params, IMAGES, statistics, training=False)
    assert all(
        (a == b).all()
        for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(statistics), strict=True)
    )
    # The running variance is the unbiased one, so the outputs are near but not the same.
    np.testing.assert_allclose(again, of_batch, rtol=0.2, atol=0.02)
    assert (again != of_batch).any()


def test_a_step_carries_the_statistics_and_gives_the_optimiser_the_gradients() -> None:
    params, statistics = network(1, 2, 2)

    def with_state(params: Any, statistics: Any, x: Any, labels: Any) -> Any:
        loss, gradients, _, renewed = by_hand(params, x, labels, statistics)
        return loss, gradients, renewed

    optimizer = optax.sgd(0.25)
    step = train.make_step(with_state, optimizer, stateful=True)
    state, loss = jax.jit(step)(train.init(params, optimizer, statistics), (IMAGES, LABELS))
    wanted, gradients, renewed = with_state(params, statistics, IMAGES, LABELS)
    after = jax.tree.map(lambda old, g: old - 0.25 * g, params, gradients)
    for came, true in ((state.model, renewed), (state.params, after), (loss, wanted)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), came, true
        )
    assert not np.allclose(state.model[0].mean, statistics[0].mean)

    epoch = train.make_epoch(with_state, optimizer, batch_size=2, stateful=True)
    state, losses = epoch(train.init(params, optimizer, statistics), (IMAGES, LABELS), KEY)
    assert (losses.shape, int(state.step)) == ((2,), 2)
    (_, after_two), _ = resnet.forward(params, IMAGES[:2], statistics)
    assert not np.allclose(state.model[0].mean, after_two[0].mean)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: resnet.init(KEY, (1, 2), 3),
            "resnet.init: channels: expected those of the image, the stem and at least one block, "
            "each at least 1, got [1, 2]",
        ),
        (
            lambda: resnet.init(KEY, (1, 0, 2), 3),
            "resnet.init: channels: expected those of the image, the stem and at least one block, "
            "each at least 1, got [1, 0, 2]",
        ),
        (
            lambda: resnet.init(KEY, (1, 2, 2), 0),
            "resnet.init: classes: expected at least 1, got 0",
        ),
        (
            lambda: resnet.forward(network(1, 2, 2)[0], IMAGES, ()),
            "resnet: statistics: expected those of 3 units, got 0",
        ),
        (
            lambda: resnet.forward(*insert(network(1, 2, 2), IMAGES[:0])),
            "batch_norm: x: expected at least one sample for training=True, got shape (0, 6, 5, 2)",
        ),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the whole message is compared
        call()
    assert str(refused.value) == message


def insert(of: tuple[Any, Any], x: jax.Array) -> tuple[Any, Any, Any]:
    params, statistics = of
    return params, x, statistics
