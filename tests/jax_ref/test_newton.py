"""Newton's method over hand-written gradients."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import manual_bp
from jax_ref import newton, references
from manual_bp import mlp


def _network() -> tuple:
    rng = np.random.default_rng(0)
    params = tuple(
        mlp.Layer(jnp.asarray(rng.standard_normal((n, m))), jnp.asarray(rng.standard_normal(m)))
        for n, m in ((3, 4), (4, 2))
    )
    batch = jnp.asarray(rng.standard_normal((6, 3))), jnp.asarray(rng.integers(0, 2, 6))

    def gradient(params):
        return mlp.loss_and_gradients(
            params,
            *batch,
            loss=manual_bp.softmax_cross_entropy,
            activation=manual_bp.tanh,
            decay=0.1,
        )[1]

    loss = partial(
        references.models.mlp_loss,
        loss=references.losses.softmax_cross_entropy,
        activation=references.activations.tanh,
        decay=0.1,
    )
    return params, gradient, lambda params: loss(params, *batch)


def test_the_hessian_of_a_network_is_that_of_the_reference() -> None:
    params, gradient, loss = _network()
    flat, restore = ravel_pytree(params)
    wanted = jax.hessian(lambda flat: loss(restore(flat)))(flat)
    came = newton.hessian(gradient, params)
    np.testing.assert_allclose(came, wanted, rtol=0, atol=1e-13 * float(jnp.abs(wanted).max()))
    np.testing.assert_allclose(came, came.T, rtol=0, atol=1e-13)


def test_a_product_with_the_hessian_needs_no_hessian() -> None:
    params, gradient, _ = _network()
    flat, restore = ravel_pytree(params)
    direction = jnp.asarray(np.random.default_rng(1).standard_normal(flat.size))
    came, _ = ravel_pytree(newton.hessian_vector_product(gradient, params, restore(direction)))
    wanted = newton.hessian(gradient, params) @ direction
    np.testing.assert_allclose(came, wanted, rtol=1e-10, atol=1e-12)


def test_newtons_steps_converge_quadratically_where_the_loss_is_convex() -> None:
    rng = np.random.default_rng(2)
    x, t = jnp.asarray(rng.standard_normal((40, 3))), jnp.asarray(rng.integers(0, 2, (40, 1)) * 1.0)

    def gradient(params):
        return mlp.loss_and_gradients(
            params, x, t, loss=manual_bp.binary_cross_entropy, decay=0.05
        )[1]

    params = mlp.init(jax.random.key(0), [3, 1], dtype=jnp.float64)
    sizes = []
    for _ in range(9):
        sizes.append(float(jnp.linalg.norm(ravel_pytree(gradient(params))[0])))
        params = newton.step(gradient, params)
    assert sizes[-1] < 1e-13, sizes
    assert all(after < 10 * before**2 or after < 1e-13 for before, after in pairwise(sizes[3:]))
