"""Evaluate a jaxpr anew, with a visitor that sees every equation and carries a state along.

Calls, loops and branches are entered, custom rules too, and `stop_gradient` is stepped over: a
derivative taken of the evaluation is that of the values, whatever rules the function declares.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from jax import lax
from jax.extend import core

from jax_ref.oracles import jaxprs

State = Any  # a pytree of arrays
Visit = Callable[[core.JaxprEqn, Sequence[Any], Sequence[Any], State, str], State]
Step = tuple[State, Sequence[Any]]


def evaluate(closed: Any, values: Sequence[Any], state: State, visit: Visit, caller: str) -> Step:
    """Return the last state and the results of a jaxpr, closed or open.

    Args:
      closed: the jaxpr.
      values: its arguments.
      state: before the first equation; keeps its shapes.
      visit: `(equation, operands, results, state, caller) -> state`, called for each equation that
        is not entered.
      caller: the place of the library call that the jaxpr is part of, if it is.
    """
    jaxpr: core.Jaxpr = getattr(closed, "jaxpr", closed)
    env = dict(zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True))
    env |= dict(zip(jaxpr.invars, values, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else env[atom]

    for eqn in jaxpr.eqns:
        state, results = _apply(eqn, [*map(value, eqn.invars)], state, visit, caller)
        env |= dict(zip(eqn.outvars, results, strict=True))
    return state, [*map(value, jaxpr.outvars)]


def _apply(
    eqn: core.JaxprEqn, operands: list[Any], state: State, visit: Visit, caller: str
) -> Step:
    name = eqn.primitive.name
    if name == "stop_gradient":
        return state, operands
    if name in jaxprs.ENTERED:
        inside = partial(evaluate, visit=visit, caller=jaxprs.caller_of(eqn, caller))
        return BY_NAME.get(name, _call)(eqn.params, operands, state, inside)
    if name in jaxprs.CLOSED:
        operands = [lax.stop_gradient(operand) for operand in operands]
    came = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
    results = came if eqn.primitive.multiple_results else [came]
    return visit(eqn, operands, results, state, caller), results


def _call(params: Mapping[str, Any], operands: list[Any], state: State, run: Any) -> Step:
    return run(params["call_jaxpr" if "call_jaxpr" in params else "jaxpr"], operands, state)


def _scan(params: Mapping[str, Any], operands: list[Any], state: State, run: Any) -> Step:
    consts, carry, xs = _split(operands, params["num_consts"], params["num_carry"])

    def body(carried: Any, x: Any) -> Any:
        state, carry = carried
        state, results = run(params["jaxpr"], [*consts, *carry, *x], state)
        carry, ys = _split(results, len(carry))
        return (state, carry), ys

    options = {name: params[name] for name in ("length", "reverse", "unroll")}
    (state, carry), ys = lax.scan(body, (state, carry), xs, **options)
    return state, [*carry, *ys]


def _while(params: Mapping[str, Any], operands: list[Any], state: State, run: Any) -> Step:
    sizes = params["cond_nconsts"], params["body_nconsts"]
    of_condition, of_body, carry = _split(operands, *sizes)

    def ask(carried: Any) -> Step:
        state, carry = carried
        return run(params["cond_jaxpr"], [*of_condition, *carry], state)

    # The condition cannot change the state, so the body asks it once more.
    def body(carried: Any) -> Any:
        return run(params["body_jaxpr"], [*of_body, *carried[1]], ask(carried)[0])

    carried: Any = lax.while_loop(lambda carried: ask(carried)[1][0], body, (state, carry))
    return ask(carried)[0], carried[1]


def _cond(params: Mapping[str, Any], operands: list[Any], state: State, run: Any) -> Step:
    index, *operands = operands
    return lax.switch(
        index, [partial(run, branch) for branch in params["branches"]], operands, state
    )


def _split(values: Sequence[Any], *sizes: int) -> list[list[Any]]:
    """Return the values in parts of the given sizes, and the rest."""
    ends = [0, *np.cumsum(sizes).tolist(), len(values)]
    return [[*values[start:end]] for start, end in pairwise(ends)]


BY_NAME: Mapping[str, Callable[..., Step]] = {"scan": _scan, "while": _while, "cond": _cond}
