"""Layers one after the other in little memory: of most, what the backward needs is computed again.

Shapes   those of `layer_stack`
Forward  that of `layer_stack`: x⁰ = x,   xˡ = layer(xˡ⁻¹, θˡ),   l = 1 … L,   y = xᴸ
         The layers are cut into segments of s, the last of them the rest; segment k begins at xᵏˢ.
Derive   dxˡ⁻¹ and dθˡ need dxˡ and the residual of layer l, and that is a function of xˡ⁻¹ and θˡ.
         From the last segment to the first, with X = xᵏˢ, Y the segment's output and Θ its θˡ,
  (1) Y, residual = layer_stack.forward(Θ, X)                     a second time
  (2) dX, dΘ = layer_stack.backward(residual, dY)
         (1) is deterministic, and so the residual is the one of the first time, to the last bit.
Memory   ⌈L/s⌉ inputs of segments, and while (2) runs the residuals of s layers. With an input of i
         bytes and a residual of r bytes that is (L/s) i + s r, least at s = √(L i/r): it grows like
         √L, where `layer_stack` takes L r. The default s = ⌈√L⌉ leaves r out of account.
Time     One more forward: where a backward takes twice the forward, 4/3 of `layer_stack`.
Saved    the input of every segment, and θ.      Kinks   those of the ops.
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

NAME = "checkpointed_stack"


@op.residual
class Residual:
    """The parameters, the inputs of all whole segments on a first axis, and that of the rest.

    `inputs` is None of no layers, and `rest` where the segments are all. `shape` and `dtype` are
    those of the signal.
    """

    parameters: tuple[Parameters, ...]
    inputs: Float[Array, "segments ..."] | None
    rest: Float[Array, "..."] | None
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

    whole, rest = _spans(depth, segment)
    y, inputs = jax.lax.scan(climb, x, whole)
    if not len(rest):
        return y, Residual(parameters, inputs, None, *static)
    return climb(y, rest)[0], Residual(parameters, inputs, y, *static)


def backward(
    residual: Residual, dy: Float[Array, "..."]
) -> tuple[tuple[Parameters, ...], Float[Array, "..."]]:
    """Return (dparameters, dx), `dparameters` with the first axes of `parameters`."""
    parameters, layer = residual.parameters, residual.layer
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    if residual.inputs is None:
        return layer_stack.blank(parameters), dy

    def descend(cotangents: Any, segment: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        span, x = segment
        _, again = layer_stack.climb(parameters, span, x, layer)  # (1)
        return layer_stack.descend(parameters, span, again, cotangents), None  # (2)

    whole, rest = _spans(layer_stack.depth_of(parameters), residual.segment)
    cotangents = (layer_stack.blank(parameters), dy)
    if residual.rest is not None:
        cotangents, _ = descend(cotangents, (rest, residual.rest))
    return jax.lax.scan(descend, cotangents, (whole, residual.inputs), reverse=True)[0]


def _spans(depth: int, segment: int) -> tuple[Int[Array, "segments s"], Int[Array, " rest"]]:
    """Return the places of the layers of all whole segments, and of the rest."""
    places, rest = jnp.arange(depth), depth % segment
    return places[: depth - rest].reshape(-1, segment), places[depth - rest :]
