"""From the detector's maps to lines: the bands of a page.

The page is looked at in its own size, halved, quartered, and so on, so that letters of any size
come into the detector's range. In each map the connected cores are lines, or parts of lines that
are joined where one goes on as the other. A line's slope is that of the middle of its core; its
edges lie where the second answer ends, in most of its columns, and its ends at its ink. Of what
two sizes show, the surer and longer stays, and of two as long the lower: lines that lie close, seen
from afar, are like one that is as high as all of them.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from bp_lab.ocr.pipeline import detector
from bp_lab.ocr.pipeline.band import Band, cut
from bp_lab.ocr.pipeline.flat import flattened

SURE, SURE_OF_LINE = 0.5, 0.7
"""How sure the detector must be of a core's cells, and of all of a line's columns in the mean."""

_REACH = 12
_LEAST_CELLS = 3
_LEAST_SIDE = 12
_GAP, _STEP, _LIKE = 1.2, 0.4, 0.55
_OVERLAP = 0.35
_LONG = 0.2
_INK = 0.3


class Found(NamedTuple):
    """A band and how sure the detector is of it, in [0, 1]."""

    band: Band
    confidence: float


class _Part(NamedTuple):
    """The columns of a core: their places, middles, and edges, in pixels, and how sure each is."""

    x: np.ndarray
    middle: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    sure: np.ndarray

    @property
    def height(self) -> float:
        return float(np.median(self.bottom - self.top))


def find(params: Any, picture: np.ndarray) -> list[Found]:
    """Return the lines of a picture, grey uint8 (rows, columns), from top to bottom."""
    found: list[Found] = []
    for factor, smaller in _sizes(picture):
        ink = flattened(smaller)
        in_map = bands_in(detector.text_map(params, ink))
        found += [Found(_trimmed(band, ink).scaled(factor), sure) for band, sure in in_map]
    kept: list[Found] = []
    for one in sorted(found, key=_rank):
        if not _covered(one.band, [other.band for other in kept]):
            kept.append(one)
    return sorted(kept, key=lambda one: (one.band.top + one.band.bottom, one.band.left))


def _sizes(picture: np.ndarray) -> list[tuple[int, np.ndarray]]:
    from PIL import Image

    sizes, factor = [(1, picture)], 1
    while min(picture.shape) // (2 * factor) >= _LEAST_SIDE:
        factor *= 2
        sizes.append((factor, np.asarray(Image.fromarray(picture).reduce(factor))))
    return sizes


def _trimmed(band: Band, ink: np.ndarray) -> Band:
    """Return a band without what is empty at its ends, at most its height at each."""
    inked = np.flatnonzero((cut(ink, band, above=0, beside=0).image > _INK).any(0))
    if not inked.size:
        return band
    left = band.left + min(float(inked[0]), band.height)
    right = max(band.left + float(inked[-1]) + 1, band.right - band.height)
    fall = band.slope * ((left + right) / 2 - band.middle)
    return Band(left, right, band.top + fall, band.bottom + fall, band.slope)


def _rank(one: Found) -> float:
    """Return a number that is smaller the more there is to be said for a line."""
    return -one.confidence * (_width(one.band) / math.sqrt(one.band.height)) ** _LONG


def _width(band: Band) -> float:
    return band.right - band.left


def _covered(band: Band, others: Sequence[Band]) -> bool:
    """Return whether others show a good part of the band, or the band of one of them."""
    areas = [_shared(band, other) for other in others]
    return sum(areas) > _OVERLAP * _area(band) or any(
        area > _OVERLAP * _area(other) for area, other in zip(areas, others, strict=True)
    )


def _area(band: Band) -> float:
    return _width(band) * band.height


def _shared(band: Band, other: Band) -> float:
    """Return how many pixels two bands share; they rise and fall alike."""
    left, right = max(band.left, other.left), min(band.right, other.right)
    middle = (left + right) / 2
    one, two = (each.slope * (middle - each.middle) for each in (band, other))
    down = min(band.bottom + one, other.bottom + two) - max(band.top + one, other.top + two)
    return max(0.0, right - left) * max(0.0, down)


def bands_in(text: np.ndarray) -> list[Found]:
    """Return the lines that a map shows, float32 (rows', columns', 2), in pixels of its page."""
    from scipy import ndimage  # type: ignore[import-untyped]

    core = text[..., 0]
    regions, _ = ndimage.label(core > SURE, structure=np.ones((3, 3)))
    parts = []
    for number, place in enumerate(ndimage.find_objects(regions), start=1):
        mine = np.where(regions[place] == number, core[place], 0)
        if np.count_nonzero(mine) >= _LEAST_CELLS:
            parts.append(_part(text[..., 1], mine, place[0].start, place[1].start))
    joined = _joined(sorted(parts, key=lambda part: float(part.x[0])))
    slopes = [_slope(part) for part in joined]
    known = [slope for slope, part in zip(slopes, joined, strict=True) if _long(part)]
    usual = float(np.median(known)) if known else 0.0
    found = [
        _found(part, slope if _long(part) else usual)
        for part, slope in zip(joined, slopes, strict=True)
    ]
    low, high = 0.7 * detector.SMALLEST, 1.25 * detector.LARGEST
    return [
        one for one in found if low <= one.band.height <= high and one.confidence >= SURE_OF_LINE
    ]


def _part(whole: np.ndarray, mine: np.ndarray, row: int, column: int) -> _Part:
    weights = mine.sum(0)
    kept = np.flatnonzero(weights)
    rows = row + np.arange(len(mine), dtype=np.float32)
    middle = (rows @ mine[:, kept]) / weights[kept]
    start = np.round(middle).astype(int)
    reach = np.arange(_REACH)
    above = _running(whole, start[:, None] - 1 - reach, column + kept)
    below = _running(whole, start[:, None] + 1 + reach, column + kept)
    at = _running(whole, start[:, None], column + kept) / 2
    down, across = detector.APART
    return _Part(
        across * (column + kept).astype(np.float32),
        down * middle,
        down * (start - above - at),
        down * (start + below + at),
        mine[:, kept].max(0),
    )


def _running(whole: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return for each column how many rows on the way are sure, no surer than one before them."""
    inside = (rows >= 0) & (rows < len(whole))
    seen = np.where(inside, whole[rows.clip(0, len(whole) - 1), columns[:, None]], 0)
    return np.minimum.accumulate(seen, 1).sum(1)


