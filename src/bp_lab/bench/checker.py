"""What a check costs: the fast level beside `jax.test_util.check_grads`, and a large input.

A test suite checks each rule once, so the figure that counts is a first call, in which everything
is compiled. A repeated call is measured as well: there `check_grads` finds every operation that it
runs one by one compiled already, and ours compiles its program anew, as what a rule calls may have
changed in between.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from jax_ref import check_rule

ROWS, FEATURES = 64, 512
LARGE = (2**18, 2**19, 2**20)  # entries of the large inputs
EPSILON = 1e-5


def primal(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Return the layer normalisation of x, (batch, n), over its last axis."""
    centred = x - x.mean(-1, keepdims=True)
    rstd = jax.lax.rsqrt(x.var(-1, keepdims=True) + EPSILON)
    return centred * rstd * scale[None] + bias[None]


@jax.custom_vjp
def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Return the layer normalisation of x with its backward pass by hand."""
    return _forward(x, scale, bias)[0]


def _forward(x: jax.Array, scale: jax.Array, bias: jax.Array) -> tuple[jax.Array, Any]:
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / jnp.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)
    normal = centred * rstd
    return normal * scale[None] + bias[None], (normal, rstd, scale)


def _backward(residual: Any, dy: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    normal, rstd, scale = residual
    dnormal = dy * scale[None]
    mean, along = dnormal.mean(-1, keepdims=True), (dnormal * normal).mean(-1, keepdims=True)
    return rstd * (dnormal - mean - normal * along), (dy * normal).sum(0), dy.sum(0)


layer_norm.defvjp(_forward, _backward)


def arguments(rows: int, features: int = FEATURES) -> tuple[np.ndarray, ...]:
    """Return x, scale and bias in float64."""
    rng = np.random.default_rng(0)
    shapes = ((rows, features), (features,), (features,))
    return tuple(rng.standard_normal(shape) for shape in shapes)


def cost(pairs: int) -> dict[str, Any]:
    """Return the seconds of both checkers on layer norm, first calls and repeated ones, paired."""
    args = arguments(ROWS)

    def ours() -> None:
        check_rule(layer_norm, *args, primal=primal)

    def theirs() -> None:
        with jax.enable_x64(True):
            check_grads(layer_norm, args, order=1, modes=["rev"])

    first, again = [], []
    for _ in range(pairs):
        jax.clear_caches()
        cold, warm = _seconds(ours), _seconds(ours)
        jax.clear_caches()
        first.append((cold, _seconds(theirs)))
        again.append((warm, _seconds(theirs)))
    return {"first_call": _summary(first), "repeated_call": _summary(again)}


def large() -> Iterator[dict[str, float]]:
    """Yield seconds and peak memory of checks of larger and larger inputs."""
    for entries in LARGE:
        args = arguments(entries // FEATURES)
        jax.clear_caches()
        seconds = _seconds(lambda: check_rule(layer_norm, *args, primal=primal))  # noqa: B023
        yield {"entries": entries, "seconds": seconds, "peak_bytes": _peak_bytes()}


def _seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _summary(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    times = np.asarray(pairs)
    low, middle, high = np.percentile(times[:, 0] / times[:, 1], [25, 50, 75])
    ours, theirs = np.median(times, 0)
    return {
        "seconds": float(ours),
        "check_grads_seconds": float(theirs),
        "ratio": float(middle),
        "ratio_quartiles": (float(low), float(high)),
    }


def _peak_bytes() -> int:
    """Return the largest memory that the process has held; macOS counts it in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
