"""What a model is trained on: its loss, and a penalty on its weights.

Forward  E = L(model(x), targets) + λ/(2m) Σ W²   over all parameters of rank 2 or more
Derive   The model's parameters enter both terms, so their gradients add:
  (1) ∂E/∂θ = model.backward(∂L/∂y) + λ/m W         the second for weights alone
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.regularization import weight_decay


def loss_gradients_and_deltas(
    forward: Callable[..., tuple[Any, Any]],
    backward_with_deltas: Callable[[Any, Any], tuple[Any, Any, tuple[Any, ...]]],
    params: Any,
    x: Float[Array, "..."],
    targets: Array,
    *,
    loss: op.Op,
    decay: float = 0.0,
    samples: int = 1,
    **settings: Any,
) -> tuple[Float[Array, ""], Any, tuple[Float[Array, "..."], ...]]:
    """Return the loss, its gradient with respect to `params`, and the model's deltas.

    Args:
      forward: of the model, `(params, x, **settings) -> (y, residual)`.
      backward_with_deltas: of the model, `(residual, dy) -> (dparams, dx, deltas)`.
      params: parameters of the model.
      x: input of the model.
      targets: what the loss takes as its second argument.
      loss: an op from `manual_bp.losses`, averaged over the batch.
      decay: λ of the weight decay, 0 for none; parameters of rank 1 are biases, and not decayed.
      samples: m, the number that λ is divided by.
      settings: of `forward`.
    """
    y, residual = forward(params, x, **settings)
    value, dy = loss_and_cotangent(loss, y, targets)
    gradients, _, deltas = backward_with_deltas(residual, dy)
    value, gradients = with_penalty(value, gradients, params, decay, samples)
    return value, gradients, deltas


def loss_and_cotangent(
    loss: op.Op, y: Float[Array, "..."], targets: Array
) -> tuple[Float[Array, ""], Float[Array, "..."]]:
    """Return the loss of an output, and ∂L/∂y."""
    value, residual = loss.forward(y, targets)
    dy, *_ = loss.backward(residual, jnp.ones_like(value))
    return value, dy


def with_penalty(
    value: Float[Array, ""], gradients: Any, params: Any, decay: float, samples: int
) -> tuple[Float[Array, ""], Any]:
    """Return a loss and its gradient with the weight decay added to both; λ = 0 adds nothing."""
    if decay == 0:
        return value, gradients
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    penalty, residual = weight_decay.forward(weights, decay=decay, samples=samples)
    (dweights,) = weight_decay.backward(residual, jnp.ones_like(penalty))
    left = iter(dweights)
    gradients = jax.tree.map(lambda g: g + next(left) if g.ndim > 1 else g, gradients)  # (1)
    return value + penalty, gradients
