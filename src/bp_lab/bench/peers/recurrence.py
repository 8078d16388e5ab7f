"""Recurrent layers by Flax's cells, and by `lax.scan` with the input's product before the loop."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bp_lab.bench.peers import flax_cells
from bp_lab.bench.peers.normalization import layer_norm
from bp_lab.bench.peers.peer import Peer

Outputs = tuple[Any, ...]


def _scan(step: Callable[..., Any], v: jax.Array, carry: Any, *, reverse: bool) -> tuple[Any, Any]:
    """Return the last carry and the outputs, of inputs (batch, t, n)."""
    carry, ys = lax.scan(step, carry, v.swapaxes(0, 1), reverse=reverse)
    return carry, ys.swapaxes(0, 1)


def rnn(
    x: jax.Array,
    h0: jax.Array,
    W: jax.Array,
    U: jax.Array,
    b: jax.Array,
    *_nothing: None,
    activation: str = "tanh",
    reverse: bool = False,
) -> Outputs:
    """Return the outputs and the final state of Elman's layer."""
    f = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation]

    def step(h: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = f(v + h @ U)
        return h, h

    h, ys = _scan(step, x @ W + b, h0, reverse=reverse)
    return ys, h


def lstm(
    x: jax.Array,
    h0: jax.Array,
    c0: jax.Array,
    W: jax.Array,
    U: jax.Array,
    b: jax.Array,
    *_nothing: None,
    reverse: bool = False,
) -> Outputs:
    """Return the outputs and the final states of an LSTM."""

    def step(carry: tuple[jax.Array, jax.Array], v: jax.Array) -> tuple[Any, jax.Array]:
        h, c = carry
        i, f, g, o = jnp.split(v + h @ U, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    (h, c), ys = _scan(step, x @ W + b, (h0, c0), reverse=reverse)
    return ys, h, c


def gru(
    x: jax.Array,
    h0: jax.Array,
    W: jax.Array,
    U: jax.Array,
    b: jax.Array,
    b_n: jax.Array | None = None,
    *_nothing: None,
    reset: str = "after",
    reverse: bool = False,
) -> Outputs:
    """Return the outputs and the final state of a GRU, its reset gate after or before."""
    size = h0.shape[-1]
    gates, candidate = U[:, : 2 * size], U[:, 2 * size :]

    def step(h: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        r, z = jnp.split(jax.nn.sigmoid(v[:, : 2 * size] + h @ gates), 2, -1)
        if reset == "before":
            n = jnp.tanh(v[:, 2 * size :] + (r * h) @ candidate)
        else:
            n = jnp.tanh(v[:, 2 * size :] + r * (h @ candidate + (0 if b_n is None else b_n)))
        h = (1 - z) * n + z * h
        return h, h

    h, ys = _scan(step, x @ W + b, h0, reverse=reverse)
    return ys, h


def layer_norm_lstm(
    x: jax.Array,
    h0: jax.Array,
    c0: jax.Array,
    W: jax.Array,
    U: jax.Array,
    scale_x: jax.Array,
    scale_h: jax.Array,
    b: jax.Array,
    scale_c: jax.Array,
    bias_c: jax.Array,
    *_nothing: None,
) -> Outputs:
    """Return the outputs and the final states of an LSTM with normalised products and cell."""

    def step(carry: tuple[jax.Array, jax.Array], v: jax.Array) -> tuple[Any, jax.Array]:
        h, c = carry
        i, f, g, o = jnp.split(v + layer_norm(h @ U, scale_h, jnp.zeros_like(b)), 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(layer_norm(c, scale_c, bias_c))
        return (h, c), h

    (h, c), ys = _scan(step, layer_norm(x @ W, scale_x, b), (h0, c0), reverse=False)
    return ys, h, c


_LAYERS: dict[str, Callable[..., Outputs]] = {"rnn": rnn, "lstm": lstm, "gru": gru}


def _layer(stage: Any) -> Callable[..., Outputs]:
    """Return the function of a stage of ours, with its settings."""
    function = _LAYERS[flax_cells.name_of(stage)]
    return lambda *args, **settings: function(*args, **dict(stage.settings), **settings)


def bidirectional(
    x: jax.Array,
    parameters: Sequence[Any],
    reverse_parameters: Sequence[Any],
    *_nothing: None,
    layer: Any,
) -> Outputs:
    """Return the outputs of a layer over time and of one against it, and the final states."""
    run = _layer(layer)
    ys, *finals = run(x, *parameters)
    zs, *reverse_finals = run(x, *reverse_parameters, reverse=True)
    return jnp.concatenate([ys, zs], -1), tuple(finals), tuple(reverse_finals)


def stacked(
    x: jax.Array, parameters: Sequence[Any], *_nothing: None, layers: Sequence[Any]
) -> Outputs:
    """Return the outputs of the last layer and the final states of all."""
    finals = []
    for layer, theta in zip(layers, parameters, strict=True):
        x, *final = _layer(layer)(x, *theta)
        finals.append(tuple(final))
    return x, tuple(finals)


table = {
    **{
        name: (
            Peer("lax.scan", function),
            Peer(
                "flax",
                flax_cells.layer(name),
                library="flax",
                arrange=flax_cells.arranged(name),
                restore=flax_cells.restored(name),
            ),
        )
        for name, function in _LAYERS.items()
    },
    "layer_norm_lstm": (Peer("lax.scan", layer_norm_lstm),),
    "bidirectional": (
        Peer("lax.scan", bidirectional),
        Peer(
            "flax",
            flax_cells.both_ways,
            library="flax",
            arrange=flax_cells.arranged_both_ways,
            restore=flax_cells.restored_both_ways,
        ),
    ),
    # Flax has no GRU whose reset gate comes first.
    "stacked": (Peer("lax.scan", stacked),),
}
