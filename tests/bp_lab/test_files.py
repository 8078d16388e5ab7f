"""Files that are never half written."""

import json
import os
from pathlib import Path

import pytest

from bp_lab.errors import InputError
from bp_lab.files import write_bytes, write_json


def test_numbers_that_json_does_not_know_are_null(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    write_json(path, {"a": [1.5, float("inf")], "b": (float("nan"), {"c": -float("inf")})})
    assert json.loads(path.read_text()) == {"a": [1.5, None], "b": [None, {"c": None}]}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    with pytest.raises(TypeError):
        write_bytes(path, "no bytes")  # type: ignore[arg-type]
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file.json"
    with pytest.raises(InputError) as refused:
        write_json(path, {})
    message = f"files: {path}: expected a file that can be written, got No such file or directory"
    assert str(refused.value) == message


def test_a_link_stays_and_who_may_read_stays(tmp_path: Path) -> None:
    path, link = tmp_path / "file.json", tmp_path / "link.json"
    path.write_text("{}")
    path.chmod(0o600)
    link.symlink_to(path)
    write_json(link, {"new": 1})
    assert link.is_symlink()
    assert json.loads(path.read_text()) == {"new": 1}
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(InputError, match="got it is no regular file"):
        write_json(path, {})
    assert path.is_fifo()
