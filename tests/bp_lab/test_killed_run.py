"""A run killed at any instant goes on from its last whole epoch and ends as if undisturbed."""

import random
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

EPOCHS = 9
PROGRAM = """
import sys
from pathlib import Path
from bp_lab.runs import Config, train
from bp_lab.runs.run import Listener, plots

plots.draw_run = lambda *_: None

class Tell(Listener):
    def trained(self, epoch):
        print(epoch.number, flush=True)

config = Config(hidden=(8,), epochs={epochs}, check="never")
out = Path(sys.argv[1])
train(config, out, resume=(out / "config.json").exists(), listener=Tell())
"""


def _start(out: Path) -> subprocess.Popen:
    program = PROGRAM.format(epochs=EPOCHS)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _parameters(out: Path) -> list[bytes]:
    from bp_lab.runs.predict import load_network

    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(load_network(out).params)]


def test_kill_9_and_resume_ends_bit_identical(tmp_path: Path) -> None:
    draw = random.Random(0)
    with _start(tmp_path / "whole") as whole:
        errors = whole.communicate()[1]
        assert whole.returncode == 0, errors
    kills = 0
    while True:
        with _start(tmp_path / "killed") as process:
            assert process.stdout is not None
            last = 0
            # Let it go on for a few epochs at least, so that the run ends some day.
            for _ in range(draw.randint(2, 4)):
                last = int(process.stdout.readline() or EPOCHS)
            if last >= EPOCHS - 1:
                errors = process.communicate()[1]
                assert process.returncode == 0, errors
                break
            time.sleep(draw.random() * 0.05)
            process.kill()
        kills += 1
    assert kills >= 2
    assert _parameters(tmp_path / "whole") == _parameters(tmp_path / "killed")
    assert (tmp_path / "killed" / "result.json").exists()
