"""Gathers, scatters, sorts, cumulative ops with their backward passes, right."""

import jax.numpy as jnp
import numpy as np
from entry import Op, normal, normals, saving
from jax import lax


def _embedding(table, ids):
    return table[ids]


def _embedding_backward(residual, dy):
    table, ids = residual
    return jnp.zeros_like(table).at[ids].add(dy), None


def _repeated(rng):
    return normal(rng, 6, 3), np.array([[0, 2, 2], [5, 2, 0]])


embedding = Op(_embedding, saving(_embedding), _embedding_backward, _repeated)


def _padded_embedding(table, ids):
    return table.at[0].set(0)[ids]


padded_embedding = Op(
    _padded_embedding,
    saving(_padded_embedding),
    lambda r, dy: (jnp.zeros_like(r[0]).at[r[1]].add(dy).at[0].set(0), None),
    _repeated,
)


def _take_along(x, at):
    return jnp.take_along_axis(x, at, axis=1)


def rows(at):
    """Return the row numbers that go with column numbers `at`."""
    return jnp.arange(at.shape[0])[:, None]


take_along = Op(
    _take_along,
    saving(_take_along),
    lambda r, dy: (jnp.zeros_like(r[0]).at[rows(r[1]), r[1]].add(dy), None),
    lambda rng: (normal(rng, 3, 5), np.array([[4, 0], [1, 1], [3, 2]])),
)


def _scatter_add(x, at, v):
    return x.at[at].add(v)


def _placed(rng):
    return normal(rng, 6), np.array([1, 4, 1]), normal(rng, 3)


scatter_add = Op(_scatter_add, saving(_scatter_add), lambda r, dy: (dy, None, dy[r[1]]), _placed)


def _scatter_set(x, at, v):
    return x.at[at].set(v, unique_indices=True)


scatter_set = Op(
    _scatter_set,
    saving(_scatter_set),
    lambda r, dy: (dy.at[r[1]].set(0), None, dy[r[1]]),
    lambda rng: (normal(rng, 6), np.array([1, 4]), normal(rng, 2)),
)


def _slice(x):
    return lax.dynamic_slice(x, (1, 2), (3, 2))


window = Op(
    _slice,
    saving(_slice),
    lambda r, dy: (jnp.zeros_like(r[0]).at[1:4, 2:4].set(dy),),
    normals((5, 6)),
)


def _cumsum(x):
    return jnp.cumsum(x, axis=1)


cumsum = Op(
    _cumsum,
    saving(_cumsum, lambda y, x: ()),
    lambda r, dy: (jnp.cumsum(dy[:, ::-1], axis=1)[:, ::-1],),
    normals((2, 6)),
)


def product_of_others(x):
    """Return for each entry the product of all others, zeros among them or not."""
    ones = jnp.ones_like(x[:1])
    before = jnp.concatenate([ones, jnp.cumprod(x[:-1])])
    after = jnp.concatenate([jnp.cumprod(x[:0:-1])[::-1], ones])
    return before * after


def _product(x):
    return jnp.prod(x)


product = Op(
    _product, saving(_product), lambda r, dy: (dy * product_of_others(r[0]),), normals((6,))
)
PRODUCT_WITH_ZERO = product.at(lambda rng: (np.array([1.5, -2.0, 0.0, 0.5, 3.0]),))


def _cumprod(x):
    return jnp.cumprod(x)


def _cumprod_backward(residual, dy):
    (x,) = residual
    return (jnp.stack([dy[i:] @ jnp.cumprod(x.at[i].set(1))[i:] for i in range(x.size)]),)


cumprod = Op(_cumprod, saving(_cumprod), _cumprod_backward, normals((5,)))
CUMPROD_WITH_ZERO = cumprod.at(lambda rng: (np.array([1.5, -2.0, 0.0, 0.5, 3.0]),))


def _sort(x):
    return jnp.sort(x, axis=1)


def _sort_forward(x):
    order = jnp.argsort(x, axis=1)
    return jnp.take_along_axis(x, order, 1), order


sort = Op(
    _sort,
    _sort_forward,
    lambda order, dy: (jnp.zeros_like(dy).at[rows(order), order].set(dy),),
    normals((3, 5)),
)


def _top_two(x):
    return lax.top_k(x, 2)[0]


def _top_two_forward(x):
    y, at = lax.top_k(x, 2)
    return y, (x, at)


top_two = Op(
    _top_two,
    _top_two_forward,
    lambda r, dy: (jnp.zeros_like(r[0]).at[rows(r[1]), r[1]].set(dy),),
    normals((3, 5)),
)


def _largest(x):
    return x.max(1)


def shared_largest(x):
    """Return the largest entries of each row as a mask, ties sharing 1 equally."""
    tied = (x == x.max(1, keepdims=True)).astype(x.dtype)
    return tied / tied.sum(1, keepdims=True)


largest = Op(
    _largest,
    saving(_largest),
    lambda r, dy: (dy[:, None] * shared_largest(r[0]),),
    normals((3, 5)),
)
TIED_ROW = largest.at(
    lambda rng: (np.array([[0.5, 2.0, 1.0, 2.0], [3.0, 0.5, 1.5, 1.0], [0.5, 0.75, 2.5, 1.0]]),)
)


def _roll(x):
    return jnp.roll(x, 2)


roll = Op(
    _roll,
    saving(_roll, lambda y, x: ()),
    lambda r, dy: (jnp.roll(dy, -2),),
    normals((7,)),
)


def _flip(x):
    return x[::-1]


flip = Op(_flip, saving(_flip, lambda y, x: ()), lambda r, dy: (dy[::-1],), normals((5, 2)))


def _segments(x, at):
    return jnp.zeros((3, *x.shape[1:]), x.dtype).at[at].add(x)


segments = Op(
    _segments,
    saving(_segments),
    lambda r, dy: (dy[r[1]], None),
    lambda rng: (normal(rng, 7, 2), np.array([0, 0, 1, 2, 2, 2, 1])),
)


def _shares(at):
    counts = jnp.zeros(3, at.dtype).at[at].add(1)
    return counts[at]


def _segment_means(x, at):
    return _segments(x / _shares(at)[:, None].astype(x.dtype), at)


def _segment_means_backward(residual, dy):
    x, at = residual
    return dy[at] / _shares(at)[:, None].astype(x.dtype), None


segment_means = Op(_segment_means, saving(_segment_means), _segment_means_backward, segments.draw)
