"""Lines read by the second and the third step: cut into characters, and each named."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bp_lab.ocr.pipeline import classifier, segmenter
from bp_lab.ocr.pipeline.segmenter import Cell
from bp_lab.ocr.reading import Span


def read(segments: Any, names: Any, pictures: Sequence[np.ndarray]) -> list[list[Span]]:
    """Return what each line says, places in columns of its picture.

    Args:
      segments: parameters of the segmenter.
      names: parameters of the classifier.
      pictures: lines, grey uint8 (rows, columns) each.
    """
    lines = [segmenter.wide(picture) for picture in pictures]
    cells = [segmenter.cells(segmenter.column_map(segments, line)) for line in lines]
    found = []
    for picture, line, spans in zip(pictures, lines, named(names, lines, cells), strict=True):
        scale = picture.shape[1] / line.shape[1]
        found.append(
            [span._replace(start=scale * span.start, stop=scale * span.stop) for span in spans]
        )
    return found


def named(
    names: Any, lines: Sequence[np.ndarray], cells: Sequence[Sequence[Cell]]
) -> list[list[Span]]:
    """Return what lines say whose characters' columns are known.

    Args:
      names: parameters of the classifier.
      lines: float32 (HEIGHT, columns) each, as `segmenter.wide` returns them.
      cells: the characters of each.
    """
    pieces = [
        classifier.piece(line, cell.start, cell.stop)
        for line, inside in zip(lines, cells, strict=True)
        for cell in inside
    ]
    rows = iter(classifier.probabilities(names, pieces))
    return [list(_spans(inside, rows)) for inside in cells]


def _spans(cells: Sequence[Cell], rows: Any) -> Any:
    for place, cell in enumerate(cells):
        row = next(rows)
        if cell.spaced:
            before = cells[place - 1].stop
            yield Span(" ", before, cell.start, 1.0)
        best = int(row.argmax())
        yield Span(classifier.CLASSES[best], cell.start, cell.stop, float(row[best]))
