"""What a check says: a word, the rows of its witnesses, what the mistake looks like."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np


class Verdict(StrEnum):
    """The word for a check."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class Kind(StrEnum):
    """What a mistake looks like."""

    SIGN = "sign error"
    FACTOR = "constant factor"
    PERMUTED = "axes permuted"
    FLIPPED = "axes flipped"
    SWAPPED = "cotangents swapped"
    BATCH_SUM = "batch sum missing or averaged"
    UPSTREAM = "upstream cotangent ignored"
    TERM = "term missing"
    MISSING_FACTOR = "elementwise factor missing"
    PART_ZERO = "part of the gradient zero"
    FEW = "few entries wrong"
    DTYPE = "wrong dtype"
    SHAPE = "wrong shape"
    NAN = "NaN leaked"
    PRECISION = "digits lost"
    FORWARD = "forward differs"
    NONLINEAR = "not linear in the cotangent"
    TRANSFORMED = "differs under a transformation"
    UNKNOWN = "no known mistake fits"


class GradientMismatch(AssertionError):  # noqa: N818
    """A hand-written gradient that the witnesses contradict; the message is the report."""


@dataclass(frozen=True)
class Diagnosis:
    """One explanation of an error.

    Attributes:
      kind: the class of mistake.
      says: the explanation in words, with its figures: "sign error", "½ × truth", "− x̂ ⟨dy⟩".
      left: the share of the error that it leaves unexplained, ‖hand mended − truth‖ over
        ‖hand − truth‖; 0 explains everything.
    """

    kind: Kind
    says: str
    left: float


