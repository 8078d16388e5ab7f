"""The derivative as JAX takes it of a reference."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def is_differentiable(leaf: Any) -> bool:
    """Return whether a leaf has a cotangent: floating or complex arrays do."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def vjp(
    f: Callable[..., Any], args: tuple[Any, ...], cotangent: Callable[[Any], Any]
) -> tuple[Any, tuple[Any, ...]]:
    """Return the value of `f` at `args` and the cotangents of `args`.

    Args:
      f: forward function of arrays and pytrees of arrays.
      args: the point; a leaf that is not floating gets the cotangent None.
      cotangent: gives, for the value of `f`, the cotangent that is pulled back.
    """
    leaves, tree = jax.tree.flatten(args)
    floating = [leaf for leaf in leaves if is_differentiable(leaf)]

    def of_floating(*chosen: Any) -> Any:
        rest = iter(chosen)
        mixed = [next(rest) if is_differentiable(leaf) else leaf for leaf in leaves]
        return f(*jax.tree.unflatten(tree, mixed))

    value, pull_back = jax.vjp(of_floating, *floating)
    pulled = iter(pull_back(cotangent(value)))
    cotangents = [next(pulled) if is_differentiable(leaf) else None for leaf in leaves]
    return value, jax.tree.unflatten(tree, cotangents)
