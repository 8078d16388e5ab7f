"""Hand-written gradients inside code that differentiates by JAX."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp

from manual_bp.op import complaint

Settings = tuple[tuple[str, Any], ...]


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


def as_custom_vjp(op: Any) -> Callable[..., Any]:
    """Return an op as a function whose gradient, wherever JAX asks for it, is the hand-written.

    It goes where any other function of arrays goes: into a loss under `jax.grad`, into a layer of
    a library, under `jit`, `vmap`, `scan`, `jax.checkpoint` and `shard_map`.

        layer_norm = as_custom_vjp(manual_bp.layer_norm)
        dscale = jax.grad(lambda scale: layer_norm(x, scale, bias, epsilon=1e-6).sum())(scale)

    Args:
      op: anything with `forward(*arrays, **settings) -> (y, residual)` and
        `backward(residual, dy) -> cotangents`, one for each array.

    Returns:
      `(*arrays, **settings) -> y`; arrays are positional, settings hashable. It raises what
      `op.forward` raises, and a TypeError where a setting is not hashable.
    """

    @partial(jax.custom_vjp, nondiff_argnums=(0, 1))
    def apply(_: int, settings: Settings, *arrays: Any) -> Any:
        return op.forward(*arrays, **dict(settings))[0]

    def forward(_: int, settings: Settings, *arrays: Any) -> tuple[Any, Any]:
        return op.forward(*arrays, **dict(settings))

    def backward(count: int, _: Settings, residual: Any, dy: Any) -> tuple[Any, ...]:
        # Of an array that was left out, as a bias, an op returns the cotangent as well.
        return tuple(op.backward(residual, dy))[:count]

    apply.defvjp(forward, backward)

    @wraps(op.forward)
    def function(*arrays: Any, **settings: Any) -> Any:
        _check_hashable(settings)
        return apply(len(arrays), tuple(settings.items()), *arrays)

    return function


def _check_hashable(settings: dict[str, Any]) -> None:
    for setting, value in settings.items():
        try:
            hash(value)
        except TypeError:
            came = type(value).__name__
            expected = "a hashable setting"
            raise TypeError(complaint("as_custom_vjp", setting, expected, came)) from None


def _nan_cotangent(primal: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(primal), jnp.floating):
        return jnp.full_like(primal, jnp.nan)
    return None