@dataclass(frozen=True)
class Row:
    """What one witness says of one leaf.

    Attributes:
      witness: "structure", "value", "linearity", "jax.grad", "finite difference", …
      leaf: the argument, output or δ, as Python would write it.
      error: relative error seen.
      tolerance: the largest that passes.
      verdict: the word.
      visible: the smallest relative error that the row could have seen; by default the tolerance.
      vacuous: whether the truth was 0, so that the row passes and shows little.
      index: of the worst entry; None where the row is not about entries.
      hand: the hand-written value there.
      truth: the true value there.
      detail: the worst entry, in words, where the row did not pass; that x is at a kink.
      heat: the largest error in each block of the leaf laid out in two dimensions, at most
        24 × 24; empty where the row is not about entries.
    """

    witness: str
    leaf: str
    error: float
    tolerance: float
    verdict: Verdict
    visible: float | None = None
    vacuous: bool = False
    index: tuple[int, ...] | None = None
    hand: float | None = None
    truth: float | None = None
    detail: str = ""
    heat: tuple[tuple[float, ...], ...] = ()

    @property
    def sees(self) -> float:
        """The smallest relative error that the row could have seen."""
        return self.tolerance if self.visible is None else self.visible

    @property
    def passed(self) -> bool:
        """Whether the word is PASS."""
        return self.verdict is Verdict.PASS

    @property
    def place(self) -> str:
        """The worst entry, as Python would write it."""
        index = ", ".join(map(str, self.index or ()))
        return f"{self.leaf}[{index}]" if index else self.leaf

    @property
    def size(self) -> float:
        """The error as a multiple of what passes."""
        return self.error / (self.tolerance or np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Report:
    """All rows of one check. Truthy when it passed; prints as a table.

    Attributes:
      name: what was checked.
      dtype: of its first floating argument.
      rows: what each witness says of each leaf.
      diagnoses: for each leaf that failed, what the mistake looks like, best fit first.
      notes: what was not possible and why; vacuity; kinks; the first stage of a model that parts.
      level: "fast" or "full".
      seed: of everything random.
      device: where it ran, as "cpu" or "gpu: NVIDIA …".
      stage: of a model, the first stage from the loss end whose δ parts; empty otherwise.
    """

    name: str
    dtype: str
    rows: tuple[Row, ...]
    diagnoses: Mapping[str, tuple[Diagnosis, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    level: str = "fast"
    seed: int = 0
    device: str = "cpu"
    stage: str = ""

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
        """The differentiated leaves whose truth was 0 in every row."""
        rows = [row for row in self.rows if row.witness != "value"]
        seen = {row.leaf for row in rows if not row.vacuous}
        return tuple(dict.fromkeys(row.leaf for row in rows if row.leaf not in seen))

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows that failed, the one that tells most first."""
        rows = [row for row in self.rows if row.verdict is Verdict.FAIL]
        # A forward that differs explains whatever else does.
        order = {"structure": 0, "value": 1}
        return tuple(
            sorted(rows, key=lambda r: (order.get(r.witness, 2), r.index is None, -r.error))
        )

    @property
    def headline(self) -> str:
        """Where it fails and what the mistake looks like, in one line; empty where it does not."""
        if not self.failed:
            return ""
        row = self.failed[0]
        explained = self.diagnoses.get(row.leaf, ())
        says = explained[0].says if explained else ""
        if row.hand is not None and row.truth is not None:
            says = ": ".join(filter(None, (_relation(row.hand, row.truth), says)))
        told = row.detail.removeprefix(f"{row.leaf}: ")
        return f"{row.place}: {says or told or row.witness}"

    def worst(self, witness: str | None = None) -> Row | None:
        """Return the row of a witness, or of all, with the largest error to its tolerance."""
        rows = [row for row in self.rows if witness in (None, row.witness)]
        return max(rows, key=lambda row: row.size, default=None)

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
            "headline": self.headline,
            "stage": self.stage,
            "level": self.level,
            "seed": self.seed,
            "device": self.device,
            "notes": list(self.notes),
            "unseen": list(self.unseen),
            "diagnoses": {
                leaf: [{**vars(d), "kind": str(d.kind)} for d in found]
                for leaf, found in self.diagnoses.items()
            },
            "rows": [
                {**vars(row), "visible": row.sees, "verdict": str(row.verdict)} for row in self.rows
            ],
        }

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained page."""
        from jax_ref import page

        page.write([self], path)

    def __bool__(self) -> bool:
        return self.verdict is Verdict.PASS

    def __str__(self) -> str:
        shown = [row for row in self.rows if row.verdict is not Verdict.PASS] or self.rows
        lines = [self.headline] if self.headline else []
        lines.append(f"{self.name} [{self.dtype}]: {self.verdict}")
        if self.stage:
            lines.append(f"  first parts at {self.stage}")
        for leaf, found in self.diagnoses.items():
            lines += [f"  {leaf}: {d.says} ({d.kind}; leaves {d.left:.1%})" for d in found[:3]]
        lines += [f"  {leaf}: zero gradient everywhere: nothing seen" for leaf in self.unseen]
        for row in shown:
            line = f"  {row.verdict:12} {row.witness:18} {row.leaf:20}"
            line += f" error {row.error:.2e}, tolerance {row.tolerance:.2e}, sees {row.sees:.0e}"
            lines.append(line)
            if row.detail:
                lines.append(f"      {row.detail}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def __rich__(self) -> Any:
        from jax_ref import console

        return console.render(self)


def merge(name: str, dtype: str, reports: Iterable[Report]) -> Report:
    """Return one report with the rows, diagnoses and notes of all."""
    reports = list(reports)
    diagnoses: dict[str, tuple[Diagnosis, ...]] = {}
    for report in reports:
        diagnoses |= {leaf: d for leaf, d in report.diagnoses.items() if leaf not in diagnoses}
    first = reports[0] if reports else Report(name, dtype, ())
    return replace(
        first,
        name=name,
        dtype=dtype,
        rows=tuple(row for report in reports for row in report.rows),
        diagnoses=diagnoses,
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)),
    )


def _relation(hand: float, truth: float) -> str:
    """Return how the hand's value stands to the truth: "hand −1.000 × truth"."""
    if not np.isfinite(hand):
        return f"hand {hand}, truth {truth:.9g}"
    if not truth or not np.isfinite(truth) or abs(hand / truth - 1) < 5e-4:
        return f"hand {hand:.9g}, truth {truth:.9g}"
    ratio = hand / truth
    shown = f"{ratio:.3f}" if 1e-3 < abs(ratio) < 1e4 else f"{ratio:.3g}"
    return f"hand {shown.replace('-', '−')} × truth"
