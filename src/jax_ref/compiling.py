"""Compiling for a check: a program that runs once should not take long to compile."""

from collections.abc import Callable, Mapping
from functools import cache
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
CALLBACK = "callback"  # in a program that calls Python

# Of programs that run once on the CPU the machine code is most of the time, unless these are set.
UNOPTIMISED: Mapping[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}

_compiled: dict[tuple[str, str, str, bool], Any] = {}


def quick(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function compiled without optimisation on the CPU; for float64.

    It is traced anew each time, as what it calls may have changed, but a program that comes out
    the same is compiled once.
    """
    programs: dict[Any, Any] = {}

    def run(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        key = tree, tuple(jax.typeof(leaf) for leaf in leaves)
        # A user who has switched compiling off wants to see values, not what is checked here.
        with jax.disable_jit(False):
            if key not in programs:
                programs[key] = _compile(jax.jit(function).lower(*args))
            return programs[key](*args)

    return run


def _compile(lowered: Any) -> Any:
    options = dict(_hasty(jax.default_backend()))
    text = lowered.as_text()
    # The text has no argument that is not used, no name in a pytree, and no function of Python.
    key = text, str(lowered.args_info), str(lowered.out_tree), x64()
    if len(text) > LONG or CALLBACK in text:
        return lowered.compile(compiler_options=options)
    if key not in _compiled:
        while len(_compiled) >= KEPT:
            _compiled.pop(next(iter(_compiled)), None)
        _compiled[key] = lowered.compile(compiler_options=options)
    return _compiled[key]


@cache
def _hasty(backend: str) -> Mapping[str, Any]:
    """Return the options for programs that run once, of those that this XLA knows."""
    if backend != "cpu":
        return {}
    known = {}
    for option, value in UNOPTIMISED.items():
        try:
            jax.jit(lambda: 0, compiler_options={option: value}).lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if option not in str(error):
                raise
        else:
            known[option] = value
    return known


def faithful(function: Callable[..., Any]) -> Any:
    """Return the function compiled so that it rounds as it says; for what is judged by its errors.

    Without this XLA skips roundings to a lower precision that the function asks for.
    """
    options = {**_hasty(jax.default_backend()), "xla_allow_excess_precision": False}
    return jax.jit(function, compiler_options=options)


def x64() -> bool:
    """Return whether float64 is enabled here."""
    return jax.dtypes.canonicalize_dtype("float64") == "float64"


def device() -> str:
    """Return where JAX runs, as "cpu" or "gpu: NVIDIA …"."""
    first = jax.devices()[0]
    kind = getattr(first, "device_kind", first.platform)
    return first.platform if kind == first.platform else f"{first.platform}: {kind}"
