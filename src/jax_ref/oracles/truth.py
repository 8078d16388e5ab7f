"""The truth against which low-precision gradients are judged: the same point, in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def in_float64(tree: Any) -> Any:
    """Return the tree with its floating leaves in float64, their values unchanged."""

    # In NumPy, as an eager conversion on the device compiles anew for every shape.
    def raise_precision(leaf: Any) -> Any:
        dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            return leaf
        real = jnp.issubdtype(dtype, jnp.floating)
        raised = np.asarray(leaf).astype(np.float64 if real else np.complex128)
        return _weak(raised) if _is_weak(leaf) else jax.device_put(raised)

    return jax.tree.map(raise_precision, tree)


def ulp(x: float, dtype: Any) -> float:
    """Return the distance from |x| to the next larger number of the dtype."""
    information = jnp.finfo(dtype)
    exponent = np.floor(np.log2(max(abs(x), float(information.tiny))))
    return float(information.eps) * 2.0 ** float(exponent)


def beside(tree: Any, rng: np.random.Generator, coarsest: Any = None) -> Any:
    """Return the tree with its floating leaves moved by an ulp or two, at random.

    The rounding error of one evaluation is a matter of luck; that of a few neighbouring points
    tells its size. An ulp of a lower precision than `coarsest` would be no rounding error there.
    """

    def move(leaf: Any) -> Any:
        leaf = jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        eps = float(jnp.finfo(leaf.dtype).eps)
        if coarsest is not None and eps > float(jnp.finfo(coarsest).eps):
            return leaf
        relative = eps * rng.choice([-1.0, 1.0], leaf.shape)
        moved = (np.asarray(leaf, np.float64) * (1 + relative)).astype(leaf.dtype)
        return _weak(moved) if _is_weak(leaf) else jax.device_put(moved)

    return jax.tree.map(move, tree)


def _is_weak(leaf: Any) -> bool:
    """Return whether a leaf takes the dtype of what it meets, as a number of Python does."""
    return bool(getattr(leaf, "weak_type", False)) and not np.shape(leaf)


def _weak(number: np.ndarray) -> jax.Array:
    """Return a number as JAX takes one of Python, in the precision that it has."""
    with jax.enable_x64(number.dtype in (np.float64, np.complex128)):
        return jnp.asarray(number.item())
