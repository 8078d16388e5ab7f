"""From a picture to what is written in it: lines are found, set straight, and read."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from bp_lab.ocr import data
from bp_lab.ocr.data import Box
from bp_lab.ocr.pipeline.band import Band, Strip, cut
from bp_lab.ocr.pipeline.find import Found

_INK = 0.4
_LEGIBLE = 0.5


class Span(NamedTuple):
    """A character, or a space, that was read in a line, with its columns in the line's picture."""

    text: str
    start: float
    stop: float
    confidence: float


class Character(NamedTuple):
    """A character with its box in the picture, and how sure the network is of it, in [0, 1]."""

    text: str
    box: Box
    confidence: float


class Line(NamedTuple):
    """A line with its box, how sure it is that there is one, and its characters but the spaces."""

    text: str
    box: Box
    confidence: float
    characters: tuple[Character, ...]


LineReader = Callable[[Sequence[np.ndarray]], list[list[Span]]]
"""Reads lines, grey uint8 (rows, columns) each; its spans are columns of these pictures."""


def read(
    picture: np.ndarray, find: Callable[[np.ndarray], list[Found]], reader: LineReader
) -> list[Line]:
    """Return the lines of a picture, from top to bottom and in a row from left to right.

    Args:
      picture: grey, uint8 (rows, columns).
      find: the detector.
      reader: reads the lines that it finds.
    """
    found = in_order(find(picture))
    strips = [strip_of(picture, one.band) for one in found]
    lines = []
    read_spans = reader([strip.image for strip in strips])
    for one, strip, spans in zip(found, strips, read_spans, strict=True):
        if is_text(spans):
            lines.append(_line(one, strip, spans))
    return lines


def is_text(spans: Sequence[Span]) -> bool:
    """Return whether what was read is text: where no character is sure, there was none to read."""
    sure = [span.confidence for span in spans if span.text != " "]
    return bool(sure) and float(np.mean(sure)) >= _LEGIBLE


def strip_of(picture: np.ndarray, band: Band) -> Strip:
    """Return what a band of a picture shows; outside of the picture is its ground."""
    return cut(picture, band, ground=int(np.median(picture)))


def in_order(found: Sequence[Found]) -> list[Found]:
    """Return bands from top to bottom; those side by side from left to right."""
    rows: list[list[Found]] = []
    for one in sorted(found, key=lambda one: one.band.top + one.band.bottom):
        middle = (one.band.top + one.band.bottom) / 2
        if rows and all(other.band.top < middle < other.band.bottom for other in rows[-1]):
            rows[-1].append(one)
        else:
            rows.append([one])
    return [one for row in rows for one in sorted(row, key=lambda one: one.band.left)]


def _line(one: Found, strip: Strip, spans: Sequence[Span]) -> Line:
    ink = data.normalised(strip.image)
    across, down = (
        new / old for new, old in zip(strip.image.shape[::-1], ink.shape[::-1], strict=True)
    )
    characters: list[Character] = []
    for text, start, stop, confidence in spans:
        if text != " ":
            top, bottom = _rows(ink, start / across, stop / across)
            box = strip.to_picture((start, top * down, stop, bottom * down))
            characters.append(Character(text, box, confidence))
    text = "".join(span.text for span in spans).strip()
    return Line(text, _around(characters), one.confidence, tuple(characters))


def _rows(ink: np.ndarray, start: float, stop: float) -> tuple[int, int]:
    """Return the first row with ink between two columns, and the one behind the last."""
    piece = ink[:, max(0, round(start)) : max(1, round(stop))]
    inked = np.flatnonzero(piece.max(1, initial=0) > _INK)
    return (int(inked[0]), int(inked[-1]) + 1) if inked.size else (0, len(ink))


def _around(characters: Sequence[Character]) -> Box:
    """Return the box of all characters; there is one at least."""
    lefts, tops, rights, bottoms = zip(*(one.box for one in characters), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def text_of(lines: Sequence[Line]) -> str:
    """Return what lines say, those side by side in one row with two spaces between them."""
    text = ""
    for before, line in pairwise([None, *lines]):
        assert line is not None
        middle = (line.box[1] + line.box[3]) / 2
        beside = before and before.box[1] < middle < before.box[3] and before.box[2] < line.box[0]
        text += ("  " if beside else "\n" if before else "") + line.text
    return text


def as_json(lines: Sequence[Line], block: int) -> list[dict[str, Any]]:
    """Return lines as JSON knows them, boxes in pixels of the file.

    Args:
      lines: of a picture.
      block: how many pixels of the file one of the picture's is wide.
    """

    def box(edges: Box) -> list[float]:
        return [round(block * edge, 1) for edge in edges]

    return [
        {
            "text": line.text,
            "box": box(line.box),
            "confidence": round(line.confidence, 4),
            "characters": [
                {"text": one.text, "box": box(one.box), "confidence": round(one.confidence, 4)}
                for one in line.characters
            ],
        }
        for line in lines
    ]
