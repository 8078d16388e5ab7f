"""Which equations of a jaxpr compare floating numbers, and what number decides.

a < b, a = b, max(a, b), …           a − b
|a|, sign a                          a
clamp                                x − low and x − high
reduce_max, argmax, reduce_window    the winner less each other entry
cummax                               each entry less the largest before it
sort, top_k                          neighbours; the last of the top less each of the rest
scatter_max                          each place less each of its candidates, but for the winner
round, floor, ceil, conversion       x less the nearest jump
rem                                  the distances to the multiples of the divisor beside
atan2(y, x)                          y, where x < 0
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jax_ref.oracles import jaxprs

Deciding = Sequence[jax.Array]


def compares(eqn: core.JaxprEqn) -> bool:
    """Return whether the equation decides on floating numbers."""
    name = eqn.primitive.name
    if name == "convert_element_type":
        return jaxprs.takes(eqn, np.floating) and not jaxprs.gives(eqn, np.inexact)
    if name in PAIRS and eqn.invars[0] is eqn.invars[1]:
        return False  # a ≠ a asks whether a is a number
    return name in DECIDING and jaxprs.takes(eqn, np.inexact if name in OF_COMPLEX else np.floating)


def deciding(eqn: core.JaxprEqn, operands: Sequence[Any], results: Sequence[Any]) -> Deciding:
    """Return the arrays, float64 or complex, whose signs decide; their zeros are the jumps."""
    return DECIDING[eqn.primitive.name](eqn, operands, results)


def _wide(x: Any) -> jax.Array:
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.complexfloating) else x.astype(jnp.float64)


def _minus(a: Any, b: Any) -> jax.Array:
    return _wide(a) - _wide(b)


def _sides(_eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    return [_minus(*operands)]


def _from_zero(_eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    return [_wide(operands[0])]


def _bounds(_eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    low, x, high = operands
    return [_minus(x, low), _minus(x, high)]


def _halves(_eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    x = _wide(operands[0])
    return [x - (lax.stop_gradient(jnp.floor(x)) + 0.5)]


def _integers(_eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    x = _wide(operands[0])
    return [x - lax.stop_gradient(jnp.round(x))]


def _conversion(eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    x = _wide(operands[0])
    if jaxprs.gives(eqn, np.bool_):
        return [x]
    # Rounding is towards 0, where nothing jumps.
    nearest = jnp.round(x)
    nearest = jnp.where(nearest == 0, jnp.where(x < 0, -1.0, 1.0), nearest)
    return [x - lax.stop_gradient(nearest)]


def _remainder(_eqn: core.JaxprEqn, operands: Any, results: Any) -> Deciding:
    a, b, r = map(_wide, (*operands, *results))
    # The remainder has the sign of a, so that at 0 nothing jumps.
    below = jnp.where(jnp.abs(a) < jnp.abs(b), jnp.inf, r)
    return [below, jnp.abs(b) - jnp.abs(r)]


def _cut(_eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    y, x = map(_wide, operands)
    return [jnp.where(x < 0, y, jnp.inf)]


def _others(rows: jax.Array, largest: bool) -> Deciding:
    """Return the winner of each row, along the last axis, less the others."""
    if not rows.size:
        return ()
    winner = (jnp.argmax if largest else jnp.argmin)(rows, -1, keepdims=True)
    gaps = jnp.take_along_axis(rows, winner, -1) - rows
    at = lax.broadcasted_iota(winner.dtype, rows.shape, rows.ndim - 1)
    return [jnp.where(at == winner, jnp.inf, gaps)]


def _over_axes(largest: bool, eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    x, axes = _wide(operands[0]), eqn.params["axes"]
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    count = int(np.prod([x.shape[axis] for axis in axes]))
    rows = x.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), count)
    return _others(rows, largest)


def _so_far(eqn: core.JaxprEqn, operands: Any, results: Any) -> Deciding:
    axis, reverse = eqn.params["axis"], eqn.params["reverse"]
    x, extreme = (jnp.moveaxis(_wide(a), axis, -1) for a in (*operands, *results))
    x, extreme = (a[..., ::-1] for a in (x, extreme)) if reverse else (x, extreme)
    return [x[..., 1:] - extreme[..., :-1]]


def _in_windows(
    largest: bool | None, at: int, eqn: core.JaxprEqn, operands: Any, _results: Any
) -> Deciding:
    """Return the winner of each window less the others.

    Args:
      largest: whether the largest wins; None where the equation says.
      at: which operand the windows slide over.
      eqn: the equation.
      operands: of the equation.
    """
    params, x = eqn.params, _wide(operands[at])
    if largest is None:
        largest = params["select_prim"].name == "ge"
    ones = (1,) * x.ndim
    between = [step - 1 for step in params.get("base_dilation", ones)]
    sides = [(*pad, gap) for pad, gap in zip(params["padding"], between, strict=True)]
    fill = jnp.asarray(-jnp.inf if largest else jnp.inf, x.dtype)
    x = lax.pad(x, fill, sides)
    apart = params.get("window_dilation", ones)
    shape = params["window_dimensions"]
    for axis, (size, stride, step) in enumerate(
        zip(shape, params["window_strides"], apart, strict=True)
    ):
        count = max(0, (x.shape[axis] - (size - 1) * step - 1) // stride + 1)
        places = np.arange(count)[:, None] * stride + np.arange(size) * step
        # The window's entries go last, where those of the earlier axes stand.
        x = jnp.moveaxis(jnp.take(x, places, axis), axis + 1, -1)
    return _others(x.reshape(*x.shape[: len(shape)], int(np.prod(shape))), largest)


def _neighbours(eqn: core.JaxprEqn, _operands: Any, results: Any) -> Deciding:
    axis, gaps = eqn.params["dimension"], []
    keys = [jnp.moveaxis(key, axis, -1) for key in results[: eqn.params["num_keys"]]]
    tied = jnp.ones_like(keys[0][..., 1:], bool)
    for key in keys:
        after, before = key[..., 1:], key[..., :-1]
        if jnp.issubdtype(key.dtype, jnp.floating):
            gaps.append(jnp.where(tied, _minus(after, before), jnp.inf))
        tied &= after == before
    return gaps


def _top(eqn: core.JaxprEqn, operands: Any, _results: Any) -> Deciding:
    k = eqn.params["k"]
    falling = -jnp.sort(-jnp.moveaxis(_wide(operands[0]), eqn.params["axis"], -1), -1)
    last, rest = falling[..., k - 1 : k], falling[..., k:]
    return [falling[..., : k - 1] - falling[..., 1:k], last - rest] if k else []


def _scattered(eqn: core.JaxprEqn, operands: Any, results: Any) -> Deciding:
    before, indices, updates = operands
    before, updates, after = map(_wide, (before, updates, *results))
    named = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
    options = {name: eqn.params[name] for name in named}

    def spread(updates: jax.Array) -> jax.Array:
        return lax.scatter_add(jnp.zeros_like(after), indices, updates, **options)

    def collect(places: jax.Array) -> jax.Array:
        return jax.linear_transpose(spread, updates)(places)[0]

    kept, at_update = before == after, collect(after)
    dropped = collect(jnp.ones_like(after)) == 0
    written = (updates == at_update) & ~dropped
    # Where one candidate alone is equal to what came out, it is the winner.
    alone = kept.astype(after.dtype) + spread(written.astype(after.dtype)) <= 1
    won = written & (collect(alone.astype(after.dtype)) > 0)
    return [
        jnp.where(kept & alone, jnp.inf, after - before),
        jnp.where(won | dropped, jnp.inf, at_update - updates),
    ]


PAIRS = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "lt_to", "le_to", "eq_to", "max", "min"})
OF_COMPLEX = frozenset({"abs", "sign", "eq", "ne", "max", "min"})
DECIDING: Mapping[str, Callable[..., Deciding]] = {
    **dict.fromkeys(PAIRS, _sides),
    **dict.fromkeys(("abs", "sign"), _from_zero),
    **dict.fromkeys(("floor", "ceil"), _integers),
    **dict.fromkeys(("cummax", "cummin"), _so_far),
    **dict.fromkeys(("scatter-max", "scatter-min"), _scattered),
    **dict.fromkeys(("reduce_max", "argmax"), partial(_over_axes, True)),
    **dict.fromkeys(("reduce_min", "argmin"), partial(_over_axes, False)),
    "reduce_window_max": partial(_in_windows, True, 0),
    "reduce_window_min": partial(_in_windows, False, 0),
    "select_and_gather_add": partial(_in_windows, None, 1),
    "select_and_scatter_add": partial(_in_windows, None, 1),
    "clamp": _bounds,
    "round": _halves,
    "convert_element_type": _conversion,
    "rem": _remainder,
    "atan2": _cut,
    "sort": _neighbours,
    "top_k": _top,
}
