"""Changes of one expression, of which nothing is known but where it stands."""

import ast
from collections.abc import Callable, Iterator

from jax_ref.mutants.spots import SUMS, Spot, is_form, like, minus, name_of, number_of, written

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
DTYPES = {"dtype", "preferred_element_type"}


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
    if is_form(spot):
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
