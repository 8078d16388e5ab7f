"""The source of a function that is running: where it stands, its tree, its code once edited.

A function is known by its place, the name of its code and where its first instruction stands in
the file. That place is the same in a code object that runs and in the compiled source, whatever
decorators were put around the function when it was imported.
"""

import ast
import functools
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

FUNCTION = 0x0001  # inspect.CO_OPTIMIZED: set in the code of functions, not of modules and classes
Function = ast.FunctionDef | ast.Lambda


class Place(NamedTuple):
    """Where the code of a function begins."""

    name: str
    line: int
    column: int


@functools.cache
def place_of(code: CodeType) -> Place:
    """Return the place of a code object; (name, 0, 0) where it holds nothing."""
    for line, _, column, end in code.co_positions():
        if line is not None and column is not None and end:
            return Place(code.co_name, line, column)
    return Place(code.co_name, 0, 0)


class Source:
    """The text of a module, its tree, and where its functions are in the compiled code."""

    def __init__(self, module: ModuleType) -> None:
        """Read the module's file."""
        self.path = Path(module.__file__ or "")
        self.text = self.path.read_bytes()
        self.tree = ast.parse(self.text)
        self._starts = [0, *(at + 1 for at, byte in enumerate(self.text) if byte == ord("\n"))]
        self._codes = {place_of(code): path for path, code in _walk(self._compile(self.text))}
        self._functions = [n for n in ast.walk(self.tree) if isinstance(n, Function)]
        self._parents = {
            child: (parent, name)
            for parent in ast.walk(self.tree)
            for name, value in ast.iter_fields(parent)
            for child in (value if isinstance(value, list) else [value])
            if isinstance(child, ast.AST)
        }

    def _compile(self, text: bytes) -> CodeType:
        return compile(text, str(self.path), "exec", dont_inherit=True)

    def function(self, place: Place) -> Function:
        """Return the node of the innermost function in whose body the place lies."""
        inside = [f for f in self._functions if any(holds(part, place[1:]) for part in body(f))]
        return max(inside, key=lambda f: (f.lineno, f.col_offset))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Return the first byte of a node and the one behind its last."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        first = self._starts[node.lineno - 1] + node.col_offset
        return first, self._starts[node.end_lineno - 1] + node.end_col_offset

    def line(self, first: int, last: int, text: bytes | None = None) -> str:
        """Return the lines that hold the bytes from `first` to `last` as one, of other text too."""
        text = self.text if text is None else text
        begin, end = text.rfind(b"\n", 0, first) + 1, text.find(b"\n", last)
        return " ".join(text[begin : end if end >= 0 else None].decode().split())

    def shape(self, part: ast.AST, old: ast.expr | None = None, new: ast.expr | None = None) -> str:
        """Return the tree of a part's top-level statement as text, with one node replaced."""
        statement = self.tree.body[self._index(part)]
        if old is None:
            return ast.dump(statement)
        parent, name = self._parents[old]
        before = getattr(parent, name)
        listed = isinstance(before, list)
        after = [new if child is old else child for child in before] if listed else new
        try:
            setattr(parent, name, after)
            return ast.dump(statement)
        finally:
            setattr(parent, name, before)

    def shape_in(self, text: bytes, part: ast.AST) -> str:
        """Return the tree of the same statement of an edited text.

        Raises:
          SyntaxError: the text is no Python.
        """
        return ast.dump(ast.parse(text).body[self._index(part)])

    def _index(self, part: ast.AST) -> int:
        while (parent := self._parents[part][0]) is not self.tree:
            part = parent
        return next(i for i, statement in enumerate(self.tree.body) if statement is part)

    def outermost(self, place: Place) -> Place:
        """Return the place of the function of the module, or the method, that holds this one."""
        code = self._compile(self.text)
        for step in self._codes[place]:
            code = _codes(code)[step]
            if code.co_flags & FUNCTION:
                break
        return place_of(code)

    def code(self, place: Place, text: bytes) -> CodeType:
        """Return the code of the function at a place of this source, from an edited text."""
        code = self._compile(text)
        for step in self._codes[place]:
            code = _codes(code)[step]
        return code


@functools.cache
def source(module: str) -> Source:
    """Return the source of a module by its name."""
    return Source(importlib.import_module(module))


def body(function: Function) -> list[ast.expr] | list[ast.stmt]:
    """Return the statements of a function, or the expression of a lambda."""
    return [function.body] if isinstance(function, ast.Lambda) else function.body


def holds(node: ast.expr | ast.stmt, point: tuple[int, int]) -> bool:
    """Return whether a node, with its decorators, spans a point, a line and a column."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    last = (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
    return (first, node.col_offset) <= point < last


def _codes(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _walk(code: CodeType, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], CodeType]]:
    for step, inner in enumerate(_codes(code)):
        yield (*path, step), inner
        yield from _walk(inner, (*path, step))
