"""Layers one after the other in little memory: of most, what the backward needs is computed again.

Shapes   those of `layer_stack`
Forward  that of `layer_stack`: x⁰ = x,   xˡ = layer(xˡ⁻¹, θˡ),   l = 1 … L,   y = xᴸ
         The layers are cut into segments of s, the last of them the rest; segment k begins at xᵏˢ.
         Of the last segment the residuals are kept: they are needed first.
Derive   dxˡ⁻¹ and dθˡ need dxˡ and the residual of layer l, and that is a function of xˡ⁻¹ and θˡ.
         From the last segment to the first, with X = xᵏˢ, Y the segment's output and Θ its θˡ,
  (1) Y, residual = layer_stack.forward(Θ, X)                     a second time, but for the last
  (2) dX, dΘ = layer_stack.backward(residual, dY)
         (1) is deterministic, and so the residual is the one of the first time, to the last bit.
Memory   ⌈L/s⌉ inputs of segments, and while (2) runs the residuals of s layers. With an input of i
         bytes and a residual of r bytes that is (L/s) i + s r, least at s = √(L i/r): it grows like
         √L, where `layer_stack` takes L r. The default s = ⌈√L⌉ leaves r out of account.
Time     One more forward, of all segments but the last: where a backward takes twice the forward,
         4/3 of `layer_stack`, and less with few segments.
Saved    the input of every segment but the last, the residuals of its layers, and θ.
Kinks    those of the ops.
Source   Griewank 1992, "Achieving logarithmic growth of temporal and spatial complexity in reverse
         automatic differentiation"; Chen, Xu, Zhang & Guestrin 2016, arXiv:1604.06174
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from manual_bp import op, setting
from manual_bp.models import layer_stack
from manual_bp.models.chain import Parameters, Stage
from manual_bp.models.layers import Update, Updates, gather

NAME = "checkpointed_stack"


@op.residual
class Residual:
    """The parameters, the inputs of all segments but the last, and what is kept of its layers.

    The last two are None of no layers. `shape` and `dtype` are those of the signal.
    """

    parameters: tuple[Parameters, ...]
    inputs: Float[Array, "segments ..."] | None
    layers: layer_stack.Kept | None
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    segment: int = op.static()
    layer: tuple[Stage, ...] = op.static()


def forward(
    parameters: Sequence[Parameters],
    x: Float[Array, "..."],
    *,
    layer: Sequence[Stage],
    segment: int | None = None,
) -> tuple[Float[Array, "..."], Residual]:
    """Return the output of the last layer and the residual.

    Args:
      parameters: as of `layer_stack`, every array with a first axis of L.
      x: the signal that enters the first layer.
      layer: the ops of one layer in order; its output is of the shape and dtype of its input.
      segment: s, the layers of a segment, at least 1; more than L means L, None ⌈√L⌉.

    Raises:
      TypeError: an op refuses a dtype, or the layer changes that of the signal.
      ValueError: `segment` is below 1, or what `layer_stack` refuses.
    """
    parameters, layer = tuple(parameters), tuple(layer)
    (x,) = op.floating(NAME, x=x)
    depth = layer_stack.expect_layers(NAME, parameters, x, layer)
    if segment is None:
        segment = max(math.isqrt(max(depth - 1, 0)) + 1, 1)
    segment = setting.expect_whole(NAME, "segment", segment, 1)
    static = (x.shape, x.dtype, segment, layer)
    if depth == 0:
        return x, Residual(parameters, None, None, *static)

    def climb(x: jax.Array, span: jax.Array) -> tuple[jax.Array, jax.Array]:
        return layer_stack.run(parameters, span, x, layer), x

    spans, last = _spans(depth, segment)
    x, inputs = jax.lax.scan(climb, x, spans)
    y, layers = layer_stack.climb(parameters, last, x, layer)
    return y, Residual(parameters, inputs, layers, *static)


def backward(
    residual: Residual, dy: Float[Array, "..."]
) -> tuple[tuple[Parameters, ...], Float[Array, "..."]]:
    """Return (dparameters, dx), `dparameters` with the first axes of `parameters`."""
    layers, dx = _descended(residual, gather(residual.parameters), dy)
    return layers.dparameters, dx


def backward_with_updates(
    residual: Residual, dy: Float[Array, "..."], state: Any, *, update: Update
) -> tuple[tuple[Parameters, ...], Any, Float[Array, "..."]]:
    """Return (parameters, state, dx), updated layer by layer; arguments as of `layer_stack`."""
    layers, dx = _descended(residual, Updates(residual.parameters, state, update), dy)
    return layers.parameters, layers.state, dx


def _descended(residual: Residual, layers: Any, dy: jax.Array) -> tuple[Any, jax.Array]:
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    if residual.layers is None:
        return layers, dy

    def descend(above: Any, segment: Any) -> tuple[Any, None]:
        (layers, dx), (span, x) = above, segment
        _, again = layer_stack.climb(layers.parameters, span, x, residual.layer)  # (1)
        return layer_stack.descend(layers, span, again, dx), None  # (2)

    spans, last = _spans(layer_stack.depth_of(residual.parameters), residual.segment)
    above = layer_stack.descend(layers, last, residual.layers, dy)
    return jax.lax.scan(descend, above, (spans, residual.inputs), reverse=True)[0]


def _spans(depth: int, segment: int) -> tuple[Int[Array, "segments s"], Int[Array, " last"]]:
    """Return the places of the layers of all segments but the last, and of that one."""
    places, last = jnp.arange(depth), (depth - 1) % segment + 1
    return places[:-last].reshape(-1, segment), places[-last:]
