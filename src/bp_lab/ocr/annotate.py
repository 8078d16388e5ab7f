"""A picture with boxes around what was read, and beside it what was read, each where it stands."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bp_lab.ocr.reading import Line

if TYPE_CHECKING:
    from PIL import Image

_LINE = (70, 110, 220)
_SURE, _UNSURE = np.array((15, 125, 60)), np.array((215, 40, 30))
_LEAST_SIDE = 900
_FONT = 1.0
_SMALLEST_FONT = 8


def annotated(picture: np.ndarray, lines: Sequence[Line]) -> "Image.Image":
    """Return a picture with the boxes of lines and characters, and beside it the characters.

    What the network is sure of is green, and turns red where it is not. A wide picture has the
    characters below it.

    Args:
      picture: grey, uint8 (rows, columns).
      lines: what was read in it.
    """
    from PIL import Image, ImageDraw

    rows, columns = picture.shape
    factor = max(1, min(4, round(_LEAST_SIDE / max(rows, columns))))
    width, height = factor * columns, factor * rows
    across, down = (0, height) if columns > rows else (width, 0)
    pale = 255 - (255 - picture.astype(np.float32)) * 0.7
    shown = Image.fromarray(pale.astype(np.uint8)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    both = Image.new("RGB", (width + across, height + down), "white")
    both.paste(shown, (0, 0))
    pen = ImageDraw.Draw(both)
    thick = max(1, round(max(width, height) / 1800))
    for line in lines:
        _frame(pen, line, factor, thick)
        _write(pen, line, factor, (across, down))
    edge = (across, 0, across, height) if across else (0, down, width, down)
    pen.line(edge, fill=_LINE, width=thick)
    return both


def _colour(confidence: float) -> tuple[int, int, int]:
    # Below one half all is doubtful alike.
    share = min(max(2 * confidence - 1, 0.0), 1.0)
    red, green, blue = (share * _SURE + (1 - share) * _UNSURE).round().astype(int)
    return int(red), int(green), int(blue)


def _frame(pen: Any, line: Line, factor: int, thick: int) -> None:
    for character in line.characters:
        edges = [factor * edge for edge in character.box]
        pen.rectangle(edges, outline=_colour(character.confidence), width=thick)
    left, top, right, bottom = (factor * edge for edge in line.box)
    room = 2 * thick
    outer = (left - room, top - room, right + room, bottom + room)
    pen.rectangle(outer, outline=_LINE, width=thick)


def _write(pen: Any, line: Line, factor: int, place: tuple[int, int]) -> None:
    """Write each character of a line as far from a corner as it is in the picture."""
    from PIL import ImageFont

    across, down = place
    heights = [bottom - top for _, (_, top, _, bottom), _ in line.characters]
    size = max(_SMALLEST_FONT, round(_FONT * factor * max(heights)))
    font = ImageFont.load_default(size)
    middles = [(left + right) / 2 for _, (left, _, right, _), _ in line.characters]
    lows = [bottom for _, (*_, bottom), _ in line.characters]
    # The baseline may rise: a straight line through most of the lower edges.
    rise = np.polyfit(middles, lows, 1) if len(lows) > 4 else (0.0, float(np.median(lows)))
    for character, middle in zip(line.characters, middles, strict=True):
        low = float(np.polyval(rise, middle))
        at = (across + factor * middle, down + factor * low)
        pen.text(at, character.text, font=font, fill=_colour(character.confidence), anchor="ms")


def as_png(image: "Image.Image") -> bytes:
    """Return an image as the content of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
