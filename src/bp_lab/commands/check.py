"""`manual-bp check`."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bp_lab.errors import FAILED, InputError
from bp_lab.files import write_json
from jax_ref import Report, Verdict, cases

WITNESSES = ("value", "jax.grad", "finite difference", "precision")
COLORS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


def run(names: Sequence[str], dtypes: Sequence[str], seed: int, json: Path | None) -> int:
    """Check the cases that the filters leave; status 1 where one fails."""
    chosen = _chosen(names, dtypes)
    if json is not None and (json.is_dir() or not json.parent.is_dir()):
        raise InputError("check", "--json", "a file in an existing folder", json)
    console = Console(highlight=False)
    reports = _reports(chosen, seed, console)
    console.print(_table(reports))
    verdict = _overall(reports)
    for report in reports:
        if not report:
            console.print(str(report), markup=False, soft_wrap=True)
    console.print(f"{len(reports)} rows: [bold {COLORS[verdict]}]{verdict}[/]")
    if json is not None:
        write_json(json, {"verdict": str(verdict), "cases": [_row(report) for report in reports]})
    return 0 if verdict is Verdict.PASS else FAILED


def _chosen(names: Sequence[str], dtypes: Sequence[str]) -> list[tuple[cases.Case, str]]:
    for dtype in dtypes:
        if dtype not in cases.DTYPES:
            raise InputError("check", "--dtype", "one of " + ", ".join(cases.DTYPES), dtype)
    known = sorted({case.op_name for case in cases.registry})
    for name in names:
        if not any(name in case.name for case in cases.registry):
            raise InputError("check", "--op", "part of one of " + ", ".join(known), name)
    return [
        (case, dtype)
        for case in cases.registry
        if not names or any(name in case.name for name in names)
        for dtype in dtypes or cases.DTYPES
    ]


def _reports(chosen: Sequence[tuple[cases.Case, str]], seed: int, console: Console) -> list[Report]:
    def one(pair: tuple[cases.Case, str]) -> Report:
        return cases.run(*pair, seed=seed, raises=False)

    # Most of the time goes to compiling, which lets other threads run.
    with (
        Progress(console=console, transient=True) as progress,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        return list(progress.track(pool.map(one, chosen), len(chosen), description="checking"))


def _overall(reports: Sequence[Report]) -> Verdict:
    verdicts = {report.verdict for report in reports}
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS


def _table(reports: Sequence[Report]) -> Table:
    table = Table("op", "dtype", *WITNESSES, "verdict")
    for report in reports:
        errors = report.worst_errors()
        shown = [f"{errors[w]:.1e}" if w in errors else "" for w in WITNESSES]
        color = COLORS[report.verdict]
        name = report.name.replace("[", r"\[")
        table.add_row(name, report.dtype, *shown, f"[{color}]{report.verdict}[/]")
    return table


def _row(report: Report) -> dict[str, Any]:
    errors = report.worst_errors()
    judged = "jax.grad" if "jax.grad" in errors else "precision"
    return {
        "op": report.name,
        "dtype": report.dtype,
        "verdict": str(report.verdict),
        "worst_relative_error": errors.get(judged, max(errors.values(), default=0.0)),
        "witnesses": errors,
    }
