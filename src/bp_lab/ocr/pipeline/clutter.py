"""What a picture shows besides text: a table under the paper, rules, frames, shapes, textures."""

from typing import TYPE_CHECKING

import numpy as np

from bp_lab.ocr.data import Box, Character, Line, Page

if TYPE_CHECKING:
    from PIL import ImageDraw

_MOST = 8
_CLEARANCE = 4


def cluttered(rng: np.random.Generator, page: Page) -> Page:
    """Return a page on a larger ground with things around its text, none of them over it."""
    from PIL import Image, ImageDraw

    rows, columns = page.image.shape
    up, low, left, right = (int(side) for side in rng.integers(0, 80, 4))
    shape = (rows + up + low, columns + left + right)
    paper = float(np.median(page.image))
    table = paper if rng.random() < 0.6 else float(rng.uniform(0, 255))
    spread = rng.uniform(0, 6)
    picture = rng.normal(table, spread, shape).clip(0, 255).astype(np.uint8)
    picture[up : up + rows, left : left + columns] = page.image
    lines = tuple(_moved(line, left, up) for line in page.lines)
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    for _ in range(rng.integers(0, _MOST)):
        _DRAWN[rng.integers(len(_DRAWN))](rng, pen, shape)
    free = np.ones(shape, bool)
    for start, top, end, bottom in (line.box for line in lines):
        edges = (top - _CLEARANCE, bottom + _CLEARANCE, start - _CLEARANCE, end + _CLEARANCE)
        first, last, begin, stop = (max(0, int(edge)) for edge in edges)
        free[first:last, begin:stop] = False
    return Page(np.where(free, np.asarray(drawn), picture), lines)


def _moved(line: Line, across: int, down: int) -> Line:
    def moved(box: Box) -> Box:
        left, top, right, bottom = box
        return left + across, top + down, right + across, bottom + down

    characters = tuple(Character(text, moved(box)) for text, box in line.characters)
    return Line(line.text, moved(line.box), characters)


def _spot(rng: np.random.Generator, shape: tuple[int, int], most: float) -> Box:
    """Return a box in a picture, its sides up to so many pixels."""
    width, height = rng.uniform(3, most, 2)
    left, top = rng.uniform(-10, shape[1]), rng.uniform(-10, shape[0])
    return left, top, left + width, top + height


def _shade(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 256))


def _rule(rng: np.random.Generator, pen: "ImageDraw.ImageDraw", shape: tuple[int, int]) -> None:
    left, top, right, _ = _spot(rng, shape, 600)
    ends = [(left, top), (right, top + rng.normal(0, 4))]
    if rng.random() < 0.4:
        ends = [(y, x) for x, y in ends]
    pen.line(ends, fill=_shade(rng), width=int(rng.integers(1, 6)))


def _frame(rng: np.random.Generator, pen: "ImageDraw.ImageDraw", shape: tuple[int, int]) -> None:
    pen.rectangle(_spot(rng, shape, 300), outline=_shade(rng), width=int(rng.integers(1, 6)))


def _oval(rng: np.random.Generator, pen: "ImageDraw.ImageDraw", shape: tuple[int, int]) -> None:
    box, shade = _spot(rng, shape, 90), _shade(rng)
    if rng.random() < 0.5:
        pen.ellipse(box, fill=shade)
    else:
        pen.ellipse(box, outline=shade, width=int(rng.integers(1, 5)))


def _polygon(rng: np.random.Generator, pen: "ImageDraw.ImageDraw", shape: tuple[int, int]) -> None:
    left, top, right, bottom = _spot(rng, shape, 160)
    corners = rng.uniform((left, top), (right, bottom), (int(rng.integers(3, 8)), 2))
    pen.polygon([(x, y) for x, y in corners], fill=_shade(rng))


def _specks(rng: np.random.Generator, pen: "ImageDraw.ImageDraw", shape: tuple[int, int]) -> None:
    left, top, right, bottom = _spot(rng, shape, 200)
    shade, size = _shade(rng), rng.uniform(0, 3)
    for x, y in rng.uniform((left, top), (right, bottom), (int(rng.integers(5, 60)), 2)):
        pen.ellipse((x, y, x + size, y + size), fill=shade)


def _hatch(rng: np.random.Generator, pen: "ImageDraw.ImageDraw", shape: tuple[int, int]) -> None:
    left, top, right, bottom = _spot(rng, shape, 150)
    shade, apart, slant = _shade(rng), rng.uniform(4, 14), rng.normal(0, 12)
    upright = rng.random() < 0.5
    for place in np.arange(left if upright else top, right if upright else bottom, apart):
        ends = (
            [(place, top), (place + slant, bottom)] if upright else [(left, place), (right, place)]
        )
        pen.line(ends, fill=shade, width=int(rng.integers(1, 4)))


_DRAWN = (_rule, _frame, _oval, _polygon, _specks, _hatch)
