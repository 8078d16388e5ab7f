"""Resampling by `jax.image` and `jax.numpy`."""

import jax
import jax.numpy as jnp

from bp_lab.bench.peers.peer import Peer


def _larger(x: jax.Array, factor: int) -> tuple[int, ...]:
    return (x.shape[0], *(factor * n for n in x.shape[1:-1]), x.shape[-1])


def _nearest(x: jax.Array, *, factor: int) -> jax.Array:
    return jax.image.resize(x, _larger(x, factor), "nearest")


def upsample_nearest(x: jax.Array, *, factor: int) -> jax.Array:
    """Return x with every element repeated, axis by axis."""
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, factor, axis)
    return x


def upsample_linear(x: jax.Array, *, factor: int) -> jax.Array:
    """Return x interpolated linearly."""
    return jax.image.resize(x, _larger(x, factor), "linear")


def pixel_shuffle(x: jax.Array, *, factor: int) -> jax.Array:
    """Return x with channels as pixels, by two reshapes and a transposition."""
    b, h, w, d = x.shape
    c = d // factor**2
    x = x.reshape(b, h, w, c, factor, factor).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(b, h * factor, w * factor, c)


def pixel_unshuffle(x: jax.Array, *, factor: int) -> jax.Array:
    """Return x with pixels as channels, by two reshapes and a transposition."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // factor, factor, w // factor, factor, c).transpose(0, 1, 3, 5, 2, 4)
    return x.reshape(b, h // factor, w // factor, c * factor**2)


table = {
    "upsample_nearest": (Peer("jax.image", _nearest), Peer("jnp.repeat", upsample_nearest)),
    "upsample_linear": (Peer("jax.image", upsample_linear),),
    "pixel_shuffle": (Peer("reshape", pixel_shuffle),),
    "pixel_unshuffle": (Peer("reshape", pixel_unshuffle),),
}
