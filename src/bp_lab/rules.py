"""Anyone's rule, checked by the names of its parts.

Rule     package.module:rule              a jax.custom_vjp or jax.custom_jvp function
         package.module:op                an object, or a module, with a forward and a backward
         package.module:forward,backward  a pair of functions
Args     package.module:args              a tuple of arguments, an array, or a function without
                                          arguments that returns one of them
Primal   package.module:function          the same function without the rule
"""

import importlib
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from bp_lab.errors import InputError
from jax_ref import Report, check_op, check_rule, check_vjp
from jax_ref.cases.case import cast

HALVES = ("forward", "backward")
NAME = "a name as package.module:name"


def check(
    rule: str,
    args: str,
    primal: str | None,
    *,
    dtypes: Sequence[str] = (),
    **settings: Any,
) -> list[Report]:
    """Return the report of a rule, or one for each dtype.

    Args:
      rule: its name.
      args: the name of its arguments.
      primal: the name of its primal; a `custom_vjp` or `custom_jvp` function can do without.
      dtypes: to which the floating arguments are cast, one after the other.
      **settings: name, seed and level of the check.

    Raises:
      InputError: a name means nothing, or not what it should.
      CheckError: what was named cannot be checked.
    """
    run = _check_of(rule, primal)
    given = _arguments(args)
    cast_args = [cast(given, dtype) for dtype in dtypes] or [given]
    return [run(*each, raises=False, **settings) for each in cast_args]


def _check_of(rule: str, primal: str | None) -> Callable[..., Report]:
    """Return the check of what a name stands for, as a function of the arguments."""
    reference: Any = None if primal is None else named("--primal", primal)
    start, comma, backward = rule.partition(",")
    found = named("RULE", start)
    if comma:
        halves = found, named("RULE", f"{start.partition(':')[0]}:{backward}")
        reference = _needed(reference, "a pair")
        return lambda *args, **settings: check_vjp(reference, *halves, *args, **settings)
    if all(callable(getattr(found, half, None)) for half in HALVES):
        reference = _needed(reference, "an op")
        return lambda *args, **settings: check_op(found, reference, *args, **settings)
    if not callable(found):
        expected = "a custom_vjp or custom_jvp function, or an op with a forward and a backward"
        raise InputError("check", "RULE", expected, f"{rule}, of type {type(found).__name__}")
    return lambda *args, **settings: check_rule(found, *args, primal=reference, **settings)


def _needed(reference: Any, what: str) -> Any:
    if reference is None:
        expected = f"the function that JAX differentiates, for {what} has none of its own"
        raise InputError("check", "--primal", expected, "none")
    return reference


def _arguments(text: str) -> tuple[Any, ...]:
    args = named("--args", text)
    expected = "a tuple of arguments, an array, or a function without arguments that returns one"
    if callable(args):
        try:
            args = args()
        except (Exception, SystemExit) as error:
            raise InputError("check", "--args", expected, _told(error)) from error
    if isinstance(args, tuple | list):
        return tuple(args)
    if hasattr(args, "dtype") or isinstance(args, float):
        return (args,)
    raise InputError("check", "--args", expected, type(args).__name__)


def named(option: str, text: str) -> Any:
    """Return what `package.module:name` stands for; without a name, the module.

    Raises:
      InputError: there is no such module or name, or importing the module fails.
    """
    module, colon, name = text.partition(":")
    parts = [*module.split("."), *(name.split(".") if colon else ())]
    if not all(part.isidentifier() for part in parts):
        raise InputError("check", option, NAME, repr(text))
    found = _module(option, module)
    for part in name.split(".") if colon else ():
        if not hasattr(found, part):
            raise InputError("check", option, f"a name in {module}", repr(name))
        found = getattr(found, part)
    return found


def _module(option: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        expected = f"{name} to be a module that can be imported from here"
        raise InputError("check", option, expected, _told(error)) from error


def _told(error: BaseException) -> str:
    """Return an error of someone else's code in one line, with the last place outside importlib."""
    first = (str(error).strip() or "no message").splitlines()[0]
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if f.filename != __file__ and "importlib" not in f.filename]
    place = f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {first}{place}"
