"""A sequence of ops, each fed the output of the one before it.

Shapes   those of the ops; the first positional argument of each is the signal, the rest parameters
Forward  x⁰ = x,   xˡ = opˡ(xˡ⁻¹, θˡ),   y = xᴸ
Derive   L depends on xˡ⁻¹ and θˡ only through xˡ. With dxˡ = ∂L/∂xˡ,
  (1) dxˡ⁻¹, dθˡ = opˡ.backward(residualˡ, dxˡ),   from dxᴸ = dy down to dx⁰ = dx
         Each dxˡ is computed once and used for everything below it: the cost is a small multiple of
         the forward's at any depth, where a sum over all paths would grow exponentially.
Saved    the residuals of the ops.      Kinks   those of the ops.
Source   Rumelhart, Hinton & Williams 1986; Linnainmaa 1970
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Array, Float

from manual_bp import op

NAME = "chain"
Parameters = tuple[Any, ...]


@dataclass(frozen=True)
class Stage:
    """An op of a chain with its static settings, as (name, value) pairs."""

    op: op.Op
    settings: tuple[tuple[str, Any], ...] = ()


@op.residual
class Residual:
    """The residual of every stage; the shape and dtype are y's."""

    stages: tuple[Any, ...]
    ops: tuple[Stage, ...] = op.static()
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()


def forward(
    parameters: Sequence[Parameters], x: Float[Array, "..."], *, stages: Sequence[Stage]
) -> tuple[Float[Array, "..."], Residual]:
    """Return the output of the last stage and the residual.

    Args:
      parameters: for each stage the positional arguments behind the signal, () for none. An
        optional one that is left out is written as None, so that `dparameters` is alike.
      x: the signal that enters the first stage.
      stages: the ops in order; none at all gives y = x.

    Raises:
      TypeError: there are no stages, and `x` is not floating.
      ValueError: there are not as many sets of parameters as stages.
    """
    if len(parameters) != len(stages):
        expected = f"one set for each of {len(stages)} stages"
        raise ValueError(op.complaint(NAME, "parameters", expected, len(parameters)))
    if not stages:
        (x,) = op.floating(NAME, x=x)
    residuals = []
    for stage, theta in zip(stages, parameters, strict=True):
        x, residual = stage.op.forward(x, *theta, **dict(stage.settings))
        residuals.append(residual)
    return x, Residual(tuple(residuals), tuple(stages), x.shape, x.dtype)


def backward(
    residual: Residual, dy: Float[Array, "..."]
) -> tuple[tuple[Parameters, ...], Float[Array, "..."]]:
    """Return (dparameters, dx)."""
    dparameters, dx, _ = backward_with_cotangents(residual, dy)
    return dparameters, dx


def backward_with_cotangents(
    residual: Residual, dy: Float[Array, "..."]
) -> tuple[tuple[Parameters, ...], Float[Array, "..."], tuple[Float[Array, "..."], ...]]:
    """Return (dparameters, dx, cotangents), the last with ∂L/∂xˡ of every stage's output."""
    dx = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    dparameters, cotangents = [], []
    for stage, saved in zip(reversed(residual.ops), reversed(residual.stages), strict=True):
        cotangents.append(dx)
        dx, *dtheta = stage.op.backward(saved, dx)  # (1)
        dparameters.append(tuple(dtheta))
    return tuple(reversed(dparameters)), dx, tuple(reversed(cotangents))


def expect_kept(place: str, setting: str, x: Any, y: Any) -> None:
    """Raise unless y, what the ops of a setting made of x, has its shape and its dtype."""
    if y.shape != x.shape or y.dtype != x.dtype:
        expected = f"ops that keep shape {x.shape} and {x.dtype}"
        kind = TypeError if y.shape == x.shape else ValueError
        raise kind(op.complaint(place, setting, expected, f"shape {y.shape} and {y.dtype}"))
