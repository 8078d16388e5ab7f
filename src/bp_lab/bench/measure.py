"""Time, memory and compile time of two ways to compute one thing, side by side.

Both are compiled ahead and run in turn, A B A B …, each output waited for; the figure is the median
of the ratios of neighbours, so that a machine whose speed drifts slows both sides alike.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

WARM_UP = 3
GEMM_SIDE = 2048
GEMM_RUNS = 15


@dataclass
class Side:
    """A compiled step `(state, batch) -> (state, loss)` that donates its state, and that state."""

    compiled: Any
    state: Any
    batch: tuple[Any, ...]
    compile_seconds: float

    @property
    def temporary_bytes(self) -> int:
        """Bytes that the step needs beside arguments and results."""
        return int(self.compiled.memory_analysis().temp_size_in_bytes)

    def run(self) -> float:
        """Take one step and return its seconds."""
        start = time.perf_counter()
        self.state, loss = self.compiled(self.state, self.batch)
        jax.block_until_ready((self.state, loss))
        return time.perf_counter() - start


@dataclass(frozen=True)
class Comparison:
    """Medians over the pairs, and the quartiles of the ratio of times."""

    seconds: float
    other_seconds: float
    time_ratio: float
    quartiles: tuple[float, float]
    memory_ratio: float
    compile_ratio: float
    temporary_bytes: int


def prepare(step: Callable[..., Any], state: Any, batch: tuple[Any, ...]) -> Side:
    """Compile a step for a state and a batch; `state` is copied, as the step will donate it."""
    jitted = jax.jit(step, donate_argnums=0)
    start = time.perf_counter()
    compiled = jitted.lower(state, batch).compile()
    seconds = time.perf_counter() - start
    return Side(compiled, jax.tree.map(jnp.array, state), batch, seconds)


def compare(ours: Side, other: Side, pairs: int) -> Comparison:
    """Run both sides in turn and return the comparison, ours to the other's."""
    for _ in range(WARM_UP):
        ours.run()
        other.run()
    times = np.asarray([(ours.run(), other.run()) for _ in range(pairs)])
    ratios = times[:, 0] / times[:, 1]
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    seconds, other_seconds = np.median(times, 0)
    return Comparison(
        seconds=float(seconds),
        other_seconds=float(other_seconds),
        time_ratio=float(middle),
        quartiles=(float(low), float(high)),
        memory_ratio=ours.temporary_bytes / max(1, other.temporary_bytes),
        compile_ratio=ours.compile_seconds / other.compile_seconds,
        temporary_bytes=ours.temporary_bytes,
    )


def gemm_rate(dtype: str) -> float:
    """Return the flop/s of the best of several large matrix products in the dtype."""
    a, b = (
        jax.random.normal(jax.random.key(seed), (GEMM_SIDE, GEMM_SIDE)).astype(dtype)
        for seed in (0, 1)
    )
    product = jax.jit(jnp.matmul).lower(a, b).compile()
    jax.block_until_ready(product(a, b))
    best = np.inf
    for _ in range(GEMM_RUNS):
        start = time.perf_counter()
        jax.block_until_ready(product(a, b))
        best = min(best, time.perf_counter() - start)
    return 2 * GEMM_SIDE**3 / float(best)
