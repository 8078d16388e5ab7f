"""The matrix products of a training step and nothing else: what the rest is added to.

They are those of the same network with nothing between its layers: each takes what the one before
it gives, as in the step, so that a compiler can neither leave one out nor change their order.

Shapes   x: (b, n) of layers, (b, t, n) of a recurrent one; W: (n, g h), U: (h, g h), V: (h, m), of
         g gates and h units
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from bp_lab.bench.program import Program

UNROLLS = (1, 4, 7)  # steps in an iteration of the loops


def of_step(model: str, params: Any, x: jax.Array) -> Mapping[str, Program]:
    """Return the programs of the products of a model, by what sets them apart; none of others."""
    if model == "mlp":
        weights = [W for W, _ in params]
        return {"products": Program(of_layers, (weights, x.astype(weights[0].dtype)))}
    if model not in ("rnn", "lstm", "gru"):
        return {}
    W, U, _, V, _ = params
    return {
        f"{unroll} in an iteration": Program(
            partial(of_recurrent, unroll=unroll), (W, U, V, x.astype(W.dtype))
        )
        for unroll in UNROLLS
    }


def of_layers(weights: Sequence[jax.Array], x: jax.Array) -> list[jax.Array]:
    """Return the gradients of ½ |y|² by the weights of layers without activations."""
    signals = [x]
    for W in weights:
        signals.append(signals[-1] @ W)
    d, gradients = signals.pop(), []
    for layer in reversed(range(len(weights))):
        gradients.append(signals[layer].T @ d)
        d = d @ weights[layer].T if layer else d
    return gradients[::-1]


def of_recurrent(
    W: jax.Array, U: jax.Array, V: jax.Array, x: jax.Array, *, unroll: int
) -> tuple[jax.Array, ...]:
    """Return x W, and what would be the gradients of W, U and V were the state its first gate.

    With one gate those of U and V are the gradients of ½ |y|², y = h V, of states h' = h U. They
    begin with numbers of x, as products of zeros could be left out.
    """
    (b, t, n), (h, wide) = x.shape, U.shape
    flat = x.reshape(b * t, n)

    def down(state: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return (state @ U)[:, :h], state

    def up(d: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        of_gates = jnp.tile(d, (1, wide // h))
        return of_gates @ U.T, of_gates

    first = jnp.broadcast_to(x[:, 0, :1], (b, h))
    last, states = jax.lax.scan(down, first, length=t, unroll=unroll)
    y = last @ V
    _, of_gates = jax.lax.scan(up, y @ V.T, length=t, unroll=unroll, reverse=True)
    states, of_gates = (every.reshape(b * t, -1) for every in (states, of_gates))
    return flat @ W, flat.T @ of_gates, states.T @ of_gates, last.T @ y
