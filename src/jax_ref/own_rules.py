"""Functions with a derivative of their own, as `jax.custom_vjp` gives one: told, found, refused."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from jax_ref.arguments import Arguments
from jax_ref.compiling import UNTRACEABLE
from jax_ref.errors import CheckError
from jax_ref.oracles.jaxprs import every_equation

JAX = f"jax{os.sep}_src"


def expect_defined(place: str, rule: Any) -> None:
    """Raise a CheckError where a function was made for a derivative and never given one."""
    for kind, way in ((jax.custom_vjp, "fwd"), (jax.custom_jvp, "jvp")):
        if isinstance(rule, kind) and getattr(rule, way) is None:
            expected = f"one that was given by def{kind.__name__[-3:]}"
            raise CheckError(place, "rule", expected, "none")


def is_foreign(equation: Any) -> bool:
    """Return whether an equation has a derivative of its own that is not JAX's."""
    jaxpr = getattr(equation.params.get("call_jaxpr"), "jaxpr", None)
    if not equation.primitive.name.startswith("custom_") or jaxpr is None:
        return False
    # A function of JAX's may have been given a derivative by someone else.
    rules = (equation.params.get(name) for name in ("bwd", "jvp_jaxpr_fun"))
    infos = [getattr(one, "debug_info", None) for one in (jaxpr, *rules) if one is not None]
    return any(JAX not in str(info.func_src_info) for info in infos if info is not None)


def refuse_itself(
    place: str, rule: Any, fun: Any, reference: Callable[..., Any], arguments: Arguments
) -> None:
    """Raise a CheckError where the reference is differentiated by the rule that it is to judge."""

    def of_leaves(chosen: Sequence[Any], rest: Sequence[Any]) -> Any:
        return reference(*arguments.build(chosen, rest))

    try:
        jaxpr = jax.make_jaxpr(of_leaves)(arguments.chosen, arguments.rest)
    except UNTRACEABLE:
        return
    if _calls(jaxpr.jaxpr, rule, fun):
        expected = "a function that JAX differentiates by itself"
        raise CheckError(place, "primal", expected, "one that calls the rule")


def expect_one(place: str, function: Any, arguments: Arguments) -> None:
    """Raise a CheckError where JAX differentiates the function by itself."""
    try:
        jaxpr = jax.make_jaxpr(lambda chosen, rest: function(*arguments.build(chosen, rest)))(
            arguments.chosen, arguments.rest
        )
    except Exception:  # noqa: BLE001  told when the function is called
        return
    if not any("custom" in equation.primitive.name for equation in every_equation(jaxpr.jaxpr)):
        expected = "a jax.custom_vjp or jax.custom_jvp function"
        raise CheckError(place, "rule", expected, "one that JAX differentiates by itself")


def _calls(jaxpr: Jaxpr, rule: Any, fun: Any) -> bool:
    """Return whether a jaxpr calls the rule."""
    for equation in jaxpr.eqns:
        backward = getattr(equation.params.get("bwd"), "f", None)
        if backward is not None and backward is getattr(rule, "bwd", object()):
            return True
        for inner in map(_opened, jax.tree.leaves(list(equation.params.values()))):
            if inner is None:
                continue
            custom = equation.primitive.name.startswith("custom_jvp")
            if custom and _source(inner) == _place_of(fun) is not None:
                return True
            if _calls(inner, rule, fun):
                return True
    return False


def _opened(parameter: Any) -> Jaxpr | None:
    if isinstance(parameter, ClosedJaxpr):
        return parameter.jaxpr
    return parameter if isinstance(parameter, Jaxpr) else None


def _source(jaxpr: Jaxpr) -> str | None:
    return getattr(jaxpr.debug_info, "func_src_info", None)


def _place_of(function: Any) -> str | None:
    code = getattr(function, "__code__", None)
    return code and f"{function.__name__} at {code.co_filename}:{code.co_firstlineno}"
