"""What the tests of the shell share."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bp_lab import cli
from bp_lab.bench import deep_stacks, limits, models, torch_side
from bp_lab.runs import Config, run
from jax_ref import cases


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def without_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the time of drawing where nobody looks."""
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr(run.plots, "draw_run", lambda *_: None)


@pytest.fixture
def manual_bp_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Return what runs the command line in this process: arguments in, status and texts out."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["manual-bp", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        texts = capsys.readouterr()
        return Outcome(int(stopped.value.code or 0), texts.out, texts.err)

    return run


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry of two ops and one model, all small, on a machine that is quickly measured."""
    monkeypatch.chdir(tmp_path)
    chosen = [
        replace(case, bench=((sizes, {}),))
        for case in cases.registry
        for name, sizes in (
            ("relu", {"batch": (5, 3)}),
            ("linear", {"batch": (5,), "n": 3, "m": 4}),
        )
        if case.name == name
    ]
    monkeypatch.setattr(cases, "registry", tuple(chosen))
    config = Config(model="mlp", hidden=(5,), optimizer="sgd", weight_decay=0.0)
    monkeypatch.setattr(models, "MODELS", (models.Model(config, 4, (3, 2)),))
    monkeypatch.setattr(deep_stacks, "STACKS", ())
    monkeypatch.setitem(limits.GEMM_SIDES, "cpu", 64)
    monkeypatch.setattr(torch_side, "available", lambda: False)
    limits._copy_rate.cache_clear()
    yield
    limits._copy_rate.cache_clear()
