"""Layers of one kind and size, one after the other: a `chain` repeated by `lax.scan`.

Shapes   x, y: one shape, which the layer keeps   θ: parameters, each with a first axis of L
Forward  x⁰ = x,   xˡ = layer(xˡ⁻¹, θˡ),   l = 1 … L,   y = xᴸ;   the layer is a `chain` of ops
Derive   L depends on xˡ⁻¹ and θˡ only through xˡ, as in `chain`; from dxᴸ = dy down to dx⁰ = dx,
  (1) dxˡ⁻¹, dθˡ = layer.backward(residualˡ, dxˡ)
         The program holds one layer, whatever L is, and so compiles in the time of one. Each dθˡ is
         kept, or an optimiser's update of layer l takes it at once: `layers`.
Saved    the residuals of all layers, so that memory grows like L; of a residual that keeps a
         parameter as it is, not that, which θ has already.      Kinks   those of the ops.
Deep     `checkpointed_stack` computes the same in memory that grows like √L, `reversible_stack` a
         layer of another form in memory that does not grow.
Source   Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating errors"
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from manual_bp import op
from manual_bp.models import chain
from manual_bp.models.chain import Parameters, Stage
from manual_bp.models.layers import Gradients, Update, Updates, at, gather

NAME = "layer_stack"

Layers = TypeVar("Layers", Gradients, Updates)


@op.residual
class Kept:
    """The leaves of a residual, without those that are parameters of the layer.

    `places` has for each leaf its place among the parameters, or None.
    """

    leaves: tuple[Any, ...]
    places: tuple[int | None, ...] = op.static()
    structure: Any = op.static()


@op.residual
class Residual:
    """The parameters, and what is kept of every layer, on a first axis of L; None of no layers.

    `shape` and `dtype` are those of the signal.
    """

    parameters: tuple[Parameters, ...]
    layers: Kept | None
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()


def forward(
    parameters: Sequence[Parameters], x: Float[Array, "..."], *, layer: Sequence[Stage]
) -> tuple[Float[Array, "..."], Residual]:
    """Return the output of the last layer and the residual.

    Args:
      parameters: for each stage of the layer the positional arguments behind the signal, () for
        none, as of `chain`; every array with a first axis of L, 0 or more.
      x: the signal that enters the first layer.
      layer: the ops of one layer in order; its output is of the shape and dtype of its input.

    Raises:
      TypeError: an op refuses a dtype, or the layer changes that of the signal.
      ValueError: there are not as many sets of parameters as stages, first axes differ, there is no
        array to tell L from, an op refuses a shape, or the layer changes that of the signal.
    """
    parameters = tuple(parameters)
    (x,) = op.floating(NAME, x=x)
    depth = expect_layers(NAME, parameters, x, layer)
    if depth == 0:
        return x, Residual(parameters, None, x.shape, x.dtype)
    y, layers = climb(parameters, jnp.arange(depth), x, layer)
    return y, Residual(parameters, layers, x.shape, x.dtype)


def backward(
    residual: Residual, dy: Float[Array, "..."]
) -> tuple[tuple[Parameters, ...], Float[Array, "..."]]:
    """Return (dparameters, dx), `dparameters` with the first axes of `parameters`."""
    layers, dx = _descended(residual, gather(residual.parameters), dy)
    return layers.dparameters, dx


def backward_with_updates(
    residual: Residual, dy: Float[Array, "..."], state: Any, *, update: Update
) -> tuple[tuple[Parameters, ...], Any, Float[Array, "..."]]:
    """Return (parameters, state, dx), updated layer by layer on the way down.

    Args:
      residual: of `forward`.
      dy: ∂L/∂y.
      state: the optimiser's, every array with a first axis of L, as of `train.by_layer`.
      update: (gradients, state, parameters) -> (parameters, state) of one layer, as of
        `train.update_by`. Parameters that have no cotangent are None there, and stay as they are.
    """
    layers, dx = _descended(residual, Updates(residual.parameters, state, update), dy)
    return layers.parameters, layers.state, dx


def _descended(residual: Residual, layers: Any, dy: jax.Array) -> tuple[Any, jax.Array]:
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    if residual.layers is None:
        return layers, dy
    span = jnp.arange(depth_of(residual.parameters))
    return descend(layers, span, residual.layers, dy)


def climb(
    parameters: Any, span: Int[Array, " s"], x: jax.Array, layer: Sequence[Stage]
) -> tuple[jax.Array, Kept]:
    """Return the output of the last of a span of layers, and what is kept of each."""

    def one_up(x: jax.Array, place: jax.Array) -> tuple[jax.Array, Kept]:
        theta = at(parameters, place)
        y, residual = chain.forward(theta, x, stages=layer)
        return y, _kept(residual, theta)

    return jax.lax.scan(one_up, x, span)


def run(parameters: Any, span: Int[Array, " s"], x: jax.Array, layer: Sequence[Stage]) -> jax.Array:
    """Return the output of the last of a span of layers, and keep nothing."""

    def one_up(x: jax.Array, place: jax.Array) -> tuple[jax.Array, None]:
        return chain.forward(at(parameters, place), x, stages=layer)[0], None

    return jax.lax.scan(one_up, x, span)[0]


def descend(
    layers: Layers, span: Int[Array, " s"], kept: Kept, dx: jax.Array
) -> tuple[Layers, jax.Array]:
    """Return (layers, dx) below a span of layers: `layers` with what is made of their gradients."""

    def one_down(above: tuple[Layers, jax.Array], of: tuple[Any, Kept]) -> tuple[Any, None]:
        (layers, dx), (place, kept) = above, of
        dtheta, dx = chain.backward(_whole(kept, at(layers.parameters, place)), dx)  # (1)
        return (layers.taken(place, dtheta, dx), dx), None

    return jax.lax.scan(one_down, (layers, dx), (span, kept), reverse=True)[0]


def depth_of(parameters: Any) -> int:
    """Return L."""
    return len(jax.tree.leaves(parameters)[0])


def expect_layers(
    name: str,
    parameters: Any,
    x: jax.Array,
    layer: Sequence[Stage],
    argument: str = "parameters",
    setting: str = "layer",
) -> int:
    """Return L, or raise unless all parameters have it first and the layer keeps the signal."""
    sizes = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(parameters)}
    ranks = {leaf.ndim for leaf in jax.tree.leaves(parameters)}
    if len(sizes) != 1 or 0 in ranks:
        expected = "arrays with one first axis, the number of layers"
        shapes = [leaf.shape for leaf in jax.tree.leaves(parameters)]
        raise ValueError(op.complaint(name, argument, expected, f"shapes {shapes}"))
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), parameters)
    y = jax.eval_shape(lambda theta, x: chain.forward(theta, x, stages=layer)[0], one, x)
    chain.expect_kept(name, setting, x, y)
    return int(sizes.pop())


def _kept(residual: Any, theta: Any) -> Kept:
    """Return a residual without the leaves that are parameters."""
    leaves, structure = jax.tree.flatten(residual)
    parameters = jax.tree.leaves(theta)
    places = tuple(
        next((place for place, own in enumerate(parameters) if own is leaf), None)
        for leaf in leaves
    )
    pairs = zip(leaves, places, strict=True)
    return Kept(tuple(leaf for leaf, place in pairs if place is None), places, structure)


def _whole(kept: Kept, theta: Any) -> Any:
    """Return the residual again."""
    left, parameters = iter(kept.leaves), jax.tree.leaves(theta)
    leaves = [next(left) if place is None else parameters[place] for place in kept.places]
    return jax.tree.unflatten(kept.structure, leaves)
