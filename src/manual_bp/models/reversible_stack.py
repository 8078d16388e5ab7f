"""Layers whose inputs are computed from their outputs, so that no layer keeps anything.

Shapes   x₁, x₂, y₁, y₂: one shape   θ, φ: the parameters of F and of G, with a first axis of L
Forward  The signal runs in two streams. One layer adds to each a function of the other:
           y₁ = x₁ + F(x₂; θ),   y₂ = x₂ + G(y₁; φ)
         F and G are each a `chain` of ops, which keeps the shape and need not be invertible. Layer
         l takes the outputs of layer l−1; the outputs are those of layer L.
Derive   y₂ = x₂ + G(y₁) is solved for x₂, as y₁ is known, and then y₁ = x₁ + F(x₂) for x₁:
  (1) x₂ = y₂ − G(y₁)
  (2) x₁ = y₁ − F(x₂)
         y₁ is used twice: it is an output, and G reads it. With dz its whole cotangent,
  (3) dz, dφ:   dz = dy₁ + (what G returns for dy₂ at y₁)
         x₁ reaches the loss through y₁ alone, ∂y₁/∂x₁ = 1:
  (4) dx₁ = dz
         x₂ is used twice, in y₂ = x₂ + … and by F, whose output has the cotangent of y₁, dz:
  (5) dx₂ = dy₂ + (what F returns for dz at x₂),   and dθ
         The residuals that (3) and (5) need come with the forwards that (1) and (2) need.
Memory   θ, φ and the outputs of the last layer, and while a layer is taken back the residuals of
         that one: the same at every L.
Time     One more forward: where a backward takes twice the forward, 4/3 of `layer_stack`.
Drift    (1) and (2) are exact but for rounding: y₂ was rounded, and the difference is. With u the
         unit roundoff, a layer adds an error of about u |y|, and F and G pass on what there is of
         it as they do any change of their inputs: at most ∏ (1 + ‖F'‖)(1 + ‖G'‖) times. Measured
         at L = 64 on random F and G of two dense layers with a tanh between them, 16 wide, the
         largest error of x₁ and x₂, which are normal numbers, in float32 and in float64:
           weights of deviation ½/√16: 3e-6, 6e-15     of 1/√16: 1e-4, 2e-13     of 2/√16: 4, 2e-8
         The gradient is that at the inputs as they come back, which `backward_with_inputs` shows:
         where F and G are steep, nothing of it is right. Half precision keeps the streams in
         float32 and rounds what F and G read, which mostly takes the errors away.
Saved    θ, φ, y₁ and y₂ of layer L.      Kinks   those of the ops: an input that comes back on
         the other side of one gets the slope there.
Source   Gomez, Ren, Urtasun & Grosse 2017, arXiv:1707.04585; the coupling: Dinh, Krueger & Bengio
         2014, arXiv:1410.8516
"""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.models import chain
from manual_bp.models.chain import Parameters, Stage
from manual_bp.models.layer_stack import depth_of, expect_layers
from manual_bp.models.layers import Update, Updates, at, gather

NAME = "reversible_stack"

Stages = tuple[Stage, ...]


@op.residual
class Residual:
    """The parameters, and the outputs of the last layer in the dtype of sums."""

    theta: tuple[Parameters, ...]
    phi: tuple[Parameters, ...]
    y1: Float[Array, "..."]
    y2: Float[Array, "..."]
    dtype: Any = op.static()
    f: Stages = op.static()
    g: Stages = op.static()


def forward(
    theta: Sequence[Parameters],
    phi: Sequence[Parameters],
    x1: Float[Array, "..."],
    x2: Float[Array, "..."],
    *,
    f: Sequence[Stage],
    g: Sequence[Stage],
) -> tuple[tuple[Float[Array, "..."], Float[Array, "..."]], Residual]:
    """Return (y1, y2) of the last layer and the residual.

    Args:
      theta: for each stage of F the positional arguments behind the signal, () for none, as of
        `chain`; every array with a first axis of L, 0 or more.
      phi: the same of G.
      x1: the first stream.
      x2: the second stream, of the shape and dtype of `x1`.
      f: the ops of F in order; its output is of the shape and dtype of its input.
      g: the ops of G in order, likewise.

    Raises:
      TypeError: an op refuses a dtype, the dtypes of the streams differ, or F or G changes it.
      ValueError: the shapes of the streams differ, F or G changes it, there are not as many sets of
        parameters as stages, or first axes differ.
    """
    theta, phi, f, g = tuple(theta), tuple(phi), tuple(f), tuple(g)
    x1, x2 = op.floating(NAME, x1=x1, x2=x2)
    op.expect_shape(NAME, "x2", x2, x1.shape, "of x1")
    depths = [
        expect_layers(NAME, parameters, x1, stages, name, settings)
        for parameters, stages, name, settings in ((theta, f, "theta", "f"), (phi, g, "phi", "g"))
    ]
    if depths[0] != depths[1]:
        expected = f"a first axis of {depths[0]}, as of theta"
        raise ValueError(op.complaint(NAME, "phi", expected, depths[1]))

    def climb(streams: tuple[jax.Array, jax.Array], parameters: Any) -> tuple[Any, None]:
        (first, second), (of_f, of_g) = streams, parameters
        first = first + _read(of_f, second, f, x1.dtype)[0]
        second = second + _read(of_g, first, g, x1.dtype)[0]
        return (first, second), None

    (y1, y2), _ = jax.lax.scan(climb, (op.wide(x1), op.wide(x2)), (theta, phi))
    residual = Residual(theta, phi, y1, y2, x1.dtype, f, g)
    return (y1.astype(x1.dtype), y2.astype(x1.dtype)), residual


