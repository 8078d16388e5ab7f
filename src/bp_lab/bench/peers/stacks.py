"""Deep stacks by `lax.scan`: all kept, or by `jax.checkpoint` a part of it computed again."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bp_lab.bench.peers.flax_cells import name_of
from bp_lab.bench.peers.peer import Peer

Body = Callable[[Any, Any], tuple[Any, None]]

_OPS: dict[str, Callable[..., jax.Array]] = {
    "linear": lambda x, W, b: x @ W + b,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}


def _apply(stages: Sequence[Any], parameters: Any, x: jax.Array) -> jax.Array:
    """Return what the stages make of x."""
    for stage, theta in zip(stages, parameters, strict=True):
        if name_of(stage) == "skip":
            (inner,) = theta
            x = x + _apply(dict(stage.settings)["stages"], inner, x)
        else:
            x = _OPS[name_of(stage)](x, *theta)
    return x


def _body(layer: Sequence[Any]) -> Body:
    return lambda x, theta: (_apply(layer, theta, x), None)


def _coupled(f: Sequence[Any], g: Sequence[Any]) -> Body:
    def body(streams: tuple[jax.Array, jax.Array], parameters: Any) -> tuple[Any, None]:
        (x1, x2), (theta, phi) = streams, parameters
        x1 = x1 + _apply(f, theta, x2)
        return (x1, x2 + _apply(g, phi, x1)), None

    return body


def scanned(parameters: Any, x: jax.Array, *, layer: Sequence[Any]) -> jax.Array:
    """Return the output of the last layer; everything is kept."""
    return lax.scan(_body(layer), x, parameters)[0]


def each_again(parameters: Any, x: jax.Array, *, layer: Sequence[Any]) -> jax.Array:
    """Return the output of the last layer; the input of every layer is kept."""
    return lax.scan(jax.checkpoint(_body(layer)), x, parameters)[0]


def segments_again(parameters: Any, x: jax.Array, *, layer: Sequence[Any]) -> jax.Array:
    """Return the output of the last layer; the inputs of segments of √L layers are kept."""
    depth = len(jax.tree.leaves(parameters)[0])
    segment = math.isqrt(depth)
    end = depth - depth % segment

    @jax.checkpoint
    def run(x: jax.Array, parameters: Any) -> tuple[jax.Array, None]:
        return lax.scan(_body(layer), x, parameters)

    cut = jax.tree.map(lambda leaf: leaf[:end].reshape(-1, segment, *leaf.shape[1:]), parameters)
    x, _ = lax.scan(run, x, cut)
    return run(x, jax.tree.map(lambda leaf: leaf[end:], parameters))[0]


def coupled_again(
    theta: Any, phi: Any, x1: Any, x2: Any, *, f: Sequence[Any], g: Sequence[Any]
) -> tuple[jax.Array, jax.Array]:
    """Return both streams behind the last layer; the inputs of every layer are kept."""
    return lax.scan(jax.checkpoint(_coupled(f, g)), (x1, x2), (theta, phi))[0]


table = {
    "layer_stack": (Peer("lax.scan", scanned),),
    "checkpointed_stack": (
        Peer("jax.checkpoint, each layer", each_again),
        Peer("jax.checkpoint, segments", segments_again),
    ),
    # JAX has no reversible layer; what keeps everything is not what such a stack is taken for.
    "reversible_stack": (Peer("jax.checkpoint, each layer", coupled_again),),
}
