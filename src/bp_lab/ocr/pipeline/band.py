"""A line of text in a picture: a strip that may rise or fall."""

from typing import NamedTuple

import numpy as np

from bp_lab.ocr.data import Box, Line


class Band(NamedTuple):
    """A strip, in pixels.

    Attributes:
      left: its first column.
      right: behind its last column.
      top: the row of its upper edge, in the middle between left and right.
      bottom: the row behind its lower edge, there too.
      slope: rows that it falls by from one column to the next.
    """

    left: float
    right: float
    top: float
    bottom: float
    slope: float

    @property
    def height(self) -> float:
        """Rows between its edges."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """The column where `top` and `bottom` are."""
        return (self.left + self.right) / 2

    @property
    def box(self) -> Box:
        """The box that holds the strip."""
        fall = abs(self.slope) * (self.right - self.left) / 2
        return self.left, self.top - fall, self.right, self.bottom + fall

    def scaled(self, factor: float) -> "Band":
        """Return the same strip in a picture enlarged by the factor."""
        left, right, top, bottom = (factor * edge for edge in self[:4])
        return Band(left, right, top, bottom, self.slope)


class Strip(NamedTuple):
    """What a band shows, set straight.

    Attributes:
      image: grey, of the picture's dtype (rows, columns).
      left: the column of the picture that column 0 shows.
      top: the row that row 0 shows in the band's middle.
      band: the band.
    """

    image: np.ndarray
    left: float
    top: float
    band: Band

    def to_strip(self, box: Box) -> Box:
        """Return where in the strip a box of the picture is, that of ink that rises along."""
        left, top, right, bottom = box
        fall = self.band.slope * ((left + right) / 2 - self.band.middle)
        across, down = self.left, self.top + fall
        return left - across, top - down, right - across, bottom - down

    def to_picture(self, box: Box) -> Box:
        """Return where in the picture a box of the strip is."""
        left, top, right, bottom = box
        across = (left + right) / 2 + self.left
        fall = self.band.slope * (across - self.band.middle)
        down = self.top + fall
        return left + self.left, top + down, right + self.left, bottom + down


def cut(
    picture: np.ndarray, band: Band, *, above: float = 0.1, beside: float = 0.3, ground: int = 0
) -> Strip:
    """Return what a band shows, with a margin.

    Args:
      picture: grey, uint8 or float32 (rows, columns).
      band: where.
      above: the margin above and below, in heights of the band.
      beside: the margin on the left and the right, in heights of the band.
      ground: what is seen outside of the picture.
    """
    from PIL import Image

    height = max(band.height, 1.0)
    left, top = band.left - beside * height, band.top - above * height
    columns = max(1, round(band.right - band.left + 2 * beside * height))
    rows = max(2, round((1 + 2 * above) * height))
    # Row v and column u show the picture at column left + u, and at row top + v + what it falls.
    start = top + band.slope * (left + 0.5 - band.middle)
    change = (1, 0, left, band.slope, 1, start)
    image = Image.fromarray(picture).transform(
        (columns, rows), Image.Transform.AFFINE, change, Image.Resampling.BILINEAR, fillcolor=ground
    )
    return Strip(np.asarray(image), left, top, band)


def bands_of(lines: tuple[Line, ...]) -> list[Band]:
    """Return the true band of every line of a page, all with the one slope that fits best."""
    slope = _slope(lines)
    return [_around(line, slope) for line in lines]


def _slope(lines: tuple[Line, ...]) -> float:
    """Return the slope of the lower edges of the characters, each line with an offset of its own.

    Of the slopes of all pairs of neighbours that are 3 apart the weighted median is not moved by
    descenders.
    """
    slopes, weights = [0.0], [1e-3]
    for line in lines:
        centres = np.array([(left + right) / 2 for _, (left, _, right, _) in line.characters])
        bottoms = np.array([bottom for _, (*_, bottom) in line.characters], float)
        apart = max(1, len(centres) // 2)
        across = centres[apart:] - centres[:-apart]
        far = across > 4
        slopes += list((bottoms[apart:] - bottoms[:-apart])[far] / across[far])
        weights += list(across[far])
    order = np.argsort(slopes)
    reached = np.cumsum(np.array(weights)[order])
    return float(np.array(slopes)[order][np.searchsorted(reached, reached[-1] / 2)])


def _around(line: Line, slope: float) -> Band:
    left, _, right, _ = line.box
    middle = (left + right) / 2
    tops, bottoms = [], []
    for _, (start, top, end, bottom) in line.characters:
        fall = slope * ((start + end) / 2 - middle)
        tops.append(top - fall)
        bottoms.append(bottom - fall)
    return Band(left, right, min(tops), max(bottoms), slope)
