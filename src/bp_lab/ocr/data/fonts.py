"""Glyphs of the fonts that the installed packages bring along, drawn once for each size."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bp_lab.ocr.data.text import ALPHABET, DIGITS, LETTERS

if TYPE_CHECKING:
    from PIL import ImageFont

_PLAIN = LETTERS + LETTERS.upper() + DIGITS + " !#$%&()*+,-./:;=?@[]"
"""What Computer Modern has in its ASCII places; in the others it has something else."""

FAMILIES: dict[str, tuple[str, ...]] = {
    "DejaVu Sans": tuple(
        f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")
    ),
    "DejaVu Sans Mono": tuple(
        f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")
    ),
    "DejaVu Serif": tuple(
        f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")
    ),
    "STIX": tuple(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    "Computer Modern": ("cmr10", "cmss10", "cmb10", "cmtt10"),
    "Aileron": ("",),
}
"""Names of the fonts of each family: files of matplotlib, "" for the font inside Pillow."""

UNSEEN = "DejaVu Serif"
_LARGE = 64

TRAINED = tuple(family for family in FAMILIES if family != UNSEEN)


class Glyph(NamedTuple):
    """A character's ink, 0 … 255, its place from the pen on the baseline, and the pen's advance."""

    ink: np.ndarray
    left: int
    top: int
    advance: float


class Face(NamedTuple):
    """A font at a size in pixels."""

    name: str
    size: int


def characters(name: str) -> str:
    """Return the characters that a font can show."""
    return _PLAIN if name in ("cmr10", "cmss10", "cmb10") else ALPHABET


@functools.cache
def _opened(face: Face) -> "ImageFont.FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    if not face.name:
        font = ImageFont.load_default(face.size)
        assert isinstance(font, ImageFont.FreeTypeFont)
        return font
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face.name}.ttf"
    return ImageFont.truetype(str(path), face.size, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def glyph(face: Face, character: str) -> Glyph:
    """Return a character of a font."""
    from PIL import Image, ImageDraw

    font = _opened(face)
    if character == " ":
        return Glyph(np.zeros((0, 0), np.uint8), 0, 0, 0.3 * face.size)
    left, top, right, bottom = map(int, font.getbbox(character, anchor="ls"))
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), character, fill=255, font=font, anchor="ls")
    return Glyph(np.asarray(image), left, top, font.getlength(character))


def kerning(face: Face, pair: str) -> float:
    """Return what the font adds to the pen's advance between two characters."""
    return _kerning(face.name, pair) * face.size


@functools.cache
def _kerning(name: str, pair: str) -> float:
    font = _opened(Face(name, _LARGE))
    return (font.getlength(pair) - font.getlength(pair[0]) - font.getlength(pair[1])) / _LARGE
