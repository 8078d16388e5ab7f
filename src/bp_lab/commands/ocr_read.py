"""`manual-bp ocr read`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bp_lab.errors import BAD_INPUT, InputError
from bp_lab.files import expect_a_place, write_bytes, write_json


def run(
    inputs: Sequence[Path],
    *,
    pipeline: bool,
    weights: Path | None,
    page_weights: Path | None,
    json: Path | None,
    out: Path | None,
) -> int:
    """Read image files and folders of them; return 2 where one cannot be read, else 0."""
    from bp_lab.ocr import image_files, readers

    paths, read, status = [], [], 0
    for given in inputs:
        try:
            paths += list(image_files.files([given]))
        except InputError as error:
            print(error, file=sys.stderr)
            status = BAD_INPUT
    expect_a_place("ocr", "--json", json)
    reader = readers.load(page_weights, pipeline=pipeline, line_weights=weights)
    if out is not None:
        _make(out)
    taken: set[str] = set()
    for path in paths:
        try:
            read.append(_one(path, reader, _name(path, taken), out, alone=len(paths) == 1))
        except InputError as error:
            print(error, file=sys.stderr)
            status = BAD_INPUT
    if json is not None:
        write_json(json, read)
    return status


def _one(path: Path, reader: Any, name: str, out: Path | None, *, alone: bool) -> dict[str, Any]:
    from bp_lab.ocr import annotate, image_files, reading

    picture = image_files.read(path)
    lines = reader(picture.image)
    if not alone:
        print(f"{path}:")
    if lines:
        print(reading.text_of(lines))
    else:
        print(f"{path}: no text found", file=sys.stderr)
    if out is not None:
        write_bytes(out / name, annotate.as_png(annotate.annotated(picture.image, lines)))
    rows, columns = picture.image.shape
    size = {"rows": rows * picture.block, "columns": columns * picture.block}
    return {"file": str(path), **size, "lines": reading.as_json(lines, picture.block)}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        expected = "a folder that can be made"
        raise InputError("ocr", "--out", expected, error.strerror or error) from None


def _name(path: Path, taken: set[str]) -> str:
    """Return a name for the annotated picture that no other has, of any spelling of letters."""
    name, number = f"{path.stem}.read.png", 1
    while name.lower() in taken:
        number += 1
        name = f"{path.stem}-{number}.read.png"
    taken.add(name.lower())
    return name
