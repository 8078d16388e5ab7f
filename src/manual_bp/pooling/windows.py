"""Windows that slide over the spatial axes, as one strided slice for each offset in the window.

Shapes   x, dx: (b, *spatial, c)   at each offset: (b, *out, c)   K = Π window offsets
Forward  On each axis output i reads at offset k the element j = i s + k d − l of x, with stride s,
         dilation d and l elements of padding before x. What all outputs read at one offset is
         therefore a slice of the padded x with stride s.
Derive   Pulled back, what output i is owed at offset k belongs to j = i s + k d − l: first i = 0 at
         k d − l, then one in s elements, zeros between; what falls outside x is dropped.
  (1) dx = Σₖ putₖ(dyₖ),   putₖ: zeros between, s − 1, and before, k d − l
         A sum of padded arrays, and no scatter. Over half precision it is in float32.
Order    Offsets run in row-major order, the last axis fastest: the window order of ties.
Padding  "VALID" is none. "SAME" is what makes ⌈n / s⌉ outputs, its odd element at the end.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from manual_bp import op

Padding = Literal["VALID", "SAME"] | Sequence[Sequence[int]]
Offset = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Windows:
    """Where each window reads; hashable, so that a residual may hold it as a static field.

    Attributes:
      spatial: sizes of x.
      out: sizes of y.
      window: sizes of a window.
      strides: steps from one window to the next.
      padding: elements before and after x, one pair an axis.
      dilation: steps from one element of a window to the next.
    """

    spatial: tuple[int, ...]
    out: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @property
    def offsets(self) -> list[Offset]:
        """The offsets in a window, in window order."""
        return list(itertools.product(*map(range, self.window)))

    def pad(self, x: Float[Array, "b *spatial c"], value: float) -> Float[Array, "b *padded c"]:
        """Return x with the padding around it, filled with the value."""
        around = [(before, after, 0) for before, after in self.padding]
        return jax.lax.pad(x, jnp.asarray(value, x.dtype), [(0, 0, 0), *around, (0, 0, 0)])

    def read(self, padded: Float[Array, "b *padded c"], offset: Offset) -> Float[Array, "b *out c"]:
        """Return what all outputs read of the padded x at one offset."""
        starts = [k * d for k, d in zip(offset, self.dilation, strict=True)]
        spans = [(size - 1) * s + 1 for size, s in zip(self.out, self.strides, strict=True)]
        ends = [start + span for start, span in zip(starts, spans, strict=True)]
        batch, channels = padded.shape[0], padded.shape[-1]
        return jax.lax.slice(
            padded, (0, *starts, 0), (batch, *ends, channels), (1, *self.strides, 1)
        )

    def put_back(
        self, owed: Callable[[Offset], Float[Array, "b *out c"]]
    ) -> Float[Array, "b *spatial c"]:
        """Return dx from what each offset owes to the elements that it read."""
        offsets = self.offsets
        dx = self._put(owed(offsets[0]), offsets[0])
        for offset in offsets[1:]:
            dx = dx + self._put(owed(offset), offset)  # (1)
        return dx

    def _put(self, dy: jax.Array, offset: Offset) -> jax.Array:
        around = []
        for axis, k in enumerate(offset):
            before = k * self.dilation[axis] - self.padding[axis][0]
            span = (self.out[axis] - 1) * self.strides[axis] + 1
            after = self.spatial[axis] - before - span
            around.append((before, after, self.strides[axis] - 1))
        return jax.lax.pad(dy, jnp.zeros((), dy.dtype), [(0, 0, 0), *around, (0, 0, 0)])

    def inside(self, offset: Offset) -> np.ndarray:
        """Return whether x, and not its padding, is read at an offset: booleans, (*out)."""
        inside = np.ones((), bool)
        for axis, k in enumerate(offset):
            read = np.arange(self.out[axis]) * self.strides[axis] + k * self.dilation[axis]
            read = read - self.padding[axis][0]
            inside = inside[..., None] & (read >= 0) & (read < self.spatial[axis])
        return inside

    def count(self) -> np.ndarray:
        """Return how many elements of x each window reads, (*out)."""
        return np.sum([self.inside(offset) for offset in self.offsets], axis=0)


def spread(values: np.ndarray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Return one value for each output, (*out), for all of (b, *out, c)."""
    return jnp.broadcast_to(jnp.asarray(values, dtype)[None, ..., None], shape)


