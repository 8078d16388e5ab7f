"""Pooling by `lax.reduce_window`, as Flax has it, and by a reshape where windows do not overlap."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bp_lab.bench.peers.peer import Peer

Window = tuple[int, ...]


def _windows(window: Window, strides: Window | None) -> tuple[Window, Window]:
    """Return the window and the strides with those of the batch and of the channels."""
    return (1, *window, 1), (1, *(strides or window), 1)


def max_pool(
    x: jax.Array, *, window: Window, strides: Window | None = None, padding: Any = "VALID"
) -> jax.Array:
    """Return the largest of each window."""
    over = _windows(window, strides)
    return lax.reduce_window(x, -jnp.inf, lax.max, *over, _around(padding))


def mean_pool(
    x: jax.Array, *, window: Window, strides: Window | None = None, padding: Any = "VALID"
) -> jax.Array:
    """Return the mean of each window, padding counted."""
    over = _windows(window, strides)
    return lax.reduce_window(x, 0.0, lax.add, *over, _around(padding)) / math.prod(window)


def lp_pool(
    x: jax.Array, *, window: Window, strides: Window | None = None, padding: Any = "VALID"
) -> jax.Array:
    """Return the Euclidean norm of each window."""
    over = _windows(window, strides)
    return jnp.sqrt(lax.reduce_window(jnp.square(x), 0.0, lax.add, *over, _around(padding)))


def _around(padding: Any) -> Any:
    return padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))


def _cut(x: jax.Array, count: Window, window: Window) -> tuple[jax.Array, Window]:
    """Return x cut into windows that touch, and the axes within them."""
    whole = tuple(slice(n * k) for n, k in zip(count, window, strict=True))
    sizes = [size for pair in zip(count, window, strict=True) for size in pair]
    squares = x[:, *whole].reshape(x.shape[0], *sizes, x.shape[-1])
    return squares, tuple(range(2, 2 * len(window) + 1, 2))


def _by_reshape(reduce: Callable[[jax.Array, Window], jax.Array]) -> Callable[..., jax.Array]:
    """Return a pool over windows that touch: a reduction over axes of the reshaped array."""

    def pool(x: jax.Array, *, window: Window) -> jax.Array:
        count = tuple(n // k for n, k in zip(x.shape[1:-1], window, strict=True))
        return reduce(*_cut(x, count, window))

    return pool


def _adaptive(reduce: Callable[[jax.Array, Window], jax.Array]) -> Callable[..., jax.Array]:
    """Return a pool to a size that divides the input's."""

    def pool(x: jax.Array, *, size: Window) -> jax.Array:
        window = tuple(n // m for n, m in zip(x.shape[1:-1], size, strict=True))
        return reduce(*_cut(x, size, window))

    return pool


def _touch(_x: jax.Array, **settings: Any) -> bool:
    return settings.keys() == {"window"}


def _divides(x: jax.Array, *, size: Window) -> bool:
    return all(n % m == 0 for n, m in zip(x.shape[1:-1], size, strict=True))


def _norm(squares: jax.Array, axes: Window) -> jax.Array:
    return jnp.sqrt(jnp.square(squares).sum(axes))


def _over_places(reduce: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    return lambda x: reduce(x, axis=tuple(range(1, x.ndim - 1)))


table = {
    **{
        name: (
            Peer("reduce_window", pool),
            Peer("reshape", _by_reshape(reduce), fits=_touch),
        )
        for name, pool, reduce in (
            ("max_pool", max_pool, jnp.max),
            ("mean_pool", mean_pool, jnp.mean),
            ("lp_pool", lp_pool, _norm),
        )
    },
    "global_mean_pool": (Peer("jnp.mean", _over_places(jnp.mean)),),
    "global_max_pool": (Peer("jnp.max", _over_places(jnp.max)),),
    "adaptive_mean_pool": (Peer("reshape", _adaptive(jnp.mean), fits=_divides),),
    "adaptive_max_pool": (Peer("reshape", _adaptive(jnp.max), fits=_divides),),
}
