"""How a kernel reads its input, and the products at one of its taps; shared by the convolutions.

Along each spatial axis window i reads with its tap o the place s·i + d·o − p of the input, which is
0 outside of it: s is the stride, d the dilation, p the padding before. `reads` gathers what a tap
reads; `spread`, its adjoint, puts what belongs to a tap back where the tap read, s apart.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op

Numbers = int | Sequence[int]
Pairs = int | Sequence[Sequence[int]]
Padding = Literal["SAME", "VALID"] | Pairs


@dataclass(frozen=True)
class Windows:
    """The windows along each spatial axis: how many, over how many places of input, read how."""

    size: tuple[int, ...]
    count: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    def offsets(self) -> Iterator[tuple[int, ...]]:
        """Yield the taps of the kernel, the last axis first."""
        return itertools.product(*map(range, self.kernel))

    def reads(
        self, x: Float[Array, "b *size c"]
    ) -> Iterator[tuple[tuple[int, ...], Float[Array, "b *count c"]]]:
        """Yield each tap with what it reads in every window."""
        padded = jnp.pad(x, ((0, 0), *self.padding, (0, 0)))
        for offset in self.offsets():
            starts = [d * o for d, o in zip(self.dilation, offset, strict=True)]
            window = (
                slice(start, start + s * (n - 1) + 1, s)
                for start, s, n in zip(starts, self.strides, self.count, strict=True)
            )
            yield offset, padded[:, *window]

    def spread(
        self, dread: Float[Array, "b *count c"], offset: tuple[int, ...]
    ) -> Float[Array, "b *size c"]:
        """Return what belongs to a tap at the places that it read, and 0 at all others."""
        edges = [(0, 0, 0)]
        axes = (offset, self.dilation, self.padding, self.strides, self.count, self.size)
        for o, d, (before, _), s, count, size in zip(*axes, strict=True):
            low = d * o - before
            edges.append((low, size - low - s * (count - 1) - 1, s - 1))
        return jax.lax.pad(dread, jnp.zeros((), dread.dtype), [*edges, (0, 0, 0)])


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
    numbers = tuple(value) if isinstance(value, Sequence) else (value,) * axes
    if len(numbers) != axes or not all(isinstance(n, int) and n >= least for n in numbers):
        wanted = f"a whole number ≥ {least}, or {axes} of them"
        raise ValueError(op.complaint(place, argument, wanted, value))
    return numbers


def pairs(place: str, padding: Pairs, axes: int, also: str = "") -> tuple[tuple[int, int], ...]:
    """Return the padding before and after each axis.

    Raises:
      ValueError: `padding` is neither a whole number, not negative, nor a pair for each axis.
    """
    both = padding if isinstance(padding, Sequence) else ((padding, padding),) * axes
    fits = len(both) == axes and all(
        isinstance(pair, Sequence)
        and len(pair) == 2
        and all(isinstance(p, int) and p >= 0 for p in pair)
        for pair in both
    )
    if not fits:
        wanted = f"{also}a whole number ≥ 0, or a pair of them for each of {axes} axes"
        raise ValueError(op.complaint(place, "padding", wanted, repr(padding)))
    return tuple((before, after) for before, after in both)


def over(
    place: str,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    strides: Numbers,
    padding: Padding,
    dilation: Numbers,
) -> Windows:
    """Return the windows over an input of `size` places along each axis.

    Raises:
      ValueError: a setting does not fit, or the window is larger than the padded input.
    """
    axes = len(size)
    strides = whole_numbers(place, "strides", strides, axes)
    dilation = whole_numbers(place, "dilation", dilation, axes)
    spans = extents(kernel, dilation)
    if padding == "SAME":
        lacking = [
            max(span + (-(-n // s) - 1) * s - n, 0)
            for n, s, span in zip(size, strides, spans, strict=True)
        ]
        padding = [(total // 2, total - total // 2) for total in lacking]
    elif padding == "VALID":
        padding = 0
    both = pairs(place, padding, axes, "'SAME', 'VALID', ")
    room = tuple(n + sum(pair) for n, pair in zip(size, both, strict=True))
    if any(span > n for span, n in zip(spans, room, strict=True)):
        wanted = f"at least a window, {spans}, along the spatial axes with padding"
        raise ValueError(op.complaint(place, "x", wanted, room))
    count = tuple((n - span) // s + 1 for n, span, s in zip(room, spans, strides, strict=True))
    return Windows(size, count, kernel, strides, dilation, both)


def expect_kernel(place: str, x: jax.Array, W: jax.Array, groups: int) -> None:
    """Raise a ValueError unless W is (*kernel, c / groups, m) for x of (b, *size, c)."""
    op.expect_rank(place, "x", x, 3, None)
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        wanted = f"a divisor of the {channels} channels of x"
        raise ValueError(op.complaint(place, "groups", wanted, groups))
    shape = (*(None,) * (x.ndim - 2), channels // groups, None)
    op.expect_shape(place, "W", W, shape, f"for x of shape {x.shape} and groups={groups}")
    if W.shape[-1] % groups:
        wanted = f"a divisor of the {W.shape[-1]} channels of y"
        raise ValueError(op.complaint(place, "groups", wanted, groups))
    expect_taps(place, W)


def expect_taps(place: str, W: jax.Array) -> None:
    """Raise a ValueError if the kernel has no taps along an axis."""
    if 0 in W.shape[:-2]:
        raise ValueError(op.complaint(place, "W", "one tap or more", f"shape {W.shape}"))


def add_bias(
    place: str, u: Float[Array, "*shape m"], x: jax.Array, b: Float[Array, " m"] | None
) -> Float[Array, "*shape m"]:
    """Return u + b, rounded to the dtype of x; u alone where there is no bias."""
    if b is not None:
        _, b = op.floating(place, x=x, b=b)
        op.expect_shape(place, "b", b, u.shape[-1:], f"for {u.shape[-1]} channels of y")
        u = u + jnp.broadcast_to(op.wide(b), u.shape)
    return u.astype(x.dtype)


def total(terms: Iterable[jax.Array]) -> jax.Array:
    """Return the sum of one array or more."""
    return functools.reduce(jnp.add, terms)


def sum_places(du: Float[Array, "*shape m"]) -> Float[Array, " m"]:
    """Return the sum over all but the channels, accumulated in float32 for half precision."""
    return op.wide(du).sum(tuple(range(du.ndim - 1))).astype(du.dtype)


def _split(x: Float[Array, "*shape c"], groups: int) -> Float[Array, "*shape groups n"]:
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def times(
    x: Float[Array, "*shape c"], w: Float[Array, "n m"], groups: int
) -> Float[Array, "*shape m"]:
    """Return x w, each group of channels by its own columns of w, in the dtype of sums."""
    wide = op.wide_dtype(x.dtype)
    u = jnp.einsum(
        "...gn,ngm->...gm", _split(x, groups), _split(w, groups), preferred_element_type=wide
    )
    return u.reshape(*x.shape[:-1], w.shape[-1])


def times_transposed(
    du: Float[Array, "*shape m"], w: Float[Array, "n m"], groups: int
) -> Float[Array, "*shape c"]:
    """Return du wᵀ, group by group, in the dtype of sums."""
    wide = op.wide_dtype(du.dtype)
    dx = jnp.einsum(
        "...gm,ngm->...gn", _split(du, groups), _split(w, groups), preferred_element_type=wide
    )
    return dx.reshape(*du.shape[:-1], groups * w.shape[0])


def transposed_times(
    x: Float[Array, "*shape c"], du: Float[Array, "*shape m"], groups: int
) -> Float[Array, "n m"]:
    """Return xᵀ du summed over all but the channels, group by group, in the dtype of sums."""
    wide, rows = op.wide_dtype(x.dtype), math.prod(x.shape[:-1])
    x, du = (_split(a.reshape(rows, a.shape[-1]), groups) for a in (x, du))
    dw = jnp.einsum("rgn,rgm->ngm", x, du, preferred_element_type=wide)
    return dw.reshape(x.shape[-1], groups * du.shape[-1])
