"""The bins of adaptive pooling: m of them cover n elements, whatever n and m.

Bin i of m covers the elements ⌊i n / m⌋ … ⌈(i+1) n / m⌉ − 1; two neighbours share one element where
m does not divide n, and more where m > n.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manual_bp import op
from manual_bp.windows import expect_places, whole_numbers


def edges(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each of m bins starts, and where it ends, the end not included."""
    i = np.arange(m)
    return i * n // m, -(-(i + 1) * n // m)


def members(n: int, m: int) -> np.ndarray:
    """Return which of n elements each of m bins covers: booleans, (m, n)."""
    starts, ends = (edge[:, None] for edge in edges(n, m))
    j = np.arange(n)
    return (starts <= j) & (j < ends)


def along(values: np.ndarray, like: jax.Array, axis: int) -> jax.Array:
    """Return one value for each index of an axis, in the rank and dtype of an array."""
    shape = [1] * like.ndim
    shape[axis] = len(values)
    return jnp.asarray(values.reshape(shape), like.dtype)


def resolve(name: str, x: jax.Array, size: Any) -> tuple[int, ...]:
    """Return the sizes of the output, or raise a ValueError where they do not fit x."""
    op.expect_rank(name, "x", x, 3, None)
    return whole_numbers(name, "size", size, len(expect_places(name, x.shape)))
