"""Which functions the backward passes reach, and what is seen of their variables there.

Every case is traced at each of its sizes and with each of its options, in half precision, whose
passes call what widens as well, while Python reports the calls between functions of the op's
package. Reached are

  whole      every `backward`, what it calls, and what those call
  residual   of every `forward` what is computed for the residual alone, and what that calls

Functions that only refuse bad input are not reached, nor what they call.
"""

import ast
import dataclasses
import re
import sys
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import jax
import jax.numpy as jnp

from jax_ref.mutants.source import Function, Place, body, holds, place_of, source

REFUSES = re.compile(r"(expect_\w+|pays_\w+|complaint|floating|_?check\w*)$")
INLINE = {"<module>", "<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>"}
TRACED = "bfloat16"


@dataclass
class Seen:
    """What is known of a function's variables.

    Attributes:
      ranks: of the arrays, all that were seen.
      fields: of the residuals, each field "array", "number" or "".
      copies: the names of wider copies, with what they are copies of.
    """

    ranks: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)

    def add(self, more: "Seen") -> None:
        """Add what was seen of the same function elsewhere."""
        for name, ranks in more.ranks.items():
            self.ranks[name] |= ranks
        self.fields |= more.fields


@dataclass
class Reached:
    """A function that a backward pass reaches.

    Attributes:
      module: its module's name.
      place: its place in the module's file.
      seen: its variables.
      cases: the names of the cases that reach it.
      whole: whether all of it counts, or what it computes for the residual alone.
    """

    module: str
    place: Place
    seen: Seen
    cases: list[str]
    whole: bool

    @property
    def node(self) -> Function:
        """Its tree."""
        return source(self.module).function(self.place)

    @property
    def parts(self) -> Sequence[ast.expr | ast.stmt]:
        """The parts of its tree that count."""
        return body(self.node) if self.whole else residual_parts(self.node)


_Key = tuple[str, Place]
_Point = tuple[int, int]  # line and column


class _Calls:
    """The calls between functions of one package, as `sys.setprofile` reports them."""

    def __init__(self, package: str) -> None:
        root = Path(sys.modules[package].__file__ or "")
        self._root = str(root.parent if root.name == "__init__.py" else root)
        self._names = {
            module.__file__: name
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] == package and getattr(module, "__file__", None)
        }
        self._keys: dict[int, tuple[CodeType, _Key | None]] = {}
        self._standings: dict[tuple[int, int], _Point] = {}
        self.entries: list[_Key] = []
        self.calls: dict[_Key, set[tuple[_Point, _Key]]] = defaultdict(set)
        self.seen: dict[_Key, Seen] = defaultdict(Seen)

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "return") or (key := self._key(frame)) is None:
            return
        if event == "return":
            self._look(self.seen[key], frame.f_locals)
            return
        caller, calling = frame.f_back, None
        while caller is not None and (calling := self._key(caller)) is None:
            caller = caller.f_back
        if caller is None or calling is None:
            self.entries.append(key)
        else:
            self.calls[calling].add((self._standing(caller), key))

    def _key(self, frame: FrameType) -> _Key | None:
        """Return the key of the function that runs; None where it is not of the package."""
        code = frame.f_code
        # By identity, as the hash of a code object is made anew from all that it holds.
        if (found := self._keys.get(id(code))) is None:
            file = code.co_filename
            ours = file.startswith(self._root) and code.co_name not in INLINE
            found = code, (self._names[file], place_of(code)) if ours else None
            self._keys[id(code)] = found
        return found[1]

    def _standing(self, frame: FrameType) -> _Point:
        """Return where in the file a frame stands."""
        at = id(frame.f_code), frame.f_lasti
        if at not in self._standings:
            line, _, column, _ = list(frame.f_code.co_positions())[frame.f_lasti // 2]
            self._standings[at] = line or 0, column or 0
        return self._standings[at]

    def _look(self, seen: Seen, variables: Mapping[str, Any]) -> None:
        for name, value in variables.items():
            if isinstance(value, jax.Array):
                seen.ranks[name].add(value.ndim)
            elif dataclasses.is_dataclass(value) and not jax.tree_util.all_leaves([value]):
                seen.fields[name] = {
                    f.name: _sort(getattr(value, f.name)) for f in dataclasses.fields(value)
                }


def _sort(value: Any) -> str:
    if isinstance(value, jax.Array):
        return "array"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else ""


@contextmanager
def _watched(calls: _Calls) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(calls)
    try:
        yield
    finally:
        sys.setprofile(before)


def reached(cases: Iterable[Any], package: str) -> list[Reached]:
    """Return the functions of a package that the backward passes of the cases reach."""
    found: dict[_Key, Reached] = {}
    called: set[_Key] = set()
    for case in cases:
        calls = _Calls(package)
        with _watched(calls):
            for sizes, options in case.combinations(every=False):
                _trace(case, sizes, options)
        called.update(calls.seen)
        for key, whole in _closure(calls).items():
            seen = calls.seen[key]
            known = found.setdefault(key, Reached(*key, seen, [], whole))
            known.cases.append(case.name)
            known.whole |= whole
            known.seen.add(seen)
            known.seen.copies |= _wider_copies(known.node)
    _expect_made_anew(found, called)
    return _not_nested(list(found.values()))


def _expect_made_anew(found: Iterable[_Key], called: Container[_Key]) -> None:
    """Raise where a function was made by one that no case calls, as when its module is imported.

    What is put in force is the code of the outermost function, which would not be run again.
    """
    for module, place in found:
        outermost = source(module).outermost(place)
        if (module, outermost) not in called:
            raise ValueError(f"{module}:{place.line}: {outermost.name} makes it once and for all")


def _wider_copies(function: Function) -> dict[str, str]:
    """Return the names that are given `wide(x)`, each with x."""
    copies = {}
    for statement in ast.walk(function):
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=True))
            for name, call in pairs:
                match name, call:
                    case (
                        ast.Name(id=copy),
                        ast.Call(func=ast.Attribute(attr="wide"), args=[ast.Name(id=original)]),
                    ):
                        copies[copy] = original
    return copies


