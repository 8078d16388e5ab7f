"""How well pages are read: by counts that add up over pages."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from bp_lab.ocr.data import Box
from bp_lab.ocr.evaluation import distance

MATCH = 0.5


@dataclass(frozen=True)
class Count:
    """How many there are, how many were found, and how many of these are right."""

    true: int = 0
    found: int = 0
    right: int = 0

    def __add__(self, other: "Count") -> "Count":
        """Return both together."""
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        return Count(*sums)

    @property
    def recall(self) -> float:
        """The share of what there is that was found; 1 where there is nothing."""
        return self.right / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        """The share of what was found that is right; 1 where nothing was found."""
        return self.right / self.found if self.found else 1.0


def iou(one: Box, other: Box) -> float:
    """Return the area that two boxes share over the area of both together."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(across, 0.0) * max(down, 0.0)
    areas = sum((right - left) * (bottom - top) for left, top, right, bottom in (one, other))
    return shared / max(areas - shared, 1e-9)


def matched(true: Sequence[Box], found: Sequence[Box]) -> list[tuple[int, int]]:
    """Return pairs of a true box and a found one that are more than half the same, each once."""
    pairs = sorted(
        ((iou(a, b), i, j) for i, a in enumerate(true) for j, b in enumerate(found)), reverse=True
    )
    left, right = set(range(len(true))), set(range(len(found)))
    kept = []
    for share, i, j in pairs:
        if share >= MATCH and i in left and j in right:
            left.remove(i)
            right.remove(j)
            kept.append((i, j))
    return kept


def count(true: Sequence[Box], found: Sequence[Box]) -> Count:
    """Return how many boxes were found."""
    return Count(len(true), len(found), len(matched(true, found)))


def of_texts(true: Sequence[str], read: Sequence[str]) -> Count:
    """Return how many characters of lines were read right, by the fewest edits of each line."""
    wrong = sum(distance(b, a) for a, b in zip(true, read, strict=True))
    characters = sum(map(len, true))
    return Count(characters, sum(map(len, read)), characters - wrong)
