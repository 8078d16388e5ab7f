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

from manual_bp import op, setting

Bounds = tuple[int | None, int | None]
Sizes = tuple[int, int, int]

SIDE = 512
ENTRIES = 2**21


@dataclass(frozen=True)
class Tiles:
    """The tiles of scores that are visited, and where in them a query sees a key.

    Attributes:
      places: of every tile the number of its samples, queries and keys.
      size: how many samples, queries and keys a tile holds.
      filled: how many queries and keys there are when the last tiles are filled up.
      keys: how many keys there are in truth.
      bounds: left and right of the window.
    """

    places: tuple[Sizes, ...]
    size: Sizes
    filled: tuple[int, int]
    keys: int
    bounds: Bounds

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
        for axis, filled in zip((queries, keys), self.filled, strict=True):
            if axis is not None:
                size = x.shape[axis]
                around[axis] = (0, filled - size if size > 1 else 0, 0)
        return jax.lax.pad(x, jnp.asarray(filler, x.dtype), around)

    def over(self, step: Callable[[Any, jax.Array], Any], carry: Any) -> Any:
        """Return `carry = step(carry, place)` after all tiles, `place` being three numbers."""
        if not self.places:
            return carry
        places = jnp.asarray(self.places, jnp.int32)
        return jax.lax.scan(lambda carry, place: (step(carry, place), None), carry, places)[0]

    def seen(self, place: jax.Array) -> Bool[Array, "queries keys"] | None:
        """Return which queries of a tile see which keys; None where all see all."""
        (_, queries, keys), (left, right) = self.size, self.bounds
        i = place[1] * queries + jax.lax.broadcasted_iota(jnp.int32, (queries, keys), 0)
        j = place[-1] * keys + jax.lax.broadcasted_iota(jnp.int32, (queries, keys), 1)
        conditions = []
        if self.filled[1] > self.keys:
            conditions.append(j < self.keys)
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


def expect_tiles(
    name: str, whole: Sizes, heads: int, window: Bounds, causal: bool, at_most: Sizes | None
) -> Tiles:
    """Return the tiles of so many samples, queries and keys, each of `at_most` as many of them.

    Raises:
      ValueError: the window is no two bounds of 0 or more, or `at_most` no three sizes above 0.
    """
    left, right = expect_bounds(name, window)
    right = 0 if causal else right
    samples, *lengths = whole
    wanted = "three numbers, of samples, queries and keys, each 1 or more"
    given = (max(samples, 1), SIDE, SIDE) if at_most is None else at_most
    most, *sides = setting.expect_wholes(name, "tile", given, 3, wanted)
    if min(most, *sides) < 1:
        raise ValueError(op.complaint(name, "tile", wanted, at_most))
    counts = [-(-length // side) for length, side in zip(lengths, sides, strict=True)]
    queries, keys = (
        -(-length // max(count, 1)) for length, count in zip(lengths, counts, strict=True)
    )
    if at_most is None:
        most = max(1, ENTRIES // max(1, heads * queries * keys))
    together = max((d for d in range(1, samples + 1) if samples % d == 0 and d <= most), default=1)

    def sees(i: int, j: int) -> bool:
        """Return whether a query of the i-th tile may see a key of the j-th."""
        least = j * keys - ((i + 1) * queries - 1)
        greatest = (j + 1) * keys - 1 - i * queries
        return (left is None or greatest >= -left) and (right is None or least <= right)

    places = tuple(place for place in np.ndindex(samples // together, *counts) if sees(*place[1:]))
    filled = counts[0] * queries, counts[1] * keys
    return Tiles(places, (together, queries, keys), filled, lengths[1], (left, right))


def expect_bounds(name: str, window: Bounds) -> Bounds:
    """Return the bounds of a window, or raise a ValueError unless they are two."""
    wanted = "two numbers of keys, each 0 or more or None"
    given = setting.entries(window)
    sound = [b is None or (setting.is_whole(b) and b >= 0) for b in given or ()]
    if given is None or len(given) != 2 or not all(sound):
        raise ValueError(op.complaint(name, "window", wanted, window))
    left, right = (None if bound is None else int(bound) for bound in given)
    return left, right
