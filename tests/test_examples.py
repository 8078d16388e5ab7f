"""The code in README and CONTRIBUTING runs and is right."""

import re
import sys
import types
from pathlib import Path

import jax
import pytest

import manual_bp
from jax_ref import GradientMismatch, cases, check_op, references

ROOT = Path(__file__).parents[1]


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )


def test_the_readme_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = _blocks("README.md", "python")
    assert len(blocks) == 3
    namespace: dict = {"__name__": "readme"}
    # A reader's JAX: no float64, promotion as usual.
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        exec("\n".join(blocks), namespace)
    assert namespace["dW"].shape == (3, 2)
    assert namespace["losses"].shape == (8,)
    assert namespace["report"].verdict == "PASS"


def test_the_readme_shows_the_message_of_a_wrong_backward() -> None:
    (shown,) = _blocks("README.md", "text")

    class Cube:
        def forward(self, x):
            return x**3, x

        def backward(self, x, dy):
            return (3 * x**2 * dy / 2,)

    import numpy as np

    with pytest.raises(GradientMismatch) as mismatch:
        check_op(Cube(), lambda x: x * x * x, np.array([0.5, -1.0, 2.0]))
    assert str(mismatch.value).startswith(shown)


def test_the_op_that_contributing_adds_passes_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    op_source, reference_source, case_source = _blocks("CONTRIBUTING.md", "python")
    op = types.ModuleType("manual_bp.dense.scale")
    monkeypatch.setitem(sys.modules, op.__name__, op)
    exec(op_source, op.__dict__)
    monkeypatch.setattr(manual_bp, "scale", op, raising=False)
    reference = dict(vars(references.dense))
    exec(reference_source, reference)
    monkeypatch.setattr(references.dense, "scale", reference["scale"], raising=False)
    case = dict(vars(cases.dense))
    exec(case_source, case)
    for dtype in cases.DTYPES:
        assert cases.run(case["scale_case"], dtype)


def test_every_option_that_the_readme_shows_exists() -> None:
    from typer.main import get_command

    from bp_lab.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for block in _blocks("README.md", "sh") for line in block.splitlines()]
    calls = [line.split("#")[0].split() for line in lines if line.startswith("manual-bp")]
    assert len(calls) >= 6
    for _, command, *words in calls:
        options = {name for parameter in commands[command].params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_generated_pages_are_up_to_date() -> None:
    from bp_lab.pages.catalogue import render

    assert (ROOT / "docs" / "CATALOGUE.md").read_text("utf-8") == render()
