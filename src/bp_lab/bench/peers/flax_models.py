"""The models in Flax, and our parameters under its names. Imported where Flax is installed."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

from bp_lab.bench.peers import flax_cells
from bp_lab.runs.config import Config

CLASSES = 10


class Mlp(linen.Module):
    """Dense layers with relu between them."""

    widths: Sequence[int]

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits."""
        *hidden, last = self.widths
        for width in hidden:
            x = linen.relu(linen.Dense(width)(x))
        return linen.Dense(last)(x)


class Cnn(linen.Module):
    """Convolutions with relu and pooling, then dense layers."""

    channels: Sequence[int]
    widths: Sequence[int]

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits."""
        for channels in self.channels:
            x = linen.relu(linen.Conv(channels, (3, 3))(x))
            x = linen.max_pool(x, (2, 2), (2, 2))
        return Mlp(self.widths)(x.reshape(len(x), -1))


class Unit(linen.Module):
    """A convolution without a bias, and its batch normalisation."""

    channels: int
    kernel: int = 3
    stride: int = 1

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the normalised convolution."""
        size, strides = (self.kernel, self.kernel), (self.stride, self.stride)
        x = linen.Conv(self.channels, size, strides, use_bias=False)(x)
        return linen.BatchNorm(use_running_average=False, momentum=0.9)(x)


class Resnet(linen.Module):
    """A stem, blocks of two units and a shortcut, the mean over all places, a dense layer."""

    channels: Sequence[int]
    classes: int

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits."""
        width, *widths = self.channels
        x = linen.relu(Unit(width, name="stem")(x))
        for number, width in enumerate(widths):
            stride = 2 if number else 1
            u = linen.relu(Unit(width, stride=stride, name=f"first_{number}")(x))
            u = Unit(width, name=f"second_{number}")(u)
            if number or width != x.shape[-1]:
                x = Unit(width, 1, stride, name=f"shortcut_{number}")(x)
            x = linen.relu(u + x)
        return linen.Dense(self.classes)(x.mean((1, 2)))


class Recurrent(linen.Module):
    """A recurrent layer, and a dense layer behind its last state."""

    cell: str
    hidden: int
    classes: int

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits."""
        cell = getattr(linen, flax_cells.CELLS[self.cell])(self.hidden, param_dtype=x.dtype)
        ys: Any = linen.RNN(cell)(x)
        return linen.Dense(self.classes)(ys[:, -1])


def network(config: Config) -> linen.Module:
    """Return the network of a run's settings, for ten classes."""
    match config.model:
        case "mlp":
            return Mlp((*config.hidden, CLASSES))
        case "cnn":
            return Cnn(config.channels, (*config.hidden, CLASSES))
        case "resnet":
            return Resnet((config.channels[0], *config.channels), CLASSES)
    return Recurrent(config.model, config.hidden[0], CLASSES)


def arranged(model: str, params: Any, carried: Any) -> tuple[Any, Any]:
    """Return our parameters, and what the model carries, by Flax's names."""
    match model:
        case "mlp":
            return _layers("Dense", params), {}
        case "cnn":
            convolutions = [layer for layer in params if layer.W.ndim == 4]
            dense = list(params)[len(convolutions) :]
            return {**_layers("Conv", convolutions), "Mlp_0": _layers("Dense", dense)}, {}
        case "resnet":
            return _of_resnet(params, carried)
    W, U, b, V, c = params
    cell = flax_cells.parameters(model, W, U, b)
    name = f"{flax_cells.CELLS[model]}_0"
    return {name: cell, "Dense_0": {"kernel": V, "bias": c}}, {}


def _layers(kind: str, layers: Sequence[Any]) -> dict[str, Any]:
    return {f"{kind}_{k}": {"kernel": W, "bias": b} for k, (W, b) in enumerate(layers)}


def _of_resnet(params: Any, statistics: Any) -> tuple[Any, Any]:
    units = {"stem": params.stem}
    for number, block in enumerate(params.blocks):
        named = {f"{part}_{number}": unit for part, unit in block._asdict().items()}
        units |= {name: unit for name, unit in named.items() if unit is not None}
    parameters: dict[str, Any] = {
        name: {
            "Conv_0": {"kernel": W},
            "BatchNorm_0": {"scale": scale, "bias": bias},
        }
        for name, (W, scale, bias) in units.items()
    }
    parameters["Dense_0"] = {"kernel": params.V, "bias": params.c}
    running = {
        name: {"BatchNorm_0": {"mean": _wide(mean), "var": _wide(var)}}
        for name, (mean, var) in zip(units, statistics, strict=True)
    }
    return parameters, {"batch_stats": running}


def _wide(statistic: jax.Array) -> jax.Array:
    """Return what Flax keeps in float32 at least."""
    half = jnp.finfo(statistic.dtype).bits < jnp.finfo(jnp.float32).bits
    return statistic.astype(jnp.float32 if half else statistic.dtype)
