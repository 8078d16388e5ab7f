"""What `manual-bp bench` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bp_lab.bench import checker, compare, machine
from bp_lab.bench.contest import Notes
from bp_lab.bench.row import Row, geometric_means, shown

WIDTH = 120  # characters, where it is not a terminal that is written to
HEADS = ("time", "quartiles", "memory", "error", "compile", "ms", "limit", "products", "torch")


def plain(text: str) -> str:
    """Return a text as rich shows it as it is."""
    return escape(text)


def show(rows: Sequence[Row], notes: Notes, console: Console) -> None:
    """Print a table for each dtype, with the geometric means, and where it was measured."""
    means = geometric_means(rows)
    for dtype in means:
        console.print(_table([row for row in rows if row.dtype == dtype], dtype, means[dtype]))
    show_where(notes, [row.pairs for row in rows], console)
    console.print(
        "Time, memory and compile: ours to jax.grad's; error: our rounding errors to its, both to "
        "the float64 truth; torch: our time to PyTorch eager's; all are below 1 where ours is "
        "better. Limit: what a matrix product and a copy would need of our time. Products: what "
        "the matrix products of the step alone need of jax.grad's whole step.",
        soft_wrap=True,
    )


def show_where(notes: Notes, pairs: Sequence[int], console: Console) -> None:
    """Print what could not be measured, where it was measured, and by how many pairs."""
    for line in dict.fromkeys(notes.lines):
        console.print(Text(line), soft_wrap=True)
    said = [machine.device(), f"{machine.threads()} threads"]
    said += [f"{name} {version}" for name, version in machine.versions().items()]
    if pairs:
        said.append(f"medians of {_span(pairs)} pairs")
    console.print(Text(", ".join(said)), soft_wrap=True)


def _span(numbers: Sequence[int]) -> str:
    least, most = min(numbers), max(numbers)
    return str(least) if least == most else f"{least} to {most}"


def _table(rows: Sequence[Row], dtype: str, means: Mapping[str, Mapping[str, Any]]) -> Table:
    title = f"Forward and backward, {dtype}"
    table = Table(
        box=SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False, title=title
    )
    table.add_column("op or model", overflow="fold")
    table.add_column("beside")
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    names = [row.name for row in rows]
    for row in rows:
        # Of a name that comes twice the size tells which is which.
        name = f"{row.name}\n  {row.size}" if names.count(row.name) > 1 else row.name
        low, high = row.time_ratio_quartiles or (None, None)
        table.add_row(
            Text(name),
            Text(row.peer or "–"),
            shown(row.time_ratio),
            f"{shown(low)}–{shown(high)}" if row.time_ratio_quartiles else "–",
            shown(row.memory_ratio),
            shown(row.error_ratio),
            shown(row.compile_ratio),
            f"{1e3 * row.seconds:.3g}",
            f"{100 * row.limit_share:.0f} %",
            shown(row.products_ratio),
            shown(row.torch_time_ratio),
        )
    table.add_section()
    for kind, mean in means.items():
        what = {"op": "ops", "model": "models", "all": "all"}[kind]
        if kind != "all" or len(means) > 2:
            table.add_row(
                f"geometric mean, {what}",
                str(mean["rows"]),
                shown(mean["time_ratio"]),
                "",
                shown(mean["memory_ratio"]),
                shown(mean["error_ratio"]),
                shown(mean["compile_ratio"]),
                "",
                "",
                "",
                shown(mean["torch_time_ratio"]),
            )
    return table


def show_regressions(
    worse: Sequence[compare.Regression],
    before: Mapping[compare.Key, Sequence[compare.Old]],
    rows: Sequence[Row],
    console: Console,
) -> None:
    """Print what got worse, and how many rows were compared."""
    for regression in worse:
        console.print(Text(f"Worse: {regression}", "red"), soft_wrap=True)
    common = sum(compare.matching(before, row) is not None for row in rows)
    console.print(f"{len(worse)} worse, {common} of {len(rows)} rows compared.", soft_wrap=True)


def show_checker(
    cost: Mapping[str, Any], large: Sequence[Mapping[str, float]], console: Console
) -> None:
    """Print what a check costs beside `check_grads`, and what large inputs cost."""
    size = f"{checker.ROWS} × {checker.FEATURES}"
    title = f"check_rule beside check_grads, layer norm {size}, float64"
    table = Table("call", "ratio", "quartiles", "ms", "check_grads ms", title=title)
    for name, row in cost.items():
        low, high = row["ratio_quartiles"]
        milliseconds = (f"{1e3 * row[key]:.0f}" for key in ("seconds", "check_grads_seconds"))
        quartiles = f"{low:.2f}–{high:.2f}"
        table.add_row(name.replace("_", " "), f"{row['ratio']:.2f}", quartiles, *milliseconds)
    console.print(table)
    for entry in large:
        megabytes = entry["peak_bytes"] / 2**20
        said = f"{entry['entries']} entries: {entry['seconds']:.1f} s, {megabytes:.0f} MiB peak"
        console.print(said)
    console.print(Text(f"{machine.device()}, {machine.threads()} threads"), soft_wrap=True)
