"""The page of a check: one file that a browser opens from the disk, without a network.

Data     `page.html` holds the layout; the reports stand in it as JSON, in which every `<` is
         escaped, so that no name can end the element. A row is a list in the order of `FIELDS`.
         Infinities and NaN are strings, for JSON has no word for them.
Maps     Each distinct heat map is written once, as bfloat16 in base64, which keeps two digits in
         any range. A page has room for `CELLS` cells: rows that failed come first, then of each
         report the rows nearest to their tolerance; the others say that their map was left out.
"""

import base64
import dataclasses
import html
import json
import math
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_ref import whole_files
from jax_ref.errors import CheckError
from jax_ref.verdict import Report, Row, Verdict

FIELDS = tuple(field.name for field in dataclasses.fields(Row))
CELLS = 600_000
LEFT_OUT = -1
# Witnesses that hold a rule against itself: a wrong gradient may satisfy them all.
ITSELF = (
    "structure",
    "inputs",
    "linearity",
    "deterministic",
    "jit = eager",
    "vmap",
    "scan",
    "remat",
)
DIGITS = {"error": 3, "tolerance": 3, "visible": 3, "hand": 9, "truth": 9}

Map = tuple[tuple[float, ...], ...]


def render(reports: Sequence[Report], *, title: str = "Gradient check") -> str:
    """Return the page as HTML.

    Args:
      reports: one for each row of the page, in its first order among equal verdicts.
      title: over the page and in the browser's tab.

    Raises:
      CheckError: there are no reports.
    """
    if not reports:
        raise CheckError("page", "reports", "at least one report", "none")
    maps = _numbered_maps(reports)
    content = {
        "fields": FIELDS,
        "itself": ITSELF,
        "maps": [[len(heat[0]), _packed(heat)] for heat in maps],
        "reports": [_plain(report, maps) for report in reports],
    }
    parts = {
        "title": html.escape(title),
        "verdict": str(_overall(reports)),
        "data": json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    template = resources.files("jax_ref").joinpath("page.html").read_text(encoding="utf-8")
    # In one pass, so that a title is never read for a placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def write(reports: Sequence[Report], path: str | Path, *, title: str = "Gradient check") -> None:
    """Write the page so that the file is the old one or the new one, whole, at every instant.

    Args:
      reports: one for each row of the page.
      path: the file, in a folder that exists.
      title: over the page and in the browser's tab.

    Raises:
      CheckError: there are no reports, or the file cannot be written.
    """
    path = Path(path)
    content = render(reports, title=title).encode("utf-8", "xmlcharrefreplace")
    try:
        if path.is_dir() or not path.parent.is_dir():
            raise CheckError("page", "path", "a file in an existing folder", path)
        whole_files.replace(path, content)
    except OSError as error:
        expected = f"{path} to be a file that can be written"
        raise CheckError("page", "path", expected, error.strerror or error) from None


def _overall(reports: Sequence[Report]) -> Verdict:
    verdicts = {report.verdict for report in reports}
    worst_first = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    return next(verdict for verdict in worst_first if verdict in verdicts)


def _plain(report: Report, maps: dict[Map, int]) -> dict[str, Any]:
    """Return the report for JSON, its rows as lists."""
    plain = report.to_dict() | {"rows": [_row(row, maps) for row in report.rows]}
    for found in plain["diagnoses"].values():
        for diagnosis in found:
            diagnosis["left"] = _number(diagnosis["left"], 3)
    return plain


def _row(row: Row, maps: dict[Map, int]) -> list[Any]:
    plain = vars(row) | {
        "visible": row.sees,
        "vacuous": int(row.vacuous),
        "heat": maps.get(row.heat, LEFT_OUT) if row.heat else None,
    }
    numbers = {name: _number(plain[name], digits) for name, digits in DIGITS.items()}
    return list((plain | numbers).values())


def _number(value: float | None, digits: int) -> float | str | None:
    """Return a number of so many digits; one that JSON has no word for, as JavaScript writes it."""
    if value is None:
        return None
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return float(f"{value:.{digits}g}")


def _numbered_maps(reports: Sequence[Report]) -> dict[Map, int]:
    """Return the number of each distinct heat map that the page has room for."""
    ranked = [
        (row.verdict is Verdict.PASS, rank, row.heat)
        for report in reports
        for rank, row in enumerate(sorted(report.rows, key=lambda row: -row.size))
        if row.heat
    ]
    maps: dict[Map, int] = {}
    room = CELLS
    for _, _, heat in sorted(ranked, key=lambda entry: entry[:2]):
        cells = len(heat) * len(heat[0])
        if heat not in maps and cells <= room:
            maps[heat] = len(maps)
            room -= cells
    return maps


def _packed(heat: Map) -> str:
    """Return the cells, row by row, as bfloat16 in base64, low byte first."""
    bits = np.asarray(heat, np.float32).astype(jnp.bfloat16).view(np.uint16)
    return base64.b64encode(bits.astype("<u2").tobytes()).decode()
