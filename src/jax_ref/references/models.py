"""Reference models, with a place for a zero probe on every pre-activation.

A probe is added to a pre-activation u. Where it is zero the model is unchanged, and its gradient is
∂L/∂u = δ: so JAX delivers every layer's δ to be compared.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jax_ref.references import activations, normalization, recurrence
from jax_ref.references.activations import identity, relu
from jax_ref.references.regularization import weight_decay

Function = Callable[..., Array]


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
        u = _probed(u, probes, layer)
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
    samples = x[..., 0].size if decay_per_sample else 1
    return loss(y, targets) + _penalty(params, decay, samples)


def _penalty(params: Any, decay: float, samples: int = 1) -> Any:
    """Return the weight decay of all parameters but biases; 0 without decay."""
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    return weight_decay(weights, decay=decay, samples=samples) if decay else 0


def _probed(u: Array, probes: Sequence[Array] | None, number: int) -> Array:
    if probes is None:
        return u
    if probes[number].shape != u.shape:
        raise ValueError(f"probe {number} has shape {probes[number].shape}, u {u.shape}")
    return u + probes[number]


def cnn(
    params: Sequence[Any],
    x: Float[Array, "batch rows columns channels"],
    *,
    activation: Function = relu,
    probes: Sequence[Array] | None = None,
) -> Float[Array, "batch classes"]:
    """Return the output of a convolutional network; `params` is a sequence of pairs (W, b)."""
    for layer, (W, b) in enumerate(params):
        if W.ndim == 4:
            numbers = ("NHWC", "HWIO", "NHWC")
            u = jax.lax.conv_general_dilated(x, W, (1, 1), "SAME", dimension_numbers=numbers)
        else:
            u = jnp.dot(x.reshape(x.shape[0], W.shape[0]), W)
        u = _probed(u + jnp.broadcast_to(b, u.shape), probes, layer)
        x = (activation if layer < len(params) - 1 else identity)(u)
        if W.ndim == 4:
            x = _largest(x, 2, 2)
    return x


def _largest(x: Float[Array, "batch rows columns channels"], high: int, wide: int) -> Array:
    """Return the largest entry of every window, as the last of its strided slices in order."""
    rows, columns = x.shape[1] // high * high, x.shape[2] // wide * wide
    x = x[:, :rows, :columns]
    places = [x[:, i::high, j::wide] for i in range(high) for j in range(wide)]
    largest = places[0]
    for place in places[1:]:
        largest = jnp.where(place > largest, place, largest)
    return largest


def cnn_loss(
    params: Sequence[Any],
    x: Float[Array, "batch rows columns channels"],
    targets: Array,
    *,
    loss: Function,
    decay: float = 0.0,
    **settings: Any,
) -> Float[Array, ""]:
    """Return the loss of a convolutional network with weight decay, averaged over the batch."""
    return loss(cnn(params, x, **settings), targets) + _penalty(params, decay)


def fcn(
    params: Sequence[Any],
    x: Float[Array, "batch rows columns channels"],
    *,
    strides: Sequence[tuple[int, int]],
    activation: Function = relu,
    probes: Sequence[Array] | None = None,
) -> Float[Array, "batch rows2 columns2 channels2"]:
    """Return what a fully convolutional network says of every window."""
    numbers = ("NHWC", "HWIO", "NHWC")
    for layer, ((W, b), stride) in enumerate(zip(params, strides, strict=True)):
        u = jax.lax.conv_general_dilated(x, W, stride, "VALID", dimension_numbers=numbers)
        u = _probed(u + jnp.broadcast_to(b, u.shape), probes, layer)
        x = (activation if layer < len(params) - 1 else identity)(u)
    return x


def fcn_loss(
    params: Sequence[Any],
    x: Float[Array, "batch rows columns channels"],
    targets: Array,
    *,
    loss: Function,
    decay: float = 0.0,
    **settings: Any,
) -> Float[Array, ""]:
    """Return the loss of a fully convolutional network with weight decay, over all windows."""
    return loss(fcn(params, x, **settings), targets) + _penalty(params, decay)


def resnet(
    params: Any,
    x: Float[Array, "batch rows columns channels"],
    statistics: Sequence[Any],
    *,
    activation: Function = relu,
    training: bool = True,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
    probes: Sequence[Array] | None = None,
) -> tuple[Float[Array, "batch classes"], tuple[Any, ...]]:
    """Return the output of a residual network, and the new running statistics."""
    stem, blocks, V, c = params
    left = list(statistics)
    new = []

    def unit(parameters: Any, x: Array, stride: int) -> Array:
        W, scale, bias = parameters
        numbers = ("NHWC", "HWIO", "NHWC")
        u = jax.lax.conv_general_dilated(x, W, (stride, stride), "SAME", dimension_numbers=numbers)
        before = left.pop(0)
        u, *after = normalization.batch_norm(
            *(u, scale, bias, *before), training=training, momentum=momentum, epsilon=epsilon
        )
        new.append(type(before)(*after))
        return u

    x = activation(_probed(unit(stem, x, 1), probes, 0))
    for number, (first, second, shortcut) in enumerate(blocks):
        stride = 1 if number == 0 else 2
        u = _probed(unit(first, x, stride), probes, 1 + 2 * number)
        v = unit(second, activation(u), 1)
        v = v + (x if shortcut is None else unit(shortcut, x, stride))
        x = activation(_probed(v, probes, 2 + 2 * number))
    y = jnp.einsum("brcn,nm->bm", x, V) / (x.shape[1] * x.shape[2])
    y = y + jnp.broadcast_to(c, y.shape)
    return _probed(y, probes, 1 + 2 * len(blocks)), tuple(new)


def resnet_loss(
    params: Any,
    x: Float[Array, "batch rows columns channels"],
    targets: Array,
    statistics: Sequence[Any],
    *,
    loss: Function,
    decay: float = 0.0,
    **settings: Any,
) -> tuple[Float[Array, ""], tuple[Any, ...]]:
    """Return the loss of a residual network with weight decay, and the new running statistics."""
    y, after = resnet(params, x, statistics, **settings)
    return loss(y, targets) + _penalty(params, decay), after


def recurrent(
    params: Any,
    x: Float[Array, "batch t n"],
    *,
    cell: Function,
    probes: Sequence[Array] | None = None,
    **settings: Any,
) -> Float[Array, "batch classes"]:
    """Return what the last state of a cell gives; `params` are (W, U, b, V, c)."""
    W, U, b, V, c = params
    zero = jnp.zeros((x.shape[0], U.shape[0]), x.dtype)
    states = (zero, zero) if cell is recurrence.lstm else (zero,)
    _, h, *_ = cell(x, *states, W, U, b, **settings)
    y = jnp.dot(_probed(h, probes, 0), V)
    return _probed(y + jnp.broadcast_to(c, y.shape), probes, 1)


def recurrent_loss(
    params: Any,
    x: Float[Array, "batch t n"],
    targets: Array,
    *,
    loss: Function,
    decay: float = 0.0,
    **settings: Any,
) -> Float[Array, ""]:
    """Return the loss of a recurrent network with weight decay, averaged over the batch."""
    return loss(recurrent(params, x, **settings), targets) + _penalty(params, decay)


def line_reader(
    params: Any,
    x: Float[Array, "batch rows columns channels"],
    widths: Integer[Array, " batch"] | None = None,
    *,
    pools: Sequence[tuple[int, int]],
    activation: Function = relu,
    probes: Sequence[Array] | None = None,
) -> Float[Array, "batch t classes"]:
    """Return the logits of a reader of lines; backwards its LSTM waits for the last step."""
    convolutions, onward, reverse, V, c = params
    left = jnp.full(x.shape[0], x.shape[2]) if widths is None else widths
    x = _cut(x, left)
    for number, ((W, b), (high, wide)) in enumerate(zip(convolutions, pools, strict=True)):
        numbers = ("NHWC", "HWIO", "NHWC")
        u = jax.lax.conv_general_dilated(x, W, (1, 1), "SAME", dimension_numbers=numbers)
        u = _probed(u + jnp.broadcast_to(b, u.shape), probes, number)
        left = left // wide
        x = _cut(activation(_largest(u, high, wide)), left)
    s = jnp.concatenate(jnp.unstack(x, axis=1), -1)
    runs = (jnp.arange(s.shape[1], dtype=left.dtype)[:, None] < left[None]).astype(s.dtype)
    both = [_along(cell, s, runs, backwards) for cell, backwards in ((onward, 0), (reverse, 1))]
    y = jnp.einsum("btn,nm->btm", _probed(jnp.dstack(both), probes, len(pools)), V)
    return _probed(y + jnp.broadcast_to(c, y.shape), probes, len(pools) + 1)


def _cut(x: Array, widths: Array) -> Array:
    within = jnp.arange(x.shape[2], dtype=widths.dtype)[None] < widths[:, None]
    return jnp.where(within[:, None, :, None], x, jnp.zeros_like(x))


def _along(cell: Any, s: Array, runs: Array, backwards: int) -> Array:
    """Return the outputs of an LSTM; they and its state are 0 where a sample has ended."""
    W, U, b = cell
    zero = jnp.zeros_like(s, shape=(s.shape[0], U.shape[0]))

    def step(state: tuple[Array, Array], now: tuple[Array, Array]) -> Any:
        (h, c), (x, runs) = state, now
        u = jnp.concatenate([x, h], 1) @ jnp.concatenate([W, U])
        i, f, g, o = jnp.split(u + jnp.broadcast_to(b, u.shape), 4, 1)
        held = jnp.broadcast_to(runs[:, None], h.shape)
        c = held * (activations.sigmoid(f) * c + activations.sigmoid(i) * activations.tanh(g))
        h = held * activations.sigmoid(o) * activations.tanh(c)
        return (h, c), h

    inputs = (jnp.moveaxis(s, 1, 0), runs)
    _, outputs = jax.lax.scan(step, (zero, zero), inputs, reverse=bool(backwards))
    return jnp.moveaxis(outputs, 0, 1)


def line_reader_loss(
    params: Any,
    x: Float[Array, "batch rows columns channels"],
    widths: Integer[Array, " batch"],
    labels: Integer[Array, "batch s"],
    label_lengths: Integer[Array, " batch"],
    *,
    loss: Function,
    pools: Sequence[tuple[int, int]],
    decay: float = 0.0,
    **settings: Any,
) -> Float[Array, ""]:
    """Return the loss of a reader of lines with weight decay, averaged over the batch.

    `loss` takes logits, labels, and the lengths of both.
    """
    y = line_reader(params, x, widths, pools=pools, **settings)
    steps = widths
    for _, wide in pools:
        steps = steps // wide
    return loss(y, labels, steps, label_lengths) + _penalty(params, decay)
