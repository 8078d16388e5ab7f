"""The rows of this run beside those of an older one: what got worse by more than the spread."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bp_lab.bench.row import Row
from bp_lab.errors import InputError

LEAST = 1.02  # a ratio that grew by less did not get worse
Key = tuple[str, str]


@dataclass(frozen=True)
class Old:
    """What an older run says of a row; its quartiles are the median where it gives none."""

    size: str | None
    time: tuple[float, float, float] | None
    memory: float | None


@dataclass(frozen=True)
class Regression:
    """A ratio of a row that got worse: before and now."""

    row: Row
    what: str
    before: float
    now: float

    def __str__(self) -> str:
        where = f"{self.row.name}, {self.row.size}, {self.row.dtype}"
        return f"{where}: {self.what} {self.before:.3g} → {self.now:.3g}"


def load(path: Path) -> dict[Key, list[Old]]:
    """Return the rows of a file that `--json` wrote, by name and dtype.

    Raises:
      InputError: the file cannot be read, or holds something else.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        loaded: dict[Key, list[Old]] = {}
        for row in rows:
            loaded.setdefault((_text(row["name"]), _text(row["dtype"])), []).append(_old(row))
    except OSError as error:
        raise _not_written_by_us(path, error.strerror or error) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _not_written_by_us(path, what) from None
    return loaded


def _not_written_by_us(path: Path, why: object) -> InputError:
    return InputError("bench", "--compare", "a file that --json wrote", f"{path} ({why})")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{value!r} is no ratio")
    return float(value)


def _old(row: Mapping[str, Any]) -> Old:
    middle = _number(row["time_ratio"])
    given = row.get("time_ratio_quartiles") or (middle, middle)
    low, high = map(_number, given)
    time = None if middle is None or low is None or high is None else (low, middle, high)
    size = row.get("size")
    return Old(None if size is None else _text(size), time, _number(row["memory_ratio"]))


def regressions(before: Mapping[Key, Sequence[Old]], rows: Sequence[Row]) -> list[Regression]:
    """Return what got worse: time by more than both spreads, memory at all, each by 2 % or more.

    Time got worse where the lower quartile now lies above the upper one before.
    """
    found = []
    for row in rows:
        old = matching(before, row)
        if old is None:
            continue
        if old.time is not None and row.time_ratio is not None:
            _, middle, high = old.time
            low, _ = row.time_ratio_quartiles or (row.time_ratio, row.time_ratio)
            if low > high and row.time_ratio > LEAST * middle:
                found.append(Regression(row, "time", middle, row.time_ratio))
        memory = row.memory_ratio
        if old.memory is not None and memory is not None and memory > LEAST * old.memory:
            found.append(Regression(row, "memory", old.memory, memory))
    return found


def matching(before: Mapping[Key, Sequence[Old]], row: Row) -> Old | None:
    """Return what the older run says of a row, of the same size where it gives sizes."""
    for old in before.get((row.name, row.dtype), ()):
        if old.size in (None, row.size):
            return old
    return None
