"""The folder of a run: what is in it, and that no other run is ever overwritten."""

import json
from pathlib import Path
from typing import Any

from bp_lab.errors import InputError

CONFIG = "config.json"
RESULT = "result.json"
CHECKPOINTS = "checkpoints"


def claim(out: Path | None, dataset: str) -> Path:
    """Return a folder for a new run, made and empty; without `out`, the next free one of `runs/`.

    Raises:
      InputError: `out` is a file, or a folder that is not empty.
    """
    if out is None:
        return _next_free(Path("runs"), dataset)
    if (out / CONFIG).is_file():
        expected = "a new or empty folder (or --resume to go on with the run in it)"
        raise InputError("train", "--out", expected, f"{out}, which holds a run")
    try:
        out.mkdir(parents=True, exist_ok=True)
        # What a process left that was killed before it had written its configuration.
        leftovers = f".{CONFIG}."
        occupied = next((p for p in out.iterdir() if not p.name.startswith(leftovers)), None)
    except OSError as error:
        expected = "a folder that can be written"
        raise InputError("train", "--out", expected, f"{out} ({error.strerror})") from None
    if occupied is not None:
        expected = "a new or empty folder"
        raise InputError("train", "--out", expected, f"{out}, which holds {occupied.name}")
    return out


def _next_free(parent: Path, dataset: str) -> Path:
    stem, number = Path(dataset).stem or "run", 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            out = parent / f"{stem}-{number}"
            try:
                out.mkdir()
            except FileExistsError:
                number += 1
            else:
                return out
    except OSError as error:
        expected = "a folder that can be written"
        came = f"{parent} ({error.strerror})"
        raise InputError("train", "--out", expected, came) from None


def read_config(run: Path) -> dict[str, Any]:
    """Return what `config.json` of a run holds.

    Raises:
      InputError: the folder is not a run, or its configuration cannot be read.
    """
    path = run / CONFIG
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        expected = f"the folder of a run, with a {CONFIG}"
        raise InputError("run", str(run), expected, "none") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError("run", str(path), "a configuration in JSON", error) from None
    parts = [content.get(key) for key in ("config", "dataset")] if isinstance(content, dict) else []
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise InputError("run", str(path), "objects 'config' and 'dataset'", "something else")
    return content
