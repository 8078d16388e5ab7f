"""Convolutions by `lax`, which is what Flax calls."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bp_lab.bench.peers.peer import Peer

SPATIAL = ("W", "HW", "DHW")


def _numbers(x: jax.Array) -> tuple[str, str, str]:
    letters = SPATIAL[x.ndim - 3]
    return f"N{letters}C", f"{letters}IO", f"N{letters}C"


def conv(x: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """Return the convolution, with as much padding as keeps the size."""
    ones = (1,) * (x.ndim - 2)
    return lax.conv_general_dilated(x, W, ones, "SAME", dimension_numbers=_numbers(x)) + b


def depthwise_conv(x: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    """Return the convolution with a group for each channel."""
    *taps, c, q = W.shape
    y = lax.conv_general_dilated(
        x,
        W.reshape(*taps, 1, c * q),
        (1,) * len(taps),
        "SAME",
        dimension_numbers=_numbers(x),
        feature_group_count=c,
    )
    return y + b


def transposed_conv(
    x: jax.Array, W: jax.Array, b: jax.Array, *, strides: int, padding: int
) -> jax.Array:
    """Return the transposed convolution; `lax` has the taps the other way round."""
    axes = x.ndim - 2
    around = [(k - 1 - padding,) * 2 for k in W.shape[:axes]]
    y = lax.conv_transpose(x, W, (strides,) * axes, around, dimension_numbers=_numbers(x))
    return y + b


def _turned(x: jax.Array, W: jax.Array, b: jax.Array, **_: Any) -> tuple[jax.Array, ...]:
    return x, jnp.flip(W, tuple(range(W.ndim - 2))), b


def causal_conv_1d(x: jax.Array, W: jax.Array, b: jax.Array, *, dilation: int) -> jax.Array:
    """Return the convolution with all padding before."""
    past = [(dilation * (len(W) - 1), 0)]
    numbers = _numbers(x)
    y = lax.conv_general_dilated(
        x, W, (1,), past, rhs_dilation=(dilation,), dimension_numbers=numbers
    )
    return y + b


def im2col(x: jax.Array, *, kernel: int) -> jax.Array:
    """Return the patches, the taps of a channel together."""
    axes = x.ndim - 2
    taps, ones = (kernel,) * axes, (1,) * axes
    return lax.conv_general_dilated_patches(x, taps, ones, "SAME", dimension_numbers=_numbers(x))


def _channels_together(y: jax.Array, *, kernel: int) -> jax.Array:
    taps = math.prod((kernel,) * (y.ndim - 2))
    return y.reshape(*y.shape[:-1], y.shape[-1] // taps, taps).swapaxes(-1, -2).reshape(y.shape)


table = {
    "conv": (Peer("lax", conv),),
    "depthwise_conv": (Peer("lax", depthwise_conv),),
    "transposed_conv": (Peer("lax", transposed_conv, arrange=_turned),),
    "causal_conv_1d": (Peer("lax", causal_conv_1d),),
    "im2col": (Peer("lax", im2col, restore=_channels_together),),
}
