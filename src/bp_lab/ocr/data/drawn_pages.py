"""Pictures of several lines, with the place of every line and character."""

import numpy as np

from bp_lab.ocr.data import layout, paper, splits
from bp_lab.ocr.data.bend import Bend
from bp_lab.ocr.data.layout import Laid
from bp_lab.ocr.data.splits import Split
from bp_lab.ocr.data.truth import Box, Character, Line, Page, around

_BODY, _HEADING = range(14, 29, 2), range(24, 45, 4)


def page(
    seed: int,
    *,
    split: Split,
    number: int = 0,
    columns: int = 640,
    count: tuple[int, int] = (3, 9),
    tilt: float = 1.5,
) -> Page:
    """Return a picture of several lines of one family at several sizes.

    Args:
      seed: the same seed and number give the same page.
      split: one of `SPLITS`.
      number: of the page.
      columns: width of the page in pixels before it is turned, at least 200.
      count: the fewest lines, and one more than the most.
      tilt: the page is turned by up to so many degrees.

    Raises:
      InputError: there is no such split.
    """
    splits.expect(split)
    rng = splits.generator(seed, split, -1 - number & 0xFFFFFFFF)
    family, body = layout.family(rng, split), int(rng.choice(_BODY))
    laid, tops, top = [], [], body
    for place in range(rng.integers(*count)):
        heading = place == 0 or rng.random() < 0.15
        size = int(rng.choice(_HEADING)) if heading else body
        laid.append(_fitting(rng, split, family, size, columns - 2 * body))
        tops.append(top)
        top += laid[-1].ink.shape[0] + int(size * rng.uniform(0.35, 0.9))
    ink = np.zeros((top + body, columns), np.uint8)
    owner = np.zeros(ink.shape, np.int32)
    before = 0
    for one, top in zip(laid, tops, strict=True):
        rows, width = one.ink.shape
        spare = columns - 2 * body - width
        left = body + int(rng.choice([0.0, 0.0, 0.5, rng.random()]) * spare)
        spot = np.s_[top : top + rows, left : left + width]
        ink[spot] = one.ink
        owner[spot] = np.where(one.owner > 0, one.owner + before, 0)
        before += len(one.text)
    bend = Bend(ink.shape, degrees=rng.uniform(-tilt, tilt), shear=0)
    ink, owner = bend.smooth(ink), bend.nearest(owner)
    picture = paper.photograph(rng, ink, split, size=body)
    return Page(picture, _truth(laid, _boxes(owner, before)))


def _fitting(rng: np.random.Generator, split: Split, family: str, size: int, columns: int) -> Laid:
    """Return a line that is no wider than so many columns."""
    longest = max(1, round(columns / (0.5 * size) * rng.uniform(0.2, 1)))
    laid = layout.line(rng, split, family, size, longest)
    while laid.ink.shape[1] > columns:
        longest = max(1, longest - longest // 4 - 1)
        laid = layout.line(rng, split, family, size, longest)
    return laid


def _boxes(owner: np.ndarray, count: int) -> list[Box | None]:
    """Return the box of every character's ink, None for one without, as a space."""
    from scipy import ndimage  # type: ignore[import-untyped]

    return [
        None if found is None else (found[1].start, found[0].start, found[1].stop, found[0].stop)
        for found in ndimage.find_objects(owner, count)
    ]


def _truth(laid: list[Laid], boxes: list[Box | None]) -> tuple[Line, ...]:
    lines, start = [], 0
    for one in laid:
        found = zip(one.text, boxes[start : start + len(one.text)], strict=True)
        characters = tuple(Character(text, box) for text, box in found if box is not None)
        lines.append(Line(one.text, around(characters), characters))
        start += len(one.text)
    return tuple(lines)
