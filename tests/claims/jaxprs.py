"""What a function does, counted in its jaxpr: work measured without a clock."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


def _equations(jaxpr: core.Jaxpr) -> Iterator[Any]:
    """Yield the equations, those of called functions in place of the call."""
    for equation in jaxpr.eqns:
        called = list(core.jaxprs_in_params(equation.params))
        for inner in called:
            yield from _equations(getattr(inner, "jaxpr", inner))
        if not called:
            yield equation


def equations(f: Callable[..., Any], *args: Any) -> list[Any]:
    return list(_equations(jax.make_jaxpr(f)(*args).jaxpr))


def primitives(f: Callable[..., Any], *args: Any) -> Counter[str]:
    """Return how often each primitive occurs."""
    return Counter(equation.primitive.name for equation in equations(f, *args))


def products(f: Callable[..., Any], *args: Any) -> int:
    """Return the number of scalar multiplications in all matrix products."""
    total = 0
    for equation in equations(f, *args):
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            summed = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            total += summed * math.prod(equation.outvars[0].aval.shape)
    return total
