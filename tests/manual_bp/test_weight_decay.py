"""Weight decay: scalings, any pytree, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import DTYPES, cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

from jax_ref import cases
from manual_bp import weight_decay


@pytest.mark.parametrize("case", cases_of("weight_decay"), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


@pytest.mark.parametrize(("samples", "share"), [(1, 1.0), (4, 0.25), (100, 0.01)])
@pytest.mark.parametrize("decay", [0.0, 0.5, 3.0])
def test_the_scaling_is_lambda_over_m(decay: float, samples: int, share: float) -> None:
    W = jnp.asarray([[1.0, -2.0], [3.0, 0.0]])
    penalty, residual = weight_decay.forward(W, decay=decay, samples=samples)
    (dW,) = weight_decay.backward(residual, jnp.asarray(2.0))
    np.testing.assert_allclose(penalty, decay / 2 * 14 * share, rtol=1e-15)
    np.testing.assert_allclose(dW, 2 * decay * share * W, rtol=1e-15)


def test_one_sample_is_the_default() -> None:
    W = jnp.ones((2, 3))
    assert weight_decay.forward(W, decay=0.1)[0] == weight_decay.forward(W, decay=0.1, samples=1)[0]


def test_a_tree_of_weights_keeps_its_structure() -> None:
    weights = {"a": jnp.ones((2, 3)), "b": (jnp.ones(()), [2 * jnp.ones(5)]), "none": None}
    penalty, residual = weight_decay.forward(weights, decay=2.0)
    (dweights,) = weight_decay.backward(residual, jnp.asarray(1.0))
    assert float(penalty) == 6 + 1 + 20
    assert jax.tree.structure(dweights) == jax.tree.structure(weights)
    jax.tree.map(lambda dW, W: np.testing.assert_array_equal(dW, 2 * W), dweights, weights)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_long_sum_does_not_stall_in_half_precision(dtype: str) -> None:
    penalty, residual = weight_decay.forward(jnp.ones(8192, dtype), decay=1.0)
    assert penalty.dtype == dtype
    assert float(penalty) == 4096
    (dW,) = weight_decay.backward(residual, jnp.ones((), dtype))
    assert dW.dtype == dtype


def complaint(kind: type[Exception], *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        weight_decay.forward(*args, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("decay", [-0.1, float("nan"), float("inf")])
def test_a_decay_that_is_negative_or_not_finite_is_refused(decay: float) -> None:
    assert complaint(ValueError, jnp.ones(2), decay=decay) == (
        f"weight_decay: decay: expected a finite number ≥ 0, got {decay}"
    )


@pytest.mark.parametrize("samples", [0, -3])
def test_fewer_than_one_sample_is_refused(samples: int) -> None:
    assert complaint(ValueError, jnp.ones(2), decay=0.1, samples=samples) == (
        f"weight_decay: samples: expected a whole number ≥ 1, got {samples}"
    )


@pytest.mark.parametrize("weights", [(), {}, None])
def test_no_weights_at_all_are_refused(weights: Any) -> None:
    assert complaint(ValueError, weights, decay=0.1) == (
        "weight_decay: weights: expected at least one array, got none"
    )


def test_a_bad_leaf_is_named(without_annotations: None) -> None:
    good = jnp.ones(2)
    assert complaint(TypeError, {"W": good, "k": jnp.ones(2, int)}, decay=0.1) == (
        "weight_decay: weights['k']: expected a floating dtype, got int64"
    )
    assert complaint(TypeError, (good, [good.astype(jnp.float32)]), decay=0.1) == (
        "weight_decay: weights[1][0]: expected float64, the dtype of weights[0], got float32"
    )


def test_a_cotangent_that_is_no_scalar_is_refused(without_annotations: None) -> None:
    _, residual = weight_decay.forward(jnp.ones(2), decay=0.1)
    with pytest.raises(ValueError, match="dy") as wrong_shape:
        weight_decay.backward(residual, jnp.ones(2))
    assert str(wrong_shape.value) == "weight_decay: dy: expected shape () of y, got (2,)"
    with pytest.raises(TypeError) as wrong_dtype:
        weight_decay.backward(residual, jnp.ones((), jnp.float32))
    assert str(wrong_dtype.value) == (
        "weight_decay: dy: expected float64, the dtype of y, got float32"
    )
