"""The models that a run can train: their parameters, their passes and their references.

What a model carries besides its parameters, as the running statistics of a residual network, goes
through every function as `carried`; it is () for the others.
"""

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
from manual_bp import cnn, mlp, recurrent, resnet

if TYPE_CHECKING:
    from bp_lab.runs.config import Config

ImageShape = tuple[int, int] | None


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
      hidden: widths of its dense or recurrent layers, unless others are asked for.
      layers: how many of them it must have; None for any number.
      activations: names of those that it can have, the first by default; none for all, and relu.
      initialiser: name of its initialiser, unless another is asked for.
      reads_images: whether samples are (rows, columns) and not vectors.
      halvings: `(channels) -> how often it halves an image`; None where it reads no image at once.
      adam: step size of Adam, unless another is asked for.
      decay: λ of its weight decay, unless another is asked for.
      init: `(config, key, features, classes, image_shape) -> (params, carried)`.
      passes: `(config) -> (scores, full)` by hand: `scores(params, carried, x) -> y` as it is used,
        and `full(params, carried, x, targets, *, loss, decay, training)
        -> (loss, gradients, deltas, carried)`.
      reference: `(config) -> loss(params, carried, x, targets, *, loss, decay, training, probes)
        -> (loss, carried)`.
      outline: `(config, features, classes, image_shape) -> sizes in words`.
    """

    hidden: tuple[int, ...]
    layers: int | None
    activations: tuple[str, ...]
    initialiser: str
    reads_images: bool
    halvings: Callable[[tuple[int, ...]], int] | None
    adam: float
    decay: float
    init: Callable[..., Any]
    passes: Callable[..., tuple[Callable[..., Any], Callable[..., Any]]]
    reference: Callable[..., Callable[..., Any]]
    outline: Callable[..., str]

    @property
    def sizes(self) -> tuple[str, ...]:
        """The settings that say how large it is."""
        has = {"hidden": self.layers != 0, "channels": self.halvings is not None}
        return tuple(name for name, chosen in has.items() if chosen)

    def shaped(self, x: np.ndarray, image_shape: ImageShape) -> np.ndarray:
        """Return samples (n, features) as the model takes them."""
        if not self.reads_images:
            return x
        assert image_shape is not None
        channels = () if self.halvings is None else (1,)
        return x.reshape(len(x), *image_shape, *channels)


def _without_state(
    forward: Callable[..., Any], full: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the passes of a model that carries nothing and does not know of training."""

    def scores(params: Any, _: Any, x: Any) -> Any:
        return forward(params, x)[0]

    def carrying(params: Any, carried: Any, *batch: Any, training: bool, **settings: Any) -> Any:
        del training
        return *full(params, *batch, **settings), carried

    return scores, carrying


def _reference_without_state(loss: Callable[..., Any]) -> Callable[..., Any]:
    def carrying(params: Any, carried: Any, *batch: Any, training: bool, **settings: Any) -> Any:
        del training
        return loss(params, *batch, **settings), carried

    return carrying


def _initialiser(config: "Config") -> Any:
    return manual_bp.init.table[config.initialiser]


def _words(*widths: int) -> str:
    return "-".join(map(str, widths))


def _mlp_init(
    config: "Config", key: jax.Array, features: int, classes: int, _: ImageShape
) -> tuple[Any, tuple[()]]:
    widths = config.widths(features, classes)
    initialiser, dtype = _initialiser(config), jnp.dtype(config.dtype)
    return mlp.init(key, widths, initialiser=initialiser, dtype=dtype), ()


def _mlp_settings(config: "Config", table: Mapping[str, Any]) -> dict[str, Any]:
    last = config.output_activation
    return {"activation": table[config.activation], "output_activation": table[last]}


def _mlp_passes(config: "Config") -> tuple[Callable[..., Any], Callable[..., Any]]:
    settings = _mlp_settings(config, manual_bp.activations.table)
    full = partial(mlp.loss_gradients_and_deltas, **settings)
    return _without_state(partial(mlp.forward, **settings), full)


def _mlp_reference(config: "Config") -> Callable[..., Any]:
    settings = _mlp_settings(config, references.activations.table)
    return _reference_without_state(partial(references.models.mlp_loss, **settings))


def _mlp_outline(config: "Config", features: int, classes: int, _: ImageShape) -> str:
    return f"{_words(*config.widths(features, classes))} {config.activation}"


def _cnn_init(
    config: "Config", key: jax.Array, _: int, classes: int, image_shape: ImageShape
) -> tuple[Any, tuple[()]]:
    assert image_shape is not None
    params = cnn.init(
        key,
        image_shape,
        (1, *config.channels),
        (*config.hidden, classes),
        initialiser=_initialiser(config),
        dtype=jnp.dtype(config.dtype),
    )
    return params, ()


