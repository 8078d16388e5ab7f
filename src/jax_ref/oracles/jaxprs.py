"""What the witnesses that read a function's jaxpr share: tracing, places, and what is inside."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core, source_info_util

# Primitives that carry jaxprs of the user's: calls, loops and branches.
ENTERED = frozenset(
    {
        *("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"),
        *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
        *("scan", "while", "cond"),
    }
)
# Nothing is known of what happens inside, and forward mode may not pass.
CLOSED = frozenset(
    {
        *("pure_callback", "io_callback", "debug_callback", "ffi_call", "custom_partitioning"),
        *("shard_map", "pallas_call", "tpu_custom_call", "approx_top_k"),
    }
)

LIBRARY = Path(jax.__file__).parent
COLUMN = re.compile(r":(\d+):\d+")


class TracingError(ValueError):
    """A function cannot be read as a jaxpr; the message says why, in one line."""


def trace(f: Callable[..., Any], args: tuple[Any, ...]) -> core.ClosedJaxpr:
    """Return the jaxpr of f at args, its arguments and values flat.

    Raises:
      TracingError: f takes a decision, or leaves JAX, on the value of an argument.
    """
    try:
        return jax.make_jaxpr(f)(*args)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        raise TracingError(f"it cannot be traced: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return what an error says, in one line, after its type."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")


def inner(eqn: core.JaxprEqn) -> tuple[core.Jaxpr, ...]:
    """Return the jaxprs that an equation carries: of a call, a loop, its branches."""
    return tuple(core.jaxprs_in_params(eqn.params))


def every_equation(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Yield the equations of a jaxpr and of all that it carries."""
    for eqn in jaxpr.eqns:
        yield eqn
        for carried in inner(eqn):
            yield from every_equation(carried)


def takes(eqn: core.JaxprEqn, kind: Any) -> bool:
    """Return whether an operand of the equation is of a kind of dtype, as `np.inexact`."""
    return any(is_a(atom, kind) for atom in eqn.invars)


def gives(eqn: core.JaxprEqn, kind: Any) -> bool:
    """Return whether a result of the equation is of a kind of dtype."""
    return any(is_a(atom, kind) for atom in eqn.outvars)


def is_a(atom: Any, kind: Any) -> bool:
    """Return whether a variable or literal is of a kind of dtype."""
    return bool(jnp.issubdtype(dtype(atom), kind))


def dtype(atom: Any) -> Any:
    """Return the dtype of a variable or literal; a token counts as a boolean."""
    return getattr(atom.aval, "dtype", np.dtype(bool))


def place(eqn: core.JaxprEqn, caller: str = "") -> str:
    """Return where in the user's source an equation was written, as "layers.py:41 (norm)".

    Args:
      eqn: the equation.
      caller: the place of the library call that it is part of, which then speaks for it.
    """
    if caller:
        return caller
    file_line = Path(source_info_util.summarize(eqn.source_info)).name
    return COLUMN.sub(r":\1", file_line, count=1)


def named(eqn: core.JaxprEqn, caller: str = "") -> str:
    """Return the name of an equation and its place, as "max at layers.py:41 (relu)"."""
    return " at ".join(filter(None, (eqn.primitive.name, place(eqn, caller))))


def caller_of(eqn: core.JaxprEqn, caller: str = "") -> str:
    """Return the place that speaks for what a call carries: its own where JAX wrote the rest."""
    written = {getattr(jaxpr.debug_info, "func_filename", None) for jaxpr in inner(eqn)}
    foreign = any(file is None or Path(file).is_relative_to(LIBRARY) for file in written)
    return place(eqn, caller) if foreign else caller
