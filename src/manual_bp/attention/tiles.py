"""Which samples, queries and keys are taken at a time, where every query meets every key it sees.

Shapes   An array of scores is (b, …, t, s): samples, queries and keys. A tile of it is so many of
         each, and everything that has one of these axes is cut along it alike.
Window   Query i sees key j where i − left ≤ j ≤ i + right; None is no bound. A tile without a
         pair that sees each other is left out, so that half of a causal square is not computed.
Sizes    The queries, and so the keys, are divided evenly into the least number of tiles of at most
         `SIDE`; a last tile that is not full is filled up, with keys that no query sees. As many
         samples are taken at a time as divide their number and keep the scores of a tile, of all
         heads, at `ENTRIES` or fewer (docs/FORMS.md).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

Bounds = tuple[int | None, int | None]
Sizes = tuple[int, int, int]

SIDE = 512
ENTRIES = 2**21


@dataclass(frozen=True)
class Tiles:
    """The tiles of scores, in order of samples, queries and keys.

    Attributes:
      whole: how many samples, queries and keys there are.
      size: how many of each a tile holds.
      bounds: left and right of the window.
    """

    whole: Sizes
    size: Sizes
    bounds: Bounds

    @property
    def _counts(self) -> list[int]:
        """How many tiles there are along each axis."""
        return [-(-whole // size) for whole, size in zip(self.whole, self.size, strict=True)]

    def padded(
        self,
        x: jax.Array,
        *,
        queries: int | None = None,
        keys: int | None = None,
        filler: float = 0.0,
    ) -> jax.Array:
        """Return x with the filler where the last tile of an axis is not full."""
        around = [(0, 0, 0)] * x.ndim
        for axis, at in ((queries, 1), (keys, 2)):
            if axis is not None and x.shape[axis] > 1:
                around[axis] = (0, self._counts[at] * self.size[at] - self.whole[at], 0)
        return jax.lax.pad(x, jnp.asarray(filler, x.dtype), around)

    def over(self, step: Callable[[Any, jax.Array], Any], carry: Any) -> Any:
        """Return `carry = step(carry, place)` after all tiles, `place` being three numbers."""
        places = [place for place in np.ndindex(*self._counts) if self._sees(*place[1:])]
        if not places:
            return carry
        at = jnp.asarray(places, jnp.int32)
        return jax.lax.scan(lambda carry, place: (step(carry, place), None), carry, at)[0]

    def _sees(self, i: int, j: int) -> bool:
        """Return whether a query of the i-th tile may see a key of the j-th."""
        (_, queries, keys), (left, right) = self.size, self.bounds
        first, last = j * keys - ((i + 1) * queries - 1), (j + 1) * keys - 1 - i * queries
        return (left is None or last >= -left) and (right is None or first <= right)

    def seen(self, place: jax.Array) -> Bool[Array, "queries keys"] | None:
        """Return which queries of a tile see which keys; None where all see all."""
        (_, queries, keys), (left, right) = self.size, self.bounds
        i = place[1] * queries + jax.lax.broadcasted_iota(jnp.int32, (queries, keys), 0)
        j = place[2] * keys + jax.lax.broadcasted_iota(jnp.int32, (queries, keys), 1)
        conditions = []
        if self.whole[2] % keys:
            conditions.append(j < self.whole[2])
        if left is not None:
            conditions.append(i - j <= left)
        if right is not None:
            conditions.append(j - i <= right)
        return functools.reduce(jnp.logical_and, conditions) if conditions else None

    def cut(
        self, x: jax.Array, place: jax.Array, *, queries: int | None = None, keys: int | None = None
    ) -> jax.Array:
        """Return what a tile holds of x, whose first axis is that of the samples."""
        return jax.lax.dynamic_slice(x, *self._box(x, place, queries, keys))

    def put(
        self,
        x: jax.Array,
        part: jax.Array,
        place: jax.Array,
        *,
        queries: int | None = None,
        keys: int | None = None,
    ) -> jax.Array:
        """Return x with what a tile holds of it replaced by as many entries."""
        starts, sizes = self._box(x, place, queries, keys)
        return jax.lax.dynamic_update_slice(x, part.reshape(sizes), starts)

    def add(
        self,
        x: jax.Array,
        part: jax.Array,
        place: jax.Array,
        *,
        queries: int | None = None,
        keys: int | None = None,
    ) -> jax.Array:
        """Return x with as many entries added to what a tile holds of it."""
        before = self.cut(x, place, queries=queries, keys=keys)
        whole = before + part.reshape(before.shape)
        return self.put(x, whole, place, queries=queries, keys=keys)

    def _box(
        self, x: jax.Array, place: jax.Array, queries: int | None, keys: int | None
    ) -> tuple[list[Any], list[int]]:
        """Return where a tile begins in x, and its sizes; an axis of size 1 is of all tiles."""
        starts, sizes = [jnp.int32(0)] * x.ndim, list(x.shape)
        for at, axis in enumerate((0, queries, keys)):
            if axis is not None and x.shape[axis] > 1:
                starts[axis], sizes[axis] = place[at] * self.size[at], self.size[at]
        return starts, sizes


def over(whole: Sizes, heads: int, bounds: Bounds, at_most: Sizes | None) -> Tiles:
    """Return the tiles of so many samples, queries and keys, each of `at_most` as many of them."""
    samples, *lengths = whole
    most, *sides = (samples, SIDE, SIDE) if at_most is None else at_most
    queries, keys = (
        -(-length // max(1, -(-length // side)))
        for length, side in zip(lengths, sides, strict=True)
    )
    if at_most is None:
        most = ENTRIES // max(1, heads * queries * keys)
    divisors = [d for d in range(1, samples + 1) if samples % d == 0 and d <= max(most, 1)]
    return Tiles(whole, (max(divisors, default=1), max(queries, 1), max(keys, 1)), bounds)
