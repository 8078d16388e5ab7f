"""What the machine can do at best: the rates of a matrix product and of a copy, in the same run.

A program cannot be faster than its matrix products at the rate of a large one, nor than reading
its arguments and writing its results at the rate of a copy. The longer of the two times is its
floor.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

GEMM_SIDES = {"cpu": 2048}
GEMM_SIDE = 8192  # of an accelerator
GEMM_RUNS = 5
COPY_RUNS = 5
COPIED_BYTES = (2**16, 2**27)
PIECE = 2**20  # bytes that are copied at a time


def gemm_rate(dtype: str) -> float:
    """Return the flop/s of the best of several large matrix products in the dtype, as of now.

    A shared machine is not as fast at the end of a run as at its start.
    """
    side = GEMM_SIDES.get(jax.default_backend(), GEMM_SIDE)
    return 2 * side**3 / _best(_product(dtype, side), GEMM_RUNS)


@cache
def _product(dtype: str, side: int) -> Callable[[], Any]:
    return _compiled(jnp.matmul, [_drawn(seed, (side, side), dtype) for seed in (0, 1)])


def copy_rate(moved_bytes: float) -> float:
    """Return the bytes read and written each second by a copy that moves about as many bytes.

    What fits into a cache is copied faster than what does not, so that one rate would not be the
    limit of all. A CPU copies it in pieces: for a large array the system may hand out new memory
    in every call, which takes longer than the copy.
    """
    octaves = np.log2(np.clip(moved_bytes, *COPIED_BYTES))
    return _copy_rate(int(2 ** (round(4 * octaves) / 4)))


@cache
def _copy_rate(moved_bytes: int) -> float:
    pieces = max(1, moved_bytes // (2 * PIECE)) if jax.default_backend() == "cpu" else 1
    arrays = [_drawn(seed, (moved_bytes // (8 * pieces),), "float32") for seed in range(pieces)]

    def seconds(copied: Callable[[jax.Array], jax.Array]) -> float:
        of_all = _compiled(lambda *arrays: [copied(array) for array in arrays], arrays)
        return _best(of_all, COPY_RUNS)

    # XLA's copy runs in one thread; a change of sign moves the same bytes in all of them.
    return moved_bytes / min(map(seconds, (jnp.copy, jnp.negative)))


def floor(product_flops: float, moved_bytes: float, dtype: str) -> float:
    """Return the seconds that no program with so many operations and bytes can go below."""
    of_copy = moved_bytes / copy_rate(moved_bytes)
    return max(product_flops / gemm_rate(dtype), of_copy) if product_flops else of_copy


def _drawn(seed: int, shape: tuple[int, ...], dtype: str) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, jnp.float32).astype(dtype)


def _compiled(function: Callable[..., Any], arguments: Sequence[Any]) -> Callable[[], Any]:
    """Return the call of a function with the arguments, compiled."""
    compiled = jax.jit(function).lower(*arguments).compile()
    return lambda: compiled(*arguments)


def _best(call: Callable[[], Any], runs: int) -> float:
    """Return the least seconds of several calls, one more going before."""
    jax.block_until_ready(call())
    best = np.inf
    for _ in range(runs):
        start = time.perf_counter()
        jax.block_until_ready(call())
        best = min(best, time.perf_counter() - start)
    return float(best)
