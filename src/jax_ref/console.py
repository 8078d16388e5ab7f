"""A report in a terminal: the headline, the verdict, what the mistake looks like, the rows.

Needs rich, which nothing else of `jax_ref` does. Names are text and never read for markup.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jax_ref.verdict import Report, Row, Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow"}
GLYPHS = {Verdict.PASS: "✓", Verdict.FAIL: "✕", Verdict.INCONCLUSIVE: "?"}
DIAGNOSES = 3  # of one leaf


def render(report: Report) -> "RenderableType":
    """Return the report for `rich.print`, readable from 80 columns on.

    The rows that failed are shown first, then the inconclusive ones; those that pass where all do.
    """
    from rich.console import Group

    order = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1}
    shown = [row for row in report.rows if row.verdict in order] or list(report.rows)
    shown.sort(key=lambda row: order.get(row.verdict, 2))
    passed = len(report.rows) - len(shown)
    parts: list[RenderableType] = [*_head(report), *_diagnosed(report)]
    if shown:
        parts += [_table(shown), *_details(shown)]
    if passed:
        parts.append(_line(f"{passed} more {'row passes' if passed == 1 else 'rows pass'}", "dim"))
    parts += [_line(f"note: {note}", "dim") for note in report.notes]
    return Group(*parts)


def _head(report: Report) -> Iterator["RenderableType"]:
    from rich.text import Text

    if report.headline:
        yield Text(report.headline, STYLES[Verdict.FAIL])
    name, verdict = f"{report.name} [{report.dtype}]: ", report.verdict
    yield Text.assemble(name, (f"{GLYPHS[verdict]} {verdict}", STYLES[verdict]))
    if report.stage:
        yield _line(f"first parts at {report.stage}", "bold")


def _diagnosed(report: Report) -> Iterator["RenderableType"]:
    for leaf, found in report.diagnoses.items():
        for diagnosis in found[:DIAGNOSES]:
            kind = "" if diagnosis.says == diagnosis.kind else f"{diagnosis.kind}; "
            yield _line(f"{leaf}: {diagnosis.says} ({kind}leaves {diagnosis.left:.1%})")
    for leaf in report.unseen:
        yield _line(f"{leaf}: zero gradient everywhere: nothing seen")


def _table(rows: list[Row]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    table.add_column("")
    table.add_column("witness", overflow="fold", min_width=9)
    table.add_column("leaf", overflow="fold", min_width=9)
    for name in ("error", "tolerance", "sees"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        style = STYLES[row.verdict]
        numbers = (f"{row.error:.1e}", f"{row.tolerance:.1e}", f"{row.sees:.1e}")
        mark, error = Text(GLYPHS[row.verdict], style), Text(numbers[0], style)
        table.add_row(mark, Text(row.witness), Text(row.place), error, *numbers[1:])
    return table


def _details(rows: list[Row]) -> Iterator["RenderableType"]:
    # Several witnesses often say the same of an entry.
    for detail in dict.fromkeys(row.detail for row in rows if row.detail):
        yield _line(detail)


def _line(text: str, style: str = "") -> "RenderableType":
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style), (0, 0, 0, 2), expand=False)
