"""Whole numbers that say where to look: what they may be, and what is done with them.

A number outside 0 … size−1 is an error; under `jit`, where values cannot be read, what is looked up
there is NaN and what is added there is lost. Negative numbers do not count from the end.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from manual_bp import op


def checked(name: str, argument: str, numbers: Any, size: int) -> Integer[Array, "..."]:
    """Return the numbers as an array that can hold `size`.

    Raises:
      TypeError: they are not whole.
      ValueError: one that can be read is outside 0 … size−1.
    """
    dtype = jnp.result_type(numbers)
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(op.complaint(name, argument, "an integer dtype", dtype))
    if np.size(numbers) and not isinstance(numbers, jax.core.Tracer):
        # Before JAX sees them: without float64 it would cut 64 bits to 32.
        values = np.asarray(numbers)
        for extreme in (values.min(), values.max()):
            if not 0 <= extreme < size:
                raise ValueError(op.complaint(name, argument, f"0 … {size - 1}", extreme))
    numbers = jnp.asarray(numbers)
    # A narrow dtype may not hold the size.
    return numbers.astype(jnp.int32) if dtype.itemsize < 4 else numbers


def looked_up(x: Float[Array, "..."], index: tuple[Any, ...]) -> Float[Array, "..."]:
    """Return x at the index, NaN outside."""
    return x.at[index].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


def added(
    shape: tuple[int, ...], index: tuple[Any, ...], terms: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return the sums of the terms at the index, in which places may repeat; 0 elsewhere."""
    sums = jnp.zeros(shape, op.wide_dtype(terms.dtype))
    sums = sums.at[index].add(op.wide(terms), mode="drop", wrap_negative_indices=False)
    return sums.astype(terms.dtype)
