"""Reference recurrent layers: a Python loop over time, [x, h] against the weights stacked."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jax_ref.references import activations, normalization

Lengths = Integer[Array, " batch"] | None
State = tuple[Any, ...]


def _affine(x: Any, h: Any, W: Any, U: Any, b: Any) -> Any:
    """Return [x, h, 1] [W; U; b]."""
    b = jnp.zeros_like(W, shape=W.shape[1:]) if b is None else b
    one = jnp.ones_like(x, shape=(x.shape[0], 1))
    return jnp.concatenate([x, h, one], 1) @ jnp.concatenate([W, U, b[None]])


def _unroll(
    cell: Callable[..., State], x: Float[Array, "batch t n"], state: State, lengths: Lengths
) -> State:
    """Return the outputs, a cell's first state, and the final states; samples end by a factor."""
    batch, time, _ = x.shape
    outputs = []
    for s in range(time):
        new = cell(x[:, s], *state)
        if lengths is None:
            state = new
            outputs.append(new[0])
        else:
            runs = (lengths > s).astype(x.dtype)[:, None]
            keep = [jnp.broadcast_to(runs, old.shape) for old in state]
            outputs.append(new[0] * keep[0])
            state = tuple(
                old + k * (one - old) for k, one, old in zip(keep, new, state, strict=True)
            )
    empty = jnp.zeros_like(x, shape=(batch, 0, state[0].shape[1]))
    return (jnp.stack(outputs, 1) if outputs else empty, *state)


def rnn(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch h"],
    W: Float[Array, "n h"],
    U: Float[Array, "h h"],
    b: Float[Array, " h"] | None = None,
    lengths: Lengths = None,
    *,
    activation: str = "tanh",
    slope_at_zero: float = 1.0,
) -> State:
    """Return (ys, h_T) of Elman's layer."""

    def cell(x: Any, h: Any) -> State:
        u = _affine(x, h, W, U, b)
        if activation == "tanh":
            return (activations.tanh(u),)
        return (activations.relu(u, slope_at_zero=slope_at_zero),)

    return _unroll(cell, x, (h0,), lengths)


def lstm(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch p"],
    c0: Float[Array, "batch h"],
    W: Float[Array, "n h4"],
    U: Float[Array, "p h4"],
    b: Float[Array, " h4"] | None = None,
    peephole: Float[Array, "3 h"] | None = None,
    projection: Float[Array, "h p"] | None = None,
    lengths: Lengths = None,
) -> State:
    """Return (ys, h_T, c_T) of an LSTM, its gates as rows, its peepholes as diagonal matrices."""
    size = c0.shape[1]
    no_weights = jnp.zeros_like(c0, shape=(3, size))
    w_i, w_f, w_o = map(jnp.diag, no_weights if peephole is None else peephole)

    def cell(x: Any, h: Any, c: Any) -> State:
        u = _affine(x, h, W, U, b).reshape(x.shape[0], 4, size)
        new_c = c * activations.sigmoid(u[:, 1] + c @ w_f)
        new_c = new_c + activations.sigmoid(u[:, 0] + c @ w_i) * activations.tanh(u[:, 2])
        r = activations.sigmoid(u[:, 3] + new_c @ w_o) * activations.tanh(new_c)
        return r if projection is None else jnp.einsum("bh,hp->bp", r, projection), new_c

    return _unroll(cell, x, (h0, c0), lengths)


def gru(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch h"],
    W: Float[Array, "n h3"],
    U: Float[Array, "h h3"],
    b: Float[Array, " h3"] | None = None,
    b_n: Float[Array, " h"] | None = None,
    lengths: Lengths = None,
    *,
    reset: str = "after",
) -> State:
    """Return (ys, h_T) of a GRU, the new state as n + z (h − n)."""
    size = h0.shape[1]
    W_r, W_z, W_n = (W[:, k * size : (k + 1) * size] for k in range(3))
    U_r, U_z, U_n = (U[:, k * size : (k + 1) * size] for k in range(3))
    b_r, b_z, b_c = (None if b is None else b[k * size : (k + 1) * size] for k in range(3))

    def cell(x: Any, h: Any) -> State:
        r = activations.sigmoid(_affine(x, h, W_r, U_r, b_r))
        z = activations.sigmoid(_affine(x, h, W_z, U_z, b_z))
        if reset == "before":
            n = activations.tanh(_affine(x, r * h, W_n, U_n, b_c))
        else:
            nothing = jnp.zeros_like(x, shape=(x.shape[0], 0))
            recurrent = _affine(nothing, h, W_n[:0], U_n, b_n)
            n = activations.tanh(_affine(x, recurrent * r, W_n, jnp.eye(size, dtype=x.dtype), b_c))
        return (n + z * (h - n),)

    return _unroll(cell, x, (h0,), lengths)


def layer_norm_lstm(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch h"],
    c0: Float[Array, "batch h"],
    W: Float[Array, "n h4"],
    U: Float[Array, "h h4"],
    scale_x: Float[Array, " h4"],
    scale_h: Float[Array, " h4"],
    b: Float[Array, " h4"],
    scale_c: Float[Array, " h"],
    bias_c: Float[Array, " h"],
    lengths: Lengths = None,
    *,
    epsilon: float = 1e-5,
) -> State:
    """Return (ys, h_T, c_T) of an LSTM whose products and cell are rows of a layer norm."""

    def cell(x: Any, h: Any, c: Any) -> State:
        u = normalization.layer_norm(jnp.dot(x, W), scale_x, b, epsilon=epsilon)
        u = u + normalization.layer_norm(jnp.dot(h, U), scale_h, epsilon=epsilon)
        u = u.reshape(c.shape[0], 4, c.shape[1])
        new_c = c * activations.sigmoid(u[:, 1])
        new_c = new_c + activations.sigmoid(u[:, 0]) * activations.tanh(u[:, 2])
        seen = normalization.layer_norm(new_c, scale_c, bias_c, epsilon=epsilon)
        return activations.sigmoid(u[:, 3]) * activations.tanh(seen), new_c

    return _unroll(cell, x, (h0, c0), lengths)


def stacked(
    x: Float[Array, "batch t n"],
    parameters: Sequence[tuple[Any, ...]],
    lengths: Lengths = None,
    *,
    layers: Sequence[Callable[..., State]],
) -> State:
    """Return (ys, finals) of the layers, the first on top of which the others are stacked."""
    if not layers:
        return x, ()
    y, *final = layers[0](x, *parameters[0], lengths=lengths)
    top, finals = stacked(y, parameters[1:], lengths, layers=layers[1:])
    return top, (tuple(final), *finals)


def bidirectional(
    x: Float[Array, "batch t n"],
    parameters: tuple[Any, ...],
    reverse_parameters: tuple[Any, ...],
    lengths: Lengths = None,
    *,
    layer: Callable[..., State],
) -> State:
    """Return (ys, finals, reverse_finals), each sample turned around by a permutation matrix."""
    batch, time, _ = x.shape
    ends = jnp.full(batch, time) if lengths is None else lengths.astype(int)
    row, column = jnp.indices((batch, time, time))[1:]
    end = jnp.broadcast_to(ends[:, None, None], row.shape)
    turned = jnp.where(row < end, row + column == end - 1, row == column).astype(x.dtype)
    y, *finals = layer(x, *parameters, lengths=lengths)
    z, *reverse = layer(jnp.einsum("brs,bsn->brn", turned, x), *reverse_parameters, lengths=lengths)
    ys = jnp.dstack([y, jnp.einsum("brs,brn->bsn", turned, z)])
    return ys, tuple(finals), tuple(reverse)
