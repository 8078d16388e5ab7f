"""Gradients summed over parts of a batch: equal to the whole, in the memory of a part."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import manual_bp
from manual_bp import mlp, resnet, train

KEY = jax.random.key(5)
CLASSIFIES = partial(
    mlp.loss_and_gradients, loss=manual_bp.softmax_cross_entropy, activation=manual_bp.tanh
)


def batch(samples: int, n: int = 3, classes: int = 2) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(samples)
    labels = rng.integers(0, classes, samples, np.int32)
    return jnp.asarray(rng.standard_normal((samples, n))), jnp.asarray(labels)


def assert_close(came: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max(), strict=True)


@pytest.mark.parametrize("parts", [1, 4])
def test_the_parts_together_are_the_whole_with_the_decay_counted_once(parts: int) -> None:
    params, data = mlp.init(KEY, [3, 4, 2], dtype=jnp.float64), batch(12)
    whole = partial(CLASSIFIES, decay=0.3)
    in_parts = jax.jit(train.accumulated(whole, parts=parts))
    assert_close(in_parts(params, *data), whole(params, *data))


def test_a_decay_for_each_sample_is_given_divided_by_the_parts() -> None:
    params, data = mlp.init(KEY, [3, 4, 2], dtype=jnp.float64), batch(12)
    whole, part = (partial(CLASSIFIES, decay=d, decay_per_sample=True) for d in (0.6, 0.2))
    assert_close(train.accumulated(part, parts=3)(params, *data), whole(params, *data))


def test_an_epoch_of_parts_ends_where_an_epoch_of_batches_does() -> None:
    data, optimizer = batch(24), optax.adam(0.1)
    states = []
    for loss_and_gradients in (CLASSIFIES, train.accumulated(CLASSIFIES, parts=4)):
        epoch = train.make_epoch(loss_and_gradients, optimizer, batch_size=8)
        start = train.init(mlp.init(KEY, [3, 4, 2], dtype=jnp.float64), optimizer)
        states.append(epoch(start, data, KEY))
    assert_close(*states)


def test_sums_of_half_precision_are_taken_in_float32() -> None:
    """Of 300 ones bfloat16 can add 256, one after another."""

    def counting(params: Any, x: Any) -> Any:
        return jnp.ones((), params.dtype), jnp.ones_like(params) * x.sum()

    ones = jnp.ones((300, 1), jnp.bfloat16)
    loss, gradient = train.accumulated(counting, parts=300)(jnp.ones(2, jnp.bfloat16), ones)
    assert loss.dtype == gradient.dtype == jnp.bfloat16
    assert [float(loss), *gradient.tolist()] == [1, 1, 1]


def test_what_a_model_carries_goes_from_part_to_part() -> None:
    params, statistics = resnet.init(KEY, (1, 2, 2), 2, dtype=jnp.float64)
    rng = np.random.default_rng(0)
    x, labels = jnp.asarray(rng.standard_normal((6, 3, 2, 1))), jnp.asarray([0, 1, 0, 1, 1, 0])

    @jax.jit
    def one(params: Any, statistics: Any, x: Any, labels: Any) -> Any:
        loss, gradients, _, statistics = resnet.loss_gradients_deltas_and_statistics(
            *(params, x, labels, statistics), loss=manual_bp.softmax_cross_entropy
        )
        return loss, gradients, statistics

    came = train.accumulated(one, parts=2, stateful=True)(params, statistics, x, labels)
    first, of_first, between = one(params, statistics, x[:3], labels[:3])
    second, of_second, after = one(params, between, x[3:], labels[3:])
    mean = jax.tree.map(lambda a, b: (a + b) / 2, (first, of_first), (second, of_second))
    assert_close(came, (*mean, after))


def test_memory_falls_with_the_number_of_parts() -> None:
    params = mlp.init(KEY, [16, 16, 16, 4])
    shapes = jax.ShapeDtypeStruct((4096, 16), jnp.float32), jax.ShapeDtypeStruct((4096,), jnp.int32)

    def temp_bytes(parts: int) -> int:
        run = jax.jit(train.accumulated(CLASSIFIES, parts=parts))
        return int(run.lower(params, *shapes).compile().memory_analysis().temp_size_in_bytes)

    assert temp_bytes(16) < temp_bytes(1) / 10


@pytest.mark.parametrize("parts", [5, 24])
def test_parts_that_do_not_divide_the_batch_are_refused(parts: int) -> None:
    params = mlp.init(KEY, [3, 2], dtype=jnp.float64)
    with pytest.raises(ValueError, match="batch") as refused:
        train.accumulated(CLASSIFIES, parts=parts)(params, *batch(12))
    assert str(refused.value) == (
        f"accumulated: batch: expected arrays of one length that {parts} parts divide, "
        "got lengths [12, 12]"
    )


def test_fewer_than_one_part_is_refused() -> None:
    with pytest.raises(ValueError, match="parts") as refused:
        train.accumulated(CLASSIFIES, parts=0)
    assert str(refused.value) == (
        "accumulated: parts: expected a whole number of at least 1, got 0"
    )
