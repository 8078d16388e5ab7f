"""`manual-bp bench`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bp_lab.bench import catalogue, checker, compare, limits, machine
from bp_lab.bench.contest import Notes, Settings, Subject, measured
from bp_lab.bench.measure import Budget
from bp_lab.bench.row import KINDS, Row, geometric_means
from bp_lab.commands import bench_scaling
from bp_lab.commands import bench_tables as tables
from bp_lab.errors import FAILED, INTERRUPTED, InputError
from bp_lab.files import expect_a_place, write_json
from bp_lab.plots import bench as plot_of_bench
from bp_lab.runs import engine
from bp_lab.runs.config import DTYPES

CHECKER = "checker"
CHECKER_PAIRS = 5
LEAST_PAIRS = 3
FULL = Settings(Budget(least=5, most=40, seconds=2.5), compiles=3)
QUICK = Settings(Budget(least=3, most=10, seconds=0.3), compiles=1)


def run(
    names: Sequence[str],
    *,
    kinds: Sequence[str],
    dtypes: Sequence[str],
    quick: bool,
    pairs: int | None,
    json: Path | None,
    plot: Path | None,
    old: Path | None,
    scaling: bool,
) -> int:
    """Measure what the filters leave, print it, and write it where asked.

    With `scaling` it is the sweeps that are measured.

    The status is 1 where something got worse than in the old file, 130 after Ctrl-C, when what was
    measured until then is printed and written.
    """
    given = [name for one in dtypes for name in one.split(",")]
    dtypes = given or ["float32"]
    _expect_settings(dtypes, kinds, pairs, {"--json": json, "--plot": plot})
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, tables.WIDTH)
    settings = QUICK if quick else FULL
    if pairs is not None:
        settings = replace(settings, budget=Budget(pairs, pairs))
    if scaling:
        _expect_none("--scaling", {"--compare": old})
        settings = replace(settings, compiles=1, accuracy=False)
        wanted = (names, kinds, list(dict.fromkeys(dtypes)), settings)
        return bench_scaling.run(*wanted, quick=quick, json=json, plot=plot, console=console)
    if CHECKER in names:
        nothing = {"--plot": plot, "--compare": old, "--kind": kinds, "--quick": quick}
        _expect_alone(names, {**nothing, "--dtype": given})
        return _checker(CHECKER_PAIRS if pairs is None else pairs, json, console)
    subjects = _chosen(names, kinds, dict.fromkeys(dtypes))
    before = None if old is None else _expect_common(compare.load(old), subjects, old)
    rows, notes, whole = _measured(subjects, settings, console)
    tables.show(rows, notes, console)
    if json is not None and (rows or whole):
        write_json(json, _result(rows, notes, settings, whole=whole, quick=quick))
    if plot is not None and rows:
        plot_of_bench.draw(plot, rows, machine.device())
    worse = [] if before is None else compare.regressions(before, rows)
    if before is not None:
        tables.show_regressions(worse, before, rows, console)
    if not whole:
        console.print(f"Interrupted after {len(rows)} of {len(subjects)} rows.")
        return INTERRUPTED
    return FAILED if worse else 0


def _expect_settings(
    dtypes: Sequence[str],
    kinds: Sequence[str],
    pairs: int | None,
    files: Mapping[str, Path | None],
) -> None:
    for option, given, choices in (("--dtype", dtypes, DTYPES), ("--kind", kinds, KINDS)):
        for choice in given:
            if choice not in choices:
                raise InputError("bench", option, "one of " + ", ".join(choices), choice)
    if pairs is not None and pairs < LEAST_PAIRS:
        raise InputError("bench", "--pairs", f"at least {LEAST_PAIRS}", pairs)
    for option, path in files.items():
        expect_a_place("bench", option, path)


def _expect_alone(names: Sequence[str], given: dict[str, Any]) -> None:
    if len(names) > 1:
        raise InputError("bench", "NAME", f"{CHECKER!r} by itself", " ".join(names))
    _expect_none(repr(CHECKER), given)


def _expect_none(beside: str, given: dict[str, Any]) -> None:
    for option, value in given.items():
        if value:
            raise InputError("bench", option, f"nothing beside {beside}", value)


def _chosen(names: Sequence[str], kinds: Sequence[str], dtypes: Any) -> list[Subject]:
    known = catalogue.known()
    for name in names:
        if not any(name in one for one in known):
            expected = f"{CHECKER!r}, or part of one of {', '.join(known)}"
            raise InputError("bench", "NAME", expected, name)
    subjects = catalogue.subjects(names, kinds, list(dtypes))
    if not subjects:
        raise InputError("bench", "--kind", "that of one of the names", " ".join(kinds))
    return subjects


def _expect_common(
    before: dict[compare.Key, list[compare.Old]], subjects: Sequence[Subject], path: Path
) -> dict[compare.Key, list[compare.Old]]:
    """Return the rows of an older run, or raise where it has none of what will be measured."""
    if not any((subject.name, subject.dtype) in before for subject in subjects):
        expected = "a file with one of the rows that are measured"
        raise InputError("bench", "--compare", expected, path)
    return before


def _measured(
    subjects: Sequence[Subject], settings: Settings, console: Console
) -> tuple[list[Row], Notes, bool]:
    """Return the rows, what could not be measured, and whether all of it was done."""
    rows: list[Row] = []
    notes = Notes()
    # A display that renews itself would take its time from what is measured.
    with Progress(console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("measuring", total=len(subjects))
        try:
            for subject in subjects:
                progress.update(task, description=tables.plain(subject.name), refresh=True)
                with engine.precision(subject.dtype):
                    rows.append(measured(subject, settings, notes))
                progress.advance(task)
        except KeyboardInterrupt:
            return rows, notes, False
    return rows, notes, True


def _result(
    rows: Sequence[Row], notes: Notes, settings: Settings, *, whole: bool, quick: bool
) -> dict[str, Any]:
    return {
        **machine.described(),
        "quick": quick,
        "complete": whole,
        "most_pairs": settings.budget.most,
        "gemm_flops_per_second": {
            dtype: limits.gemm_rate(dtype) for dtype in dict.fromkeys(row.dtype for row in rows)
        },
        "rows": [row.to_dict() for row in rows],
        "geometric_means": geometric_means(rows),
        "notes": notes.lines,
    }


def _checker(pairs: int, json: Path | None, console: Console) -> int:
    with console.status("measuring"):
        cost, large = checker.cost(pairs), list(checker.large())
    tables.show_checker(cost, large, console)
    if json is not None:
        write_json(json, {**machine.described(), "pairs": pairs, "cost": cost, "large": large})
    return 0
