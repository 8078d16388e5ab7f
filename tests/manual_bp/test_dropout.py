"""Dropout: masks, both scalings, shared axes, keys, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import DTYPES, cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

from jax_ref import cases
from manual_bp import dropout


def key(seed: int = 0) -> Any:
    return jax.random.key(seed)


@pytest.mark.parametrize("case", cases_of("dropout"), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_mask_depends_on_the_key_alone_and_is_the_same_in_both_passes(dtype: str) -> None:
    x, dy = jnp.ones((5, 7), dtype), jnp.full((5, 7), 3, dtype)
    y, residual = dropout.forward(x, key(), rate=0.5)
    dx, none = dropout.backward(residual, dy)
    kept = jax.random.bernoulli(key(), jnp.float32(0.5), (5, 7))
    assert none is None
    np.testing.assert_array_equal(np.float64(y), 2 * np.float64(kept))
    np.testing.assert_array_equal(np.float64(dx), 6 * np.float64(kept))
    assert not np.array_equal(y, dropout.forward(x, key(1), rate=0.5)[0])


def test_both_kinds_of_key_draw_the_same_mask() -> None:
    x = jnp.ones((5, 7))
    typed, raw = (dropout.forward(x, k, rate=0.5)[0] for k in (key(3), jax.random.PRNGKey(3)))
    np.testing.assert_array_equal(typed, raw)


def test_the_residual_holds_the_key_and_no_mask() -> None:
    _, residual = dropout.forward(jnp.ones((5, 7)), jax.random.PRNGKey(0), rate=0.5)
    assert [leaf.shape for leaf in jax.tree.leaves(residual)] == [(2,)]


@pytest.mark.parametrize("scaling", ["inverted", "evaluation"])
@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_training_agrees_with_evaluation_in_expectation(scaling: Any, rate: float) -> None:
    x, number = jnp.asarray([1.0, -2.0, 4.0]), 4096
    keys = jax.random.split(key(), number)
    y, _ = jax.vmap(lambda k: dropout.forward(x, k, rate=rate, scaling=scaling))(keys)
    expected, _ = dropout.forward(x, key(), rate=rate, scaling=scaling, training=False)
    spread = np.std(y, 0) / np.sqrt(number)
    np.testing.assert_array_less(np.abs(np.mean(y, 0) - expected), 5 * spread)
    np.testing.assert_array_equal(expected, x if scaling == "inverted" else x * (1 - rate))


@pytest.mark.parametrize("scaling", ["inverted", "evaluation"])
@pytest.mark.parametrize("training", [True, False])
def test_a_rate_of_0_is_the_identity(scaling: Any, training: bool) -> None:
    x = jnp.asarray([1.5, -2.25])
    y, residual = dropout.forward(x, key(), rate=0.0, scaling=scaling, training=training)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dropout.backward(residual, x)[0], x)
    assert jax.tree.leaves(residual) == []


@pytest.mark.parametrize("axes", [(1, 2), (-3, -2), (2, 1, 1)])
def test_shared_axes_drop_whole_channels(axes: tuple[int, ...]) -> None:
    y, residual = dropout.forward(jnp.ones((3, 2, 4, 5)), key(), rate=0.5, shared_axes=axes)
    first = y[:, :1, :1]
    assert set(first.ravel().tolist()) == {0, 2}
    np.testing.assert_array_equal(y, jnp.broadcast_to(first, y.shape))
    np.testing.assert_array_equal(dropout.backward(residual, jnp.ones(y.shape))[0], y)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_what_is_dropped_may_be_infinite(rate: float) -> None:
    y, residual = dropout.forward(jnp.full(64, jnp.inf), key(), rate=rate)
    (dx, _) = dropout.backward(residual, jnp.full(64, jnp.inf))
    assert not jnp.isnan(y).any()
    assert not jnp.isnan(dx).any()


def complaint(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_outside_0_to_1_is_refused(rate: float) -> None:
    assert complaint(ValueError, dropout.forward, jnp.ones(3), key(), rate=rate) == (
        f"dropout: rate: expected a number in [0, 1), got {rate}"
    )


def test_what_is_no_key_is_refused(without_annotations: None) -> None:
    forward, x = dropout.forward, jnp.ones(3)
    for bad, dtype in ((0, "int64"), (jnp.ones(2), "float64")):
        assert complaint(TypeError, forward, x, bad, rate=0.5) == (
            f"dropout: key: expected a key from jax.random.key, or uint32, got {dtype}"
        )
    assert complaint(ValueError, forward, x, jax.random.split(key(), 3), rate=0.5) == (
        "dropout: key: expected shape () of a single key, got (3,)"
    )
    assert complaint(ValueError, forward, x, jnp.ones(3, jnp.uint32), rate=0.5) == (
        "dropout: key: expected shape (2,) of a single key in uint32, got (3,)"
    )


def test_other_bad_input_is_refused(without_annotations: None) -> None:
    forward, x = dropout.forward, jnp.ones((2, 3))
    assert complaint(TypeError, forward, jnp.ones(3, int), key(), rate=0.5) == (
        "dropout: x: expected a floating dtype, got int64"
    )
    assert complaint(ValueError, forward, x, key(), rate=0.5, scaling="none") == (
        "dropout: scaling: expected one of 'inverted', 'evaluation', got 'none'"
    )
    assert complaint(ValueError, forward, x, key(), rate=0.5, shared_axes=(0, 2)) == (
        "dropout: shared_axes: expected axes of shape (2, 3), got (0, 2)"
    )
    _, residual = forward(x, key(), rate=0.5)
    assert complaint(ValueError, dropout.backward, residual, jnp.ones(3)) == (
        "dropout: dy: expected shape (2, 3) of y, got (3,)"
    )
    assert complaint(TypeError, dropout.backward, residual, x.astype(jnp.float32)) == (
        "dropout: dy: expected float64, the dtype of y, got float32"
    )
