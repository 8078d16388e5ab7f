"""Lines in batches of a few shapes, so that a training step is compiled a few times."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bp_lab.ocr.data import ALPHABET, HEIGHT, LineImage

CLASSES = len(ALPHABET) + 1
"""The blank, and then the characters."""

BUCKETS = (96, 176, 304)
"""Columns of a batch; a line goes into the narrowest that holds it."""

_NUMBERS = {character: number for number, character in enumerate(ALPHABET, start=1)}


class Batch(NamedTuple):
    """Lines side by side with what they say.

    Attributes:
      x: float32 (batch, HEIGHT, columns, 1), 0 behind a line.
      widths: int32 (batch,), the columns of each line.
      labels: int32 (batch, s), class numbers, 0 behind a text.
      lengths: int32 (batch,), the characters of each text.
    """

    x: np.ndarray
    widths: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray


def columns_of(width: int) -> int:
    """Return the columns of the batch in which a line is read: a few sizes, for any width."""
    fitting = [columns for columns in BUCKETS if columns >= width]
    return fitting[0] if fitting else -(-width // BUCKETS[-1]) * BUCKETS[-1]


def batch(lines: Sequence[LineImage], columns: int, longest: int) -> Batch:
    """Return lines of at most so many columns and characters as one batch."""
    x = np.zeros((len(lines), HEIGHT, columns, 1), np.float32)
    labels = np.zeros((len(lines), longest), np.int32)
    for row, (image, text) in enumerate(lines):
        x[row, :, : image.shape[1], 0] = image
        labels[row, : len(text)] = [_NUMBERS[character] for character in text]
    widths = np.array([image.shape[1] for image, _ in lines], np.int32)
    return Batch(x, widths, labels, np.array([len(text) for _, text in lines], np.int32))


def batches(
    lines: Sequence[LineImage], size: int, longest: int, rng: np.random.Generator
) -> list[Batch]:
    """Return whole batches of lines of like width, in random order; what is over is left out."""
    groups: dict[int, list[LineImage]] = {columns: [] for columns in BUCKETS}
    for line in lines:
        columns = columns_of(line.image.shape[1])
        if columns in groups:
            groups[columns].append(line)
    made = [
        batch(group[start : start + size], columns, longest)
        for columns, group in groups.items()
        for start in range(0, len(group) - size + 1, size)
    ]
    return [made[place] for place in rng.permutation(len(made))]
