"""The source of both sides is read: neither may borrow from the other, nor from JAX's calculus."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jax_ref
import manual_bp

GROUND = Path(manual_bp.__file__).parent
MIDDLE = Path(jax_ref.__file__).parent

CALCULUS = {
    *("grad", "value_and_grad", "vjp", "jvp", "linearize", "linear_transpose", "jet", "hvp"),
    *("jacfwd", "jacrev", "jacobian", "hessian", "fwd_and_bwd", "saved_input_vjp"),
    *("custom_jvp", "custom_gradient"),
}
ESCAPES = {
    *("open", "print", "input", "exec", "eval", "compile", "__import__", "getattr"),
    *("globals", "vars", "breakpoint"),
}
MEMBERS = {
    *("save", "savez", "savetxt", "load", "loadtxt", "fromfile", "tofile", "print"),
    *("nn", "__dict__", "_src"),
}
ALLOWED = {
    *("collections", "dataclasses", "decimal", "functools", "itertools", "math", "types"),
    "typing",
    *("jax", "jaxtyping", "manual_bp", "numpy", "optax"),
}
HIDDEN = ("jax.nn", "jax._src", "jax.interpreters", "jax.experimental.jet", "jax.test_util")


def ground_violations(source: str, *, adapter: bool = False) -> list[str]:
    """Return what a file of `manual_bp` must not hold, one line each."""
    calculus = CALCULUS if adapter else {*CALCULUS, "custom_vjp"}
    found = []
    for node in ast.walk(ast.parse(source)):
        for name, whole in _imports(node):
            hidden = any(f"{whole}.".startswith(f"{module}.") for module in HIDDEN)
            if whole.split(".")[0] not in ALLOWED or hidden or name in {*calculus, "*"}:
                found.append(f"{node.lineno}: imports {whole}")
        match node:
            case ast.Attribute(attr=name) if name in calculus | MEMBERS:
                found.append(f"{node.lineno}: uses .{name}")
            case ast.Name(id=name) if name in calculus | ESCAPES:
                found.append(f"{node.lineno}: uses {name}")
            # Handed to `operator.attrgetter` and its like, a name is as good as an attribute.
            case ast.Constant(value=str(name)) if name in calculus:
                found.append(f"{node.lineno}: spells {name}")
    return found


def middle_violations(source: str, *, case: bool = False) -> list[str]:
    """Return what a file of `jax_ref` must not hold, one line each."""
    return [
        f"{node.lineno}: imports {whole}"
        for node in ast.walk(ast.parse(source))
        for _, whole in _imports(node)
        if whole.split(".")[0] == "bp_lab" or (whole.split(".")[0] == "manual_bp" and not case)
    ]


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the name and the full path of everything that an import brings in."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name.split(".")[-1], alias.name
    elif isinstance(node, ast.ImportFrom):
        # No relative import leaves the package: ruff's TID forbids a climb.
        module = node.module if node.level == 0 else f"manual_bp.{node.module or ''}"
        for alias in node.names:
            yield alias.name, f"{module}.{alias.name}"


def _files(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


@pytest.mark.parametrize("path", _files(GROUND), ids=lambda p: str(p.relative_to(GROUND)))
def test_the_ground_floor_differentiates_by_hand_and_touches_nothing(path: Path) -> None:
    adapter = path == GROUND / "adapters.py"
    assert ground_violations(path.read_text(encoding="utf-8"), adapter=adapter) == []


@pytest.mark.parametrize("path", _files(MIDDLE), ids=lambda p: str(p.relative_to(MIDDLE)))
def test_the_reference_knows_the_ground_floor_in_its_cases_only(path: Path) -> None:
    case = MIDDLE / "cases" in path.parents
    assert middle_violations(path.read_text(encoding="utf-8"), case=case) == []


def test_there_is_something_to_read() -> None:
    assert len(_files(GROUND)) > 20
    assert len(_files(MIDDLE)) > 15
    assert (GROUND / "adapters.py").exists()


@pytest.mark.parametrize(
    "source",
    [
        "import jax\njax.grad(f)",
        "import jax as j\nj.grad(f)",
        "import jax\nj = jax\nj.value_and_grad(f)",
        "from jax import grad",
        "from jax import grad as g\ng(f)",
        "from jax import (\n    jit,\n    vjp as pull_back,\n)",
        "def f(x):\n    from jax import jvp as push\n    return push",
        "import jax\n\n\ndef f(x):\n    return jax.vjp(f, x)",
        "import jax\nd = jax.linearize",
        "import jax\njax.linear_transpose(f, x)",
        "import jax\njax.jacfwd(f)",
        "import jax\njax.jacrev(f)",
        "import jax\njax.hessian(f)",
        "import jax\nfrom functools import partial\npartial(jax.grad, argnums=1)",
        "import jax\n@jax.custom_jvp\ndef f(x): ...",
        "import jax\n@jax.custom_vjp\ndef f(x): ...",
        "from jax import custom_vjp",
        "import jax\njax.custom_gradient(f)",
        "import jax\ngetattr(jax, 'grad')",
        "import jax\ngetattr(jax, 'gr' + 'ad')",
        "import jax\njax.__dict__['gr' + 'ad']",
        "import operator",
        "NAME = 'grad'",
        "import jax\nvars(jax)",
        "import optax\noptax.value_and_grad_from_state(f)\noptax.jvp",
        "import jax\njax.nn.relu(x)",
        "import jax as j\nj.nn.softmax(x)",
        "import jax.nn",
        "import jax.nn as nn",
        "from jax import nn",
        "from jax import nn as layers",
        "from jax.nn import relu",
        "from jax.nn.initializers import he_normal",
        "from jax import *",
        "from jax._src.api import something",
        "from jax.interpreters import ad",
        "from jax.experimental import jet",
        "from jax.experimental.jet import jet",
        "import jax_ref",
        "from jax_ref import references as r",
        "from jax_ref.references.dense import linear",
        "import bp_lab.runs as runs",
        "from bp_lab import errors",
        "open('file')",
        "print(1)",
        "import jax\njax.debug.print('x')",
        "import os",
        "from os import path",
        "import pathlib as p",
        "from pathlib import Path",
        "import importlib",
        "__import__('os')",
        "eval('1')",
        "exec('1')",
        "import numpy as np\nnp.save('a', x)",
        "import jax.numpy as jnp\njnp.load('a')",
        "x.tofile('a')",
        "import flax",
    ],
)
def test_a_violation_on_the_ground_floor_is_caught(source: str) -> None:
    assert ground_violations(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""Answers `jax.value_and_grad` and `jax.grad`; print, open, os in a docstring."""',
        "# jax.grad in a comment",
        "import jax\njax.vmap(jax.jit(f))\njax.lax.scan(f, x, y)\njax.tree.map(f, x)",
        "import jax.numpy as jnp\njnp.exp(x).sum()",
        "update(gradients, grad=gradients, value_fn=f)",
        "def backward(residual, dy):\n    gradients = dy\n    return (gradients,)",
        "from collections.abc import Callable\nfrom manual_bp import op",
        "from manual_bp.dense import linear",
        "from . import op",
        "import optax\noptax.sgd(0.1)",
        "import jax\nopening = jax.random.normal",
    ],
)
def test_what_is_innocent_passes_on_the_ground_floor(source: str) -> None:
    assert ground_violations(source) == []


def test_custom_vjp_is_for_the_adapter_alone() -> None:
    source = "import jax\n\n\n@jax.custom_vjp\ndef loss(x): ..."
    assert ground_violations(source, adapter=True) == []
    assert ground_violations(source) == ["4: uses .custom_vjp"]
    assert ground_violations("import jax\njax.vjp(f, x)", adapter=True) == ["2: uses .vjp"]


@pytest.mark.parametrize(
    "source",
    [
        "import bp_lab",
        "from bp_lab.runs import train",
        "import manual_bp",
        "import manual_bp as bp",
        "from manual_bp import linear",
        "from manual_bp.dense.softmax import normalise as n",
        "def f():\n    import manual_bp.op",
    ],
)
def test_a_violation_in_the_reference_is_caught(source: str) -> None:
    assert middle_violations(source)


def test_what_is_innocent_passes_in_the_reference() -> None:
    source = '"""Like manual_bp."""\nimport jax\nfrom jax_ref import naming\njax.nn.softmax'
    assert middle_violations(source) == []
    assert middle_violations("import manual_bp", case=True) == []
    assert middle_violations("import bp_lab", case=True) == ["1: imports bp_lab"]
