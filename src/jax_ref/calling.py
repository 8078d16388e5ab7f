"""Functions of the user's, called: their errors told in one line, their values as arrays."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jax_ref.compiling import UNTRACEABLE
from jax_ref.errors import CheckError
from jax_ref.oracles.autodiff import is_differentiable


def returning_arrays(
    place: str, role: str, function: Callable[..., Any], static: Mapping[str, Any]
) -> Callable[..., Any]:
    """Return the function with its settings bound, its errors told and its value in arrays."""
    call = calling(place, role, function)
    return lambda *args: as_arrays(place, role, call(*args, **static))


def returning_numbers(place: str, role: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its errors told and the numbers of Python in its value as arrays."""
    call = calling(place, role, function)
    return lambda *args: with_arrays(place, role, call(*args))


def calling(place: str, role: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with every error of its own told in one line that names its role."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (CheckError, *UNTRACEABLE):
            raise
        except Exception as error:
            expected = "a function that takes these arguments"
            raise CheckError(place, role, expected, in_a_line(error)) from error

    return call


def in_a_line(error: Exception) -> str:
    """Return the type and the first line of an error."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first[:160]}"


def shown(value: Any) -> str:
    """Return a few words for something that came instead of what was expected."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__


def as_arrays(place: str, role: str, y: Any) -> Any:
    """Return the output as arrays; it must hold at least one that is floating."""
    y = with_arrays(place, role, y)
    if not any(is_differentiable(leaf) for leaf in jax.tree.leaves(y)):
        raise CheckError(place, role, "at least one floating output", "none")
    return y


def with_arrays(place: str, role: str, tree: Any) -> Any:
    """Return a pytree with the numbers of Python in it as arrays.

    Raises:
      CheckError: it holds something that is neither.
    """

    def array(leaf: Any) -> Any:
        if hasattr(leaf, "dtype"):
            return leaf
        if not isinstance(leaf, int | float | complex):
            raise CheckError(place, role, "arrays", shown(leaf))
        return jnp.asarray(leaf)

    return jax.tree.map(array, tree)
