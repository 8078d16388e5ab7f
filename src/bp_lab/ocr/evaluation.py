"""How well lines are read that the training never saw."""

from collections.abc import Sequence
from typing import Any

from bp_lab.ocr.data import SPLITS, Split, lines
from bp_lab.ocr.reader import Reader

SEED = 1_000_003
"""Of the pictures that figures are told of; the training draws with others."""

HELD_OUT: tuple[Split, ...] = tuple(split for split in SPLITS if split != "train")


def distance(read: str, true: str) -> int:
    """Return how many characters must be put in, taken out or changed: Levenshtein's distance."""
    before = list(range(len(true) + 1))
    for row, one in enumerate(read, start=1):
        now = [row]
        for column, other in enumerate(true, start=1):
            change = before[column - 1] + (one != other)
            now.append(min(before[column] + 1, now[-1] + 1, change))
        before = now
    return before[-1]


def error_rate(read: Sequence[str], true: Sequence[str]) -> float:
    """Return the distances over the characters that were to be read; there is one at least."""
    wrong = sum(distance(*pair) for pair in zip(read, true, strict=True))
    return wrong / sum(map(len, true))


def evaluate(
    reader: Reader, count: int, *, beam: int | None = 8, splits: Sequence[Split] = HELD_OUT
) -> dict[str, Any]:
    """Return for each split its figures over so many lines.

    Returns:
      `error_rate`, `exact_lines`, the share of lines without an error, and `characters`, how many
      were to be read.
    """
    figures: dict[str, Any] = {}
    for split in splits:
        drawn = lines(SEED, count, split=split)
        read = [one.text for one in reader.read([line.image for line in drawn], beam=beam)]
        true = [line.text for line in drawn]
        exact = sum(one == other for one, other in zip(read, true, strict=True))
        figures[split] = {
            "error_rate": error_rate(read, true),
            "exact_lines": exact / count,
            "characters": sum(map(len, true)),
        }
    return figures
