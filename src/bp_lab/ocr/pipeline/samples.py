"""What the three networks learn from: tiles of pages, windows of lines, pictures of characters."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from bp_lab.ocr import data
from bp_lab.ocr.data import Character, Line, Page, Split
from bp_lab.ocr.pipeline import classifier, detector, flat, segmenter
from bp_lab.ocr.pipeline.band import Band, bands_of, cut
from bp_lab.ocr.pipeline.clutter import cluttered

CELLS = (40, 56)
"""Rows and columns of the map of a tile."""


def pages(
    seed: int, count: int, *, split: Split, first: int = 0, clutter: float = 0.5
) -> Iterator[Page]:
    """Yield so many pages; the share `clutter` of them shows other things as well."""
    for number in range(first, first + count):
        page = data.page(seed, split=split, number=number)
        rng = np.random.default_rng((seed, number))
        yield cluttered(rng, page) if rng.random() < clutter else page


def resized(page: Page, factor: float) -> Page:
    """Return a page enlarged, or made smaller, by the factor."""
    from PIL import Image

    rows, columns = (max(1, round(side * factor)) for side in page.image.shape)
    image = Image.fromarray(page.image).resize((columns, rows), Image.Resampling.BILINEAR)
    across, down = columns / page.image.shape[1], rows / page.image.shape[0]

    def moved(box: data.Box) -> data.Box:
        left, top, right, bottom = box
        return left * across, top * down, right * across, bottom * down

    lines = tuple(
        Line(
            line.text,
            moved(line.box),
            tuple(Character(text, moved(box)) for text, box in line.characters),
        )
        for line in page.lines
    )
    return Page(np.asarray(image), lines)


def boxes_of(line: Line) -> list[data.Box]:
    """Return the boxes of the characters of a line."""
    return [box for _, box in line.characters]


def tiles(rng: np.random.Generator, page: Page, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tiles of a page at sizes drawn at random, and what the map should say of them.

    Returns:
      uint8 (count, rows, columns), 170 where `flattened` is 1; uint8 (count, *CELLS, 2).
    """
    if rng.random() < 0.8:
        page = resized(page, float(np.exp(rng.uniform(np.log(0.35), np.log(1.25)))))
    ink = np.round(170 * flat.flattened(page.image)).clip(0, 255).astype(np.uint8)
    bands = bands_of(page.lines)
    lines = [(band, boxes_of(line)) for band, line in zip(bands, page.lines, strict=True)]
    wanted = detector.targets(page.image.shape, lines)
    high, wide = (side // 2 for side in detector.WINDOW)
    rows, columns = (side * apart for side, apart in zip(CELLS, detector.APART, strict=True))
    # Beyond the page is ground, and no text.
    lack = [max(0, c - m) for c, m in zip(CELLS, wanted.shape, strict=False)]
    wanted = np.pad(wanted, ((0, lack[0]), (0, lack[1]), (0, 0)))
    below = wanted.shape[0] * detector.APART[0] + high - ink.shape[0]
    beside = wanted.shape[1] * detector.APART[1] + wide - ink.shape[1]
    ink = np.pad(ink, ((high, below), (wide, beside)))
    inks, maps = [], []
    for _ in range(count):
        row = int(rng.integers(wanted.shape[0] - CELLS[0] + 1))
        column = int(rng.integers(wanted.shape[1] - CELLS[1] + 1))
        top, left = row * detector.APART[0], column * detector.APART[1]
        inks.append(ink[top : top + rows + 2 * high, left : left + columns + 2 * wide])
        maps.append(wanted[row : row + CELLS[0], column : column + CELLS[1]])
    return np.stack(inks), np.stack(maps)


def jittered(rng: np.random.Generator, band: Band) -> Band:
    """Return a band as a detector might find it."""
    up, low = rng.normal(0, 0.05, 2) * band.height
    start, end = rng.normal(0, 0.1, 2) * band.height
    return band._replace(
        left=band.left + start, right=band.right + end, top=band.top - up, bottom=band.bottom + low
    )


class Written(NamedTuple):
    """A line as the last two steps take it, its text, and its characters' boxes in it."""

    image: np.ndarray
    text: str
    boxes: list[data.Box]


def written(picture: np.ndarray, band: Band, line: Line) -> Written:
    """Return a line of a page cut out along a band."""
    strip = cut(picture, band)
    image = segmenter.wide(strip.image)
    across, down = (
        new / old for new, old in zip(image.shape[::-1], strip.image.shape[::-1], strict=True)
    )
    boxes = []
    for box in boxes_of(line):
        left, top, right, bottom = strip.to_strip(box)
        boxes.append((left * across, top * down, right * across, bottom * down))
    return Written(image, line.text, boxes)


def parts(one: Written) -> np.ndarray:
    """Return what the segmenter should say of every column of a line, uint8 (columns,)."""
    said = segmenter.labels(one.boxes, one.image.shape[1])
    place = 0
    for before, character in pairwise(one.text):
        if before != " " and character != " ":
            segmenter.parted(said, one.boxes[place][2], one.boxes[place + 1][0])
        place += before != " "
    return said


def windows(rng: np.random.Generator, one: Written, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a window of a line, with what is beside it, and what the segmenter should say.

    Returns:
      uint8 (HEIGHT, columns + WINDOW[1] − 1); uint8 (columns,).
    """
    side = segmenter.WINDOW[1] // 2
    rest = max(0, columns - one.image.shape[1])
    image = np.pad(one.image, ((0, 0), (side, side + rest)))
    said = np.pad(parts(one), (0, rest), constant_values=segmenter.NOTHING)
    start = int(rng.integers(len(said) - columns + 1))
    stop = start + columns
    return segmenter.stored(image[:, start : stop + 2 * side]), said[start:stop]


def pieces(rng: np.random.Generator, one: Written) -> tuple[np.ndarray, np.ndarray]:
    """Return the characters of a line as the classifier sees them, and their classes."""
    characters = one.text.replace(" ", "")
    off = rng.normal(0, 0.7, (len(characters), 2))
    seen = [
        classifier.piece(one.image, left + a, right + b)
        for (left, _, right, _), (a, b) in zip(one.boxes, off, strict=True)
    ]
    return np.stack(seen), np.array([classifier.CLASSES.index(c) for c in characters], np.int32)


def batches(
    rng: np.random.Generator, samples: Sequence[np.ndarray], size: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield batches of the samples without end, in a new order at every visit."""
    count = len(samples[0])
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            chosen = order[start : start + size]
            yield tuple(array[chosen] for array in samples)
