"""Reference recurrent layers: a Python loop over time, [x, h] against the weights stacked."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jax_ref.references import activations

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
