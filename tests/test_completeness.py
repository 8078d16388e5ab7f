"""Nothing is left out: of the registry, of the derivations, of the public names."""

import ast
import functools
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import manual_bp
from jax_ref import cases

WORDS = ("Shapes", "Forward", "Derive", "Saved", "Kinks", "Source")
LABEL = re.compile(r"\((\d)\)")
DEFINITION = re.compile(r"^ +\((\d)\) |^Forward .*?: +\((\d)\) ", re.MULTILINE)
QUOTE = re.compile(r"# (\(\d\)(?:[–, ]+\(\d\))*)$", re.MULTILINE)


@functools.cache
def modules() -> tuple[ModuleType, ...]:
    found = pkgutil.walk_packages(manual_bp.__path__, "manual_bp.")
    return tuple(importlib.import_module(module.name) for module in found)


def is_op(candidate: Any) -> bool:
    named = (getattr(candidate, name, None) for name in ("forward", "backward"))
    return not isinstance(candidate, type) and all(callable(function) for function in named)


def op_modules() -> list[ModuleType]:
    return [module for module in modules() if is_op(module)]


def derived_modules() -> list[ModuleType]:
    return [*op_modules(), manual_bp.activations]


def source_of(module: ModuleType) -> str:
    assert module.__file__
    return Path(module.__file__).read_text(encoding="utf-8")


def module_id(module: ModuleType) -> str:
    return module.__name__.removeprefix("manual_bp.")


def labels(text: str) -> set[int]:
    """Return the numbers of "(1), (3)" and of the range "(1)–(3)"."""
    spans = re.findall(r"\((\d)\)–\((\d)\)", text)
    spanned = {k for first, last in spans for k in range(int(first), int(last) + 1)}
    return spanned | {int(k) for k in LABEL.findall(text)}


def defined_labels(docstring: str) -> set[int]:
    return {int(first or second) for first, second in DEFINITION.findall(docstring)}


def quoted_labels(code: str) -> set[int]:
    return {k for quote in QUOTE.findall(code) for k in labels(quote)}


@pytest.mark.parametrize("name", [n for n in manual_bp.__all__ if is_op(getattr(manual_bp, n))])
def test_every_public_op_has_a_case(name: str) -> None:
    assert any(case.op is getattr(manual_bp, name) for case in cases.registry)


@pytest.mark.parametrize("module", op_modules(), ids=module_id)
def test_every_op_module_is_public_and_has_a_case(module: ModuleType) -> None:
    name = module.__name__.split(".")[-1]
    assert getattr(manual_bp, name) is module
    assert any(case.op is module and case.op_name == name for case in cases.registry)


def test_every_activation_is_exported_and_has_a_case() -> None:
    assert manual_bp.activations.table
    for name, activation in manual_bp.activations.table.items():
        assert activation.name == name
        assert name in manual_bp.__all__
        assert getattr(manual_bp, name) is activation
        assert any(case.op is activation for case in cases.registry)


def test_every_public_name_exists_and_is_listed_in_order() -> None:
    assert sorted(manual_bp.__all__) == manual_bp.__all__
    assert all(hasattr(manual_bp, name) for name in manual_bp.__all__)


def test_the_names_of_the_cases_are_unique() -> None:
    names = [case.name for case in cases.registry]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)
def test_a_case_is_whole(case: cases.Case) -> None:
    assert getattr(manual_bp, case.op_name) is case.op
    assert callable(case.reference)
    assert case.sizes
    assert case.options
    for sizes in case.sizes:
        assert any(case.fits(sizes, options) for options in case.options), sizes
    for options in case.options:
        assert any(case.fits(sizes, options) for sizes in case.sizes), options


@pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)
def test_a_case_has_no_size_or_option_twice(case: cases.Case) -> None:
    for drawn in (case.sizes, case.options):
        assert all(first != second for i, first in enumerate(drawn) for second in drawn[:i])


@pytest.mark.parametrize("module", derived_modules(), ids=module_id)
def test_the_docstring_of_an_op_is_its_derivation(module: ModuleType) -> None:
    docstring = module.__doc__ or ""
    heads = r"(?:^|\. +)"
    missing = [word for word in WORDS if not re.search(heads + word, docstring, re.MULTILINE)]
    assert missing == []


@pytest.mark.parametrize("module", modules(), ids=module_id)
def test_every_equation_is_quoted_by_the_line_that_computes_it(module: ModuleType) -> None:
    source = source_of(module)
    docstring = ast.get_docstring(ast.parse(source), clean=False) or ""
    code = source.replace(docstring, "")
    assert defined_labels(docstring) == quoted_labels(code)


@pytest.mark.parametrize("module", [*op_modules(), manual_bp.elementwise], ids=module_id)
def test_every_derivation_has_equations(module: ModuleType) -> None:
    assert defined_labels(module.__doc__ or "")


def test_labels_are_read_alone_listed_and_in_a_range() -> None:
    assert quoted_labels("x = 1  # (1)\ny = 2  # (2), (4)\nz = 3  # (6)–(8)\n") == {
        1,
        2,
        4,
        6,
        7,
        8,
    }
    assert quoted_labels("f(1)\n# see (1) there\n") == set()
    assert defined_labels("Derive  by (3)\n  (1) dx = dy\n         (2)\n  (4) a    (5) b\n") == {
        1,
        4,
    }
