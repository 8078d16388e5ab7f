"""A mutant: a function of a backward pass with one expression edited; and how it is put in force.

In force means that the code of the function that runs is exchanged for the edited code. The
function stays the object that it was, so that every name, table and method that holds it sees the
mutant; what is compiled anew meanwhile is compiled from it.
"""

import ast
import functools
import gc
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import jax
import jax.numpy as jnp

from jax_ref.mutants.edits import ZEROED, Edit, edits
from jax_ref.mutants.reach import Reached, reached
from jax_ref.mutants.source import Place, Source, place_of, source

PACKAGE = "manual_bp"


@dataclass(frozen=True)
class Mutant:
    """A function with one mistake in it.

    Attributes:
      id: file, line, column, kind and a number: "dense/linear.py:68:12 sign #1".
      kind: of mistake.
      file: the file in its package.
      line: of the file, from 1.
      original: the line of source, or the lines as one.
      mutated: the same with the mistake.
      cases: the names of the cases that reach the function.
      ops: the ops of these cases.
      module: the name of the function's module.
      place: of the function in the file.
      edit: the first byte that is replaced, the one behind the last, and what takes their place.
    """

    id: str
    kind: str
    file: str
    line: int
    original: str
    mutated: str
    cases: tuple[str, ...]
    ops: tuple[str, ...]
    module: str = field(repr=False)
    place: Place = field(repr=False)
    edit: tuple[int, int, bytes] = field(repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells the mistake from others wherever the line moves: file, line before, after."""
        return self.file, self.original, self.mutated


def mutants(cases: Iterable[Any], package: str = PACKAGE) -> tuple[Mutant, ...]:
    """Return all mutants of the functions that the backward passes of the cases reach.

    Args:
      cases: with `op`, `op_name`, `name`, sizes and options.
      package: that of the ops.
    """
    cases = tuple(cases)
    op_of = {case.name: case.op_name for case in cases}
    found = [m for function in reached(cases, package) for m in _of(function, package, op_of)]
    return tuple(sorted(found, key=lambda m: (m.file, m.edit[0], m.edit[1], m.id)))


def _of(function: Reached, package: str, op_of: dict[str, str]) -> Iterator[Mutant]:
    text = source(function.module)
    file = function.module.removeprefix(f"{package}.").replace(".", "/") + ".py"
    known, count = set[str](), Counter[str]()
    for part in function.parts:
        saved = not function.whole and isinstance(part, ast.expr)
        for edit in edits(part, function.seen, saved=saved):
            shape, replacement = _applied(text, edit)
            if shape in known or ast.dump(edit.new) == ast.dump(edit.old):
                continue
            known.add(shape)
            at = f"{file}:{edit.old.lineno}:{edit.old.col_offset + 1} {edit.kind}"
            count[at] += 1
            first, last = text.span(edit.old)
            mutated = text.text[:first] + replacement + text.text[last:]
            yield Mutant(
                id=f"{at} #{count[at]}",
                kind=edit.kind,
                file=file,
                line=edit.old.lineno,
                original=text.line(first, last),
                mutated=text.line(first, first + len(replacement), mutated),
                cases=tuple(function.cases),
                ops=tuple(dict.fromkeys(op_of[case] for case in function.cases)),
                module=function.module,
                place=function.place,
                edit=(first, last, replacement),
            )


def _applied(text: Source, edit: Edit) -> tuple[str, bytes]:
    """Return the statement with the edit as a tree, and the text that makes it so."""
    wanted = text.shape(edit.old, edit.new)
    written = ast.unparse(edit.new)
    for replacement in (written.encode(), f"({written})".encode()):
        try:
            if text.shape_with(edit.old, replacement) == wanted:
                return wanted, replacement
        except SyntaxError:
            continue
    raise AssertionError(f"{text.path}:{edit.old.lineno}: {written} cannot stand there")


def zeroed(tree: Any) -> Any:
    """Return a pytree like this one with every array 0: what a mutant's empty slot holds."""
    return jax.tree.map(jnp.zeros_like, tree)


@contextmanager
def in_force(mutant: Mutant) -> Iterator[None]:
    """Run the mutated function for the original within the context, whatever happens in it."""
    text = source(mutant.module)
    outermost = text.outermost(mutant.place)
    first, last, replacement = mutant.edit
    code = text.code(outermost, text.text[:first] + replacement + text.text[last:])
    functions = _functions(mutant.module, outermost)
    before = [function.__code__ for function in functions]
    spaces = [function.__globals__ for function in functions]
    try:
        for function, space in zip(functions, spaces, strict=True):
            function.__code__ = code
            space[ZEROED] = zeroed
        yield
    finally:
        for function, space, original in zip(functions, spaces, before, strict=True):
            function.__code__ = original
            space.pop(ZEROED, None)


@functools.cache
def _functions(module: str, place: Place) -> tuple[FunctionType, ...]:
    """Return the functions that run the code at a place of a module."""
    file = str(source(module).path)
    return tuple(
        thing
        for thing in gc.get_objects()
        if isinstance(thing, FunctionType)
        and thing.__code__.co_filename == file
        and place_of(thing.__code__) == place
    )
