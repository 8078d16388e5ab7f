"""Ways to get a derivative wrong: edits of one expression.

sign             a minus added or taken away, + for −
operand          / for ×, operands and neighbouring arguments exchanged, a matrix transposed
axis             another axis, a dimension not kept, a transposition left out
index            one further, one nearer, the first for the last
constant         c + 1, 2c, −c, 0
dropped term     of two terms or factors one alone; an element not appended
swapped return   two slots of a returned tuple exchanged; one slot zero
wrong residual   another field of the residual; another array of that rank saved
comparison       < for ≤, the opposite, the branches of a choice exchanged or one always taken
dtype            a conversion left out
call             sum for mean, exp for expm1, …; a function not applied

What only refuses bad input is left alone: `raise` and the condition before it, arguments of
`expect_…`, `floating` and `complaint`, `strict` of `zip`. So are annotations and texts.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

from jax_ref.mutants.reach import Seen
from jax_ref.mutants.spots import (
    SUMS,
    Spot,
    like,
    minus,
    name_of,
    number_of,
    spots,
    swapped,
    written,
)

ZEROED = "zeroed"  # the name of the function that makes a slot zero

EXCHANGED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
CALLED = {
    "sum": "mean",
    "mean": "sum",
    "max": "min",
    "min": "max",
    "prod": "sum",
    "exp": "expm1",
    "expm1": "exp",
    "log": "log1p",
    "log1p": "log",
    "minimum": "maximum",
    "maximum": "minimum",
    "ones": "zeros",
    "zeros": "ones",
    "ones_like": "zeros_like",
    "zeros_like": "ones_like",
    "sin": "cos",
    "cos": "sin",
    "tanh": "sinh",
    "sqrt": "square",
    "square": "sqrt",
    "rsqrt": "sqrt",
    "cumsum": "cumprod",
}
FUNCTIONS = {"exp", "expm1", "log", "log1p", "sin", "tanh", "erf"}
APPLIED = FUNCTIONS | {"abs", "cos", "sqrt", "rsqrt", "square", "sign", "conj", "flip", "reversed"}
PRODUCTS = {"matmul", "tensordot", "dot"}
NUMBERS = FUNCTIONS | SUMS | PRODUCTS | {"einsum", "where", "wide", "per_sample", "pull_back"}
ORDERED = {"asarray", "full_like", "broadcast_to", "issubdtype", "where", "map", "astype"}
DTYPES = {"dtype", "preferred_element_type"}
TEXTS = {"NAME", "dtype", "wide", "reduction"}


@dataclass(frozen=True)
class Edit:
    """An expression and what takes its place.

    Attributes:
      kind: of mistake.
      old: the node of the tree.
      new: the other expression.
    """

    kind: str
    old: ast.expr
    new: ast.expr


def edits(part: ast.AST, seen: Seen, *, saved: bool = False) -> Iterator[Edit]:
    """Yield the edits of all expressions in a part of a function.

    Args:
      part: a statement or an expression.
      seen: what is known of the function's variables.
      saved: whether the part is the residual that a forward returns.
    """
    if saved:
        yield from _other_saved(part, seen)
    for spot in spots(part, part, ""):
        for kind, change in CHANGES:
            for new in change(spot):
                assert isinstance(spot.node, ast.expr)
                if not (kind == "axis" and _is_same_axis(spot, new, seen)):
                    yield Edit(kind, spot.node, new)
        yield from _exchanged_arguments(spot.node, seen)
        yield from _other_field(spot, seen)
        if isinstance(spot.node, ast.Return) and isinstance(spot.node.value, ast.Tuple):
            yield from _slots(spot.node.value, seen)


def _sign(spot: Spot) -> Iterator[ast.expr]:
    match spot.node:
        case ast.BinOp(op=ast.Add() | ast.Sub() as op) as node:
            yield like(node, op=EXCHANGED[type(op)]())
        case ast.UnaryOp(op=ast.USub(), operand=operand) if number_of(spot.node) is None:
            yield operand
    if _is_term(spot) and isinstance(spot.node, ast.expr):
        yield minus(spot.node)


def _is_term(spot: Spot) -> bool:
    """Return whether an expression is a number whose sign is not that of what it stands in."""
    match spot.parent:
        case ast.BinOp(op=ast.Mult() | ast.Div() | ast.Pow() | ast.MatMult()) | ast.UnaryOp():
            return False
    if _is_form(spot):
        return False
    match spot.node:
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() | ast.Pow() | ast.MatMult()):
            return not isinstance(left, ast.UnaryOp)
        case ast.Name() | ast.Attribute():
            if not isinstance(spot.parent, ast.Call) or _is_called(spot):
                return False
            return name_of(spot.parent) in FUNCTIONS
        case ast.Call():
            return name_of(spot.node) in NUMBERS
    return False


def _operand(spot: Spot) -> Iterator[ast.expr]:
    match spot.node:
        case ast.BinOp(left=left, op=op, right=right) as node:
            if isinstance(op, ast.Mult | ast.Div | ast.Pow):
                yield like(node, op=EXCHANGED[type(op)]())
            if isinstance(op, ast.Sub | ast.Div | ast.Pow | ast.MatMult):
                yield like(node, left=right, right=left)
            if isinstance(op, ast.MatMult):
                yield from (like(node, left=other) for other in _transposed(left))
                yield from (like(node, right=other) for other in _transposed(right))
        case ast.Call(args=args) as node if name_of(node) in PRODUCTS:
            for i, arg in enumerate(args[:2]):
                for other in _transposed(arg):
                    yield like(node, args=[*args[:i], other, *args[i + 1 :]])


def _transposed(node: ast.expr) -> Iterator[ast.expr]:
    if not _is_transposed(node):
        yield ast.Attribute(node, "T", ast.Load())


def _is_transposed(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("T", "mT")


def _axis(spot: Spot) -> Iterator[ast.expr]:
    match spot:
        case Spot(ast.Attribute(value=value) as node, _, _) if _is_transposed(node):
            yield value
        case Spot(ast.Constant(value=bool() as value), _, "axis"):
            yield ast.Constant(not value)
        case Spot(node, _, "axis") if (axis := number_of(node)) is not None:
            yield from (written(other) for other in (0, -1, 1, None) if other != axis)
        case Spot(ast.Attribute(attr="axis"), _, _):
            yield from (written(other) for other in (0, -1, None))
        case Spot(ast.Subscript(value=value, slice=ast.Tuple(elts=elts)) as node, _, _):
            if _adds_axes(elts):
                yield value
                yield like(node, slice=ast.Tuple(elts[::-1], ast.Load()))


def _is_same_axis(spot: Spot, new: ast.expr, seen: Seen) -> bool:
    """Return whether the new number names the same axis of an array of one known rank."""
    match spot.parent:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if (
            len(ranks := seen.ranks.get(name, set())) == 1
        ):
            (rank,) = ranks
            old, other = number_of(spot.node), number_of(new)
            return rank > 0 and None not in (old, other) and (old - other) % rank == 0
    return False


def _adds_axes(elts: list[ast.expr]) -> bool:
    """Return whether an index only adds axes, as [..., None] does."""
    return all(isinstance(e, ast.Constant) and e.value in (None, ...) for e in elts)


def _index(spot: Spot) -> Iterator[ast.expr]:
    match spot:
        case Spot(ast.Slice(lower=lower, upper=upper) as node, _, _):
            if lower is None:
                yield like(node, lower=ast.Constant(1))
            if upper is None:
                yield like(node, upper=written(-1))
        case Spot(node, _, "index") if isinstance(at := number_of(node), int):
            others = {at + 1, at - 1, {0: -1, -1: 0}.get(at, at)} - {at}
            yield from map(written, sorted(others))


def _constant(spot: Spot) -> Iterator[ast.expr]:
    if spot.role:
        return
    if isinstance(spot.node, ast.Constant) and isinstance(spot.node.value, bool):
        yield ast.Constant(not spot.node.value)
    elif (value := number_of(spot.node)) is not None:
        others = dict.fromkeys((value + 1, 2 * value, -value, type(value)(0)))
        yield from (written(other) for other in others if other != value)


def _dropped(spot: Spot) -> Iterator[ast.expr]:
    match spot.node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Mult() | ast.BitAnd(), right=right):
            yield from (left, right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            yield from (left, minus(right))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            yield left
            if number_of(left) != 1:
                yield ast.BinOp(ast.Constant(1), ast.Div(), right)
        case ast.BinOp(left=left, op=ast.Pow() | ast.BitOr()):
            yield left
        case ast.Call(func=ast.Attribute(attr="append" | "extend")):
            yield ast.Constant(None)


def _comparison(spot: Spot) -> Iterator[ast.expr]:
    match spot.node:
        case ast.Compare(ops=[op]) as node:
            yield from (like(node, ops=[other()]) for other in COMPARED[type(op)])
        case ast.BoolOp(op=op, values=values) as node:
            yield like(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            yield from values
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr() as op) as node:
            yield like(node, op=EXCHANGED[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield operand
        case ast.IfExp(body=body, orelse=other) as node:
            yield like(node, body=other, orelse=body)
            yield from (body, other)
        case ast.Call(args=[condition, a, b]) as node if name_of(node) == "where":
            yield like(node, args=[condition, b, a])
            yield from (a, b)
    match spot:
        case Spot(ast.expr() as asked, ast.If(test=test), _) if asked is test:
            if not isinstance(asked, ast.Compare):
                yield ast.UnaryOp(ast.Not(), asked)


def _dtype(spot: Spot) -> Iterator[ast.expr]:
    match spot.node:
        case ast.Call(func=ast.Attribute(attr="astype", value=value)):
            yield value
        case ast.Call(args=[value]) if name_of(spot.node) in ("wide", "wide_dtype"):
            yield value
        case ast.Call(keywords=keywords) as node:
            for keyword in keywords:
                if keyword.arg in DTYPES:
                    yield like(node, keywords=[k for k in keywords if k is not keyword])


def _call(spot: Spot) -> Iterator[ast.expr]:
    match spot.node:
        case ast.Call(func=ast.Attribute() as func) as node if name_of(node) in CALLED:
            if name_of(node) == "prod":
                yield like(node, func=ast.Name("sum", ast.Load()))
            else:
                yield like(node, func=like(func, attr=CALLED[func.attr]))
        case ast.Attribute(attr=name) as node if name in CALLED and not _is_called(spot):
            yield like(node, attr=CALLED[name])
    match spot.node:
        case ast.Call(args=[value]) if name_of(spot.node) in APPLIED:
            yield value


def _is_called(spot: Spot) -> bool:
    return isinstance(spot.parent, ast.Call) and spot.parent.func is spot.node


CHANGES: tuple[tuple[str, Callable[[Spot], Iterator[ast.expr]]], ...] = (
    ("sign", _sign),
    ("operand", _operand),
    ("axis", _axis),
    ("index", _index),
    ("constant", _constant),
    ("dropped term", _dropped),
    ("comparison", _comparison),
    ("dtype", _dtype),
    ("call", _call),
)
KINDS = (*(kind for kind, _ in CHANGES), "swapped return", "wrong residual")


def _slots(returned: ast.Tuple, seen: Seen) -> Iterator[Edit]:
    slots = returned.elts
    for i, j in combinations(range(len(slots)), 2):
        yield Edit("swapped return", returned, like(returned, elts=swapped(slots, i, j)))
    for i, slot in enumerate(slots):
        if isinstance(slot, ast.Name) and slot.id in seen.ranks:
            yield Edit("sign", slot, minus(slot))
        if not isinstance(slot, ast.Constant | ast.Starred):
            zero = ast.Call(ast.Name(ZEROED, ast.Load()), [slot], [])
            others = [*slots[:i], zero, *slots[i + 1 :]]
            yield Edit("swapped return", returned, like(returned, elts=others))


def _exchanged_arguments(node: ast.AST, seen: Seen) -> Iterator[Edit]:
    if not isinstance(node, ast.Call) or name_of(node) in ORDERED:
        return
    for i, (a, b) in enumerate(zip(node.args, node.args[1:], strict=False)):
        kinds = {_sort(a, seen), _sort(b, seen)}
        if kinds == {"array"} or kinds == {"other"}:
            yield Edit("operand", node, like(node, args=swapped(node.args, i, i + 1)))


def _sort(node: ast.expr, seen: Seen) -> str:
    """Return "array", "setting" where an expression is a shape, a dtype or a text, or "other"."""
    match node:
        case ast.Starred() | ast.Attribute(attr="shape" | "dtype" | "settings"):
            return "setting"
        case ast.Subscript(value=value) if _sort(value, seen) == "setting":
            return "setting"
        case ast.Name(id=name):
            return "setting" if name in TEXTS else "array" if name in seen.ranks else "other"
        case ast.Attribute(value=ast.Name(id=owner), attr=attr) if owner in seen.fields:
            return "array" if seen.fields[owner].get(attr) == "array" else "setting"
    inner = [_sort(n, seen) for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)]
    return "array" if "array" in inner else "other"


def _other_field(spot: Spot, seen: Seen) -> Iterator[Edit]:
    match spot.node:
        case ast.Attribute(value=ast.Name(id=owner), attr=attr) as node if owner in seen.fields:
            fields = seen.fields[owner]
            for other, sort in fields.items():
                if other != attr and sort and sort == fields.get(attr) and not _is_form(spot):
                    yield Edit("wrong residual", node, like(node, attr=other))


def _is_form(spot: Spot) -> bool:
    """Return whether only the shape or the dtype of an expression is read."""
    return isinstance(spot.parent, ast.Attribute) and spot.parent.attr in ("shape", "dtype")


def _other_saved(residual: ast.AST, seen: Seen) -> Iterator[Edit]:
    if not isinstance(residual, ast.Call):
        return
    for arg in residual.args:
        if isinstance(arg, ast.Name) and arg.id in seen.ranks:
            for other, rank in seen.ranks.items():
                same = arg.id in (other, seen.copies.get(other))
                if not same and rank == seen.ranks[arg.id]:
                    yield Edit("wrong residual", arg, ast.Name(other, ast.Load()))
