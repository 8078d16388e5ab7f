"""Glyphs set beside each other, as ink and as numbers that say whose ink it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bp_lab.ocr.data import fonts, scans, text
from bp_lab.ocr.data.fonts import Face, Glyph
from bp_lab.ocr.data.splits import Split

_OWNED = 96
"""From this coverage on, of 255, a pixel counts as a character's ink."""

_SCANNED = 0.15
"""The share of the lines of scanned digits among those of the training."""


class Laid(NamedTuple):
    """A line as it was set.

    Attributes:
      text: what it says.
      ink: coverage, uint8 (rows, columns), without a margin.
      owner: int32 (rows, columns), the place in `text` plus one of the character whose ink it is.
    """

    text: str
    ink: np.ndarray
    owner: np.ndarray


def family(rng: np.random.Generator, split: Split) -> str:
    """Return a family of fonts that the split draws with; "" for scanned digits."""
    if split == "digits" or (split == "train" and rng.random() < _SCANNED):
        return ""
    if split == "unseen family":
        return fonts.UNSEEN
    return str(rng.choice(fonts.TRAINED))


def line(rng: np.random.Generator, split: Split, family: str, size: int, longest: int) -> Laid:
    """Return a line of random text of at most so many characters.

    Args:
      rng: the random numbers.
      split: which words and scans may occur.
      family: of the fonts, "" for scanned digits.
      size: of the font in pixels.
      longest: the most characters.
    """
    if not family:
        said = text.digits(rng, longest)
        part = "train" if split == "train" else "test"
        return _set(said, [scans.glyph(rng, digit, size, part=part) for digit in said], 0, rng)
    name = str(rng.choice(fonts.FAMILIES[family]))
    drawn = text.draw(rng, longest, held_out=split != "train")
    known = fonts.characters(name)
    said = " ".join("".join(c for c in drawn if c in known).split()) or "a"
    face = Face(name, size)
    tracking = rng.choice([0.0, rng.uniform(-0.03, 0.15)]) * size
    glyphs = [fonts.glyph(face, character) for character in said]
    if rng.random() < 0.5:
        pairs = (said[place : place + 2] for place in range(len(said) - 1))
        kerned = [fonts.kerning(face, pair) for pair in pairs] + [0.0]
        glyphs = [
            one._replace(advance=one.advance + more)
            for one, more in zip(glyphs, kerned, strict=True)
        ]
    return _set(said, glyphs, tracking, rng)


def _set(said: str, glyphs: Sequence[Glyph], tracking: float, rng: np.random.Generator) -> Laid:
    """Return the glyphs side by side; the width of the spaces is drawn for the whole line."""
    space = rng.uniform(0.8, 1.5)
    pens, pen = [], 0.0
    for character, glyph in zip(said, glyphs, strict=True):
        pens.append(round(pen))
        pen += glyph.advance * (space if character == " " else 1) + tracking
    shown = [
        (number, pen + glyph.left, glyph)
        for number, (pen, glyph) in enumerate(zip(pens, glyphs, strict=True), start=1)
        if glyph.ink.size
    ]
    left, top = min(start for _, start, _ in shown), min(glyph.top for *_, glyph in shown)
    right = max(start + glyph.ink.shape[1] for _, start, glyph in shown)
    bottom = max(glyph.top + glyph.ink.shape[0] for *_, glyph in shown)
    ink = np.zeros((bottom - top, right - left), np.uint8)
    owner = np.zeros(ink.shape, np.int32)
    for number, start, glyph in shown:
        rows, columns = glyph.ink.shape
        place = np.s_[glyph.top - top :, start - left :]
        window, owned = ink[place][:rows, :columns], owner[place][:rows, :columns]
        owned[(glyph.ink >= _OWNED) & (glyph.ink > window)] = number
        np.maximum(window, glyph.ink, out=window)
    return Laid(said, ink, owner)
