"""Reference pooling: windows gathered by index into an axis of their own, then reduced over it."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Image = Float[Array, "b *spatial c"]
Pooled = Float[Array, "b *out c"]


def _gathered(
    x: Image,
    fill: float,
    window: Sequence[int],
    strides: Sequence[int] | None,
    padding: Any,
    dilation: Sequence[int] | None = None,
) -> Float[Array, "b *out k c"]:
    """Return the elements of each window, in window order, on the axis before the channels."""
    axes = len(window)
    strides, dilation = strides or window, dilation or (1,) * axes
    extent = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:-1], extent, strides, padding)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    for axis, (k, s, d) in enumerate(zip(window, strides, dilation, strict=True)):
        at = 1 + 2 * axis
        starts = np.arange(0, x.shape[at] - extent[axis] + 1, s)
        x = jnp.take(x, starts[:, None] + d * np.arange(k), axis=at)
    outs, offsets = range(1, 2 * axes, 2), range(2, 2 * axes + 1, 2)
    x = x.transpose(0, *outs, *offsets, 2 * axes + 1)
    return x.reshape(*x.shape[: axes + 1], math.prod(window), x.shape[-1])


def _largest(elements: Float[Array, "*out k c"], ties: str) -> Float[Array, "*out c"]:
    """Return the maximum over the axis before the last; JAX splits the gradient of a tie."""
    if ties == "split":
        return elements.max(-2)
    first = jnp.argmax(elements, axis=-2, keepdims=True)
    return jnp.take_along_axis(elements, first, axis=-2).squeeze(-2)


def max_pool(
    x: Image,
    *,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    dilation: Sequence[int] | None = None,
    ties: str = "first",
) -> Pooled:
    """Return the maximum of each gathered window."""
    return _largest(_gathered(x, -jnp.inf, window, strides, padding, dilation), ties)


def mean_pool(
    x: Image,
    *,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    count_padding: bool = True,
) -> Pooled:
    """Return the sum of each gathered window by the sum of one gathered of ones."""
    ones = _gathered(jnp.ones_like(x), float(count_padding), window, strides, padding)
    return _gathered(x, 0.0, window, strides, padding).sum(-2) / ones.sum(-2)


def lp_pool(
    x: Image,
    *,
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    p: float = 2.0,
) -> Pooled:
    """Return (Σ |x|ᵖ)^(1/p) of each gathered window."""
    return (jnp.abs(_gathered(x, 0.0, window, strides, padding)) ** p).sum(-2) ** (1 / p)


def _positions(x: Image) -> Float[Array, "b n c"]:
    return x.reshape(x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1])


def global_mean_pool(x: Image) -> Float[Array, "b c"]:
    """Return x times a vector of 1/N."""
    flat = _positions(x)
    weights = jnp.full(flat.shape[1], 1 / flat.shape[1], x.dtype)
    return jnp.einsum("bnc,n->bc", flat, weights)


def global_max_pool(x: Image, *, ties: str = "first") -> Float[Array, "b c"]:
    """Return the maximum over all positions."""
    return _largest(_positions(x), ties)


def adaptive_mean_pool(x: Image, *, size: Sequence[int]) -> Pooled:
    """Return x times one matrix an axis, whose rows are 1/length on a bin and 0 elsewhere."""
    for axis, m in enumerate(size, start=1):
        n = x.shape[axis]
        i, j = np.ogrid[:m, :n]
        member = (j * m < (i + 1) * n) & ((j + 1) * m > i * n)
        weights = jnp.asarray(member / member.sum(1, keepdims=True), x.dtype)
        x = jnp.moveaxis(jnp.tensordot(weights, x, axes=(1, axis)), 0, axis)
    return x


def adaptive_max_pool(x: Image, *, size: Sequence[int]) -> Pooled:
    """Return the maximum of each bin, cut out one by one."""
    spatial = x.shape[1:-1]
    outputs = []
    for position in itertools.product(*map(range, size)):
        cut = tuple(
            slice(math.floor(i * n / m), math.ceil((i + 1) * n / m))
            for i, n, m in zip(position, spatial, size, strict=True)
        )
        outputs.append(_largest(_positions(x[:, *cut]), "first"))
    return jnp.stack(outputs, axis=1).reshape(x.shape[0], *size, x.shape[-1])


table: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {
        f.__name__: f
        for f in (
            max_pool,
            mean_pool,
            lp_pool,
            global_mean_pool,
            global_max_pool,
            adaptive_mean_pool,
            adaptive_max_pool,
        )
    }
)
