"""`manual-bp bench --scaling`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from bp_lab.bench import machine, scaling
from bp_lab.bench.contest import Notes, Settings
from bp_lab.bench.row import Row, shown
from bp_lab.bench.scaling import Curve, Sweep
from bp_lab.commands import bench_tables as tables
from bp_lab.errors import INTERRUPTED, InputError
from bp_lab.files import write_json
from bp_lab.plots import scaling as plot_of_scaling
from bp_lab.runs import engine

HEADS = ("time", "ours, ms", "peer's", "torch", "memory", "ours", "peer's")
UNITS = ("B", "KiB", "MiB", "GiB")


def run(
    names: Sequence[str],
    kinds: Sequence[str],
    dtypes: Sequence[str],
    settings: Settings,
    *,
    quick: bool,
    json: Path | None,
    plot: Path | None,
    console: Console,
) -> int:
    """Measure the sweeps that the filters leave, print them, and write them where asked.

    The status is 130 after Ctrl-C, when the sizes that were measured until then are printed and
    written.
    """
    sweeps = [(sweep, dtype) for dtype in dtypes for sweep in _chosen(names, kinds)]
    curves, notes, whole = _measured(sweeps, settings, console, quick=quick)
    for curve in curves:
        console.print(_table(curve))
    tables.show_where(notes, [row.pairs for c in curves for row in c.rows.values()], console)
    console.print(
        "Time and memory: ours to jax.grad's, below 1 where ours is better. Last line of a sweep: "
        "the exponent p of size^p with its standard error, by least squares over all sizes, both "
        "as logarithms; sizes of 0 bytes are left out, and the sizes that are left are counted.",
        soft_wrap=True,
    )
    if json is not None and (curves or whole):
        write_json(json, _result(curves, notes, settings, whole=whole, quick=quick))
    if plot is not None and curves:
        plot_of_scaling.draw(plot, curves, machine.device())
    if not whole:
        console.print(f"Interrupted in sweep {max(len(curves), 1)} of {len(sweeps)}.")
        return INTERRUPTED
    return 0


def _chosen(names: Sequence[str], kinds: Sequence[str]) -> list[Sweep]:
    known = [sweep.name for sweep in scaling.SWEEPS]
    for name in names:
        if not any(name in one for one in known):
            raise InputError("bench", "NAME", f"part of one of {', '.join(known)}", name)
    sweeps = scaling.chosen(names, kinds)
    if not sweeps:
        raise InputError("bench", "--kind", "that of one of the names", " ".join(kinds))
    return sweeps


def _measured(
    sweeps: Sequence[tuple[Sweep, str]], settings: Settings, console: Console, *, quick: bool
) -> tuple[list[Curve], Notes, bool]:
    """Return the curves, what could not be measured, and whether all of it was done."""
    curves: list[Curve] = []
    notes = Notes()
    # A display that renews itself would take its time from what is measured.
    with Progress(console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("measuring", total=len(sweeps))
        try:
            for number, (sweep, dtype) in enumerate(sweeps):
                progress.update(task, description=tables.plain(sweep.name), refresh=True)
                with engine.precision(dtype):
                    for curve in scaling.measured(sweep, dtype, settings, notes, quick=quick):
                        curves[number:] = [curve]
                progress.advance(task)
        except KeyboardInterrupt:
            return curves, notes, False
    return curves, notes, True


def _result(
    curves: Sequence[Curve], notes: Notes, settings: Settings, *, whole: bool, quick: bool
) -> dict[str, Any]:
    return {
        **machine.described(),
        "quick": quick,
        "complete": whole,
        "most_pairs": settings.budget.most,
        "sweeps": [curve.to_dict() for curve in curves],
        "notes": notes.lines,
    }


def _table(curve: Curve) -> Table:
    """Return a line for each size, and the exponents under them."""
    title = Text(f"{curve.name}, {curve.dtype}, beside {curve.peer or '–'}")
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, title=title, show_footer=True)
    sides = ["", ("time", "ours"), ("time", "peer"), ("time", "torch")]
    sides += ["", ("memory", "ours"), ("memory", "peer")]
    table.add_column(curve.axis, "exponent", justify="right", no_wrap=True)
    for head, side in zip(HEADS, sides, strict=True):
        footer = _exponent(curve, *side) if side else ""
        table.add_column(head, footer, justify="right", no_wrap=True)
    for size, row in curve.rows.items():
        table.add_row(str(size), *_figures(row))
    return table


def _figures(row: Row) -> tuple[str, ...]:
    seconds = (row.seconds, row.peer_seconds, row.torch_seconds)
    return (
        shown(row.time_ratio),
        *("–" if one is None else f"{1e3 * one:.3g}" for one in seconds),
        shown(row.memory_ratio),
        *(_in_units(one) for one in (row.temporary_bytes, row.peer_temporary_bytes)),
    )


def _in_units(count: int | None) -> str:
    """Return a number of bytes as text, in the unit that leaves one to four digits."""
    if count is None:
        return "–"
    power = min(max(count.bit_length() - 1, 0) // 10, len(UNITS) - 1)
    return f"{count / 2 ** (10 * power):.{3 if power else 0}{'g' if power else 'f'}} {UNITS[power]}"


def _exponent(curve: Curve, cost: str, side: str) -> str:
    costs = curve.costs(cost, side)
    if not any(cost is not None for cost in costs):
        return "–"
    return curve.exponent(cost, side).in_words(len(costs))
