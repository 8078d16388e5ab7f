"""What a model is trained on: its loss, and a penalty on its weights.

Forward  E = L(model(x), targets) + λ/(2m) Σ W²   over all parameters of rank 2 or more
Derive   The backward starts at the end: with dE the cotangent of E, 1 where E is all there is,
  (1) dL = dE,   dy = what L returns for dL
         The model's parameters enter both terms, so their cotangents add:
  (2) dθ = model.backward(dy) + dE λ/m W            the second for weights alone
         Every line is linear in the cotangents, so that dE = s makes all of them s times as large,
         and E itself stays what it is: `loss_scale` keeps those of float16 from vanishing by it.
Half     A dE of a wider dtype than the model's makes E and the sum (2) of that dtype: the output is
         widened for L, and dy is rounded once, where it enters the model.
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
    dloss: Float[Array, ""] | None = None,
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
      dloss: dE, of the dtype in which the loss and the gradient are returned; None for 1, and the
        dtype of the model. Gradient and deltas are that many times as large.
      settings: of `forward`.
    """
    y, residual = forward(params, x, **settings)
    value, dy = loss_and_cotangent(loss, y, targets, dloss=dloss)
    gradients, _, deltas = backward_with_deltas(residual, dy)
    value, gradients = with_penalty(value, gradients, params, decay, samples, dloss)
    return value, gradients, deltas


def loss_and_cotangent(
    loss: op.Op, y: Float[Array, "..."], *targets: Array, dloss: Float[Array, ""] | None = None
) -> tuple[Float[Array, ""], Float[Array, "..."]]:
    """Return the loss of an output, in the dtype of `dloss`, and ∂L/∂y times `dloss`."""
    value, residual = loss.forward(y if dloss is None else y.astype(dloss.dtype), *targets)
    dvalue = jnp.ones_like(value) if dloss is None else dloss
    dy, *_ = loss.backward(residual, dvalue)  # (1)
    return value, dy.astype(y.dtype)


def with_penalty(
    value: Float[Array, ""],
    gradients: Any,
    params: Any,
    decay: float,
    samples: int,
    dloss: Float[Array, ""] | None = None,
) -> tuple[Float[Array, ""], Any]:
    """Return a loss and its gradient with the weight decay added to both; λ = 0 adds nothing."""
    if dloss is not None:
        gradients, params = op.in_dtype((gradients, params), dloss.dtype)
    if decay == 0:
        return value, gradients
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    penalty, residual = weight_decay.forward(weights, decay=decay, samples=samples)
    (dweights,) = weight_decay.backward(
        residual, jnp.ones_like(penalty) if dloss is None else dloss
    )
    left = iter(dweights)
    gradients = jax.tree.map(lambda g: g + next(left) if g.ndim > 1 else g, gradients)  # (2)
    return value + penalty, gradients
