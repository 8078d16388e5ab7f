"""What computes the gradients of a run: the hand-written backward, or JAX on the reference."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import manual_bp
from bp_lab.data import Dataset, Split
from bp_lab.runs.config import LOSSES, Config
from jax_ref import references
from manual_bp import mlp

MOMENTUM = 0.9


def precision(dtype: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which arrays of the dtype exist."""
    return jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()


def params(config: Config, features: int, classes: int) -> mlp.Params:
    """Return the parameters before the first step: the same for both engines."""
    return mlp.init(
        jax.random.key(config.seed),
        config.widths(features, classes),
        initialiser=manual_bp.init.table[config.initialiser],
        dtype=jnp.dtype(config.dtype),
    )


def optimizer(config: Config) -> optax.GradientTransformation:
    """Return the optimiser of the run."""
    assert config.learning_rate is not None
    rate = config.learning_rate
    if config.optimizer == "momentum":
        return optax.sgd(rate, momentum=MOMENTUM)
    if config.optimizer == "adam":
        # The usual 1e-8 is 0 in float16, and Adam would divide 0 by 0.
        return optax.adam(rate, eps=1e-4 if config.dtype == "float16" else 1e-8)
    return {"sgd": optax.sgd, "lbfgs": optax.lbfgs}[config.optimizer](rate)


def data(config: Config, dataset: Dataset, split: Split) -> tuple[jax.Array, jax.Array]:
    """Return samples and targets in the dtype and form that the loss takes."""
    targets = split.y
    if LOSSES[config.loss][2] == "one-hot":
        targets = np.eye(dataset.classes)[split.y].astype(config.dtype)
    return jnp.asarray(split.x.astype(config.dtype)), jnp.asarray(targets)


def hand_written(config: Config) -> Callable[..., tuple[Any, Any, Sequence[Any]]]:
    """Return `(params, x, targets) -> (loss, gradients, deltas)`, derived by hand."""
    loss, last, _ = LOSSES[config.loss]
    return partial(
        mlp.loss_gradients_and_deltas,
        loss=getattr(manual_bp, loss),
        activation=manual_bp.activations.table[config.activation],
        output_activation=manual_bp.activations.table[last],
        decay=config.weight_decay,
    )


def reference_loss(config: Config) -> Callable[..., Any]:
    """Return `(params, x, targets, *, probes=None) -> loss` of the same network, forward only."""
    loss, last, _ = LOSSES[config.loss]
    return partial(
        references.models.mlp_loss,
        loss=references.losses.table[loss],
        activation=references.activations.table[config.activation],
        output_activation=references.activations.table[last],
        decay=config.weight_decay,
    )


def loss_gradients_and_deltas(config: Config) -> Callable[..., tuple[Any, Any, Sequence[Any]]]:
    """Return `(params, x, targets) -> (loss, gradients, deltas)` of the chosen engine."""
    if config.engine == "manual":
        return hand_written(config)
    loss = reference_loss(config)

    def by_autodiff(params: Any, x: Any, targets: Any) -> tuple[Any, Any, Sequence[Any]]:
        probes = [jnp.zeros((*x.shape[:-1], layer.b.size), x.dtype) for layer in params]

        def probed(params: Any, probes: Any) -> Any:
            return loss(params, x, targets, probes=probes)

        value, (gradients, deltas) = jax.value_and_grad(probed, (0, 1))(params, probes)
        return value, gradients, deltas

    return by_autodiff


def loss_and_gradients(config: Config) -> Callable[..., tuple[Any, Any]]:
    """Return `(params, x, targets) -> (loss, gradients)` of the chosen engine."""
    if config.engine == "autodiff":
        return jax.value_and_grad(reference_loss(config))
    full = hand_written(config)
    return lambda params, *batch: full(params, *batch)[:2]


def scores(config: Config) -> Callable[[Any, Any], Any]:
    """Return `(params, x) -> outputs of the last layer`, by the hand-written forward."""
    last = LOSSES[config.loss][1]
    return lambda params, x: mlp.forward(
        params,
        x,
        activation=manual_bp.activations.table[config.activation],
        output_activation=manual_bp.activations.table[last],
    )[0]


def probabilities(config: Config, outputs: Any) -> Any:
    """Return the confidence in each class, in float32, rows summing to 1.

    Independent logistic outputs are scaled to the sum 1.
    """
    outputs = outputs.astype(jnp.float32)
    if config.loss.startswith("softmax"):
        return manual_bp.softmax.forward(outputs)[0]
    each = outputs if LOSSES[config.loss][1] == "sigmoid" else manual_bp.sigmoid.forward(outputs)[0]
    each = each + jnp.finfo(jnp.float32).tiny
    return each / each.sum(-1, keepdims=True)
