"""Reference chains of stages, and stacks of layers that lie on top of each other."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Function = Callable[..., Array]


def chain(
    parameters: Sequence[tuple[Any, ...]],
    x: Float[Array, "..."],
    *,
    stages: Sequence[Function],
) -> Float[Array, "..."]:
    """Return the stages applied one after the other, each to its parameters."""
    for stage, theta in zip(stages, parameters, strict=True):
        x = stage(x, *theta)
    return x


def skip(
    x: Float[Array, "..."], parameters: Sequence[tuple[Any, ...]], *, stages: Sequence[Function]
) -> Float[Array, "..."]:
    """Return the sum over a new first axis of the signal and of what the stages make of it."""
    return jnp.stack([x, chain(parameters, x, stages=stages)]).sum(0)


def layer_stack(
    parameters: Any, x: Float[Array, "..."], *, layer: Sequence[Function], **_memory: Any
) -> Float[Array, "..."]:
    """Return the layers applied one after the other; parameters have a first axis of layers."""
    for number in range(_depth(parameters)):
        x = chain(_of_layer(parameters, number), x, stages=layer)
    return x


def reversible_stack(
    theta: Any,
    phi: Any,
    x1: Float[Array, "..."],
    x2: Float[Array, "..."],
    *,
    f: Sequence[Function],
    g: Sequence[Function],
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Return two streams, to each of which every layer adds a function of the other."""
    for number in range(_depth(theta)):
        x1 = x1 + chain(_of_layer(theta, number), x2, stages=f)
        x2 = x2 + chain(_of_layer(phi, number), x1, stages=g)
    return x1, x2


def _depth(parameters: Any) -> int:
    return len(jax.tree.leaves(parameters)[0])


def _of_layer(parameters: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], parameters)
