"""What the tests of the shell share."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bp_lab import cli


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


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
