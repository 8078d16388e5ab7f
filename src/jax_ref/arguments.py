"""The arguments of a rule, laid out as leaves: what is differentiated, what moves, what stays.

Differentiated  floating and complex arrays of the arguments in `wrt`
Rest            every other array: integers, booleans, keys, floating arrays that are not in `wrt`
Settings        whole numbers, booleans and None of Python: closed over, never traced, so that a
                rule may use them as sizes and axes
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import naming
from jax_ref.errors import CheckError
from jax_ref.oracles.autodiff import is_differentiable
from jax_ref.settings import cut_short, expect_wrt


class Arguments:
    """Arguments by leaf, in the order of their pytree.

    Attributes:
      names: of the arguments.
      chosen: the leaves that are differentiated.
      rest: the other arrays.
      paths: the names of the leaves in `chosen`.
    """

    def __init__(
        self,
        place: str,
        names: Sequence[str],
        args: Sequence[Any],
        wrt: Sequence[int | str] | int | str | None = None,
        settings: Sequence[int] = (),
    ) -> None:
        """Sort the leaves.

        Args:
          place: the function that complains.
          names: of the arguments.
          args: pytrees.
          wrt: positions or names of the arguments that are differentiated; None for all.
          settings: positions of the arguments that are handed on as they are, of whatever type.

        Raises:
          CheckError: a leaf is no array, or nothing is left to differentiate.
        """
        self.names = tuple(names)
        positions = expect_wrt(place, wrt, self.names)
        fixed = set(settings)
        marked = [args[i] if i not in fixed else _Setting(args[i]) for i in range(len(args))]
        paths, self._tree = jax.tree_util.tree_flatten_with_path(marked)
        self._leaves: list[Any] = []
        self._chosen: list[int] = []
        self._rest: list[int] = []
        self.paths: tuple[str, ...] = ()
        for at, (path, leaf) in enumerate(paths):
            argument = path[0].idx
            where = self.names[argument] + jax.tree_util.keystr(path[1:])
            if isinstance(leaf, _Setting) or type(leaf) in (bool, int):
                self._leaves.append(leaf.value if isinstance(leaf, _Setting) else leaf)
                continue
            array = as_array(place, where, leaf)
            self._leaves.append(array)
            if is_differentiable(array) and argument in positions:
                self._chosen.append(at)
                self.paths = (*self.paths, where)
            else:
                self._rest.append(at)
        if not self._chosen:
            what = "args" if wrt is None else "wrt"
            raise CheckError(place, what, "at least one floating array", "none")

    @property
    def chosen(self) -> tuple[Any, ...]:
        """The leaves that are differentiated."""
        return tuple(self._leaves[at] for at in self._chosen)

    @property
    def rest(self) -> tuple[Any, ...]:
        """The other arrays."""
        return tuple(self._leaves[at] for at in self._rest)

    @property
    def dtype(self) -> Any:
        """The dtype of the first differentiated leaf."""
        return self.chosen[0].dtype

    def build(self, chosen: Sequence[Any], rest: Sequence[Any]) -> tuple[Any, ...]:
        """Return the arguments with other arrays in them."""
        leaves = list(self._leaves)
        for places, values in ((self._chosen, chosen), (self._rest, rest)):
            for at, value in zip(places, values, strict=True):
                leaves[at] = value
        return tuple(jax.tree_util.tree_unflatten(self._tree, leaves))

    def named(self) -> dict[str, Any]:
        """Return every array by its name."""
        paths = naming.of_args(self.build(self.chosen, self.rest), self.names)
        return {name: leaf for name, leaf in paths.items() if hasattr(leaf, "dtype")}

    def wanted(self) -> dict[str, Any]:
        """Return the leaves that must have a cotangent, by name."""
        return dict(zip(self.paths, self.chosen, strict=True))


class _Setting:
    """An argument that is no pytree of arrays; a leaf of its own."""

    def __init__(self, value: Any) -> None:
        self.value = value


def as_array(place: str, where: str, leaf: Any) -> Any:
    """Return a leaf as a JAX array.

    Raises:
      CheckError: it is not one that JAX knows.
    """
    if isinstance(leaf, jax.Array):
        return leaf
    try:
        if np.asarray(leaf).dtype == np.dtype(object):
            came = "an object array" if isinstance(leaf, np.ndarray) else _shown(leaf)
            raise CheckError(place, where, "an array of numbers", came)
        return jnp.asarray(leaf)
    except (TypeError, ValueError) as error:
        if isinstance(error, CheckError):
            raise
        raise CheckError(place, where, "an array of numbers", _shown(leaf)) from None


def _shown(leaf: Any) -> str:
    return f"{type(leaf).__name__} {cut_short(leaf)}"


def elsewhere(arrays: Sequence[Any], move: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return the arrays, the floating ones moved."""
    return tuple(move(a) if jnp.issubdtype(a.dtype, jnp.floating) else a for a in arrays)
