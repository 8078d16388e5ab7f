"""The expressions of a function that may hold a mistake, and how a tree is read and changed."""

import ast
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

from jax_ref.mutants.reach import REFUSES

SUMS = {"sum", "mean", "max", "min", "var", "cumsum"}
OVER_AXES = SUMS | {
    "prod",
    "any",
    "all",
    "argmax",
    "expand_dims",
    "squeeze",
    "tensordot",
    "moveaxis",
    "swapaxes",
    "roll",
    "flip",
}
OVER_AXES |= {
    "cumprod",
    "concatenate",
    "stack",
    "take",
    "repeat",
    "pull_back",
    "normalise",
    "log_normalise",
}
AXES = {"axis", "axes", "keepdims"}


class Spot(NamedTuple):
    """An expression in its surroundings."""

    node: ast.AST
    parent: ast.AST
    role: str  # "index", "axis" or ""


def spots(node: ast.AST, parent: ast.AST, role: str) -> Iterator[Spot]:  # noqa: C901  by kind
    """Yield a node and what is in it, but for what only refuses bad input."""
    if _refuses(node) or isinstance(getattr(node, "ctx", None), ast.Store):
        return
    yield Spot(node, parent, role)
    if number_of(node) is not None:
        return
    match node:
        case ast.Call(func=func, args=args, keywords=keywords):
            yield from spots(func, node, "")
            over_axes = name_of(node) in OVER_AXES
            for arg in args:
                yield from spots(arg, node, "axis" if over_axes else "")
            for keyword in keywords:
                if keyword.arg != "strict":
                    yield from spots(keyword.value, keyword, "axis" * (keyword.arg in AXES))
        case ast.Subscript(value=value, slice=index):
            yield from spots(value, node, "")
            yield from spots(index, node, "index")
        case ast.Tuple() | ast.Slice() | ast.Starred():
            for child in ast.iter_child_nodes(node):
                yield from spots(child, node, role)
        case ast.AnnAssign(value=ast.expr() as value):
            yield from spots(value, node, "")
        case ast.Lambda(body=body):
            yield from spots(body, node, "")
        case ast.FunctionDef(body=body):
            for statement in body:
                yield from spots(statement, node, "")
        case _:
            for child in ast.iter_child_nodes(node):
                yield from spots(child, node, "")


def _refuses(node: ast.AST) -> bool:
    match node:
        case ast.Raise() | ast.Assert() | ast.JoinedStr():
            return True
        case ast.Call():
            return bool(REFUSES.match(name_of(node)))
        case ast.If(body=[ast.Raise()]):
            return True
        case ast.Constant(value=str()):
            return True
    return False


def name_of(call: ast.expr) -> str:
    """Return the name of the function that is called, without its module or object."""
    match call:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return ""


def number_of(node: ast.AST) -> Any:
    """Return the value of a number as written, with its sign; None for all else."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def written(value: Any) -> ast.expr:
    """Return a number, or another constant, as it is written."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def like(node: ast.expr, **changed: Any) -> ast.expr:
    """Return a copy of a node with other fields."""
    new = copy.copy(node)
    for field, value in changed.items():
        setattr(new, field, value)
    return new


def minus(node: ast.expr) -> ast.expr:
    """Return a node with a minus before it."""
    return ast.UnaryOp(ast.USub(), node)


def swapped(items: list[Any], i: int, j: int) -> list[Any]:
    """Return a list with two of its items exchanged."""
    items = list(items)
    items[i], items[j] = items[j], items[i]
    return items


def is_form(spot: Spot) -> bool:
    """Return whether only the shape or the dtype of an expression is read."""
    return isinstance(spot.parent, ast.Attribute) and spot.parent.attr in ("shape", "dtype")
