"""What is public is documented, and its signature follows the conventions."""

import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import bp_lab
import jax_ref
import manual_bp
from jax_ref import cases

PACKAGES = (manual_bp, jax_ref, bp_lab)
OPS = {case.op_name: case.op for case in cases.registry}
STATIC = (bool, int, float, str)
OPTIONAL = {"torch"}  # what need not be installed, and then hides the modules that import it


def modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            try:
                yield importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if error.name not in OPTIONAL:
                    raise


def undocumented(module: ModuleType) -> list[str]:
    """Return the public functions, classes and methods of a module that say nothing."""
    silent = [] if (module.__doc__ or "").strip() else [module.__name__]
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(member) or inspect.isclass(member):
            silent += [name] if not _says_something(member) else []
        if inspect.isclass(member):
            silent += [f"{name}.{method}" for method in _silent_methods(member)]
    return silent


def _says_something(member: Any) -> bool:
    docstring = vars(member).get("__doc__") if inspect.isclass(member) else member.__doc__
    # A dataclass or named tuple without a docstring is given its own signature for one.
    return bool((docstring or "").strip()) and not docstring.startswith(f"{member.__name__}(")


def _silent_methods(cls: type) -> Iterator[str]:
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else member
        function = getattr(function, "__func__", function)
        public = inspect.isfunction(function) and not name.startswith("_")
        if public and not (function.__doc__ or "").strip():
            yield name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_everything_public_has_a_docstring(package: ModuleType) -> None:
    assert {m.__name__: silent for m in modules(package) if (silent := undocumented(m))} == {}


def test_what_is_silent_is_found() -> None:
    module = ModuleType("made_up")
    source = (
        "import dataclasses\n"
        "def spoken():\n    'Speak.'\n"
        "def silent(): ...\n"
        "def _private(): ...\n"
        "@dataclasses.dataclass\nclass Bare:\n    x: int\n    def method(self): ...\n"
        "class Told:\n    'Tell.'\n    @property\n    def value(self): ...\n"
    )
    exec(source, module.__dict__)
    assert undocumented(module) == ["made_up", "silent", "Bare", "Bare.method", "Told.value"]


def _positional(function: Callable[..., Any]) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in inspect.signature(function).parameters.values() if p.kind in kinds]


def _is_static(annotation: Any) -> bool:
    return annotation in STATIC or typing.get_origin(annotation) is typing.Literal


@pytest.mark.parametrize("name", OPS)
def test_forward_takes_arrays_by_position_and_settings_by_keyword(name: str) -> None:
    forward = OPS[name].forward
    parameters = inspect.signature(forward).parameters.values()
    assert not any(p.kind is p.VAR_POSITIONAL for p in parameters)
    assert not any(_is_static(p.annotation) for p in _positional(forward))
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert not hasattr(parameter.annotation, "dim_str"), f"{parameter} is an array"


@pytest.mark.parametrize("name", OPS)
def test_backward_takes_the_residual_and_dy(name: str) -> None:
    parameters = inspect.signature(OPS[name].backward).parameters.values()
    assert [p.name for p in parameters] == ["residual", "dy"]
    assert all(p.default is p.empty for p in parameters)


@pytest.mark.parametrize("name", OPS)
def test_the_cotangents_are_named_after_their_primals(name: str) -> None:
    op = OPS[name]
    first_line = inspect.getdoc(op.backward).splitlines()[0]
    named = re.match(r"Return \(([^)]*)\)", first_line)
    assert named, first_line
    cotangents = [cotangent for cotangent in named[1].replace(" ", "").split(",") if cotangent]
    assert cotangents == [f"d{p.name}" for p in _positional(op.forward)]


@pytest.mark.parametrize("name", OPS)
def test_both_halves_are_annotated(name: str) -> None:
    for function in (OPS[name].forward, OPS[name].backward):
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty
        assert all(p.annotation is not p.empty for p in signature.parameters.values())
