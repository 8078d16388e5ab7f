"""Ceiling analysis: how well pages would be read if one step after the other made no mistake.

Each step is measured by itself, fed with the truth of those before it; then the whole, with the
truth in the place of the first step, of the first two, and of all. Where the accuracy jumps most,
work pays most.

Source   Ng 2011, Machine Learning, lecture 18 (photo OCR).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from bp_lab.ocr import reading
from bp_lab.ocr.data import Box, Line, Page, Split
from bp_lab.ocr.pipeline import find, samples, score, segmenter, spell
from bp_lab.ocr.pipeline.band import bands_of
from bp_lab.ocr.pipeline.find import Found
from bp_lab.ocr.pipeline.score import Count
from bp_lab.ocr.pipeline.segmenter import Cell

STEPS = ("detection", "segmentation", "classification")
WHOLE = ("the pipeline", "true detection", "and segmentation", "and classification")


class Analysis(NamedTuple):
    """What was measured on the pages of a split.

    Attributes:
      split: its name.
      steps: lines, characters, and names found by each step, the steps before it being right.
      whole: characters read right by the pipeline with the first 0, 1, 2 and 3 steps being right.
      readers: the same by other readers of lines, on the lines found and on the true ones.
    """

    split: str
    steps: tuple[Count, ...]
    whole: tuple[Count, ...]
    readers: dict[str, tuple[Count, Count]]


class _Page(NamedTuple):
    lines: tuple[Line, ...]
    found: list[Found]
    written: list[samples.Written]
    on_found: list[np.ndarray]
    on_true: list[np.ndarray]


def analyse(
    networks: dict[str, Any],
    split: Split,
    *,
    pages: int,
    seed: int = 1,
    clutter: float = 0.5,
    readers: dict[str, reading.LineReader] | None = None,
) -> Analysis:
    """Return how well the pages of a split are read.

    Args:
      networks: parameters of the three steps.
      split: of the pages.
      pages: how many.
      seed: of the pages.
      clutter: the share of the pages that show more than text.
      readers: other ways to read lines, by name.
    """
    steps, whole = [Count()] * 3, [Count()] * 4
    others = {name: (Count(), Count()) for name in readers or {}}
    for page in samples.pages(seed, pages, split=split, clutter=clutter):
        one = _looked_at(networks, page)
        for place, more in enumerate(_steps(networks, one)):
            steps[place] += more
        for place, more in enumerate(_whole(networks, one)):
            whole[place] += more
        for name, read in (readers or {}).items():
            both = _found_text(one, read), _true_text(one, read)
            others[name] = (others[name][0] + both[0], others[name][1] + both[1])
    return Analysis(split, tuple(steps), tuple(whole), others)


def _looked_at(networks: dict[str, Any], page: Page) -> _Page:
    found = find.find(networks["detector"], page.image)
    pairs = zip(bands_of(page.lines), page.lines, strict=True)
    written = [samples.written(page.image, band, line) for band, line in pairs]
    on_found = [reading.strip_of(page.image, one.band).image for one in found]
    on_true = [reading.strip_of(page.image, band).image for band in bands_of(page.lines)]
    return _Page(page.lines, found, written, on_found, on_true)


def _steps(networks: dict[str, Any], page: _Page) -> tuple[Count, ...]:
    lines = score.count([line.box for line in page.lines], [one.band.box for one in page.found])
    characters, names = Count(), Count()
    for one in page.written:
        cells = segmenter.cells(segmenter.column_map(networks["segmenter"], one.image))
        characters += score.count(_columns(_true_cells(one)), _columns(cells))
    true = [_true_cells(one) for one in page.written]
    read = spell.named(networks["classifier"], [one.image for one in page.written], true)
    for one, spans in zip(page.written, read, strict=True):
        said = [span.text for span in spans if span.text != " "]
        right = sum(a == b for a, b in zip(one.text.replace(" ", ""), said, strict=True))
        names += Count(len(said), len(said), right)
    return lines, characters, names


def _columns(cells: Sequence[Cell]) -> list[Box]:
    return [(cell.start, 0.0, cell.stop, 1.0) for cell in cells]


def _true_cells(one: samples.Written) -> list[Cell]:
    cells: list[Cell] = []
    spaced = False
    for character in one.text:
        if character != " ":
            left, _, right, _ = one.boxes[len(cells)]
            cells.append(Cell(left, right, spaced))
        spaced = character == " "
    return cells


def _whole(networks: dict[str, Any], page: _Page) -> tuple[Count, ...]:
    read = partial(spell.read, networks["segmenter"], networks["classifier"])
    cells = [_true_cells(one) for one in page.written]
    images = [one.image for one in page.written]
    named = spell.named(networks["classifier"], images, cells)
    texts = [one.text for one in page.written]
    return (
        _found_text(page, read),
        _true_text(page, read),
        score.of_texts(texts, _texts(named)),
        score.of_texts(texts, texts),
    )


def _true_text(page: _Page, read: reading.LineReader) -> Count:
    texts = [one.text for one in page.written]
    return score.of_texts(texts, _texts(read(page.on_true)))


def _found_text(page: _Page, read: reading.LineReader) -> Count:
    """Return how well the lines found are read; one that is none counts as so many mistakes."""
    texts = _texts([spans if reading.is_text(spans) else [] for spans in read(page.on_found)])
    boxes = [line.box for line in page.lines]
    of_line = dict(score.matched(boxes, [one.band.box for one in page.found]))
    matched = [texts[of_line[k]] if k in of_line else "" for k in range(len(boxes))]
    others = [text for j, text in enumerate(texts) if j not in of_line.values()]
    true = [line.text for line in page.lines]
    return score.of_texts(true + [""] * len(others), matched + others)


def _texts(lines: Sequence[Sequence[reading.Span]]) -> list[str]:
    return ["".join(span.text for span in spans) for spans in lines]
