"""Hand-written gradients inside code that differentiates by JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def as_differentiable(
    loss_and_gradients: Callable[..., tuple[jax.Array, Any]],
) -> Callable[..., jax.Array]:
    """Return the loss as a function whose gradient, wherever JAX asks for it, is the hand-written.

    Line searches and second-order optimisers call `jax.value_and_grad` on a loss; handed this
    one, they get what `loss_and_gradients` returns.

    Args:
      loss_and_gradients: `(params, *data) -> (loss, gradients)`, `gradients` like `params`.

    Returns:
      `(params, *data) -> loss`, differentiable with respect to `params` alone: the cotangents of
      `data` are not known and come back as NaN.
    """

    @jax.custom_vjp
    def loss(params: Any, *data: Any) -> jax.Array:
        return loss_and_gradients(params, *data)[0]

    def forward(params: Any, *data: Any) -> tuple[jax.Array, tuple[Any, Any]]:
        value, gradients = loss_and_gradients(params, *data)
        return value, (gradients, data)

    def backward(residual: tuple[Any, Any], dloss: jax.Array) -> tuple[Any, ...]:
        gradients, data = residual
        unknown = jax.tree.map(_nan_cotangent, data)
        return jax.tree.map(lambda g: dloss.astype(g.dtype) * g, gradients), *unknown

    loss.defvjp(forward, backward)
    return loss


def _nan_cotangent(primal: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(primal), jnp.floating):
        return jnp.full_like(primal, jnp.nan)
    return None
