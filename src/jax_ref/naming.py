"""The names that leaves have in a report: the ones Python would use."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax


def of_arguments(forward: Callable[..., Any], count: int) -> tuple[str, ...]:
    """Return the names of the first `count` positional arguments."""
    try:
        parameters = [*inspect.signature(forward).parameters.values()]
    except ValueError:
        parameters = []  # a built-in function without a signature
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in positional][:count]
    return (*names, *(f"args[{i}]" for i in range(len(names), count)))


def of_tree(tree: Any, root: str) -> dict[str, Any]:
    """Return the leaves by the name that Python would give them."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {root + jax.tree_util.keystr(path): leaf for path, leaf in paths}


def of_args(args: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the leaves of all arguments by name."""
    named: dict[str, Any] = {}
    for argument, tree in zip(names, args, strict=True):
        named |= of_tree(tree, argument)
    return named


def of_model(params: Any, deltas: Sequence[Any]) -> dict[str, Any]:
    """Return a model's parameter leaves and δ's by name."""
    return of_tree(params, "params") | of_tree(tuple(deltas), "δ")
