"""`manual-bp experiment`."""

from pathlib import Path
from typing import Any

import numpy as np

from bp_lab import experiments
from bp_lab.errors import InputError, expect_seed
from bp_lab.files import write_json


def run(name: str, out: Path, seed: int) -> int:
    """Run an experiment, print what came out, and leave its figures and a picture in `out`."""
    if name not in experiments.table:
        raise InputError("experiment", "name", "one of " + ", ".join(experiments.table), name)
    if not out.is_dir():
        raise InputError("experiment", "--out", "an existing folder", out)
    expect_seed("experiment", seed)
    experiment = experiments.table[name]
    result = experiment.run(seed)
    path = out / f"{name}.png"
    experiment.draw(path, result)
    figures = path.with_suffix(".json")
    write_json(figures, _plain(result))
    for line in (*experiment.lines(result), f"Drawn in {path}, figures in {figures}"):
        print(line)
    return 0


def _plain(content: Any) -> Any:
    """Return a result as JSON knows it: names for fields, lists for arrays."""
    if isinstance(content, np.ndarray):
        return content.tolist()
    if isinstance(content, tuple):
        content = content._asdict()  # type: ignore[attr-defined]
    if isinstance(content, dict):
        return {_name(key): _plain(value) for key, value in content.items()}
    return content


def _name(key: Any) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
