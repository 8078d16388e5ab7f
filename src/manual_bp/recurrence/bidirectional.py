"""A recurrent layer over time and another against it, their outputs side by side.

Shapes   x: (batch, t, n)   ys: (batch, t, m + m'), m and m' the widths of the two layers' outputs
Forward  ρ turns every sample around within its length ℓ: ρ(x)ₛ = x_{ℓ+1−s}, the index modulo t; so
         what stands beyond, which counts for nothing, is turned around in itself
           y, states = layer(x, θ, lengths),   y', states' = layer(ρ x, θ', lengths)
           ys = [y, ρ y'],  beside the final states of both; those of θ' belong to the first step
Derive   ρ permutes the steps and is its own inverse, so that ρᵀ = ρ; x is used by both layers:
  (1) [dy, ρ dy'] = dys,  cut after m features
  (2) dx¹, dθ = layer.backward(residual, (dy, dstates)),   dx², dθ' the same with dy', dstates'
  (3) dx = dx¹ + ρ dx²
Saved    the residuals of both layers, the lengths.      Kinks   those of the layer.
Lengths  A length outside 0 … t is an error; under `jit`, where values cannot be read, one below 0
         counts as 0 and one above t as t.
Source   Schuster & Paliwal 1997, "Bidirectional recurrent neural networks"
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import op
from manual_bp.models.chain import Parameters, Stage
from manual_bp.recurrence import sequence

NAME = "bidirectional"
Finals = tuple[Any, ...]


@op.residual
class Residual:
    """The residuals of both layers and the lengths; width m, shape and dtype of the outputs."""

    onward: Any
    reverse: Any
    lengths: Integer[Array, " batch"] | None
    width: int = op.static()
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    layer: Stage = op.static()


def _turn(x: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """Return ρ x."""
    if lengths is None:
        return jnp.flip(x, 1)
    time = x.shape[1]
    steps = jax.lax.broadcasted_iota(lengths.dtype, x.shape[:2], 1)
    last = jnp.minimum(lengths, time)[:, None] - 1
    return jnp.take_along_axis(x, ((last - steps) % time)[:, :, None], 1)


def forward(
    x: Float[Array, "batch t n"],
    parameters: Parameters,
    reverse_parameters: Parameters,
    lengths: Integer[Array, " batch"] | None = None,
    *,
    layer: Stage,
) -> tuple[tuple[Float[Array, "batch t m"], Finals, Finals], Residual]:
    """Return the outputs and the final states of both layers, and the residual.

    Args:
      x: inputs, (batch, t, n).
      parameters: positional arguments of the layer between `x` and `lengths`. An optional one that
        is left out is written as None, so that `dparameters` is alike.
      reverse_parameters: those of the layer that runs from the last step to the first.
      lengths: number of steps of each sample, (batch,) integers, or None for all t.
      layer: a recurrent op with its settings, for both directions.

    Returns:
      ((ys, finals, reverse_finals), residual), with tuples of final states.

    Raises:
      TypeError: `x` is not floating, `lengths` are no integers, or the layer refuses its arguments.
      ValueError: a length is out of range, or the layer refuses its arguments.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 3, 3)
    lengths = sequence.expect_lengths(NAME, lengths, x)
    settings = dict(layer.settings)
    (y, *finals), onward = layer.op.forward(x, *parameters, lengths=lengths, **settings)
    (y_reverse, *reverse_finals), reverse = layer.op.forward(
        _turn(x, lengths), *reverse_parameters, lengths=lengths, **settings
    )
    ys = jnp.concatenate([y, _turn(y_reverse, lengths)], 2)
    residual = Residual(onward, reverse, lengths, y.shape[2], ys.shape, ys.dtype, layer)
    return (ys, tuple(finals), tuple(reverse_finals)), residual


def backward(
    residual: Residual, dy: tuple[Float[Array, "batch t m"], Finals, Finals]
) -> tuple[Float[Array, "batch t n"], Parameters, Parameters, None]:
    """Return (dx, dparameters, dreverse_parameters, dlengths).

    dy = (dys, dfinals, dreverse_finals). dlengths is None.

    Raises:
      TypeError: `dys` has another dtype than the outputs, or the layer refuses its cotangents.
      ValueError: `dy` does not have the structure or shape of the outputs, or the layer refuses its
        cotangents.
    """
    outputs = ("ys", "finals", "reverse_finals")
    dys, dfinals, dreverse_finals = op.expect_parts(NAME, dy, outputs)
    dys = op.expect_cotangent(NAME, dys, residual.shape, residual.dtype, "ys")
    lengths, back = residual.lengths, residual.layer.op.backward
    dy_onward, turned = jnp.split(dys, [residual.width], 2)  # (1)
    dy_reverse = _turn(turned, lengths)  # (1)
    dx, *dtheta, _ = back(residual.onward, (dy_onward, *dfinals))  # (2)
    dturned, *dreverse, _ = back(residual.reverse, (dy_reverse, *dreverse_finals))  # (2)
    return dx + _turn(dturned, lengths), tuple(dtheta), tuple(dreverse), None  # (3)
