"""The floating-point operations of the matrix products and convolutions in a program.

XLA's own count holds every addition of every kind, and of a loop one round; what is held against
the rate of a matrix product are products alone, of every round.
"""

import math
from typing import Any

from jax.extend import core


def of_products(jaxpr: core.Jaxpr) -> float:
    """Return the operations of all products in a jaxpr; a loop of unknown length counts once."""
    return float(sum(_of(eqn) for eqn in jaxpr.eqns))


def _of(eqn: Any) -> float:
    match eqn.primitive.name:
        case "dot_general":
            return _of_dot(eqn)
        case "conv_general_dilated":
            return _of_convolution(eqn)
        case "scan":
            return float(eqn.params["length"] * of_products(eqn.params["jaxpr"].jaxpr))
        case "cond":
            return max(of_products(branch.jaxpr) for branch in eqn.params["branches"])
    return sum(of_products(inner) for inner in core.jaxprs_in_params(eqn.params))


def _of_dot(eqn: Any) -> float:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    return (
        2.0 * math.prod(eqn.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)
    )


def _of_convolution(eqn: Any) -> float:
    kernel = eqn.invars[1].aval.shape
    outputs = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
    taps = math.prod(kernel) / max(outputs, 1)
    # Of places set apart by zeros only one in so many is multiplied by a number.
    apart = math.prod(eqn.params["lhs_dilation"])
    return 2.0 * math.prod(eqn.outvars[0].aval.shape) * taps / apart
