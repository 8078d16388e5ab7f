"""A fully convolutional network: what a small network says of every window, over a whole image.

Shapes   x: (batch, rows, columns, c₀)   y: (batch, rows', columns', c_L)
         Wˡ: (kˡ, kˡ', cₗ₋₁, cₗ)   bˡ: (cₗ,)
Forward  uˡ = conv(xˡ⁻¹, Wˡ, bˡ) with the stride sˡ and no padding,   xˡ = f(uˡ);   y = uᴸ
Windows  uˡ at place i reads xˡ⁻¹ at the places sˡ i + o, 0 ≤ o < kˡ, so along each axis yᵢ reads x
         at S i … S i + R − 1 and nothing else, where
  (1) S = Π sˡ,   R = 1 + Σ (kˡ − 1) Π_{m<l} sᵐ
         and no bias or weight depends on i: yᵢ is what the network says of the window of side R
         that begins at S i. A window slides over the image, but what its places share is
         computed once.
Derive   With δˡ = ∂L/∂uˡ, by `chain` (1) and the rules of its ops:
  (2) δᴸ = dy
  (3) δˡ = (what conv of layer l + 1 returns for its input) ⊙ f'(uˡ)
  (4) dWˡ, dbˡ = those of `conv` for δˡ, summed over all windows that read alike
Saved    what the ops save.      Kinks   those of f.
Source   Long, Shelhamer & Darrell 2015, arXiv:1411.4038
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from manual_bp import init as initialisers
from manual_bp import op, setting
from manual_bp.activations import identity, relu
from manual_bp.convolution import conv
from manual_bp.models import chain, objective
from manual_bp.models.mlp import Deltas, Layer, Params

Sides = tuple[int, int]


def init(
    key: Key[Array, ""],
    kernels: Sequence[Sides],
    channels: Sequence[int],
    *,
    initialiser: initialisers.Initialiser = initialisers.he_normal,
    dtype: Any = jnp.float32,
) -> Params:
    """Return the parameters of a network: weights by `initialiser`, biases 0.

    Args:
      key: a key of `jax.random`.
      kernels: rows and columns of each kernel.
      channels: of the image, and of the output of each convolution.
      initialiser: one of `manual_bp.init`.
      dtype: of all parameters.

    Raises:
      ValueError: there is no kernel, a size is below 1, or the channels do not fit the kernels.
    """
    if not kernels or min(map(min, kernels)) < 1:
        expected = "at least one kernel, each side at least 1"
        raise ValueError(op.complaint("fcn.init", "kernels", expected, list(kernels)))
    if len(channels) != len(kernels) + 1 or min(channels) < 1:
        expected = f"{len(kernels) + 1} numbers, each at least 1"
        raise ValueError(op.complaint("fcn.init", "channels", expected, list(channels)))
    keys = jax.random.split(key, len(kernels))
    layers = []
    for one, (rows, columns), n, m in zip(keys, kernels, channels[:-1], channels[1:], strict=True):
        W = initialiser(one, (rows * columns * n, m), dtype).reshape(rows, columns, n, m)
        layers.append(Layer(W, jnp.zeros((m,), dtype)))
    return tuple(layers)


def window(params: Params, strides: Sequence[Sides]) -> tuple[Sides, Sides]:
    """Return the sides of a window, and how far windows of neighbouring outputs are apart.

    Args:
      params: the layers.
      strides: rows and columns of each layer's stride.
    """
    strides = _expect_strides(params, strides)
    side, apart = [1, 1], [1, 1]
    for layer, stride in zip(params, strides, strict=True):
        for axis in (0, 1):
            side[axis] += (layer.W.shape[axis] - 1) * apart[axis]  # (1)
            apart[axis] *= stride[axis]
    return (side[0], side[1]), (apart[0], apart[1])


def _expect_strides(params: Params, strides: Sequence[Sides]) -> tuple[Sides, ...]:
    if not params:
        raise ValueError(op.complaint("fcn", "params", "at least one layer", "none"))
    expected = f"a pair for each of {len(params)} layers"
    return setting.expect_pairs("fcn", "strides", strides, len(params), expected)


def forward(
    params: Params,
    x: Float[Array, "batch rows columns channels"],
    *,
    strides: Sequence[Sides],
    activation: op.Op = relu,
) -> tuple[Float[Array, "batch rows2 columns2 channels2"], chain.Residual]:
    """Return what the network says of every window, and the residual.

    Args:
      params: the layers.
      x: images, (batch, rows, columns, channels), at least as large as a window.
      strides: rows and columns of each layer's stride.
      activation: f of all layers but the last.

    Raises:
      ValueError: there is no layer, or shapes or strides do not fit.
      TypeError: `x` is not floating, or its dtype is not that of the parameters.
    """
    strides = _expect_strides(params, strides)
    parameters: list[Any] = []
    stages: list[chain.Stage] = []
    for number, (layer, stride) in enumerate(zip(params, strides, strict=True), start=1):
        parameters += [tuple(layer), ()]
        settings = (("strides", stride), ("padding", "VALID"))
        f = activation if number < len(params) else identity
        stages += [chain.Stage(conv, settings), chain.Stage(f)]
    return chain.forward(parameters, x, stages=stages)


def backward(
    residual: chain.Residual, dy: Float[Array, "batch rows2 columns2 channels2"]
) -> tuple[Params, Float[Array, "batch rows columns channels"]]:
    """Return (dparams, dx), `dparams` of the same type as `params`."""
    dparams, dx, _ = backward_with_deltas(residual, dy)
    return dparams, dx


def backward_with_deltas(
    residual: chain.Residual, dy: Float[Array, "batch rows2 columns2 channels2"]
) -> tuple[Params, Float[Array, "batch rows columns channels"], Deltas]:
    """Return (dparams, dx, deltas) with δˡ = ∂L/∂uˡ of every layer."""
    dparameters, dx, cotangents = chain.backward_with_cotangents(residual, dy)  # (2)–(4)
    layers = range(0, len(dparameters), 2)
    dparams = tuple(Layer(*dparameters[place]) for place in layers)
    return dparams, dx, tuple(cotangents[place] for place in layers)


def loss_gradients_and_deltas(
    params: Params, x: Float[Array, "batch rows columns channels"], targets: Array, **settings: Any
) -> tuple[Float[Array, ""], Params, Deltas]:
    """Return the loss, its gradient, and δˡ of every layer.

    Takes the settings of `objective.loss_gradients_and_deltas`, `strides` and `activation`.
    """
    return objective.loss_gradients_and_deltas(
        forward, backward_with_deltas, params, x, targets, **settings
    )
