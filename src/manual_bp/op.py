"""What an op is, and the checks that every op shares.

An op is two pure functions, `forward(*arrays, **static) -> (y, residual)` and
`backward(residual, dy) -> tuple`, with one slot in the tuple for each positional argument of
`forward`, in order: its cotangent, of the primal's shape and dtype, or `None` where the argument
has none (integers, booleans, keys, an absent bias). A module is an op, and so is an object with
the same two names.

The residual is a pytree. Its static settings are static fields, so that `backward` needs nothing
else and both functions pass through `jit`, `vmap` and `scan`.

Every complaint about an argument has one form: `linear: W: expected shape (3, _), got (4, 5)`.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, dataclass_transform, runtime_checkable

import jax
import jax.numpy as jnp

_T = TypeVar("_T")

FLOATS = (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64)


@runtime_checkable
class Op(Protocol):
    """A forward and its hand-written backward."""

    def forward(self, *args: Any, **static: Any) -> tuple[Any, Any]:
        """Return the output and the residual that `backward` needs."""

    def backward(self, residual: Any, dy: Any, /) -> tuple[Any, ...]:
        """Return one cotangent for each positional argument of `forward`."""


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def residual(cls: type[_T]) -> type[_T]:
    """Make a class a frozen dataclass and a pytree; fields from `static` are not traced."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


def static(**options: Any) -> Any:
    """Declare a field of a residual that holds a static, hashable setting."""
    return dataclasses.field(metadata={"static": True}, **options)


def complaint(place: str, argument: str, expected: str, came: object) -> str:
    """Return the one message format for bad input."""
    return f"{place}: {argument}: expected {expected}, got {came}"


def floating(op: str, **arrays: Any) -> tuple[jax.Array, ...]:
    """Return the arguments as arrays of one floating dtype.

    Raises:
      TypeError: an argument is not float16, bfloat16, float32 or float64, or differs in dtype
        from the first.
    """
    converted = {name: jnp.asarray(array) for name, array in arrays.items()}
    first, reference = next(iter(converted.items()))
    for name, array in converted.items():
        if array.dtype not in FLOATS:
            raise TypeError(complaint(op, name, "a floating dtype", array.dtype))
        if array.dtype != reference.dtype:
            expected = f"{reference.dtype}, the dtype of {first}"
            raise TypeError(complaint(op, name, expected, array.dtype))
    return tuple(converted.values())


def expect_rank(op: str, argument: str, array: jax.Array, least: int, most: int | None) -> None:
    """Raise a ValueError unless the rank lies between `least` and `most` (None: no bound)."""
    if array.ndim < least or (most is not None and array.ndim > most):
        wanted = f"rank {least}" if least == most else f"rank {least} or more"
        raise ValueError(complaint(op, argument, wanted, f"shape {array.shape}"))


def expect_shape(
    op: str, argument: str, array: jax.Array, shape: Sequence[int | None], why: str = ""
) -> None:
    """Raise a ValueError unless the array has the shape; a None in it stands for any size."""
    fits = len(shape) == array.ndim and all(
        wanted is None or wanted == size for wanted, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        sizes = ", ".join("_" if size is None else str(size) for size in shape)
        wanted = f"shape ({sizes}{',' if len(shape) == 1 else ''}){f' {why}' if why else ''}"
        raise ValueError(complaint(op, argument, wanted, array.shape))


def expect_cotangent(
    op: str, dy: Any, shape: Sequence[int], dtype: Any, output: str = "y"
) -> jax.Array:
    """Return the cotangent of an output as an array, or raise unless it has its shape and dtype."""
    dy = jnp.asarray(dy)
    if dy.dtype != dtype:
        raise TypeError(complaint(op, f"d{output}", f"{dtype}, the dtype of {output}", dy.dtype))
    expect_shape(op, f"d{output}", dy, shape, f"of {output}")
    return dy


def expect_parts(op: str, dy: Any, outputs: Iterable[str]) -> tuple[Any, ...]:
    """Return `dy`, or raise a ValueError unless it is a tuple of one part for each output."""
    names = [f"d{output}" for output in outputs]
    if not isinstance(dy, tuple) or len(dy) != len(names):
        came = f"{len(dy)} of them" if isinstance(dy, tuple) else type(dy).__name__
        raise ValueError(complaint(op, "dy", f"the tuple ({', '.join(names)})", came))
    return dy


def expect_cotangents(
    op: str, dy: Any, shapes: Mapping[str, Sequence[int]], dtype: Any
) -> tuple[jax.Array, ...]:
    """Return the cotangents of several outputs in the dtype of sums, or raise unless they fit."""
    parts = expect_parts(op, dy, shapes)
    return tuple(
        wide(expect_cotangent(op, part, shape, dtype, output))
        for (output, shape), part in zip(shapes.items(), parts, strict=True)
    )


def wide_dtype(dtype: Any) -> Any:
    """Return the dtype in which sums are accumulated: float32 for half precision, else the same."""
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else jnp.dtype(dtype)


def wide(x: jax.Array) -> jax.Array:
    """Return the array in the dtype in which sums over it are accumulated."""
    return x.astype(wide_dtype(x.dtype))


def again(x: Any) -> Any:
    """Return x, an array or a pytree; what is computed of it is computed anew.

    Where a compiler sees a forward and a backward that form the same of x, it would form that once,
    write it out and keep it in between.
    """
    return jax.lax.optimization_barrier(x)


def own(value: float, dtype: Any) -> jax.Array:
    """Return a number of the dtype that a compiler takes for no other's.

    Of one that the terms of a sum share with others XLA's CPU code writes out an array.
    """
    number: jax.Array = again(jnp.asarray(value, dtype))
    return number


def zero_after(x: jax.Array) -> jax.Array:
    """Return 0, an integer, in words that no compiler sees through before x is known.

    What is read from there on is not read, reordered and kept while others wait.
    """
    one = x.reshape(-1)[:1]
    return (jnp.isnan(one) & jnp.isfinite(one)).any().astype(jnp.int32)


def in_dtype(tree: Any, dtype: Any) -> Any:
    """Return a pytree with every floating array in the dtype, and all else as it is."""
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )
