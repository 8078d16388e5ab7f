"""Newton's method, with the Hessian taken as `jax.jvp` over a hand-written gradient.

Quadratic   L(θ + s) ≈ L(θ) + gᵀ s + ½ sᵀ H s, least where H s = −g
Hessian     column i of H is ∂g/∂θᵢ: the derivative of the gradient along the unit vector eᵢ
Step        (1) θ ← θ − H⁻¹ g;   one step solves a quadratic exactly
Cost        n products with H and a solve of n³: for small problems
Source      Pearlmutter 1994, "Fast exact multiplication by the Hessian"
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

Gradient = Callable[[Any], Any]


def hessian_vector_product(gradient: Gradient, params: Any, direction: Any) -> Any:
    """Return H v, a pytree like `params`, for a direction v like `params`."""
    return jax.jvp(gradient, (params,), (direction,))[1]


def hessian(gradient: Gradient, params: Any) -> Float[Array, "n n"]:
    """Return the Hessian in the order in which the leaves of `params` lie flat.

    Args:
      gradient: the hand-written gradient, `params -> pytree like params`.
      params: the point; n numbers in all.
    """
    flat, restore = ravel_pytree(params)

    def column(unit: Array) -> Array:
        return ravel_pytree(hessian_vector_product(gradient, params, restore(unit)))[0]

    return jax.vmap(column, out_axes=1)(jnp.eye(flat.size, dtype=flat.dtype))


def step(gradient: Gradient, params: Any) -> Any:
    """Return the parameters after one Newton step; NaN where the Hessian is singular."""
    flat, restore = ravel_pytree(params)
    slope, _ = ravel_pytree(gradient(params))
    return restore(flat - jnp.linalg.solve(hessian(gradient, params), slope))  # (1)
