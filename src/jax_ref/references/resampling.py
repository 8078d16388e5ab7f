"""Reference resampling: dense matrices, one an axis, and gathers by index."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Image = Float[Array, "b *spatial c"]
Resampled = Float[Array, "b *out c"]


def _sizes(x: Image, factor: int | None, size: Sequence[int] | None) -> Sequence[int]:
    return [factor * n for n in x.shape[1:-1]] if factor else size or ()


def _times(matrices: Sequence[np.ndarray], x: Image) -> Resampled:
    for axis, matrix in enumerate(matrices, start=1):
        moved = jnp.tensordot(jnp.asarray(matrix, x.dtype), x, axes=(1, axis))
        x = jnp.moveaxis(moved, 0, axis)
    return x


def upsample_nearest(
    x: Image, *, factor: int | None = None, size: Sequence[int] | None = None
) -> Resampled:
    """Return x times matrices with a 1 where i/m lies in the element's share of the axis."""
    matrices = []
    for n, m in zip(x.shape[1:-1], _sizes(x, factor, size), strict=True):
        i, j = np.ogrid[:m, :n]
        matrices.append((j * m <= i * n) & (i * n < (j + 1) * m))
    return _times(matrices, x)


def upsample_linear(
    x: Image,
    *,
    factor: int | None = None,
    size: Sequence[int] | None = None,
    align_corners: bool = False,
) -> Resampled:
    """Return x times matrices of hat functions, max(0, 1 − |s − j|)."""
    matrices = []
    for n, m in zip(x.shape[1:-1], _sizes(x, factor, size), strict=True):
        if align_corners:
            s = np.linspace(0, n - 1, m)
        else:
            s = np.clip((np.arange(m) + 0.5) * (n / m) - 0.5, 0, n - 1)
        matrices.append(np.maximum(0, 1 - np.abs(s[:, None] - np.arange(n))))
    return _times(matrices, x)


def pixel_shuffle(x: Float[Array, "b h w d"], *, factor: int) -> Float[Array, "b H W c"]:
    """Return x read by index, one index for each pixel and channel of the output."""
    _, h, w, d = x.shape
    row, column, k = np.ogrid[: h * factor, : w * factor, : d // factor**2]
    channel = k * factor**2 + (row % factor) * factor + column % factor
    return x[:, row // factor, column // factor, channel]


def pixel_unshuffle(x: Float[Array, "b H W c"], *, factor: int) -> Float[Array, "b h w d"]:
    """Return x read by index, one index for each pixel and channel of the output."""
    _, h, w, c = x.shape
    row, column, d = np.ogrid[: h // factor, : w // factor, : c * factor**2]
    k, place = np.divmod(d, factor**2)
    return x[:, row * factor + place // factor, column * factor + place % factor, k]


table: Mapping[str, Callable[..., Array]] = MappingProxyType(
    {f.__name__: f for f in (upsample_nearest, upsample_linear, pixel_shuffle, pixel_unshuffle)}
)
