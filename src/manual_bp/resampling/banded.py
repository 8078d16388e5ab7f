"""A linear map along one axis whose matrix is a band: few entries a row, next to each other.

Shapes   A: (m, n)   x, dx: (…, n, …)   y, dy: (…, m, …)
Forward  yᵢ = Σⱼ Aᵢⱼ xⱼ. The entries of row i that are not 0 lie in K columns from sᵢ on, so x is
         gathered to (…, m, K, …) and summed over K; A is known when the program is made.
Derive   ∂yᵢ/∂xⱼ = Aᵢⱼ, so dxⱼ = Σᵢ Aᵢⱼ dyᵢ: the same map by the transpose,
  (1) dx = Aᵀ dy
         and where Aᵀ is a band too, as it is where the rows of A move one way, the transpose of a
         gather is again a gather, not a scatter.
         What lies outside the band is not read: an ∞ there leaves no NaN.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def apply(matrix: np.ndarray, x: Float[Array, "*shape"], axis: int) -> Float[Array, "*mapped"]:
    """Return A x along an axis, in the dtype of x, which accumulates."""
    used = matrix != 0
    first = used.argmax(1)
    last = matrix.shape[1] - 1 - used[:, ::-1].argmax(1)
    width = int(np.where(used.any(1), last - first + 1, 1).max())
    columns = first[:, None] + np.arange(width)
    within = np.minimum(columns, matrix.shape[1] - 1)
    weights = np.where(columns == within, np.take_along_axis(matrix, within, 1), 0)
    spread = (*weights.shape, *(1,) * (x.ndim - 1 - axis))
    gathered = jnp.take(x, within.astype(np.int32), axis=axis, mode="clip")
    scaled = gathered * jnp.asarray(weights.reshape((1,) * axis + spread), x.dtype)
    kept = jnp.asarray((weights != 0).reshape((1,) * axis + spread))
    return jnp.where(kept, scaled, 0).sum(axis + 1)


def apply_transpose(
    matrix: np.ndarray, dy: Float[Array, "*mapped"], axis: int
) -> Float[Array, "*shape"]:
    """Return Aᵀ dy along an axis, in the dtype of dy, which accumulates."""
    return apply(matrix.T, dy, axis)  # (1)
