"""Windows that slide over spatial axes, and the settings that say how.

Shapes   x, dx: (b, *size, c)   at each tap: (b, *count, c)
         size, count and every setting have one entry for each of any number of spatial axes.
Forward  Along each axis window i reads with its tap o the place s i + d o − p of x, and a filler
         outside of the places: s is the stride, d the dilation, p the padding before. What all
         windows read with one tap is a slice of the padded x, with stride s.
Derive   What window i is owed at tap o belongs to the place s i + d o − p of x. For one tap these
         places lie s apart and begin at d o − p; what falls outside of x is dropped:
  (1) dx = Σₒ spreadₒ(dyₒ),   spreadₒ: s − 1 zeros between, d o − p before
         a sum of padded arrays, and no scatter. `spread` is the adjoint of a read.
Order    The taps of a window run in row-major order, the last axis fastest.
Padding  "VALID" is none; "SAME" gives count = ⌈size/s⌉, the odd place after; a number is for all
         sides; else a pair, before and after, for each axis.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from manual_bp import op, setting

Numbers = int | Sequence[int]
Pairs = int | Sequence[Sequence[int]]
Padding = Literal["SAME", "VALID"] | Pairs
Tap = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """The windows along each spatial axis: how many, over how many places of input, read how.

    `tile` says whether each place is read by one tap of one window, and nothing else is.
    """

    size: tuple[int, ...]
    count: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    tile: bool = False

    @property
    def taps(self) -> list[Tap]:
        """The taps of a window, the last axis first."""
        return list(itertools.product(*map(range, self.kernel)))

    def reads(
        self, x: Float[Array, "b *size c"], filler: float = 0.0
    ) -> Iterator[tuple[Tap, Float[Array, "b *count c"]]]:
        """Yield each tap with what it reads in every window."""
        around = [(0, 0, 0), *((before, after, 0) for before, after in self.padding), (0, 0, 0)]
        padded = jax.lax.pad(x, jnp.asarray(filler, x.dtype), around)
        for tap in self.taps:
            starts = [self.dilation[axis] * o for axis, o in enumerate(tap)]
            ends = [
                start + s * (n - 1) + 1
                for start, s, n in zip(starts, self.strides, self.count, strict=True)
            ]
            first, last = (0, *starts, 0), (padded.shape[0], *ends, padded.shape[-1])
            yield tap, jax.lax.slice(padded, first, last, (1, *self.strides, 1))

    def read_inside(
        self, x: Float[Array, "b *size c"], tap: Tap
    ) -> tuple[Tap, Float[Array, "b *some c"]]:
        """Return what a tap reads in the windows where that is a place of x, and their first."""
        first, read = [], x
        for axis, (places, inside) in enumerate(self._places(tap), 1):
            first.append(int(inside.argmax()))
            start, end = (places[inside][[0, -1]] + [0, 1]) if inside.any() else (0, 0)
            read = jax.lax.slice_in_dim(read, start, end, self.strides[axis - 1], axis)
        return tuple(first), read

    def spread(self, dread: Float[Array, "b *count c"], tap: Tap) -> Float[Array, "b *size c"]:
        """Return what belongs to a tap at the places that it read, and 0 at all others."""
        around = [(0, 0, 0)]
        axes = (tap, self.dilation, self.padding, self.strides, self.count, self.size)
        for o, d, (before, _), s, count, size in zip(*axes, strict=True):
            low = d * o - before
            around.append((low, size - low - s * (count - 1) - 1, s - 1))
        return jax.lax.pad(dread, jnp.zeros((), dread.dtype), [*around, (0, 0, 0)])

    def put_back(
        self, owed: Callable[[Tap], Float[Array, "b *count c"]]
    ) -> Float[Array, "b *size c"]:
        """Return the sum of what each tap is owed, at the places that it read."""
        return total(self.spread(owed(tap), tap) for tap in self.taps)  # (1)

    def readers(self) -> Int[np.ndarray, "1 *size 1"]:
        """Return the number of the tap that reads each place, of windows that tile."""
        places = np.indices(self.size)
        along = (at % k for at, k in zip(places, self.kernel, strict=True))
        return np.ravel_multi_index(tuple(along), self.kernel)[None, ..., None]

    def inside(self, tap: Tap) -> Bool[np.ndarray, "1 *count 1"]:
        """Return in which windows a tap reads a place of x, and not its padding."""
        inside = np.ones((1,) * (len(tap) + 2), bool)
        for axis, (_, along) in enumerate(self._places(tap), 1):
            shape = [1] * inside.ndim
            shape[axis] = len(along)
            inside = inside & along.reshape(shape)
        return inside

    def _places(self, tap: Tap) -> Iterator[tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]]:
        """Yield for each axis the place that a tap reads in each window, and whether x has it."""
        axes = (tap, self.dilation, self.padding, self.strides, self.count, self.size)
        for o, d, (before, _), s, count, size in zip(*axes, strict=True):
            place = s * np.arange(count) + d * o - before
            yield place, (place >= 0) & (place < size)

    def members(self) -> Int[np.ndarray, "1 *count 1"]:
        """Return how many places of x each window reads."""
        return np.sum([self.inside(tap) for tap in self.taps], axis=0)


def extents(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Return how many places a window spans along each axis."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def whole_numbers(
    place: str, argument: str, value: Numbers, axes: int, least: int = 1
) -> tuple[int, ...]:
    """Return one number for each axis.

    Raises:
      ValueError: `value` is neither a whole number of `least` or more nor one for each axis.
    """
    given = setting.entries(value)
    each: tuple[Any, ...] = (value,) * axes if given is None else given
    if len(each) != axes or not all(setting.is_whole(n) and n >= least for n in each):
        wanted = f"a whole number ≥ {least}, or {axes} of them"
        raise ValueError(op.complaint(place, argument, wanted, value))
    return tuple(map(int, each))


def pairs(place: str, padding: Pairs, axes: int, also: str = "") -> tuple[tuple[int, int], ...]:
    """Return the padding before and after each axis.

    Raises:
      ValueError: `padding` is neither a whole number, not negative, nor a pair for each axis.
    """
    wanted = f"{also}a whole number ≥ 0, or a pair of them for each of {axes} axes"
    if setting.is_whole(padding):
        padding = ((setting.expect_whole(place, "padding", padding, 0, wanted),) * 2,) * axes
    return setting.expect_pairs(place, "padding", padding, axes, wanted)


def over(
    place: str,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    strides: Numbers,
    padding: Padding,
    dilation: Numbers = 1,
) -> Windows:
    """Return the windows over an input of `size` places along each axis.

    Raises:
      ValueError: a setting does not fit, or the window is larger than the padded input.
    """
    axes = len(size)
    strides = whole_numbers(place, "strides", strides, axes)
    dilation = whole_numbers(place, "dilation", dilation, axes)
    spans = extents(kernel, dilation)
    if isinstance(padding, str) and padding == "SAME":
        lacking = [
            max(span + (-(-n // s) - 1) * s - n, 0)
            for n, s, span in zip(size, strides, spans, strict=True)
        ]
        padding = [(lack // 2, lack - lack // 2) for lack in lacking]
    elif isinstance(padding, str) and padding == "VALID":
        padding = 0
    both = pairs(place, padding, axes, "'SAME', 'VALID', ")
    room = tuple(n + sum(pair) for n, pair in zip(size, both, strict=True))
    if any(span > n for span, n in zip(spans, room, strict=True)):
        wanted = f"at least a window, {spans}, along the spatial axes with padding"
        raise ValueError(op.complaint(place, "x", wanted, room))
    count = tuple((n - span) // s + 1 for n, span, s in zip(room, spans, strides, strict=True))
    whole = tuple(n * k for n, k in zip(count, kernel, strict=True))
    apart = strides == kernel and dilation == (1,) * axes
    tile = apart and whole == size and not any(map(sum, both))
    return Windows(size, count, kernel, strides, dilation, both, tile)


def expect_places(place: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of the spatial axes of (b, *size, c), or raise a ValueError if one is 0."""
    size = shape[1:-1]
    if 0 in size:
        wanted = "spatial sizes of at least 1"
        raise ValueError(op.complaint(place, "x", wanted, f"shape {shape}"))
    return size


def total(terms: Iterable[jax.Array]) -> jax.Array:
    """Return the sum of one array or more."""
    return functools.reduce(jnp.add, terms)
