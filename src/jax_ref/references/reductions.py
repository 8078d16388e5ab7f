"""Reference reductions: einsum, explicit products, gathers, `jax.scipy`."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp as scipy_logsumexp
from jaxtyping import Array, Float

Axis = int | tuple[int, ...] | None
Full = Float[Array, "*shape"]
Reduced = Float[Array, "*reduced"]


def _numbers(x: Full, axis: Axis) -> list[int]:
    if axis is None:
        return list(range(x.ndim))
    return [i % x.ndim for i in (axis if isinstance(axis, tuple) else (axis,))]


def _others(x: Full, axis: Axis) -> list[int]:
    return [i for i in range(x.ndim) if i not in _numbers(x, axis)]


def _rows(x: Full, axis: Axis) -> Float[Array, " k *rest"]:
    """Return x with the axes first and laid flat, in row-major order."""
    moved = jnp.transpose(x, sorted(_numbers(x, axis)) + _others(x, axis))
    rest = [x.shape[i] for i in _others(x, axis)]
    return moved.reshape([math.prod(x.shape[i] for i in _numbers(x, axis)), *rest])


def _shaped(y: Float[Array, "*rest"], x: Full, axis: Axis, *, keepdims: bool) -> Reduced:
    return jnp.expand_dims(y, sorted(_numbers(x, axis))) if keepdims else y


def reduce_sum(x: Full, *, axis: Axis = None, keepdims: bool = False) -> Reduced:
    """Return the product with a vector of ones."""
    rows = _rows(x, axis)
    y = jnp.einsum("k...,k->...", rows, jnp.ones(rows.shape[:1], x.dtype))
    return _shaped(y, x, axis, keepdims=keepdims)


def reduce_mean(x: Full, *, axis: Axis = None, keepdims: bool = False) -> Reduced:
    """Return jnp.mean."""
    return jnp.mean(x, axis, keepdims=keepdims)


def reduce_max(
    x: Full, *, axis: Axis = None, keepdims: bool = False, ties: str = "first"
) -> Reduced:
    """Return the entry at argmax; for "split", jnp.max, of which JAX shares the slope."""
    if ties == "split":
        return jnp.max(x, axis, keepdims=keepdims)
    rows = _rows(x, axis)
    y = jnp.take_along_axis(rows, jnp.argmax(rows, 0, keepdims=True), 0)[0]
    return _shaped(y, x, axis, keepdims=keepdims)


def reduce_min(
    x: Full, *, axis: Axis = None, keepdims: bool = False, ties: str = "first"
) -> Reduced:
    """Return the entry at argmin; for "split", jnp.min, of which JAX shares the slope."""
    if ties == "split":
        return jnp.min(x, axis, keepdims=keepdims)
    rows = _rows(x, axis)
    y = jnp.take_along_axis(rows, jnp.argmin(rows, 0, keepdims=True), 0)[0]
    return _shaped(y, x, axis, keepdims=keepdims)


def _running(rows: Float[Array, " k *rest"]) -> Float[Array, " k *rest"]:
    """Return the products of the first rows, multiplied one by one."""

    def step(y: Array, factor: Array) -> tuple[Array, Array]:
        return y * factor, y * factor

    return jax.lax.scan(step, jnp.ones(rows.shape[1:], rows.dtype), rows)[1]


def reduce_prod(x: Full, *, axis: Axis = None, keepdims: bool = False) -> Reduced:
    """Return the factors multiplied one by one."""
    rows = _rows(x, axis)
    one = jnp.ones((1, *rows.shape[1:]), x.dtype)
    return _shaped(_running(jnp.concatenate([one, rows]))[-1], x, axis, keepdims=keepdims)


def cumsum(x: Full, *, axis: int = -1) -> Full:
    """Return the product with a triangle of ones."""
    ones = jnp.tril(jnp.ones((x.shape[axis],) * 2, x.dtype))
    return jnp.moveaxis(jnp.tensordot(ones, x, ((1,), (axis,))), 0, axis)


def cumprod(x: Full, *, axis: int = -1) -> Full:
    """Return the factors multiplied one by one."""
    return jnp.moveaxis(_running(jnp.moveaxis(x, axis, 0)), 0, axis)


def logsumexp(x: Full, *, axis: Axis = None, keepdims: bool = False) -> Reduced:
    """Return SciPy's logsumexp."""
    return scipy_logsumexp(x, axis=axis, keepdims=keepdims)
