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
`expect_…`, `floating` and `complaint`, `strict` of `zip`. So is what only chooses the faster of two
right forms (`pays_…`), which no gradient tells apart, and so are annotations and texts.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from jax_ref.mutants.changes import CHANGES
from jax_ref.mutants.reach import Seen
from jax_ref.mutants.spots import Spot, is_form, like, minus, name_of, number_of, spots, swapped

ZEROED = "zeroed"  # the name of the function that makes a slot zero
KINDS = (*(kind for kind, _ in CHANGES), "swapped return", "wrong residual")
ORDERED = {"asarray", "full_like", "broadcast_to", "issubdtype", "where", "map", "astype"}
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
                if other != attr and sort and sort == fields.get(attr) and not is_form(spot):
                    yield Edit("wrong residual", node, like(node, attr=other))


def _other_saved(residual: ast.AST, seen: Seen) -> Iterator[Edit]:
    if not isinstance(residual, ast.Call):
        return
    for arg in residual.args:
        if isinstance(arg, ast.Name) and arg.id in seen.ranks:
            for other, rank in seen.ranks.items():
                same = arg.id in (other, seen.copies.get(other))
                if not same and rank == seen.ranks[arg.id]:
                    yield Edit("wrong residual", arg, ast.Name(other, ast.Load()))
