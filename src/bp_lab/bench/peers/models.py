"""The models as a user of JAX would write them: by `jax.nn` and `lax`, and by Flax."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from bp_lab.bench.peers import convolution, normalization, pooling, recurrence
from bp_lab.runs.config import Config

Loss = Callable[[Any, Any, Any, Any], tuple[jax.Array, Any]]


def _as_they_are(params: Any, carried: Any) -> tuple[Any, Any]:
    """Return both."""
    return params, carried


@dataclass(frozen=True)
class Form:
    """A network as a user would write it.

    Attributes:
      name: what it is written with.
      loss: `(config) -> loss`, with `loss(params, carried, x, labels) -> (loss, carried)`.
      arrange: `(params, carried)` of ours as it takes them.
      library: what must be installed besides JAX and Optax; None for nothing.
    """

    name: str
    loss: Callable[[Config], Loss]
    arrange: Callable[[Any, Any], tuple[Any, Any]] = _as_they_are
    library: str | None = None

    @property
    def installed(self) -> bool:
        """Whether what it is written with is there."""
        return self.library is None or importlib.util.find_spec(self.library) is not None


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return Optax's cross-entropy, averaged over the batch."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def mlp(params: Any, x: jax.Array) -> jax.Array:
    """Return the logits of a multilayer perceptron."""
    *hidden, last = params
    for W, b in hidden:
        x = jax.nn.relu(x @ W + b)
    return x @ last.W + last.b


def cnn(params: Any, x: jax.Array) -> jax.Array:
    """Return the logits of a convolutional network."""
    layers = list(params)
    while layers[0].W.ndim == 4:
        W, b = layers.pop(0)
        x = pooling.max_pool(jax.nn.relu(convolution.conv(x, W, b)), window=(2, 2))
    return mlp(layers, x.reshape(len(x), -1))


def resnet(params: Any, statistics: Any, x: jax.Array) -> tuple[jax.Array, Any]:
    """Return the logits of a residual network, and the new running statistics."""
    left, renewed = iter(statistics), []

    def unit(parameters: Any, x: jax.Array, stride: int = 1) -> jax.Array:
        W, scale, bias = parameters
        u = lax.conv_general_dilated(
            x, W, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        before = next(left)
        u, *after = normalization.batch_norm(u, scale, bias, *before, training=True)
        renewed.append(type(before)(*after))
        return u

    x = jax.nn.relu(unit(params.stem, x))
    for number, (first, second, shortcut) in enumerate(params.blocks):
        stride = 2 if number else 1
        u = unit(second, jax.nn.relu(unit(first, x, stride)))
        x = jax.nn.relu(u + (x if shortcut is None else unit(shortcut, x, stride)))
    return x.mean((1, 2)) @ params.V + params.c, tuple(renewed)


def recurrent(config: Config, params: Any, x: jax.Array) -> jax.Array:
    """Return the logits that the last state of a recurrent layer gives."""
    W, U, b, V, c = params
    zero = jnp.zeros((len(x), len(U)), x.dtype)
    states = (zero, zero) if config.model == "lstm" else (zero,)
    layer = getattr(recurrence, config.model)
    settings = {"activation": config.activation} if config.model == "rnn" else {}
    _, h, *_ = layer(x, *states, W, U, b, **settings)
    return h @ V + c


def _of_logits(logits: Callable[[Config, Any, Any], jax.Array]) -> Callable[[Config], Loss]:
    """Return the loss of a network that carries nothing."""

    def of_config(config: Config) -> Loss:
        return lambda params, carried, x, labels: (
            cross_entropy(logits(config, params, x), labels),
            carried,
        )

    return of_config


def _resnet_loss(_config: Config) -> Loss:
    def loss(params: Any, carried: Any, x: Any, labels: Any) -> tuple[jax.Array, Any]:
        logits, carried = resnet(params, carried, x)
        return cross_entropy(logits, labels), carried

    return loss


def _flax_loss(config: Config) -> Loss:
    from bp_lab.bench.peers import flax_models

    module = flax_models.network(config)

    def loss(params: Any, carried: Any, x: Any, labels: Any) -> tuple[jax.Array, Any]:
        variables = {"params": params, **carried}
        logits, carried = module.apply(variables, x, mutable=list(carried))
        return cross_entropy(logits, labels), carried

    return loss


def _flax(model: str) -> Form:
    def arrange(params: Any, carried: Any) -> tuple[Any, Any]:
        from bp_lab.bench.peers import flax_models

        return flax_models.arranged(model, params, carried)

    return Form("flax", _flax_loss, arrange, library="flax")


table: Mapping[str, tuple[Form, ...]] = {
    "mlp": (Form("jax.nn", _of_logits(lambda _, *given: mlp(*given))), _flax("mlp")),
    "cnn": (Form("lax", _of_logits(lambda _, *given: cnn(*given))), _flax("cnn")),
    "resnet": (Form("lax", _resnet_loss), _flax("resnet")),
    **{
        cell: (Form("lax.scan", _of_logits(recurrent)), _flax(cell))
        for cell in ("rnn", "lstm", "gru")
    },
}
