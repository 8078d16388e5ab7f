"""The models that a run can train: their parameters, their passes and their references."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref import references
from manual_bp import cnn, mlp, recurrent

if TYPE_CHECKING:
    from bp_lab.runs.config import Config

ImageShape = tuple[int, int] | None


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
      hidden: widths of its dense or recurrent layers, unless others are asked for.
      activations: names of those that it can have, the first by default; none for all, and relu.
      initialiser: name of its initialiser, unless another is asked for.
      reads_images: whether samples are (rows, columns) and not vectors.
      single: whether it has one hidden layer.
      adam: step size of Adam, unless another is asked for.
      init: `(config, key, features, classes, image_shape) -> params`.
      passes: `(config) -> (forward, loss_gradients_and_deltas)`, by hand.
      reference: `(config) -> loss(params, x, targets, *, loss, decay, probes)`.
      outline: `(config, features, classes, image_shape) -> sizes in words`.
    """

    hidden: tuple[int, ...]
    activations: tuple[str, ...]
    initialiser: str
    reads_images: bool
    single: bool
    adam: float
    init: Callable[..., Any]
    passes: Callable[..., tuple[Callable[..., Any], Callable[..., Any]]]
    reference: Callable[..., Callable[..., Any]]
    outline: Callable[..., str]

    def shaped(self, x: np.ndarray, image_shape: ImageShape) -> np.ndarray:
        """Return samples (n, features) as the model takes them."""
        if not self.reads_images:
            return x
        assert image_shape is not None
        channels = (1,) if self is table["cnn"] else ()
        return x.reshape(len(x), *image_shape, *channels)


def _initialiser(config: "Config") -> Any:
    return manual_bp.init.table[config.initialiser]


def _words(*widths: int) -> str:
    return "-".join(map(str, widths))


def _mlp_init(
    config: "Config", key: jax.Array, features: int, classes: int, _: ImageShape
) -> mlp.Params:
    widths = config.widths(features, classes)
    return mlp.init(key, widths, initialiser=_initialiser(config), dtype=jnp.dtype(config.dtype))


def _mlp_settings(config: "Config", table: Mapping[str, Any]) -> dict[str, Any]:
    last = config.output_activation
    return {"activation": table[config.activation], "output_activation": table[last]}


def _mlp_passes(config: "Config") -> tuple[Callable[..., Any], Callable[..., Any]]:
    settings = _mlp_settings(config, manual_bp.activations.table)
    return partial(mlp.forward, **settings), partial(mlp.loss_gradients_and_deltas, **settings)


def _mlp_reference(config: "Config") -> Callable[..., Any]:
    settings = _mlp_settings(config, references.activations.table)
    return partial(references.models.mlp_loss, **settings)


def _mlp_outline(config: "Config", features: int, classes: int, _: ImageShape) -> str:
    return f"{_words(*config.widths(features, classes))} {config.activation}"


def _cnn_init(
    config: "Config", key: jax.Array, _: int, classes: int, image_shape: ImageShape
) -> mlp.Params:
    assert image_shape is not None
    return cnn.init(
        key,
        image_shape,
        (1, *config.channels),
        (*config.hidden, classes),
        initialiser=_initialiser(config),
        dtype=jnp.dtype(config.dtype),
    )


def _cnn_passes(config: "Config") -> tuple[Callable[..., Any], Callable[..., Any]]:
    f = manual_bp.activations.table[config.activation]
    return partial(cnn.forward, activation=f), partial(cnn.loss_gradients_and_deltas, activation=f)


def _cnn_reference(config: "Config") -> Callable[..., Any]:
    f = references.activations.table[config.activation]
    return partial(references.models.cnn_loss, activation=f)


def _cnn_outline(config: "Config", _: int, classes: int, image_shape: ImageShape) -> str:
    assert image_shape is not None
    rows, columns = image_shape
    widths = _words(*config.hidden, classes)
    return f"{rows}x{columns} {_words(1, *config.channels)} {widths} {config.activation}"


def _cell_settings(config: "Config") -> dict[str, Any]:
    return {"activation": config.activation} if config.model == "rnn" else {}


def _recurrent_init(
    config: "Config", key: jax.Array, _: int, classes: int, image_shape: ImageShape
) -> recurrent.Params:
    assert image_shape is not None
    return recurrent.init(
        key,
        image_shape[1],
        config.hidden[0],
        classes,
        cell=getattr(manual_bp, config.model),
        initialiser=_initialiser(config),
        dtype=jnp.dtype(config.dtype),
    )


def _recurrent_passes(config: "Config") -> tuple[Callable[..., Any], Callable[..., Any]]:
    settings = {"cell": getattr(manual_bp, config.model), **_cell_settings(config)}
    return (
        partial(recurrent.forward, **settings),
        partial(recurrent.loss_gradients_and_deltas, **settings),
    )


def _recurrent_reference(config: "Config") -> Callable[..., Any]:
    cell = getattr(references.recurrence, config.model)
    return partial(references.models.recurrent_loss, cell=cell, **_cell_settings(config))


def _recurrent_outline(config: "Config", _: int, classes: int, image_shape: ImageShape) -> str:
    assert image_shape is not None
    rows, columns = image_shape
    return f"{rows} steps of {_words(columns, *config.hidden, classes)} {config.activation}"


_RECURRENT = (_recurrent_init, _recurrent_passes, _recurrent_reference, _recurrent_outline)

table: Mapping[str, Kind] = MappingProxyType(
    {
        "mlp": Kind(
            *((512, 256), (), "he_normal", False, False, 0.001),
            *(_mlp_init, _mlp_passes, _mlp_reference, _mlp_outline),
        ),
        "cnn": Kind(
            *((128,), (), "he_normal", True, False, 0.001),
            *(_cnn_init, _cnn_passes, _cnn_reference, _cnn_outline),
        ),
        "rnn": Kind((128,), ("tanh", "relu"), "xavier_normal", True, True, 0.005, *_RECURRENT),
        "lstm": Kind((128,), ("tanh",), "xavier_normal", True, True, 0.005, *_RECURRENT),
        "gru": Kind((128,), ("tanh",), "xavier_normal", True, True, 0.005, *_RECURRENT),
    }
)
