"""The derivative of a holomorphic function from one step into the complex plane.

Slope    f(x + i h d) = f(x) + i h ⟨∇f, d⟩ − h²/2 … , so that Im f(x + i h d) / h is the slope to
         rounding: nothing is subtracted, and with h = 1e-20 the next term is below every digit.
Refused  where f is not holomorphic, or not computed as such: the jaxpr of f at complex arguments is
         read, and each equation that takes a complex number must be among those that are known to
         carry a tiny imaginary part exactly. So |x|, max, comparisons, conjugates and real parts
         are refused, with whatever is not known; `pow`, whose logarithm turns at a negative base;
         convolutions, whose complex products are made of sums of both parts; conversions to a real
         dtype, which drop the part that matters, and to complex64, which rounds it; and
         `stop_gradient`, whose slope is declared and not to be had from values.
Source   Squire & Trapp 1998, "Using complex variables to estimate derivatives of real functions"
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jax_ref.compiling import quick
from jax_ref.oracles import jaxprs
from jax_ref.oracles.autodiff import is_differentiable
from jax_ref.oracles.moving import moving

STEP = 1e-20

ELEMENTWISE = frozenset(
    {
        *("add", "sub", "mul", "div", "neg", "square", "integer_pow", "sqrt", "rsqrt"),
        *("exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh", "sinh", "asinh"),
        *("sin", "cos", "tan", "asin", "acos", "atan", "atanh", "acosh"),
    }
)
LINEAR = frozenset(
    {
        *("add_any", "reduce_sum", "cumsum", "reduce_window_sum", "dot_general", "scatter-add"),
        *("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "rev", "pad"),
        *("concatenate", "split", "slice", "dynamic_slice", "dynamic_update_slice", "gather"),
        *("select_n", "scatter", "convert_element_type"),
        *("copy", "copy_p", "name", "optimization_barrier"),
    }
)
PRODUCTS = frozenset({"reduce_prod", "cumprod"})
HOLOMORPHIC = ELEMENTWISE | LINEAR | PRODUCTS


def refusal(f: Callable[..., Any], args: tuple[Any, ...]) -> str | None:
    """Return why f at args is not fit for a complex step, in one line; None where it is.

    Args:
      f: function of arrays and pytrees of arrays.
      args: the point; its floating leaves are taken as complex.
    """
    if any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(args)):
        return "an argument is complex already"
    try:
        with warnings.catch_warnings(action="ignore"), _mixed():
            closed = jax.make_jaxpr(f)(*jax.tree.map(_in_complex, args))
    except Exception as error:  # noqa: BLE001  whatever it raises, it takes no complex numbers
        return f"at complex arguments it raises {jaxprs.first_line(error)}"
    return next(_forbidden(closed.jaxpr, ""), None)


def slopes(f: Callable[..., Any], args: tuple[Any, ...], directions: tuple[Any, ...]) -> Any:
    """Return the slopes of f along k directions, like its value, each leaf (k, *shape).

    Args:
      f: real function of arrays and pytrees of arrays, of which `refusal` is None.
      args: the point; floating leaves in float64.
      directions: like args, each floating leaf (k, *shape); other leaves, as None, are ignored.

    Returns:
      The slopes, float64. They are NaN where complex arithmetic overflows before the real does, 0
      below 1e-300, where h times the slope underflows, and wrong where a root or logarithm is taken
      of a number that is below h.
    """
    line = moving(args, directions)

    def slope(leaves: list[Any], direction: list[jax.Array]) -> Any:
        point = zip(line.at(leaves), direction, strict=True)
        stepped = [lax.complex(x, STEP * d) for x, d in point]
        y = f(*line.tree.unflatten(line.moved(leaves, stepped)))
        return jax.tree.map(lambda leaf: jnp.imag(leaf) / STEP, y)

    def slopes(leaves: list[Any], along: list[jax.Array]) -> Any:
        return line.every(partial(slope, leaves), along)

    with _mixed():
        return jax.tree.map(np.asarray, quick(slopes)(line.leaves, line.along))


def _mixed() -> Any:
    """Return the context in which a function's real constants meet complex numbers."""
    return jax.numpy_dtype_promotion("standard")


def _in_complex(leaf: Any) -> Any:
    return jnp.asarray(leaf, jnp.complex128) if is_differentiable(leaf) else leaf


def _forbidden(jaxpr: core.Jaxpr, caller: str) -> Iterator[str]:
    """Yield a line for each equation that may lose the imaginary part."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in jaxprs.ENTERED:
            for carried in jaxprs.inner(eqn):
                yield from _forbidden(carried, jaxprs.caller_of(eqn, caller))
        elif jaxprs.takes(eqn, np.complexfloating) and not _carries(eqn):
            yield jaxprs.named(eqn, caller)


def _carries(eqn: core.JaxprEqn) -> bool:
    made = (jaxprs.dtype(atom) for atom in eqn.outvars)
    return eqn.primitive.name in HOLOMORPHIC and all(dtype == np.complex128 for dtype in made)
