"""The sizes of what is upsampled: given, or a whole factor of those of the input."""

from typing import Any

import jax

from manual_bp import op, setting
from manual_bp.windows import expect_places, whole_numbers


def expect_factor(name: str, factor: Any) -> int:
    """Return the factor, or raise a ValueError unless it is a whole number of at least 1."""
    return setting.expect_whole(name, "factor", factor, 1)


def resolve(name: str, x: jax.Array, factor: Any, size: Any) -> tuple[int, ...]:
    """Return the sizes of the output, or raise a ValueError where they do not fit x."""
    op.expect_rank(name, "x", x, 3, None)
    spatial = expect_places(name, x.shape)
    if (factor is None) == (size is None):
        came = "neither" if factor is None else "both"
        raise ValueError(op.complaint(name, "size", "either a factor or a size", came))
    if size is not None:
        return whole_numbers(name, "size", size, len(spatial))
    times = expect_factor(name, factor)
    return tuple(times * n for n in spatial)
