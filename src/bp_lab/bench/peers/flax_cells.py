"""Flax's recurrent cells, with our parameters under its names.

A Flax user holds the parameters of each gate apart, so that they are cut beforehand, not timed.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Carry = Any
CELLS = {"rnn": "SimpleCell", "lstm": "OptimizedLSTMCell", "gru": "GRUCell"}


def name_of(stage: Any) -> str:
    """Return the name of the op of a stage."""
    return str(getattr(stage.op, "name", None) or stage.op.__name__.rpartition(".")[2])


def parameters(
    name: str, W: jax.Array, U: jax.Array, b: jax.Array, b_n: jax.Array | None = None
) -> dict[str, Any]:
    """Return the parameters of a cell by Flax's names; a bias that ours lacks is 0."""
    if name == "rnn":
        return {"i": {"kernel": W, "bias": b}, "h": {"kernel": U}}
    gates = {"lstm": "ifgo", "gru": "rzn"}[name]
    pieces = [jnp.split(array, len(gates), -1) for array in (W, U, b)]
    named = {}
    for gate, of_x, of_h, bias in zip(gates, *pieces, strict=True):
        named[f"i{gate}"], named[f"h{gate}"] = {"kernel": of_x}, {"kernel": of_h}
        named[f"{'h' if name == 'lstm' else 'i'}{gate}"]["bias"] = bias
    if name == "gru":
        named["hn"]["bias"] = jnp.zeros_like(named["in"]["bias"]) if b_n is None else b_n
    return named


def run(
    name: str, x: jax.Array, carry: Carry, params: dict[str, Any], *, reverse: bool = False
) -> tuple[Carry, jax.Array]:
    """Return the final carry and the outputs, in the order of time."""
    from flax import linen

    cell = getattr(linen, CELLS[name])(jax.tree.leaves(carry)[0].shape[-1])
    module = linen.RNN(cell, return_carry=True, reverse=reverse, keep_order=True)
    outputs: Any = module.apply({"params": {"cell": params}}, x, initial_carry=carry)
    return outputs


def _split(name: str, theta: tuple[Any, ...]) -> tuple[Carry, dict[str, Any]]:
    """Return the carry and the parameters of a layer of ours, its states first."""
    if name == "lstm":
        h0, c0, W, U, b, *_ = theta
        return (c0, h0), parameters(name, W, U, b)
    h0, W, U, b, *rest = theta
    return h0, parameters(name, W, U, b, rest[0] if name == "gru" else None)


def _states(carry: Carry) -> tuple[jax.Array, ...]:
    """Return the final states in our order."""
    return tuple(reversed(carry)) if isinstance(carry, tuple) else (carry,)


def layer(name: str) -> Callable[..., tuple[Carry, jax.Array]]:
    """Return `(x, carry, params) -> (carry, ys)` of a cell."""
    return lambda x, carry, params, **_: run(name, x, carry, params)


def arranged(name: str) -> Callable[..., tuple[Any, ...]]:
    """Return what makes x, the carry and the parameters of our arguments."""
    return lambda x, *theta, **_: (x, *_split(name, theta))


def restored(_name: str) -> Callable[..., tuple[Any, ...]]:
    """Return what makes (ys, *states) of Flax's outputs."""
    return lambda outputs, **_: (outputs[1], *_states(outputs[0]))


def both_ways(
    x: jax.Array, onward: Any, backward: Any, *, layer: Any
) -> tuple[jax.Array, Carry, Carry]:
    """Return the outputs of two cells, one of which runs from the end, and their carries."""
    name = name_of(layer)
    carry, ys = run(name, x, *onward)
    reverse_carry, zs = run(name, x, *backward, reverse=True)
    return jnp.concatenate([ys, zs], -1), carry, reverse_carry


def arranged_both_ways(
    x: jax.Array, theta: tuple[Any, ...], reverse_theta: tuple[Any, ...], _: None, *, layer: Any
) -> tuple[Any, ...]:
    """Return x and, of each direction, the carry and the parameters."""
    name = name_of(layer)
    return x, _split(name, theta), _split(name, reverse_theta)


def restored_both_ways(outputs: tuple[Any, ...], **_: Any) -> tuple[Any, ...]:
    """Return (ys, states, reverse_states)."""
    ys, carry, reverse_carry = outputs
    return ys, _states(carry), _states(reverse_carry)
