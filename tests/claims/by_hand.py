"""`manual_bp` as the claims need it: column-form networks in and out, and plain descent."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from written_out import Network

from manual_bp import mlp, train


def arrays(tree: Any) -> Any:
    """Return the tree with its leaves as JAX arrays."""
    return jax.tree.map(jnp.asarray, tree)


def rows(network: Network) -> mlp.Params:
    """Return the parameters of the row form, u = x W + b."""
    return tuple(mlp.Layer(jnp.asarray(W.T), jnp.asarray(b)) for W, b in network)


def columns(params: mlp.Params) -> Network:
    """Return parameters or gradients of the row form as those of the column form."""
    return [(np.asarray(W).T, np.asarray(b)) for W, b in params]


def descend(
    loss_and_gradients: Callable[..., tuple[Any, Any]],
    params: Any,
    *data: jax.Array,
    rate: float,
    steps: int,
) -> tuple[Any, np.ndarray]:
    """Return the parameters after full-batch gradient descent, and the loss before every step."""
    step = train.make_step(loss_and_gradients, optax.sgd(rate))
    state = train.init(params, optax.sgd(rate))
    run = jax.jit(lambda s: jax.lax.scan(lambda s, _: step(s, data), s, None, length=steps))
    state, losses = run(state)
    return state.params, np.asarray(losses)