def _read(parameters: Any, stream: jax.Array, stages: Stages, dtype: Any) -> tuple[jax.Array, Any]:
    """Return what F or G makes of a stream, in the dtype of sums, and the residual."""
    z, residual = chain.forward(parameters, stream.astype(dtype), stages=stages)
    return op.wide(z), residual


def backward(
    residual: Residual, dy: tuple[Float[Array, "..."], Float[Array, "..."]]
) -> tuple[
    tuple[Parameters, ...], tuple[Parameters, ...], Float[Array, "..."], Float[Array, "..."]
]:
    """Return (dtheta, dphi, dx1, dx2); `dy` holds the cotangents of y1 and y2."""
    dtheta, dphi, dx1, dx2, _ = backward_with_inputs(residual, dy)
    return dtheta, dphi, dx1, dx2


def backward_with_inputs(
    residual: Residual, dy: tuple[Float[Array, "..."], Float[Array, "..."]]
) -> tuple[
    tuple[Parameters, ...],
    tuple[Parameters, ...],
    Float[Array, "..."],
    Float[Array, "..."],
    tuple[Float[Array, "..."], Float[Array, "..."]],
]:
    """Return (dtheta, dphi, dx1, dx2, (x1, x2)), the last as they came back."""
    layers = gather((residual.theta, residual.phi))
    layers, (x1, x2, dx1, dx2) = _descended(residual, layers, dy)
    dtheta, dphi = layers.dparameters
    return dtheta, dphi, dx1, dx2, (x1, x2)


def backward_with_updates(
    residual: Residual,
    dy: tuple[Float[Array, "..."], Float[Array, "..."]],
    state: Any,
    *,
    update: Update,
) -> tuple[
    tuple[Parameters, ...], tuple[Parameters, ...], Any, Float[Array, "..."], Float[Array, "..."]
]:
    """Return (theta, phi, state, dx1, dx2), updated layer by layer on the way down.

    Arguments as of `layer_stack`; `state` and `update` are of the pair (theta, phi).
    """
    layers = Updates((residual.theta, residual.phi), state, update)
    layers, (_, _, dx1, dx2) = _descended(residual, layers, dy)
    theta, phi = layers.parameters
    return theta, phi, layers.state, dx1, dx2


def _descended(residual: Residual, layers: Any, dy: Any) -> tuple[Any, list[jax.Array]]:
    """Return what is made of the gradients of all layers, and [x1, x2, dx1, dx2]."""
    dtype, shape = residual.dtype, residual.y1.shape
    dy1, dy2 = op.expect_cotangents(NAME, dy, {"y1": shape, "y2": shape}, dtype)

    def pull(saved: Any, dz: jax.Array) -> tuple[Any, jax.Array]:
        dparameters, dstream = chain.backward(saved, dz.astype(dtype))
        return dparameters, op.wide(dstream)

    depth = depth_of((residual.theta, residual.phi))

    def descend(number: jax.Array, carried: Any) -> Any:
        (y1, y2, dy1, dy2), layers = carried
        place = depth - 1 - number
        of_f, of_g = at(layers.parameters, place)
        z, at_y1 = _read(of_g, y1, residual.g, dtype)
        x2 = y2 - z  # (1)
        z, at_x2 = _read(of_f, x2, residual.f, dtype)
        x1 = y1 - z  # (2)
        dphi, through_g = pull(at_y1, dy2)
        dz = dy1 + through_g  # (3)
        dtheta, through_f = pull(at_x2, dz)
        dx1 = dz  # (4)
        dx2 = dy2 + through_f  # (5)
        return (x1, x2, dx1, dx2), layers.taken(place, (dtheta, dphi), dx2)

    streams = residual.y1, residual.y2, dy1, dy2
    if depth:
        streams, layers = jax.lax.fori_loop(0, depth, descend, (streams, layers))
    return layers, [stream.astype(dtype) for stream in streams]
