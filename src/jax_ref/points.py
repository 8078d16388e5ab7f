"""The points at which a subject is evaluated, those beside them, and the noise that these show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref.oracles import truth

NEIGHBOURS = 7
BESIDE = 2  # neighbours whose distance to the truth measures its noise in float64
FACTOR = 8  # by which noise may exceed what a few neighbours showed
_COTANGENTS = 0x64  # tells the stream of the cotangents from others of the same seed


@dataclass(frozen=True)
class Point:
    """The arrays at which a subject is evaluated, and the cotangents that it pulls back."""

    chosen: tuple[Any, ...]
    rest: tuple[Any, ...]
    dy: tuple[Any, ...]

    def beside(self, rng: np.random.Generator) -> "Point":
        """Return a point an ulp away."""
        tree = self.chosen, self.rest, self.dy
        return Point(*truth.beside(tree, rng, self.chosen[0].dtype))

    def in_float64(self) -> "Point":
        """Return the same point in float64."""
        return Point(*truth.in_float64((self.chosen, self.rest, self.dy)))


def stream(seed: int) -> np.random.Generator:
    """Return a stream of random numbers that are not those of NumPy's generator of this seed.

    Whoever draws the inputs from that one must not meet them again as cotangents.
    """
    return np.random.default_rng([seed, _COTANGENTS])


def short_decimals(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Return random numbers of two decimals in ±[0.1, 2]: to be read, and rarely of sum 0."""

    def draw() -> Any:
        return rng.integers(10, 201, shape) * rng.choice([-1, 1], shape) / 100

    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jax.device_put((draw() + 1j * draw()).astype(dtype))
    return jax.device_put(np.asarray(draw()).astype(dtype))


def on_host(tree: Any) -> Any:
    """Return a pytree with its arrays as NumPy's: a slice of one on the device is compiled."""

    def moved(leaf: Any) -> Any:
        plain = isinstance(leaf, jax.Array) and isinstance(leaf.dtype, np.dtype)
        return np.asarray(leaf) if plain else leaf

    return jax.tree.map(moved, tree)


def stacked(groups: Sequence[Sequence[Any]], *combinations: tuple[float, ...]) -> tuple[Any, ...]:
    """Return linear combinations of the arrays of each group, stacked on a new first axis."""

    # In NumPy, as an eager operation on the device compiles anew for every shape.
    def combine(factors: tuple[float, ...], group: Sequence[Any]) -> Any:
        terms = (
            np.asarray(f, a.dtype) * np.asarray(a) for f, a in zip(factors, group, strict=True)
        )
        return sum(terms)

    return tuple(
        jax.device_put(
            np.stack([combine(factors, group) for factors in combinations]).astype(group[0].dtype)
        )
        for group in groups
    )


def noise(value: Any, moved: Sequence[Any]) -> float:
    """Return how far a value moves when everything that it is made of moves by an ulp."""
    value = np.asarray(value)
    if not value.size or not np.issubdtype(value.dtype, np.inexact):
        return 0.0
    with np.errstate(invalid="ignore"):
        distances = [np.abs(np.asarray(other) - value) for other in moved]
    finite = [float(d[np.isfinite(d)].max(initial=0)) for d in distances]
    return FACTOR * max(finite, default=0.0)
