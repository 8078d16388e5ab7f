"""What is written in a picture, and where."""

from typing import NamedTuple

import numpy as np

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels; the right and bottom edges lie behind the last pixel."""


class Character(NamedTuple):
    """A character with the box of its ink."""

    text: str
    box: Box


class Line(NamedTuple):
    """A line of text, the box of its ink, and its characters but the spaces."""

    text: str
    box: Box
    characters: tuple[Character, ...]


class Page(NamedTuple):
    """A grey picture, uint8 (rows, columns), and its lines from top to bottom."""

    image: np.ndarray
    lines: tuple[Line, ...]


def around(characters: tuple[Character, ...]) -> Box:
    """Return the box of all characters; there is one at least."""
    lefts, tops, rights, bottoms = zip(*(character.box for character in characters), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
