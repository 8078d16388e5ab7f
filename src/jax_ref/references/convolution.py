"""Reference convolutions: XLA's own, which JAX transposes by itself."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Numbers = int | Sequence[int]
Padding = str | int | Sequence[Sequence[int]]

SPATIAL = ("W", "HW", "DHW")


def _each(value: Numbers, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _pairs(padding: int | Sequence[Sequence[int]], axes: int) -> list[tuple[int, int]]:
    both = [(padding, padding)] * axes if isinstance(padding, int) else padding
    return [(before, after) for before, after in both]


def _biased(
    u: Float[Array, "b *count m"], b: Float[Array, " m"] | None
) -> Float[Array, "b *count m"]:
    return u if b is None else u + jnp.broadcast_to(b, u.shape)


def conv(
    x: Float[Array, "b *size c"],
    W: Float[Array, "*kernel n m"],
    b: Float[Array, " m"] | None = None,
    *,
    strides: Numbers = 1,
    padding: Padding = "SAME",
    dilation: Numbers = 1,
    groups: int = 1,
) -> Float[Array, "b *count m"]:
    """Return the convolution of `lax`."""
    axes = x.ndim - 2
    letters = SPATIAL[axes - 1]
    u = lax.conv_general_dilated(
        x,
        W,
        _each(strides, axes),
        padding if isinstance(padding, str) else _pairs(padding, axes),
        rhs_dilation=_each(dilation, axes),
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=groups,
    )
    return _biased(u, b)


def im2col(
    x: Float[Array, "b *size c"],
    *,
    kernel: Numbers,
    strides: Numbers = 1,
    padding: Padding = "SAME",
    dilation: Numbers = 1,
) -> Float[Array, "b *count n"]:
    """Return the convolution with a kernel whose every output picks one tap and channel."""
    taps = (*_each(kernel, x.ndim - 2), x.shape[-1])
    picks = jnp.eye(math.prod(taps), dtype=x.dtype).reshape(*taps, math.prod(taps))
    return conv(x, picks, strides=strides, padding=padding, dilation=dilation)


def transposed_conv(
    x: Float[Array, "b *count c"],
    W: Float[Array, "*kernel n m"],
    b: Float[Array, " m"] | None = None,
    *,
    strides: Numbers = 1,
    padding: int | Sequence[Sequence[int]] = 0,
    output_padding: Numbers = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Float[Array, "b *size m"]:
    """Return the convolution of x, its places set s apart, with the kernel turned around."""
    axes = x.ndim - 2
    letters = SPATIAL[axes - 1]
    apart = _each(dilation, axes)
    reach = [d * (k - 1) for d, k in zip(apart, W.shape, strict=False)]
    more = _each(output_padding, axes)
    u = lax.conv_general_dilated(
        x,
        jnp.flip(W, tuple(range(axes))),
        (1,) * axes,
        [
            (r - before, r - after + extra)
            for r, (before, after), extra in zip(reach, _pairs(padding, axes), more, strict=True)
        ],
        lhs_dilation=_each(strides, axes),
        rhs_dilation=apart,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        feature_group_count=groups,
    )
    return _biased(u, b)


def depthwise_conv(
    x: Float[Array, "b *size c"],
    W: Float[Array, "*kernel c q"],
    b: Float[Array, " m"] | None = None,
    *,
    strides: Numbers = 1,
    padding: Padding = "SAME",
    dilation: Numbers = 1,
) -> Float[Array, "b *count m"]:
    """Return the convolution with a kernel that is diagonal in the channels."""
    c, q = W.shape[-2:]
    diagonal = jnp.einsum("...cq,ce->...ecq", W, jnp.eye(c, dtype=W.dtype))
    W = diagonal.reshape(*W.shape[:-1], c * q)
    return conv(x, W, b, strides=strides, padding=padding, dilation=dilation)


def causal_conv_1d(
    x: Float[Array, "b t c"],
    W: Float[Array, "k n m"],
    b: Float[Array, " m"] | None = None,
    *,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "b t m"]:
    """Return the convolution of x with zeros set before it."""
    past = jnp.zeros((len(x), dilation * (len(W) - 1), x.shape[-1]), x.dtype)
    later = jnp.concatenate([past, x], 1)
    return conv(later, W, b, padding="VALID", dilation=dilation, groups=groups)
