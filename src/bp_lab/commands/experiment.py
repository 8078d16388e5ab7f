"""`manual-bp experiment`."""

from pathlib import Path

from bp_lab import experiments
from bp_lab.errors import InputError


def run(name: str, out: Path, seed: int) -> int:
    """Run an experiment, print what came out, and draw it into `out`."""
    if name not in experiments.table:
        raise InputError("experiment", "name", "one of " + ", ".join(experiments.table), name)
    if not out.is_dir():
        raise InputError("experiment", "--out", "an existing folder", out)
    experiment = experiments.table[name]
    result = experiment.run(seed)
    path = out / f"{name}.png"
    experiment.draw(path, result)
    for line in (*experiment.lines(result), f"Drawn in {path}"):
        print(line)
    return 0
