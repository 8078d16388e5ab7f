"""Initialisers of weight matrices; each is `(key, shape, dtype) -> array`.

Shapes   W: (n, m), n inputs and m outputs
Variance A unit sums n products, so with Var x = 1 its variance is n Var W; backward, an input
         collects m, so δ keeps its size if m Var W = 1. Xavier takes the mean of both demands,
         Var W = 2/(n+m); He doubles the forward one, Var W = 2/n, as relu halves the signal. A
         uniform distribution on ±a has variance a²/3.
  (1) xavier_uniform: a = √(6/(n+m))     xavier_normal: s = √(2/(n+m))
  (2) he_uniform:     a = √(6/n)         he_normal:     s = √(2/n)
Symmetry `zeros` makes all hidden units of a layer alike, and gradient descent keeps them alike for
         ever: it is for biases, and for showing just that.
Source   Glorot & Bengio 2010; He et al. 2015, arXiv:1502.01852
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from manual_bp import op

Initialiser = Callable[[Key[Array, ""], tuple[int, int], Any], Float[Array, "n m"]]


def _fans(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(op.complaint(name, "shape", "(n, m), both at least 1", shape))
    return shape[0], shape[1]


def uniform(
    key: Key[Array, ""], shape: tuple[int, ...], dtype: Any = jnp.float32, *, epsilon: float = 0.12
) -> Float[Array, "..."]:
    """Return an array of the shape, uniform on [−ε, ε)."""
    if not epsilon > 0:
        raise ValueError(op.complaint("uniform", "epsilon", "a number > 0", epsilon))
    return jax.random.uniform(key, shape, dtype, -epsilon, epsilon)


def xavier_uniform(
    key: Key[Array, ""], shape: tuple[int, int], dtype: Any = jnp.float32
) -> Float[Array, "n m"]:
    """Return weights (n, m), uniform on ±√(6/(n+m))."""
    n, m = _fans("xavier_uniform", shape)
    return uniform(key, shape, dtype, epsilon=math.sqrt(6 / (n + m)))  # (1)


def xavier_normal(
    key: Key[Array, ""], shape: tuple[int, int], dtype: Any = jnp.float32
) -> Float[Array, "n m"]:
    """Return weights (n, m), normal of standard deviation √(2/(n+m))."""
    n, m = _fans("xavier_normal", shape)
    return jax.random.normal(key, shape, dtype) * math.sqrt(2 / (n + m))  # (1)


def he_uniform(
    key: Key[Array, ""], shape: tuple[int, int], dtype: Any = jnp.float32
) -> Float[Array, "n m"]:
    """Return weights (n, m), uniform on ±√(6/n)."""
    n, _ = _fans("he_uniform", shape)
    return uniform(key, shape, dtype, epsilon=math.sqrt(6 / n))  # (2)


def he_normal(
    key: Key[Array, ""], shape: tuple[int, int], dtype: Any = jnp.float32
) -> Float[Array, "n m"]:
    """Return weights (n, m), normal of standard deviation √(2/n)."""
    n, _ = _fans("he_normal", shape)
    return jax.random.normal(key, shape, dtype) * math.sqrt(2 / n)  # (2)


def zeros(
    key: Key[Array, ""] | None, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> Float[Array, "..."]:
    """Return zeros; the key is not used, and is there so that all initialisers are called alike."""
    del key
    return jnp.zeros(shape, dtype)


table: Mapping[str, Initialiser] = MappingProxyType(
    {
        "uniform": uniform,
        "xavier_uniform": xavier_uniform,
        "xavier_normal": xavier_normal,
        "he_uniform": he_uniform,
        "he_normal": he_normal,
        "zeros": zeros,
    }
)
