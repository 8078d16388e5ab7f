"""Reference models, with a place for a zero probe on every pre-activation.

A probe is added to a pre-activation u. Where it is zero the model is unchanged, and its gradient is
∂L/∂u = δ: so JAX delivers every layer's δ to be compared.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jax_ref.references.activations import identity, relu
from jax_ref.references.regularization import weight_decay

Function = Callable[..., Array]


def chain(
    parameters: Sequence[tuple[Any, ...]],
    x: Float[Array, "..."],
    *,
    stages: Sequence[Function],
) -> Float[Array, "..."]:
    """Return the stages applied one after the other, each to its parameters."""
    for stage, theta in zip(stages, parameters, strict=True):
        x = stage(x, *theta)
    return x


def mlp(
    params: Sequence[Any],
    x: Float[Array, "*batch n"],
    *,
    activation: Function = relu,
    output_activation: Function = identity,
    probes: Sequence[Array] | None = None,
) -> Float[Array, "*batch m"]:
    """Return the output of a multilayer perceptron; `params` is a sequence of pairs (W, b)."""
    for layer, (W, b) in enumerate(params):
        u = jnp.dot(x, W)
        u = u + jnp.broadcast_to(b, u.shape)
        if probes is not None:
            if probes[layer].shape != u.shape:
                raise ValueError(f"probe {layer} has shape {probes[layer].shape}, u {u.shape}")
            u = u + probes[layer]
        x = (activation if layer < len(params) - 1 else output_activation)(u)
    return x


def mlp_loss(
    params: Sequence[Any],
    x: Float[Array, "*batch n"],
    targets: Array,
    *,
    loss: Function,
    activation: Function = relu,
    output_activation: Function = identity,
    decay: float = 0.0,
    decay_per_sample: bool = False,
    probes: Sequence[Array] | None = None,
) -> Float[Array, ""]:
    """Return the loss of a multilayer perceptron with weight decay, averaged over the batch."""
    y = mlp(params, x, activation=activation, output_activation=output_activation, probes=probes)
    value = loss(y, targets)
    if decay:
        samples = x[..., 0].size if decay_per_sample else 1
        value = value + weight_decay([W for W, _ in params], decay=decay, samples=samples)
    return value
