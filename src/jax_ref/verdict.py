"""From numbers to a word: how two arrays are compared, and what the comparison is worth.

Error    Of a leaf, the larger of  max|hand − truth| / max|truth|  (elementwise) and
         ‖hand − truth‖ / ‖truth‖  (normwise). Neither grows with the number of elements.
Vacuous  A leaf whose truth is 0 throughout, or below the rounding noise, passes where the hand is
         as small; but a check that saw nothing else of that leaf has shown nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np


class Verdict(StrEnum):
    """The word for a check."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class GradientMismatch(AssertionError):  # noqa: N818
    """A hand-written gradient that the witnesses contradict; the message is the report."""


@dataclass(frozen=True)
class Row:
    """What one witness says of one leaf.

    Attributes:
      witness: "structure", "value", "jax.grad", "finite difference" or "precision".
      leaf: the argument, output or δ, as Python would write it.
      error: relative error seen.
      tolerance: the largest that passes; no error below it could have been seen.
      verdict: the word.
      vacuous: whether the truth was 0, so that the row passes and shows little.
      detail: the worst entry, in words, where the row did not pass; that x is at a kink.
    """

    witness: str
    leaf: str
    error: float
    tolerance: float
    verdict: Verdict
    vacuous: bool = False
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All rows of one check. Truthy when it passed; prints as a table."""

    name: str
    dtype: str
    rows: tuple[Row, ...]

    @property
    def verdict(self) -> Verdict:
        """FAIL if any row failed, INCONCLUSIVE if any leaf was never seen, else PASS."""
        verdicts = {row.verdict for row in self.rows}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        if Verdict.INCONCLUSIVE in verdicts or not self.rows or self.unseen:
            return Verdict.INCONCLUSIVE
        return Verdict.PASS

    @property
    def unseen(self) -> tuple[str, ...]:
        """The leaves whose truth was 0 in every row."""
        seen = {row.leaf for row in self.rows if not row.vacuous}
        return tuple(dict.fromkeys(row.leaf for row in self.rows if row.leaf not in seen))

    def worst(self, witness: str | None = None) -> Row | None:
        """Return the row of a witness, or of all, with the largest error to its tolerance."""
        rows = [row for row in self.rows if witness in (None, row.witness)]
        return max(rows, key=lambda row: row.error / row.tolerance, default=None)

    def worst_errors(self) -> dict[str, float]:
        """Return the largest error that each witness saw."""
        errors: dict[str, float] = {}
        for row in self.rows:
            errors[row.witness] = max(row.error, errors.get(row.witness, 0.0))
        return errors

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for JSON."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "verdict": str(self.verdict),
            "rows": [{**vars(row), "verdict": str(row.verdict)} for row in self.rows],
        }

    def __bool__(self) -> bool:
        return self.verdict is Verdict.PASS

    def __str__(self) -> str:
        shown = [row for row in self.rows if row.verdict is not Verdict.PASS] or self.rows
        lines = [f"{self.name} [{self.dtype}]: {self.verdict}"]
        lines += [f"  {leaf}: zero gradient everywhere: nothing seen" for leaf in self.unseen]
        for row in shown:
            line = f"  {row.verdict:12} {row.witness:18} {row.leaf:20}"
            lines.append(f"{line} error {row.error:.2e}, tolerance {row.tolerance:.2e}")
            if row.detail:
                lines.append(f"      {row.detail}")
        return "\n".join(lines)


def merge(name: str, dtype: str, reports: Iterable[Report]) -> Report:
    """Return one report with the rows of all."""
    return Report(name, dtype, tuple(row for report in reports for row in report.rows))


def describe(leaf: str, index: tuple[int, ...], hand: float, truth: float) -> str:
    """Return the line for one entry: case, leaf, index, both values, their ratio."""
    place = f"{leaf}[{', '.join(map(str, index))}]" if index else leaf
    ratio = f"{hand / truth:.6g}" if truth and np.isfinite(truth) else "∞"
    return f"{place}: hand {hand:.9g}, truth {truth:.9g}, ratio {ratio}"


def compare(
    witness: str, leaf: str, hand: Any, truth: Any, tolerance: float, noise: float = 0.0
) -> Row:
    """Return the row that holds one array against the truth, elementwise and normwise.

    Args:
      witness: who says what the truth is.
      leaf: name of the array.
      hand: hand-written value.
      truth: value to be met.
      tolerance: largest relative error that passes.
      noise: size below which the truth cannot be told from 0.
    """
    hand, truth = np.asarray(hand), np.asarray(truth)
    if hand.shape != truth.shape:
        detail = f"{leaf}: hand has shape {hand.shape}, truth {truth.shape}"
        return Row(witness, leaf, np.inf, tolerance, Verdict.FAIL, detail=detail)
    hand, truth = hand.astype(np.float64), truth.astype(np.float64)
    if not truth.size:
        return Row(witness, leaf, 0.0, tolerance, Verdict.PASS, vacuous=True)
    if not np.isfinite(truth).all():
        index = _first(~np.isfinite(truth))
        detail = describe(leaf, index, hand[index], truth[index])
        return Row(witness, leaf, np.inf, tolerance, Verdict.INCONCLUSIVE, detail=detail)
    difference = np.where(np.isfinite(hand), np.abs(hand - truth), np.inf)
    index = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), truth.shape))
    largest = float(np.abs(truth).max())
    vacuous = largest <= noise
    scale = max(largest, noise) or 1.0
    normwise = float(np.linalg.norm(difference)) / max(float(np.linalg.norm(truth)), scale)
    error = float(max(difference[index] / scale, normwise))
    # A truth of pure noise is met by anything as small as the noise.
    limit = max(tolerance, 1.0) if vacuous and noise else tolerance
    verdict = Verdict.PASS if error <= limit else Verdict.FAIL
    detail = "" if verdict is Verdict.PASS else describe(leaf, index, hand[index], truth[index])
    return Row(
        witness,
        leaf,
        0.0 if vacuous and not detail else error,
        tolerance,
        verdict,
        vacuous=vacuous,
        detail=detail,
    )


def _first(where: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])
