"""An array cut into blocks of equal size along its spatial axes, and the repetition of elements.

Shapes   x: (b, *size, c)   y: (b, *count, c),   each of size a multiple of that of count
Forward  x is cut into blocks, count of them along each axis, and `sums` adds up each.
Derive   An element of x is in one block, so that Σ over blocks has the transpose
  (1) dx = y's element of the block, for all of its elements, which is what `repeated` does
         and the other way round: each is the adjoint of the other. Both are reshapes, and gather
         nothing.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped


def divide(size: tuple[int, ...], count: tuple[int, ...]) -> bool:
    """Return whether each of the sizes is a multiple of the counts, and blocks are alike."""
    return all(n % m == 0 for n, m in zip(size, count, strict=True))


def _cut(size: tuple[int, ...], count: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of an array with two axes for each: block and place in it."""
    return tuple(k for n, m in zip(size, count, strict=True) for k in (m, n // m))


def sums(x: Float[Array, "b *size c"], count: tuple[int, ...]) -> Float[Array, "b *count c"]:
    """Return the sum of each block."""
    blocks = x.reshape(x.shape[0], *_cut(x.shape[1:-1], count), x.shape[-1])
    return blocks.sum(tuple(range(2, blocks.ndim, 2)))


def repeated(y: Shaped[Array, "b *count c"], size: tuple[int, ...]) -> Shaped[Array, "b *size c"]:
    """Return an array of which each block holds one element of y."""
    b, *count, c = y.shape
    blocks = _cut(size, tuple(count))
    ones = tuple(k for m in count for k in (m, 1))
    copies = jnp.broadcast_to(y.reshape(b, *ones, c), (b, *blocks, c))  # (1)
    return copies.reshape(b, *size, c)
