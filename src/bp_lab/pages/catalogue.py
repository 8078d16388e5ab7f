"""The catalogue: every op with its formula, its cases and the convention at its kinks."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import manual_bp
from jax_ref import cases

HEAD = """# Catalogue

Every op: `manual_bp.NAME.forward(…) -> (y, residual)`, `manual_bp.NAME.backward(residual, dy)`.
Formulas and derivations stand in the modules' docstrings; each op is held by `manual-bp check`
against a reference written another way, in float64, float32, bfloat16 and float16. Generated from
the registry of cases by `make docs`.

| op | arguments | settings | what | cases | at kinks |
| --- | --- | --- | --- | --- | --- |
"""

KINKS = re.compile(r"(?:^|\. +)Kinks +(.*?)(?=\n\S|\Z)", re.MULTILINE | re.DOTALL)


def render() -> str:
    """Return the catalogue as Markdown."""
    return HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    names = dict.fromkeys(case.op_name for case in cases.registry)
    for name in names:
        op = next(case.op for case in cases.registry if case.op_name == name)
        variants = [case for case in cases.registry if case.op_name == name]
        count = sum(
            case.fits(sizes, options)
            for case in variants
            for sizes in case.sizes
            for options in case.options
        )
        arguments, settings = _signature(op)
        what = op.formula if hasattr(op, "formula") else inspect.getdoc(op)
        first = (what or "").splitlines()[0].rstrip(".")
        cells = (f"`{name}`", arguments, settings, first, str(count), _kink(op))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _signature(op: Any) -> tuple[str, str]:
    if isinstance(op, manual_bp.activations.Elementwise):
        return "`u`", ", ".join(f"`{name}={value}`" for name, value in op.defaults)
    parameters = inspect.signature(op.forward).parameters.values()
    arguments = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    settings = [
        p.name if p.default is p.empty else f"{p.name}={p.default!r}"
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    ]
    return tuple(", ".join(f"`{name}`" for name in names) for names in (arguments, settings))  # type: ignore[return-value]


def _kink(op: Any) -> str:
    if isinstance(op, manual_bp.activations.Elementwise):
        found = [
            f"u = {u:g}: {f'`{v}`' if isinstance(v, str) else f'{v:.4g}'}" for u, v in op.kinks
        ]
        return "; ".join(found) or "none"
    stated = KINKS.search(op.__doc__ or "")
    return " ".join(stated[1].split()).rstrip(".") if stated else "none"
