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

    def shape(self, old: ast.expr, new: ast.expr) -> str:
        """Return the statement in which a node stands, with another for it, as a tree in words.

        Its place comes first, as one statement may be like another.
        """
        statement = self.statement(old)
        parent, name = self._parents[old]
        before = getattr(parent, name)
        listed = isinstance(before, list)
        after = [new if child is old else child for child in before] if listed else new
        try:
            setattr(parent, name, after)
            return f"{statement.lineno}:{statement.col_offset} {ast.dump(statement)}"
        finally:
            setattr(parent, name, before)

    def shape_with(self, old: ast.expr, replacement: bytes) -> str:
        """Return the same of the text that has `replacement` where the node stood.

        Raises:
          SyntaxError: the text is no Python.
        """
        statement = self.statement(old)
        begin = self._starts[_first_line(statement) - 1]
        (first, last), (_, end) = self.span(old), self.span(statement)
        text = self.text[begin:first] + replacement + self.text[last:end]
        inside = statement.col_offset > 0
        (read,) = ast.parse(b"if 1:\n" + text if inside else text).body
        read = read.body[0] if inside and isinstance(read, ast.If) else read
        return f"{statement.lineno}:{statement.col_offset} {ast.dump(read)}"

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the innermost statement, read as one of its own, in which a node stands."""
        while not isinstance(node, ast.stmt) or self._is_elif(node):
            node = self._parents[node][0]
        return node

    def _is_elif(self, statement: ast.stmt) -> bool:
        return self.text.startswith(b"elif", self.span(statement)[0])

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
    first = _first_line(node)
    last = (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
    return (first, node.col_offset) <= point < last


def _first_line(node: ast.expr | ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _codes(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _walk(code: CodeType, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], CodeType]]:
    for step, inner in enumerate(_codes(code)):
        yield (*path, step), inner
        yield from _walk(inner, (*path, step))
