"""Files that are never half written."""

import json
import math
from pathlib import Path
from typing import Any

from bp_lab.errors import InputError
from jax_ref import whole_files


def expect_a_place(command: str, option: str, path: Path | None) -> None:
    """Raise an InputError unless a file can lie there; None is none."""
    if path is None:
        return
    try:
        wrong = path.is_dir() or not path.parent.is_dir()
    except OSError as error:
        expected = "the path of a file that can be written"
        raise InputError(command, option, expected, f"{path}: {error.strerror}") from None
    if wrong:
        raise InputError(command, option, "a file in an existing folder", path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is the old one or the new one, whole, at every instant.

    Numbers that JSON does not know, infinities and NaN, are written as null.

    Raises:
      InputError: the file cannot be written.
    """
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode("utf-8", "surrogateescape"))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is the old one or the new one, whole, at every instant.

    Raises:
      InputError: the file cannot be written.
    """
    try:
        whole_files.replace(path, content)
    except OSError as error:
        expected = "a file that can be written"
        raise InputError("files", str(path), expected, error.strerror or error) from None