def _joined(parts: Sequence[_Part]) -> list[_Part]:
    joined: list[_Part] = []
    for part in parts:
        before = [k for k, other in enumerate(joined) if _goes_on(other, part)]
        if not before:
            joined.append(part)
            continue
        nearest = max(before, key=lambda k: float(joined[k].x[-1]))
        pairs = zip(joined[nearest], part, strict=True)
        joined[nearest] = _Part(*(np.concatenate(pair) for pair in pairs))
    return joined


def _goes_on(one: _Part, other: _Part) -> bool:
    """Return whether the other part, to the right, is of the same line."""
    heights = one.height, other.height
    height = max(heights)
    gap = float(other.x[0] - one.x[-1])
    near = max(4, int(2 * height / detector.APART[1]))
    step = float(np.median(other.middle[:near]) - np.median(one.middle[-near:]))
    alike = min(heights) > _LIKE * height or min(_columns(one), _columns(other)) < height
    return -height < gap < _GAP * height and abs(step) < _STEP * height and alike


def _columns(part: _Part) -> float:
    return float(part.x[-1] - part.x[0])


def _long(part: _Part) -> bool:
    return _columns(part) > 4 * part.height


def _slope(part: _Part) -> float:
    if len(part.x) < 3:
        return 0.0
    return float(np.polyfit(part.x, part.middle, 1, w=part.sure)[0])


def _found(part: _Part, slope: float) -> Found:
    half = detector.APART[1] / 2
    left, right = float(part.x[0]) - half, float(part.x.max()) + half
    fall = slope * (part.x - (left + right) / 2)
    top = float(np.percentile(part.top - fall, 10))
    # Few letters reach below the others.
    bottom = float(np.percentile(part.bottom - fall, 98))
    return Found(Band(left, right, top, bottom, slope), float(part.sure.mean()))
