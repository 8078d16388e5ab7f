"""The multilayer perceptron.

Shapes   x⁰: (*batch, n₀)   Wˡ: (nₗ₋₁, nₗ)   bˡ: (nₗ,)   uˡ, xˡ, δˡ: (*batch, nₗ)
Forward  uˡ = xˡ⁻¹ Wˡ + bˡ,   xˡ = f(uˡ),   l = 1 … L;   the last f may be another (identity where
         the loss works on logits)
Derive   Let δˡ = ∂L/∂uˡ, the sensitivity of the loss to the pre-activation. By `activations` (1)
         and `linear` (1),
           ∂L/∂xˡ = δˡ⁺¹ (Wˡ⁺¹)ᵀ,   δˡ = ∂L/∂xˡ ⊙ f'(uˡ)
  (1) δᴸ = dy ⊙ f'(uᴸ)
  (2) δˡ = δˡ⁺¹ (Wˡ⁺¹)ᵀ ⊙ f'(uˡ)                      in column form (Wˡ⁺¹)ᵀ δˡ⁺¹ ⊙ f'(uˡ)
  (3) dWˡ = (xˡ⁻¹)ᵀ δˡ,   dbˡ = Σ_batch δˡ
         It is a `chain` of linear, f, linear, f …; δˡ is the cotangent that reaches linear l.
Decay    `loss_and_gradients` can add λ/2 Σ W² (or λ/(2m) Σ W² with m the batch) over the weights.
Saved    xˡ⁻¹ and Wˡ, and what f keeps: both are computed in the forward pass, never again.
Kinks    those of f.
Source   Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors"
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from manual_bp import init as initialisers
from manual_bp import op
from manual_bp.activations import identity, relu
from manual_bp.dense import linear
from manual_bp.models import chain, objective


class Layer(NamedTuple):
    """The parameters of one layer."""

    W: Float[Array, "n m"]
    b: Float[Array, " m"]


Params = tuple[Layer, ...]
Deltas = tuple[Float[Array, "..."], ...]


def init(
    key: Key[Array, ""],
    widths: Sequence[int],
    *,
    initialiser: initialisers.Initialiser = initialisers.he_normal,
    dtype: Any = jnp.float32,
) -> Params:
    """Return the parameters of a network: weights by `initialiser`, biases 0.

    Args:
      key: a key of `jax.random`.
      widths: n₀ … n_L, from the input's to the output's: at least two, each at least 1.
      initialiser: one of `manual_bp.init`.
      dtype: of all parameters.

    Raises:
      ValueError: fewer than two widths, or one below 1.
    """
    if len(widths) < 2 or min(widths) < 1:
        expected = "at least two widths, each at least 1"
        raise ValueError(op.complaint("mlp.init", "widths", expected, list(widths)))
    keys = jax.random.split(key, len(widths) - 1)
    return tuple(
        Layer(initialiser(key, (n, m), dtype), jnp.zeros((m,), dtype))
        for key, n, m in zip(keys, widths[:-1], widths[1:], strict=True)
    )


def _stages(depth: int, activation: op.Op, output_activation: op.Op) -> tuple[chain.Stage, ...]:
    f = (*(activation,) * (depth - 1), output_activation)
    return tuple(stage for fl in f for stage in (chain.Stage(linear), chain.Stage(fl)))


def forward(
    params: Params,
    x: Float[Array, "*batch n"],
    *,
    activation: op.Op = relu,
    output_activation: op.Op = identity,
) -> tuple[Float[Array, "*batch m"], chain.Residual]:
    """Return the network's output and the residual.

    Args:
      params: the layers.
      x: inputs, (*batch, n₀).
      activation: f of the hidden layers; an op from `manual_bp.activations`.
      output_activation: f of the last layer.

    Raises:
      ValueError: there is no layer, or shapes do not fit.
      TypeError: `x` is not floating, or its dtype is not that of the parameters.
    """
    if not params:
        raise ValueError(op.complaint("mlp", "params", "at least one layer", "none"))
    layers = [parameters for layer in params for parameters in (tuple(layer), ())]
    return chain.forward(layers, x, stages=_stages(len(params), activation, output_activation))


def backward(
    residual: chain.Residual, dy: Float[Array, "*batch m"]
) -> tuple[Params, Float[Array, "*batch n"]]:
    """Return (dparams, dx), `dparams` of the same type as `params`."""
    dparams, dx, _ = backward_with_deltas(residual, dy)
    return dparams, dx


def backward_with_deltas(
    residual: chain.Residual, dy: Float[Array, "*batch m"]
) -> tuple[Params, Float[Array, "*batch n"], Deltas]:
    """Return (dparams, dx, deltas) with δˡ = ∂L/∂uˡ of every layer, (*batch, nₗ)."""
    dparameters, dx, cotangents = chain.backward_with_cotangents(residual, dy)  # (1)–(3)
    return tuple(Layer(*layer) for layer in dparameters[::2]), dx, cotangents[::2]


def loss_and_gradients(
    params: Params, x: Float[Array, "*batch n"], targets: Array, **settings: Any
) -> tuple[Float[Array, ""], Params]:
    """Return the loss and its gradient with respect to `params`.

    Takes the arguments of `loss_gradients_and_deltas`.
    """
    loss, gradients, _ = loss_gradients_and_deltas(params, x, targets, **settings)
    return loss, gradients


def loss_gradients_and_deltas(
    params: Params,
    x: Float[Array, "*batch n"],
    targets: Array,
    *,
    loss: op.Op,
    activation: op.Op = relu,
    output_activation: op.Op = identity,
    decay: float = 0.0,
    decay_per_sample: bool = False,
    dloss: Float[Array, ""] | None = None,
) -> tuple[Float[Array, ""], Params, Deltas]:
    """Return the loss, its gradient with respect to `params`, and δˡ of every layer.

    Args:
      params: the layers.
      x: inputs, (*batch, n₀).
      targets: what the loss takes as its second argument.
      loss: an op from `manual_bp.losses`, averaged over the batch.
      activation: f of the hidden layers.
      output_activation: f of the last layer.
      decay: λ of the weight decay, 0 for none; biases are not decayed.
      decay_per_sample: divide λ by the number of samples in the batch.
      dloss: cotangent of the loss, as of `objective`.
    """
    return objective.loss_gradients_and_deltas(
        forward,
        backward_with_deltas,
        params,
        x,
        targets,
        loss=loss,
        decay=decay,
        samples=math.prod(x.shape[:-1]) if decay_per_sample else 1,
        dloss=dloss,
        activation=activation,
        output_activation=output_activation,
    )