def _cnn_passes(config: "Config") -> tuple[Callable[..., Any], Callable[..., Any]]:
    f = manual_bp.activations.table[config.activation]
    full = partial(cnn.loss_gradients_and_deltas, activation=f)
    return _without_state(partial(cnn.forward, activation=f), full)


def _cnn_reference(config: "Config") -> Callable[..., Any]:
    f = references.activations.table[config.activation]
    return _reference_without_state(partial(references.models.cnn_loss, activation=f))


def _cnn_outline(config: "Config", _: int, classes: int, image_shape: ImageShape) -> str:
    assert image_shape is not None
    rows, columns = image_shape
    widths = _words(*config.hidden, classes)
    return f"{rows}x{columns} {_words(1, *config.channels)} {widths} {config.activation}"


def _resnet_init(
    config: "Config", key: jax.Array, _: int, classes: int, image_shape: ImageShape
) -> tuple[resnet.Params, resnet.Statistics]:
    del image_shape
    channels = (1, config.channels[0], *config.channels)
    initialiser, dtype = _initialiser(config), jnp.dtype(config.dtype)
    return resnet.init(key, channels, classes, initialiser=initialiser, dtype=dtype)


def _resnet_passes(config: "Config") -> tuple[Callable[..., Any], Callable[..., Any]]:
    f = manual_bp.activations.table[config.activation]

    def scores(params: Any, statistics: Any, x: Any) -> Any:
        return resnet.forward(params, x, statistics, activation=f, training=False)[0][0]

    def full(params: Any, statistics: Any, x: Any, targets: Any, **settings: Any) -> Any:
        settings["activation"] = f
        return resnet.loss_gradients_deltas_and_statistics(
            params, x, targets, statistics, **settings
        )

    return scores, full


def _resnet_reference(config: "Config") -> Callable[..., Any]:
    f = references.activations.table[config.activation]

    def loss(params: Any, statistics: Any, x: Any, targets: Any, **settings: Any) -> Any:
        settings["activation"] = f
        return references.models.resnet_loss(params, x, targets, statistics, **settings)

    return loss


def _resnet_outline(config: "Config", _: int, classes: int, image_shape: ImageShape) -> str:
    assert image_shape is not None
    rows, columns = image_shape
    return f"{rows}x{columns} {_words(1, *config.channels, classes)} {config.activation}"


def _cell_settings(config: "Config") -> dict[str, Any]:
    return {"activation": config.activation} if config.model == "rnn" else {}


def _recurrent_init(
    config: "Config", key: jax.Array, _: int, classes: int, image_shape: ImageShape
) -> tuple[Any, tuple[()]]:
    assert image_shape is not None
    params = recurrent.init(
        key,
        image_shape[1],
        config.hidden[0],
        classes,
        cell=getattr(manual_bp, config.model),
        initialiser=_initialiser(config),
        dtype=jnp.dtype(config.dtype),
    )
    return params, ()


def _recurrent_passes(config: "Config") -> tuple[Callable[..., Any], Callable[..., Any]]:
    settings = {"cell": getattr(manual_bp, config.model), **_cell_settings(config)}
    return _without_state(
        partial(recurrent.forward, **settings),
        partial(recurrent.loss_gradients_and_deltas, **settings),
    )


def _recurrent_reference(config: "Config") -> Callable[..., Any]:
    cell = getattr(references.recurrence, config.model)
    loss = partial(references.models.recurrent_loss, cell=cell, **_cell_settings(config))
    return _reference_without_state(loss)


def _recurrent_outline(config: "Config", _: int, classes: int, image_shape: ImageShape) -> str:
    assert image_shape is not None
    rows, columns = image_shape
    return f"{rows} steps of {_words(columns, *config.hidden, classes)} {config.activation}"


def _cell(*activations: str) -> Kind:
    # However small the gradient of a decay is, Adam's steps are as large: late in a training, when
    # the loss has hardly any, that of a cell would jump.
    return Kind(
        *((128,), 1, activations, "xavier_normal", True, None, 0.005, 0.0),
        *(_recurrent_init, _recurrent_passes, _recurrent_reference, _recurrent_outline),
    )


table: Mapping[str, Kind] = MappingProxyType(
    {
        "mlp": Kind(
            *((512, 256), None, (), "he_normal", False, None, 0.001, 1e-4),
            *(_mlp_init, _mlp_passes, _mlp_reference, _mlp_outline),
        ),
        "cnn": Kind(
            *((128,), None, (), "he_normal", True, len, 0.001, 1e-4),
            *(_cnn_init, _cnn_passes, _cnn_reference, _cnn_outline),
        ),
        "resnet": Kind(
            *((), 0, (), "he_normal", True, lambda channels: len(channels) - 1, 0.001, 1e-4),
            *(_resnet_init, _resnet_passes, _resnet_reference, _resnet_outline),
        ),
        "rnn": _cell("tanh", "relu"),
        "lstm": _cell("tanh"),
        "gru": _cell("tanh"),
    }
)
