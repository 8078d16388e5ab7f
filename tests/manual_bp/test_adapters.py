"""A hand-written gradient that answers `jax.grad`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from manual_bp.adapters import as_differentiable

SCALE = 7.0  # what no differentiation of the loss would give


def halved_square(params: Any, x: jax.Array) -> tuple[jax.Array, Any]:
    """Return ½ Σ (w x)² and a gradient that is wrong on purpose, so that it can be recognised."""
    loss = ((params["w"] * x) ** 2).sum() / 2
    return loss, {"w": SCALE * params["w"] * x**2}


PARAMS = {"w": jnp.asarray([1.0, -2.0])}
X = jnp.asarray([3.0, 0.5])
LOSS = 0.5 * (9 + 1)
GRADIENT = [SCALE * 9, SCALE * -0.5]


def test_the_value_is_the_loss() -> None:
    assert float(as_differentiable(halved_square)(PARAMS, X)) == LOSS


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_the_gradient_is_the_one_written_by_hand(wrap: Any) -> None:
    loss = as_differentiable(halved_square)
    value, gradients = wrap(jax.value_and_grad(loss))(PARAMS, X)
    assert float(value) == LOSS
    assert gradients["w"].tolist() == GRADIENT


def test_the_cotangent_of_the_loss_scales_it() -> None:
    loss = as_differentiable(halved_square)
    gradients = jax.grad(lambda params: -3.0 * loss(params, X))(PARAMS)
    np.testing.assert_allclose(gradients["w"], -3 * np.asarray(GRADIENT), rtol=1e-15)


def test_under_vmap_each_sample_has_its_own() -> None:
    loss = as_differentiable(halved_square)
    gradients = jax.vmap(jax.grad(loss), (None, 0))(PARAMS, jnp.stack([X, 2 * X]))
    np.testing.assert_allclose(gradients["w"], [GRADIENT, 4 * np.asarray(GRADIENT)], rtol=1e-15)


def test_the_cotangents_of_the_data_are_unknown() -> None:
    loss = as_differentiable(halved_square)
    dparams, dx = jax.grad(loss, (0, 1))(PARAMS, X)
    assert dparams["w"].tolist() == GRADIENT
    assert jnp.isnan(dx).all()


def test_integer_data_pass_through() -> None:
    def loss_and_gradients(w: Any, x: Any, labels: Any, keep: Any) -> Any:
        chosen = jnp.where(keep, w[labels] * x, 0)
        return chosen.sum(), jnp.zeros_like(w).at[labels].add(jnp.where(keep, x, 0))

    labels, keep = jnp.asarray([2, 2, 0]), jnp.asarray([True, True, False])
    gradient = jax.grad(as_differentiable(loss_and_gradients))(
        jnp.ones(3), jnp.asarray([1.0, 2.0, 4.0]), labels, keep
    )
    assert gradient.tolist() == [0, 0, 3]


@pytest.mark.parametrize("of_loss", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_gradient_has_the_dtype_of_its_parameter(dtype: str, of_loss: str) -> None:
    params, x = jax.tree.map(lambda leaf: leaf.astype(dtype), (PARAMS, X))

    def in_dtype(params: Any, x: Any) -> Any:
        loss = ((params["w"] * x) ** 2).sum() / 2
        return loss.astype(of_loss), {"w": params["w"] * x**2}

    gradients = jax.grad(as_differentiable(in_dtype))(params, x)
    assert gradients["w"].dtype == dtype
    assert gradients["w"].tolist() == [9, -0.5]
