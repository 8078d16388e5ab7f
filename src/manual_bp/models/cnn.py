"""A convolutional network that reads images: convolutions and pooling, then dense layers.

Shapes   x: (batch, rows, columns, channels)   y: (batch, classes)
         Wˡ: (3, 3, cₗ₋₁, cₗ) of a convolution, (nₗ₋₁, nₗ) of a dense layer   bˡ: (cₗ,), (nₗ,)
Forward  of each convolution  uˡ = conv(xˡ⁻¹, Wˡ, bˡ),   xˡ = max_pool(f(uˡ)), 2 × 2
         flattened, then as `mlp`   uˡ = xˡ⁻¹ Wˡ + bˡ,   xˡ = f(uˡ);   the last layer's y = uᴸ
Derive   With δˡ = ∂L/∂uˡ, by `chain` (1) and the rules of its ops:
  (1) δᴸ = dy
  (2) δˡ = (what the layer above returns for its input) ⊙ f'(uˡ)      through a dense layer
  (3) δˡ = max_pool.backward(what the layer above returns) ⊙ f'(uˡ)   through a convolution
  (4) dWˡ, dbˡ = those of `linear` or `conv` for δˡ
Saved    what the ops save.      Kinks   those of f and of max_pool.
Source   LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
         recognition"
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from manual_bp import init as initialisers
from manual_bp import op
from manual_bp.activations import identity, relu
from manual_bp.convolution import conv
from manual_bp.dense import linear
from manual_bp.indexing import flatten
from manual_bp.models import chain, objective
from manual_bp.models.mlp import Deltas, Layer, Params
from manual_bp.pooling import max_pool

KERNEL, WINDOW = 3, 2


def init(
    key: Key[Array, ""],
    image_shape: tuple[int, int],
    channels: Sequence[int],
    widths: Sequence[int],
    *,
    initialiser: initialisers.Initialiser = initialisers.he_normal,
    dtype: Any = jnp.float32,
) -> Params:
    """Return the parameters of a network: weights by `initialiser`, biases 0.

    Args:
      key: a key of `jax.random`.
      image_shape: rows and columns of an image; each convolution halves them, rounding down.
      channels: of the image, and of the output of each convolution.
      widths: of the dense layers, the last the number of classes.
      initialiser: one of `manual_bp.init`.
      dtype: of all parameters.

    Raises:
      ValueError: there is no dense layer, a size is below 1, or nothing is left of the image.
    """
    left = tuple(side // WINDOW ** (len(channels) - 1) for side in image_shape)
    if min(left) < 1:
        expected = f"at least {WINDOW ** (len(channels) - 1)} rows and columns"
        raise ValueError(op.complaint("cnn.init", "image_shape", expected, image_shape))
    for argument, sizes in (("channels", channels), ("widths", widths)):
        if min(sizes, default=0) < 1:
            expected = "at least one size, each at least 1"
            raise ValueError(op.complaint("cnn.init", argument, expected, list(sizes)))
    taps = KERNEL * KERNEL
    layers: list[tuple[tuple[int, int], tuple[int, ...]]] = [
        ((taps * n, m), (KERNEL, KERNEL, n, m)) for n, m in pairwise(channels)
    ]
    dense = [math.prod(left) * channels[-1], *widths]
    layers += [((n, m), (n, m)) for n, m in pairwise(dense)]
    keys = jax.random.split(key, len(layers))
    return tuple(
        Layer(initialiser(key, fans, dtype).reshape(shape), jnp.zeros(shape[-1:], dtype))
        for key, (fans, shape) in zip(keys, layers, strict=True)
    )


def _layers(params: Params, activation: op.Op) -> tuple[list[Any], list[chain.Stage]]:
    """Return the parameters and the stages of the chain."""
    parameters: list[Any] = []
    stages: list[chain.Stage] = []
    for number, layer in enumerate(params):
        convolves, last = layer.W.ndim > 2, number == len(params) - 1
        behind = number == 0 or params[number - 1].W.ndim > 2
        if behind and not convolves:
            parameters, stages = [*parameters, ()], [*stages, chain.Stage(flatten)]
        parameters += [tuple(layer), ()]
        stages.append(chain.Stage(conv if convolves else linear))
        stages.append(chain.Stage(identity if last else activation))
        if convolves:
            parameters.append(())
            stages.append(chain.Stage(max_pool, (("window", (WINDOW, WINDOW)),)))
    return parameters, stages


def forward(
    params: Params, x: Float[Array, "batch rows columns channels"], *, activation: op.Op = relu
) -> tuple[Float[Array, "batch classes"], chain.Residual]:
    """Return the network's output and the residual.

    Args:
      params: the layers, convolutions before dense ones.
      x: images, (batch, rows, columns, channels).
      activation: f of all layers but the last.

    Raises:
      ValueError: there is no layer, or shapes do not fit.
      TypeError: `x` is not floating, or its dtype is not that of the parameters.
    """
    if not params:
        raise ValueError(op.complaint("cnn", "params", "at least one layer", "none"))
    parameters, stages = _layers(params, activation)
    return chain.forward(parameters, x, stages=stages)


def backward(
    residual: chain.Residual, dy: Float[Array, "batch classes"]
) -> tuple[Params, Float[Array, "batch rows columns channels"]]:
    """Return (dparams, dx), `dparams` of the same type as `params`."""
    dparams, dx, _ = backward_with_deltas(residual, dy)
    return dparams, dx


def backward_with_deltas(
    residual: chain.Residual, dy: Float[Array, "batch classes"]
) -> tuple[Params, Float[Array, "batch rows columns channels"], Deltas]:
    """Return (dparams, dx, deltas) with δˡ = ∂L/∂uˡ of every layer."""
    dparameters, dx, cotangents = chain.backward_with_cotangents(residual, dy)  # (1)–(4)
    layers = [place for place, dtheta in enumerate(dparameters) if dtheta]
    dparams = tuple(Layer(*dparameters[place]) for place in layers)
    return dparams, dx, tuple(cotangents[place] for place in layers)


def loss_gradients_and_deltas(
    params: Params, x: Float[Array, "batch rows columns channels"], targets: Array, **settings: Any
) -> tuple[Float[Array, ""], Params, Deltas]:
    """Return the loss, its gradient, and δˡ of every layer.

    Takes the settings of `objective.loss_gradients_and_deltas` and `activation`.
    """
    return objective.loss_gradients_and_deltas(
        forward, backward_with_deltas, params, x, targets, **settings
    )
