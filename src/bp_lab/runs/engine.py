"""What computes the gradients of a run: the hand-written backward, or JAX on the reference."""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import manual_bp
from bp_lab import allocator
from bp_lab.data import Dataset, Split
from bp_lab.errors import InputError
from bp_lab.runs import models
from bp_lab.runs.config import LOSSES, Config
from jax_ref import references

MOMENTUM = 0.9


def precision(dtype: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which arrays of the dtype exist."""
    return jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()


def initial(
    config: Config, features: int, classes: int, image_shape: tuple[int, int] | None = None
) -> tuple[Any, Any]:
    """Return the parameters before the first step, and what the model carries besides them."""
    init = models.table[config.model].init
    params, carried = init(config, jax.random.key(config.seed), features, classes, image_shape)
    return params, carried


def initial_state(
    config: Config, features: int, classes: int, image_shape: tuple[int, int] | None = None
) -> manual_bp.train.State:
    """Return the state before the first step; with a loss scale where the model is in float16."""
    params, carried = initial(config, features, classes, image_shape)
    scaled = config.is_mixed and config.model_dtype == "float16"
    scale = manual_bp.precision.loss_scale() if scaled else ()
    return manual_bp.train.init(params, optimizer(config), carried, scale)


def expect_memory(
    config: Config, features: int, classes: int, image_shape: tuple[int, int] | None = None
) -> None:
    """Raise an InputError where parameters and optimiser need more memory than there is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes beyond int32
        state = jax.eval_shape(lambda: initial_state(config, features, classes, image_shape))
    needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    most = allocator.bytes_in_all()
    if most is not None and needed > most:
        options = ", ".join(f"--{name}" for name in models.table[config.model].sizes)
        model = config.describe_model(features, classes, image_shape)
        expected = f"parameters and optimizer that fit into {_in_gib(most)}"
        raise InputError("train", options, expected, f"{_in_gib(needed)} for {model}")


def _in_gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"


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
    return samples(config, split.x, dataset.image_shape), jnp.asarray(targets)


def samples(config: Config, x: np.ndarray, image_shape: tuple[int, int] | None) -> jax.Array:
    """Return samples (n, features) in the dtype and shape that the model takes."""
    return jnp.asarray(models.table[config.model].shaped(x, image_shape).astype(config.dtype))


def hand_written(config: Config, *, training: bool = True) -> Callable[..., tuple[Any, ...]]:
    """Return `(params, carried, x, targets) -> (loss, gradients, deltas, carried)`, by hand."""
    _, full = models.table[config.model].passes(config)
    loss = getattr(manual_bp, LOSSES[config.loss][0])
    return partial(full, loss=loss, decay=config.weight_decay, training=training)


def reference_loss(config: Config, *, training: bool = True) -> Callable[..., tuple[Any, Any]]:
    """Return `(params, carried, x, targets, *, probes=None) -> (loss, carried)`, forward only."""
    loss = references.losses.table[LOSSES[config.loss][0]]
    reference = models.table[config.model].reference(config)
    return partial(reference, loss=loss, decay=config.weight_decay, training=training)


def loss_gradients_and_deltas(
    config: Config, *, training: bool = True
) -> Callable[..., tuple[Any, Any, Sequence[Any]]]:
    """Return `(params, carried, x, targets) -> (loss, gradients, deltas)` of the chosen engine."""
    by_hand = hand_written(config, training=training)
    if config.engine == "manual":
        return lambda *given: by_hand(*given)[:3]
    loss = reference_loss(config, training=training)

    def by_autodiff(params: Any, *data: Any) -> tuple[Any, Any, Sequence[Any]]:
        shapes = jax.eval_shape(by_hand, params, *data)[2]
        probes = [jnp.zeros(delta.shape, delta.dtype) for delta in shapes]

        def probed(params: Any, probes: Any) -> Any:
            return loss(params, *data, probes=probes)[0]

        value, (gradients, deltas) = jax.value_and_grad(probed, (0, 1))(params, probes)
        return value, gradients, deltas

    return by_autodiff


def loss_and_gradients(config: Config) -> Callable[..., tuple[Any, Any, Any]]:
    """Return `(params, carried, x, targets) -> (loss, gradients, carried)` of the chosen engine."""
    if config.engine == "autodiff":
        differentiated = jax.value_and_grad(reference_loss(config), has_aux=True)

        def by_autodiff(*given: Any) -> tuple[Any, Any, Any]:
            (value, carried), gradients = differentiated(*given)
            return value, gradients, carried

        return by_autodiff
    full = hand_written(config)

    def by_hand(*given: Any, **dloss: Any) -> tuple[Any, Any, Any]:
        value, gradients, _, carried = full(*given, **dloss)
        return value, gradients, carried

    if not config.is_mixed:
        return by_hand
    return manual_bp.precision.mixed(by_hand, config.model_dtype, stateful=True)


def scores(config: Config) -> Callable[[Any, Any, Any], Any]:
    """Return `(params, carried, x) -> outputs of the last layer`, by the hand-written forward."""
    scores, _ = models.table[config.model].passes(config)
    return scores


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
