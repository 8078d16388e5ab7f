"""The multilayer perceptron: any shape, loss, decay, sensitivities, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import jax_ref
import manual_bp
from jax_ref import cases
from manual_bp import mlp
from manual_bp.models.mlp import Layer

KEY = jax.random.key(0)


@pytest.mark.parametrize("case", cases_of("mlp"), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


def _problem(widths: tuple[int, ...] = (3, 5, 2), samples: int = 4) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    params = mlp.init(KEY, widths, dtype=jnp.float64)
    params = tuple(Layer(W, jnp.asarray(rng.standard_normal(b.shape))) for W, b in params)
    x, targets = rng.standard_normal((samples, widths[0])), rng.random((samples, widths[-1]))
    return params, jnp.asarray(x), jnp.asarray(targets)


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy", "softmax_cross_entropy"])
def test_loss_gradients_and_deltas_against_the_reference(
    loss: str, decay: float, per_sample: bool
) -> None:
    choices = {"decay": decay, "decay_per_sample": per_sample}

    def by_hand(*args: Any) -> Any:
        return mlp.loss_gradients_and_deltas(
            *args, loss=getattr(manual_bp, loss), activation=manual_bp.tanh, **choices
        )

    def reference(*args: Any, probes: Any) -> Any:
        return jax_ref.references.models.mlp_loss(
            *args,
            loss=jax_ref.references.losses.table[loss],
            activation=jnp.tanh,
            probes=probes,
            **choices,
        )

    assert jax_ref.check_model(by_hand, reference, *_problem())


def test_decay_acts_on_weights_and_not_on_biases() -> None:
    params, x, targets = _problem()
    plain, decayed, shared = (
        mlp.loss_and_gradients(params, x, targets, loss=manual_bp.squared_error, **chosen)
        for chosen in ({}, {"decay": 0.3}, {"decay": 0.3, "decay_per_sample": True})
    )
    squares = sum(float((W**2).sum()) for W, _ in params)
    np.testing.assert_allclose(decayed[0] - plain[0], 0.15 * squares, rtol=1e-12)
    np.testing.assert_allclose(shared[0] - plain[0], 0.15 * squares / 4, rtol=1e-12)
    for layer, before, after, by_4 in zip(params, plain[1], decayed[1], shared[1], strict=True):
        np.testing.assert_allclose(after.W - before.W, 0.3 * layer.W, rtol=1e-12)
        np.testing.assert_allclose(by_4.W - before.W, 0.075 * layer.W, rtol=1e-12)
        np.testing.assert_array_equal(after.b, before.b)
        np.testing.assert_array_equal(by_4.b, before.b)


def test_deltas_are_the_gradients_of_the_biases_before_the_sum_over_the_batch() -> None:
    params, x, targets = _problem()
    _, gradients, deltas = mlp.loss_gradients_and_deltas(
        params, x, targets, loss=manual_bp.squared_error
    )
    assert [delta.shape for delta in deltas] == [(4, 5), (4, 2)]
    for layer, delta in zip(gradients, deltas, strict=True):
        np.testing.assert_allclose(layer.b, delta.sum(0), rtol=1e-14)


def test_the_gradients_are_of_the_type_of_the_parameters() -> None:
    params, x, targets = _problem()
    _, gradients = mlp.loss_and_gradients(params, x, targets, loss=manual_bp.squared_error)
    assert jax.tree.structure(gradients) == jax.tree.structure(params)
    assert all(isinstance(layer, Layer) for layer in gradients)


def test_the_gradient_of_a_batch_is_the_mean_over_its_samples() -> None:
    params, x, targets = _problem()

    def gradients(x: Any, targets: Any) -> Any:
        return mlp.loss_and_gradients(params, x, targets, loss=manual_bp.squared_error)[1]

    each = [gradients(x[i : i + 1], targets[i : i + 1]) for i in range(4)]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / 4, *each)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15),
        gradients(x, targets),
        mean,
    )


def test_init_gives_the_widths_in_order() -> None:
    params = mlp.init(KEY, [4, 3, 2])
    assert [(W.shape, b.shape) for W, b in params] == [((4, 3), (3,)), ((3, 2), (2,))]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    assert not any(layer.b.any() for layer in params)
    square = mlp.init(KEY, [3, 3, 3])
    assert (square[0].W != square[1].W).all()
    zeros = mlp.init(KEY, [3, 3], initialiser=manual_bp.init.zeros, dtype=jnp.float16)
    assert not zeros[0].W.any()
    assert zeros[0].W.dtype == jnp.float16


@pytest.mark.parametrize("widths", [[], [3], [3, 0], [0, 3], [3, -1, 2]])
def test_widths_that_make_no_network_are_refused(widths: list[int]) -> None:
    with pytest.raises(ValueError, match="widths") as caught:
        mlp.init(KEY, widths)
    assert str(caught.value) == (
        f"mlp.init: widths: expected at least two widths, each at least 1, got {widths}"
    )


def test_no_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="params") as caught:
        mlp.forward((), jnp.ones(3))
    assert str(caught.value) == "mlp: params: expected at least one layer, got none"


def test_an_input_that_does_not_fit_is_refused_by_the_layer(without_annotations: None) -> None:
    params, _, _ = _problem()
    with pytest.raises(ValueError, match="linear") as wrong_shape:
        mlp.forward(params, jnp.ones((4, 2)))
    assert str(wrong_shape.value) == (
        "linear: W: expected shape (2, _) for x of shape (4, 2), got (3, 5)"
    )
    with pytest.raises(TypeError) as wrong_dtype:
        mlp.forward(params, jnp.ones((4, 3), jnp.float32))
    assert str(wrong_dtype.value) == ("linear: W: expected float32, the dtype of x, got float64")


def test_an_empty_batch_has_no_mean(without_annotations: None) -> None:
    params, x, targets = _problem()
    with pytest.raises(ValueError, match="batch") as caught:
        mlp.loss_and_gradients(params, x[:0], targets[:0], loss=manual_bp.squared_error)
    assert str(caught.value) == (
        "squared_error: batch: expected at least one sample for reduction='mean', "
        "got batch shape (0,)"
    )
