"""Files that are never half written."""

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

from bp_lab.errors import InputError


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
        _replace(path, content)
    except OSError as error:
        expected = "a file that can be written"
        raise InputError("files", str(path), expected, error.strerror or error) from None


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
