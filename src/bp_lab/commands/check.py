"""`manual-bp check`."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from bp_lab import rules
from bp_lab.errors import FAILED, InputError
from bp_lab.files import expect_a_place, write_json
from jax_ref import Report, Row, Verdict, cases, page, processes
from jax_ref.console import GLYPHS, STYLES
from jax_ref.settings import LEVELS

MANY = 24  # rows that are worth the start of processes
COLUMNS = (
    ("value", "value"),
    ("linear", "linearity"),
    ("jax.\ngrad", "jax.grad"),
    ("finite\ndiff.", "finite difference"),
    ("preci-\nsion", "precision"),
)


def run(
    rule: str | None,
    args: str | None,
    primal: str | None,
    name: str | None,
    *,
    ops: Sequence[str],
    dtypes: Sequence[str],
    level: str,
    seed: int,
    json: Path | None,
    html: Path | None,
) -> int:
    """Check a rule, or the cases that the filters leave; status 1 where one does not pass."""
    _expect_settings(dtypes, level, seed, {"--json": json, "--html": html})
    console = Console(highlight=False)
    if rule is None:
        _expect_no({"--args": args, "--primal": primal, "--name": name}, "without a RULE")
        reports = _of_catalogue(_chosen(ops, dtypes), console, level=level, seed=seed)
        console.print(_table(reports))
    else:
        _expect_no({"--op": ops}, "beside a RULE")
        settings = {"name": name, "dtypes": dtypes, "level": level, "seed": seed}
        reports = _of_rule(rule, args, primal, console, **settings)
    for report in reports:
        if rule is not None or not report:
            console.print(report)
    verdict = _overall(reports)
    at = f"on {reports[0].device}, level {level}, seed {seed}: "
    rows = f"{len(reports)} {'row' if len(reports) == 1 else 'rows'} "
    console.print(Text.assemble(rows, at, (str(verdict), STYLES[verdict])), soft_wrap=True)
    if json is not None:
        write_json(json, {"verdict": str(verdict), "cases": [_row(report) for report in reports]})
    if html is not None:
        page.write(reports, html)
    return 0 if verdict is Verdict.PASS else FAILED


def _expect_settings(
    dtypes: Sequence[str], level: str, seed: int, files: Mapping[str, Path | None]
) -> None:
    for dtype in dtypes:
        if dtype not in cases.DTYPES:
            raise InputError("check", "--dtype", "one of " + ", ".join(cases.DTYPES), dtype)
    if level not in LEVELS:
        raise InputError("check", "--level", "one of " + ", ".join(LEVELS), level)
    if seed < 0:
        raise InputError("check", "--seed", "a whole number ≥ 0", seed)
    for option, path in files.items():
        expect_a_place("check", option, path)
    if files["--html"] is not None and files["--html"] == files["--json"]:
        raise InputError("check", "--html", "another file than --json", files["--html"])


def _expect_no(given: Mapping[str, Any], where: str) -> None:
    for option, value in given.items():
        if value:
            raise InputError("check", option, f"nothing {where}", value)


def _chosen(ops: Sequence[str], dtypes: Sequence[str]) -> list[tuple[cases.Case, str]]:
    known = sorted({case.op_name for case in cases.registry})
    for op in ops:
        if not any(op in case.name for case in cases.registry):
            raise InputError("check", "--op", "part of one of " + ", ".join(known), op)
    return [
        (case, dtype)
        for case in cases.registry
        if not ops or any(op in case.name for op in ops)
        for dtype in dtypes or cases.DTYPES
    ]


def _of_catalogue(
    chosen: Sequence[tuple[cases.Case, str]], console: Console, **settings: Any
) -> list[Report]:
    items = [(cases.registry.index(case), dtype, settings) for case, dtype in chosen]
    # A process takes seconds to start, and an accelerator is lent to one.
    shared = len(items) >= MANY and jax.default_backend() == "cpu"
    reports = processes.mapped(_report, items, None if shared else 1)
    with Progress(console=console, transient=True) as progress:
        return list(progress.track(reports, len(items), description="checking"))


def _report(item: tuple[int, str, Mapping[str, Any]]) -> Report:
    number, dtype, settings = item
    return cases.run(cases.registry[number], dtype, raises=False, **settings)


def _of_rule(
    rule: str, args: str | None, primal: str | None, console: Console, **settings: Any
) -> list[Report]:
    if args is None:
        raise InputError("check", "--args", f"the arguments at which to check {rule}", "none")
    sys.path.insert(0, str(Path.cwd()))
    with console.status("checking"):
        return rules.check(rule, args, primal, **settings)


def _overall(reports: Sequence[Report]) -> Verdict:
    verdicts = {report.verdict for report in reports}
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS


def _table(reports: Sequence[Report]) -> Table:
    """Return a row a report: the worst error of each witness, for the others of them all."""
    named = {witness for _, witness in COLUMNS}
    shown = {
        head: [_worst(row for row in report.rows if row.witness == witness) for report in reports]
        for head, witness in COLUMNS
    }
    shown["others"] = [
        _worst(row for row in report.rows if row.witness not in named) for report in reports
    ]
    columns = {head: errors for head, errors in shown.items() if any(errors)}
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    table.add_column("")
    table.add_column("op", overflow="fold")
    table.add_column("dtype", no_wrap=True)
    for head in columns:
        table.add_column(head, justify="right", no_wrap=True)
    for report, *errors in zip(reports, *columns.values(), strict=True):
        mark = Text(GLYPHS[report.verdict], STYLES[report.verdict])
        table.add_row(mark, Text(report.name), report.dtype, *errors)
    return table


def _worst(rows: Iterable[Row]) -> str:
    worst = max(rows, key=lambda row: row.size, default=None)
    return f"{worst.error:.1e}" if worst else ""


def _row(report: Report) -> dict[str, Any]:
    errors = report.worst_errors()
    judged = "jax.grad" if "jax.grad" in errors else "precision"
    return {
        "op": report.name,
        "dtype": report.dtype,
        "verdict": str(report.verdict),
        "headline": report.headline,
        "level": report.level,
        "seed": report.seed,
        "device": report.device,
        "worst_relative_error": errors.get(judged, max(errors.values(), default=0.0)),
        "witnesses": errors,
    }