def _trace(case: Any, sizes: Any, options: Any) -> None:
    def by_hand(*args: Any) -> Any:
        y, residual = case.op.forward(*args, **options)
        return case.op.backward(residual, jax.tree.map(jnp.ones_like, y))

    with jax.enable_x64(True):
        jax.eval_shape(by_hand, *case.arguments(sizes, TRACED, 0))


def _closure(calls: _Calls) -> dict[_Key, bool]:
    """Return the functions that count, and whether all of each does."""
    found: dict[_Key, bool] = {}
    left = list(dict.fromkeys(calls.entries))
    asked = {key: _is_forward(key) for key in left}
    while left:
        key = left.pop(0)
        whole = not asked[key]
        if REFUSES.match(key[1].name) or found.get(key, False) or found.get(key) == whole:
            continue
        found[key] = whole
        node = source(key[0]).function(key[1])
        parts = [node] if whole else residual_parts(node)
        for point, callee in sorted(calls.calls[key]):
            if _is_forward(callee) or any(holds(part, point) for part in parts):
                asked[callee] = _is_forward(callee)
                left.append(callee)
    return found


def _is_forward(key: _Key) -> bool:
    return key[1].name == "forward"


def _not_nested(functions: list[Reached]) -> list[Reached]:
    """Return the functions that do not lie inside another one that counts whole."""
    held = {
        id(inner)
        for outer in functions
        if outer.whole
        for inner in ast.walk(outer.node)
        if inner is not outer.node
    }
    return [function for function in functions if id(function.node) not in held]


def residual_parts(forward: Function) -> list[ast.expr | ast.stmt]:
    """Return what a forward computes for the residual alone: that, and the statements behind it."""
    returns = [n for n in ast.walk(forward) if isinstance(n, ast.Return)]
    values = [n.value for n in returns if isinstance(n.value, ast.Tuple) and len(n.value.elts) == 2]
    if not values or isinstance(forward, ast.Lambda):
        return []
    y, residual = values[-1].elts
    statements = [s for s in ast.walk(forward) if isinstance(s, ast.stmt) and s is not forward]
    alone = _needed(statements, residual) - _needed(statements, y)
    behind = [s for s in statements if (bound := _bound(s)) and bound <= alone]
    outermost = [s for s in behind if not any(s is not o and s in ast.walk(o) for o in behind)]
    return [*outermost, residual]


def _needed(statements: Sequence[ast.stmt], value: ast.AST) -> set[str]:
    """Return the names of the variables that a value depends on."""
    names = _names(value, ast.Load)
    while True:
        more = names.union(*(_read(s) for s in statements if _bound(s) & names))
        if more == names:
            return names
        names = more


def _read(statement: ast.stmt) -> set[str]:
    """Return the names that a statement reads itself, not in the statements inside it."""
    children = ast.iter_child_nodes(statement)
    own = (child for child in children if not isinstance(child, ast.stmt))
    return set().union(*(_names(child, ast.Load) for child in own))


def _bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement gives a value; `names.append(x)` gives `names` one."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return {name}
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.For() | ast.If() | ast.With():
            inner = (s for s in ast.iter_child_nodes(statement) if isinstance(s, ast.stmt))
            return _names(statement, ast.Store).union(*map(_bound, inner))
    return set()


def _names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    names = (n for n in ast.walk(node) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, context)}
