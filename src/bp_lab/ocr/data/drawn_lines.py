"""Pictures of one line each, and the form in which the reader takes any line."""

from typing import NamedTuple

import numpy as np

from bp_lab.ocr.data import layout, paper, splits
from bp_lab.ocr.data.bend import Bend
from bp_lab.ocr.data.splits import Split

HEIGHT = 24
"""Rows of a line as the reader takes it."""

_LEAST_CONTRAST = 0.1
_SIZES = range(14, 43, 2)
_FITS, _TRIMMED = 3, 0.55


class LineImage(NamedTuple):
    """A line as the reader takes it, float32 (HEIGHT, columns), and what it says."""

    image: np.ndarray
    text: str


def lines(seed: int, count: int, *, split: Split, longest: int = 24) -> list[LineImage]:
    """Return so many pictures of lines.

    Args:
      seed: the same seed gives the same lines, and of more lines the first are the same.
      count: how many.
      split: one of `SPLITS`.
      longest: the most characters in a line, at least 1.

    Raises:
      InputError: there is no such split.
    """
    return [line(seed, number, split=split, longest=longest) for number in range(count)]


def line(seed: int, number: int, *, split: Split, longest: int = 24) -> LineImage:
    """Return one picture of those that `lines` returns."""
    splits.expect(split)
    rng = splits.generator(seed, split, number)
    family, size = layout.family(rng, split), int(rng.choice(_SIZES))
    most = int(rng.integers(min(3, longest), longest + 1))
    laid = layout.line(rng, split, family, size, most)
    tilt = min(3.0, 0.12 * np.degrees(laid.ink.shape[0] / laid.ink.shape[1]))
    bend = Bend(laid.ink.shape, degrees=rng.uniform(-tilt, tilt), shear=rng.normal(0, 0.08))
    ink = _around_ink(bend.smooth(laid.ink))
    margins = rng.uniform([0.02, 0.02, 0.05, 0.05], [0.2, 0.2, 0.6, 0.6]) * ink.shape[0]
    top, bottom, left, right = (1 + margins).astype(int)
    ink = np.pad(ink, ((top, bottom), (left, right)))
    return LineImage(normalised(paper.photograph(rng, ink, split, size=size)), laid.text)


def normalised(picture: np.ndarray) -> np.ndarray:
    """Return a line cut out of a picture as the reader takes it: ink about 1, the ground about 0.

    The ground is a surface on which most pixels lie, as the light may be uneven; ink is what lies
    further from it, brighter or darker.

    Args:
      picture: grey, uint8 (rows, columns): the ink of the line with a small margin.

    Returns:
      float32 (HEIGHT, columns), the aspect kept.
    """
    from PIL import Image

    rows, columns = picture.shape
    width = max(HEIGHT // 2, round(columns * HEIGHT / rows))
    scaled = Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.BILINEAR)
    image = np.asarray(scaled, np.float32) / np.float32(255)
    distance = image - _ground(image)
    few = distance[:, ::2].reshape(-1)
    ends = len(few) // 100, len(few) - 1 - len(few) // 100
    low, high = np.partition(few, ends)[list(ends)]
    side = np.float32(-1 if -low > high else 1)
    full = np.float32(max(-low, high, _LEAST_CONTRAST))
    return (side * distance / full).clip(-0.5, 1.5)


def _ground(image: np.ndarray) -> np.ndarray:
    """Return the brightness of the ground, a bilinear surface by least trimmed squares."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in image.shape)
    up, along = np.meshgrid(rows, columns, indexing="ij")
    surfaces = np.stack([np.ones_like(up), up, along, up * along], -1)
    few, seen = surfaces[::2, ::3].reshape(-1, 4), image[::2, ::3].reshape(-1)
    fitted = np.array([np.median(seen), 0, 0, 0], np.float32)
    most, ridge = int(_TRIMMED * (len(seen) - 1)), np.float32(1e-3) * np.eye(4, dtype=np.float32)
    for _ in range(_FITS):
        off = np.abs(seen - few @ fitted)
        near = off <= np.partition(off, most)[most]
        kept = few[near]
        fitted = np.linalg.solve(kept.T @ kept + ridge, kept.T @ seen[near])
    return surfaces @ fitted


def _around_ink(ink: np.ndarray) -> np.ndarray:
    """Return the part of a picture that has ink."""
    rows, columns = np.flatnonzero(ink.max(1) > 32), np.flatnonzero(ink.max(0) > 32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