def along(values: np.ndarray, like: jax.Array, axis: int) -> jax.Array:
    """Return one value for each index of an axis, in the rank and dtype of an array."""
    shape = [1] * like.ndim
    shape[axis] = len(values)
    return jnp.asarray(values.reshape(shape), like.dtype)


def expect_spatial(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of the spatial axes, or raise a ValueError where one is 0."""
    spatial = shape[1:-1]
    if 0 in spatial:
        wanted = "spatial sizes of at least 1"
        raise ValueError(op.complaint(name, "x", wanted, f"shape {shape}"))
    return spatial


def whole_numbers(name: str, argument: str, values: Any, axes: int) -> tuple[int, ...]:
    """Return a tuple of numbers, one an axis, or raise unless all are whole and at least 1."""
    if not _are_whole(values, 1) or len(values) != axes:
        plural = "" if axes == 1 else "s"
        wanted = f"{axes} whole number{plural} of at least 1"
        raise ValueError(op.complaint(name, argument, wanted, values))
    return tuple(int(value) for value in values)


def slide(
    name: str,
    shape: tuple[int, ...],
    window: Sequence[int],
    strides: Sequence[int] | None,
    padding: Padding,
    dilation: Sequence[int] | None = None,
) -> Windows:
    """Return the windows over x of a shape, or raise a ValueError where they do not fit.

    Args:
      name: the op that complains.
      shape: of x, (b, *spatial, c), with as many spatial axes, 1 to 3, as `window` has sizes.
      window: sizes of a window.
      strides: steps from one window to the next; by default those of `window`.
      padding: "VALID", "SAME", or a pair for each axis.
      dilation: steps from one element of a window to the next; by default 1.
    """
    if not _are_whole(window, 1) or not 1 <= len(window) <= 3:
        wanted = "1 to 3 whole numbers of at least 1"
        raise ValueError(op.complaint(name, "window", wanted, window))
    axes = len(window)
    window = whole_numbers(name, "window", window, axes)
    if len(shape) != axes + 2:
        raise ValueError(op.complaint(name, "x", f"rank {axes + 2}", f"shape {shape}"))
    spatial = expect_spatial(name, shape)
    strides = whole_numbers(name, "strides", window if strides is None else strides, axes)
    dilation = whole_numbers(name, "dilation", (1,) * axes if dilation is None else dilation, axes)
    extent = tuple((k - 1) * d + 1 for k, d in zip(window, dilation, strict=True))
    pairs = _pairs(name, padding, spatial, extent, strides)
    padded = tuple(n + before + after for n, (before, after) in zip(spatial, pairs, strict=True))
    if any(size > room for size, room in zip(extent, padded, strict=True)):
        wanted = f"an extent of at most the padded size {padded}"
        raise ValueError(op.complaint(name, "window", wanted, extent))
    out = tuple(
        (room - size) // s + 1 for room, size, s in zip(padded, extent, strides, strict=True)
    )
    windows = Windows(spatial, out, window, strides, pairs, dilation)
    if not windows.count().all():
        wanted = "an element of x in every window"
        raise ValueError(op.complaint(name, "padding", wanted, padding))
    return windows


def _are_whole(values: Any, least: int) -> bool:
    return isinstance(values, (tuple, list)) and all(
        isinstance(value, (int, np.integer)) and value >= least for value in values
    )


def _pairs(
    name: str,
    padding: Any,
    spatial: tuple[int, ...],
    extent: tuple[int, ...],
    strides: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    if padding == "VALID":
        return ((0, 0),) * len(spatial)
    if padding == "SAME":
        needed = (
            max((-(-n // s) - 1) * s + size - n, 0)
            for n, size, s in zip(spatial, extent, strides, strict=True)
        )
        return tuple((total // 2, total - total // 2) for total in needed)
    listed = isinstance(padding, (tuple, list)) and len(padding) == len(spatial)
    if not listed or not all(_are_whole(pair, 0) and len(pair) == 2 for pair in padding):
        wanted = f"'VALID', 'SAME' or one pair of whole numbers for each of {len(spatial)} axes"
        raise ValueError(op.complaint(name, "padding", wanted, repr(padding)))
    return tuple((int(before), int(after)) for before, after in padding)
