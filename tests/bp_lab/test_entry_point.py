"""What holds for the process, whichever command it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jax.errors import JaxRuntimeError
from rich.console import Console

from bp_lab import cli
from bp_lab.commands import experiment
from bp_lab.files import write_json


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_files_are_written_though_nobody_reads_what_is_printed(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def print_and_write(*_: object) -> int:
        for line in range(3):
            print(line, file=getattr(sys, stream), flush=True)
            Console(stderr=stream == "stderr").print(line)
        write_json(tmp_path / "written.json", {})
        print("unflushed", file=getattr(sys, stream))
        return 1

    monkeypatch.setattr(experiment, "run", print_and_write)
    monkeypatch.setattr(sys, "argv", ["manual-bp", "experiment", "symmetry"])
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, stream, closed)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert getattr(sys, stream) is closed
    assert ended.value.code == 1
    assert (tmp_path / "written.json").exists()


def test_ctrl_c_while_the_program_is_imported_is_quiet(
    manual_bp_command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PressCtrlC:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "bp_lab.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "bp_lab.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [PressCtrlC(), *sys.meta_path])
    outcome = manual_bp_command("train")
    assert (outcome.status, outcome.out, outcome.err) == (130, "", "")


def test_jax_is_not_imported_before_ctrl_c_is_listened_to() -> None:
    program = "import sys, bp_lab.cli; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("error", "is_of_memory"),
    [
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.\nHow it came."), True),
        (MemoryError("Out of memory."), True),
        (JaxRuntimeError("INTERNAL: Out of order."), False),
        (RuntimeError("RESOURCE_EXHAUSTED"), False),
    ],
)
def test_too_little_memory_is_told_in_one_line(
    manual_bp_command, monkeypatch: pytest.MonkeyPatch, error: Exception, is_of_memory: bool
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(experiment, "run", fail)
    if not is_of_memory:
        with pytest.raises(type(error), match=str(error)):
            manual_bp_command("experiment", "symmetry")
        return
    outcome = manual_bp_command("experiment", "symmetry")
    told = str(error).splitlines()[0]
    message = f"manual-bp: memory: expected enough for these settings, got {told}\n"
    assert (outcome.status, outcome.err) == (2, message)
