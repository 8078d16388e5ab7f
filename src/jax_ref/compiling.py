"""Compiling for a check: a program that runs once should not take long to compile."""

from collections.abc import Callable
from typing import Any

import jax

# Eager-only functions read values, and a tracer has none.
UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
KEPT = 64  # compiled programs, for those that are traced again
LONG = 2**20  # characters of a program that is not worth keeping: it holds large constants

_compiled: dict[tuple[str, bool], Any] = {}


def quick(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled without optimisation on the CPU; for float64.

    It is traced anew each time, as what it calls may have changed, but a program that comes out
    the same is compiled once.
    """
    programs: dict[Any, Any] = {}

    def run(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        key = tree, tuple(jax.typeof(leaf) for leaf in leaves)
        if key not in programs:
            programs[key] = _compile(jax.jit(function).lower(*args))
        return programs[key](*args)

    return run


def _compile(lowered: Any) -> Any:
    cpu = jax.default_backend() == "cpu"
    options = {"xla_backend_optimization_level": 0} if cpu else {}
    key = lowered.as_text(), x64()
    if len(key[0]) > LONG:
        return lowered.compile(compiler_options=options)
    if key not in _compiled:
        while len(_compiled) >= KEPT:
            _compiled.pop(next(iter(_compiled)), None)
        _compiled[key] = lowered.compile(compiler_options=options)
    return _compiled[key]


def faithful(function: Callable[..., Any]) -> Any:
    """Return the function compiled as a user would; for what is judged by its rounding errors."""
    # Without this, XLA skips roundings to the lower precision that the function asks for.
    return jax.jit(function, compiler_options={"xla_allow_excess_precision": False})


def x64() -> bool:
    """Return whether float64 is enabled here."""
    return jax.dtypes.canonicalize_dtype("float64") == "float64"


def device() -> str:
    """Return where JAX runs, as "cpu" or "gpu: NVIDIA …"."""
    first = jax.devices()[0]
    kind = getattr(first, "device_kind", first.platform)
    return first.platform if kind == first.platform else f"{first.platform}: {kind}"
