"""What the way down through a stack makes of the layers' gradients: an array of them, or updates.

Shapes   θ: the parameters of a layer   Θ, s: of all layers, each array with a first axis of L
Gather   The gradient of layer l is kept, as large as Θ in all:
  (1) dΘ[l] = dθˡ
Update   An optimiser that treats each layer by itself needs dθˡ no longer than
  (2) Θ[l], s[l] ← update(dθˡ, s[l], Θ[l])
         and nothing reads Θ[l] once dxˡ⁻¹ is known: L depends on θˡ through xˡ alone. So Θ is
         written where it lies, and no more than one layer's gradient is there at a time.
Source   the second: Lv et al. 2023, "Full parameter fine-tuning for large language models with
         limited resources", arXiv:2306.09782
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from manual_bp import op

# (gradients, state, parameters) -> (parameters, state), all of one layer
Update = Callable[[Any, Any, Any], tuple[Any, Any]]


@op.residual
class Gradients:
    """The parameters of all layers, and their gradients as far as they are known."""

    parameters: Any
    dparameters: Any

    def taken(self, place: Int[Array, ""], dtheta: Any, dx: Float[Array, "..."]) -> "Gradients":
        """Return it with the gradient of one layer."""
        del dx
        put = partial(_written, place=place)
        return Gradients(self.parameters, jax.tree.map(put, self.dparameters, dtheta))  # (1)


@op.residual
class Updates:
    """The parameters of all layers and the optimiser's state, new as far as gradients are known."""

    parameters: Any
    state: Any
    update: Update = op.static()

    def taken(self, place: Int[Array, ""], dtheta: Any, dx: Float[Array, "..."]) -> "Updates":
        """Return it with one layer updated, of which `dx` is the last that reads it."""
        # XLA writes into a buffer behind all that read it; unless told so, it copies all of it.
        place = place + op.zero_after(dx).astype(place.dtype)
        theta, state = at(self.parameters, place), at(self.state, place)
        new = self.update(dtheta, state, trained(theta))  # (2)
        parameters, state = _put_in_turn((self.parameters, self.state), new, place)
        return Updates(parameters, state, self.update)


def gather(parameters: Any) -> Gradients:
    """Return the parameters with room for their gradients.

    Keys and whole numbers have none.
    """
    room = jax.tree.map(lambda leaf: jax.lax.empty(leaf.shape, leaf.dtype), trained(parameters))
    return Gradients(parameters, room)


def trained(parameters: Any) -> Any:
    """Return the floating parameters, None in the place of keys and whole numbers."""
    return jax.tree.map(
        lambda leaf: leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else None, parameters
    )


def at(layers: Any, place: Int[Array, ""]) -> Any:
    """Return the arrays of one layer, without a copy of any other."""
    return jax.tree.map(
        lambda leaf: jax.lax.dynamic_index_in_dim(leaf, place, keepdims=False), layers
    )


def _put_in_turn(layers: tuple[Any, Any], own: tuple[Any, Any], place: Int[Array, ""]) -> Any:
    """Return the parameters and the state with those of one layer, one array after another.

    The parameters come first, as they are formed of the state as it was, and what is last in a
    state before what it may be formed of.
    """
    new, structure = jax.tree.flatten(own, is_leaf=_absent)
    arrays = jax.tree.leaves(layers, is_leaf=_absent)
    parameters = len(jax.tree.leaves(own[0], is_leaf=_absent))
    for number in (*range(parameters), *reversed(range(parameters, len(new)))):
        if new[number] is not None:
            arrays[number] = _written(arrays[number], new[number], place)
            place = place + op.zero_after(arrays[number]).astype(place.dtype)
    return jax.tree.unflatten(structure, arrays)


def _written(layers: jax.Array, own: jax.Array, place: Int[Array, ""]) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(layers, own, place, 0)


def _absent(leaf: Any) -> bool:
    return leaf is None
