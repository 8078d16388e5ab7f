"""A linear map along one axis whose matrix is a band: few entries a row, next to each other.

Shapes   A: (m, n)   x, dx: (…, n, …)   y, dy: (…, m, …)
Forward  yᵢ = Σⱼ Aᵢⱼ xⱼ. A row has no more than K entries that are not 0, so x is gathered to
         (…, m, K, …) and summed over K; A is known when the program is made.
Derive   ∂yᵢ/∂xⱼ = Aᵢⱼ, so dxⱼ = Σᵢ Aᵢⱼ dyᵢ: the same map by the transpose,
  (1) dx = Aᵀ dy
         and where Aᵀ is a band too, as it is where the rows of A move one way, the transpose of a
         gather is again a gather, not a scatter.
         What lies outside the band is not read: an ∞ there leaves no NaN.
"""

import itertools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def apply(matrix: np.ndarray, x: Float[Array, "*shape"], axis: int) -> Float[Array, "*mapped"]:
    """Return A x along an axis, in the dtype of x, which accumulates."""
    n = x.shape[axis]
    columns = table(map(np.flatnonzero, matrix), n)
    weights = table((row[row != 0] for row in matrix), np.nan)
    gathered = jnp.take(x, columns, axis=axis, mode="fill")
    scaled = gathered * _along(weights, gathered, axis).astype(x.dtype)
    return jnp.where(_along(columns < n, gathered, axis), scaled, 0).sum(axis + 1)


def table(rows: Iterable[np.ndarray], filler: Any) -> np.ndarray:
    """Return rows, of which one or more is not empty, filled up to one length."""
    return np.asarray([*itertools.zip_longest(*rows, fillvalue=filler)]).T


def _along(values: np.ndarray, like: jax.Array, axis: int) -> jax.Array:
    """Return values for each pair of indices of an axis and the next, in the rank of an array."""
    shape = [1] * like.ndim
    shape[axis : axis + 2] = values.shape
    return jnp.asarray(values.reshape(shape))


def apply_transpose(
    matrix: np.ndarray, dy: Float[Array, "*mapped"], axis: int
) -> Float[Array, "*shape"]:
    """Return Aᵀ dy along an axis, in the dtype of dy, which accumulates."""
    return apply(matrix.T, dy, axis)  # (1)
