"""Arguments of which some leaves move along several directions, and the others stand still."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jax_ref.oracles.autodiff import is_differentiable

MEMORY = 2**22  # numbers that the directions followed together may hold
Arrays = Sequence[jax.Array]


@dataclass(frozen=True)
class Moving:
    """The leaves of arguments, and k directions of those that are floating.

    Attributes:
      leaves: all leaves.
      tree: how they make the arguments.
      places: of the floating ones.
      along: directions of the floating ones, each (k, *shape).
    """

    leaves: list[Any]
    tree: Any
    places: list[int]
    along: list[jax.Array]

    @property
    def count(self) -> int:
        """The number of directions."""
        return len(self.along[0]) if self.along else 0

    def at(self, leaves: Arrays) -> list[jax.Array]:
        """Return those of the leaves that move."""
        return [leaves[place] for place in self.places]

    def moved(self, leaves: Sequence[Any], moved: Arrays) -> list[Any]:
        """Return the leaves with others in the place of those that move."""
        mixed = list(leaves)
        for place, leaf in zip(self.places, moved, strict=True):
            mixed[place] = leaf
        return mixed

    def every(self, function: Callable[[Any], Any], along: Arrays) -> Any:
        """Return the function of each direction, stacked; as many at once as memory allows."""
        size = max(1, sum(leaf.size for leaf in along) // self.count)
        together = max(1, min(self.count, MEMORY // size))
        return jax.lax.map(function, list(along), batch_size=together)


def moving(args: tuple[Any, ...], directions: tuple[Any, ...]) -> Moving:
    """Return the arguments with their directions.

    Args:
      args: arrays and pytrees of arrays.
      directions: like args, each floating leaf (k, *shape); what stands in the place of another
        leaf, as None, is ignored.
    """
    tree: Any
    leaves, tree = jax.tree.flatten(args)
    places = [place for place, leaf in enumerate(leaves) if is_differentiable(leaf)]
    spread = tree.flatten_up_to(directions)
    along = [jnp.asarray(spread[place], jnp.result_type(leaves[place])) for place in places]
    return Moving(leaves, tree, places, along)


def one(args: tuple[Any, ...], direction: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a single direction as the only one of its kind, each floating leaf (1, *shape)."""

    def alone(leaf: Any, d: Any) -> Any:
        return jnp.asarray(d)[None] if is_differentiable(leaf) else None

    return jax.tree.map(alone, args, direction)
