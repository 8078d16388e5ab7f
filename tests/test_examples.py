"""The code in README and CONTRIBUTING runs and is right."""

import contextlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

import manual_bp
from bp_lab.bench import peers
from jax_ref import GradientMismatch, cases, check_vjp, references

ROOT = Path(__file__).parents[1]


def _blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture(scope="module")
def readme() -> dict:
    """Run the README from top to bottom with a reader's JAX: no float64, promotion as usual."""
    blocks = _blocks("README.md", "python")
    assert len(blocks) == 7
    namespace: dict = {"__name__": "readme"}
    with as_a_reader():
        exec("\n".join(blocks), namespace)
    return namespace


@contextlib.contextmanager
def as_a_reader() -> Iterator[None]:
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def test_the_readme_runs_from_top_to_bottom(readme: dict) -> None:
    assert readme["dW"].shape == (3, 2)
    assert readme["dscale"].shape == (2,)
    assert readme["losses"].shape == (4,)
    assert readme["dtheta"][0][0].shape == (100, 8, 8)
    assert float(readme["state"].scale.value) > 0
    assert readme["report"].verdict == "PASS"


def test_the_readme_shows_the_message_of_a_wrong_backward(readme: dict) -> None:
    (shown,) = _blocks("README.md", "text")

    def backward(residual, dy):
        xhat, rstd, scale = residual["xhat"], residual["rstd"], residual["scale"]
        dxhat = dy * scale[None]
        dx = rstd * dxhat
        return dx, (dy * xhat).sum(0)

    with as_a_reader(), pytest.raises(GradientMismatch) as mismatch:
        check_vjp(readme["rms_norm"], readme["forward"], backward, readme["x"], readme["scale"])
    assert str(mismatch.value).startswith(shown)


def test_the_op_that_contributing_adds_passes_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    op_source, reference_source, case_source, peer_source = _blocks("CONTRIBUTING.md", "python")
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
    peer = dict(vars(peers.dense))
    exec(peer_source, peer)
    args = case["scale_case"].arguments({"batch": (4,), "n": 5}, "float64", 0)
    y, _ = op.forward(*args)
    with jax.numpy_rank_promotion("allow"):
        assert (peer["scale_peers"][0].function(*args) == y).all()
    assert case["scale_case"].bench


def test_every_option_that_the_readme_shows_exists() -> None:
    from typer.main import get_command

    from bp_lab.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for block in _blocks("README.md", "sh") for line in block.splitlines()]
    calls = [line.split("#")[0].split() for line in lines if line.startswith("manual-bp")]
    assert len(calls) >= 6
    for _, command, *words in calls:
        found = commands[command]
        if found.name == "ocr":
            found = found.commands[words[0]]
        options = {name for parameter in found.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_generated_pages_are_up_to_date() -> None:
    from bp_lab.pages import catalogue, performance

    assert (ROOT / "docs" / "CATALOGUE.md").read_text("utf-8") == catalogue.render()
    results, forms = performance.load(ROOT), (ROOT / performance.FORMS).read_text("utf-8")
    assert (ROOT / performance.PAGE).read_text("utf-8") == performance.render(results, forms)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert performance.BEGIN in readme
    assert performance.in_readme(results, readme) == readme
