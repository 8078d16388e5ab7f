"""The picture of a benchmark: how our time compares, and how far it is from the machine's limit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bp_lab.bench.row import Row
from bp_lab.plots.figure import few_log_ticks, picture

LINE = 0.17  # inches for a row
LEAST = 3.0


def draw(path: Path, rows: Sequence[Row], device: str) -> None:
    """Draw for each dtype the ratios, sorted, and time against the floor.

    Args:
      path: the file.
      rows: what was measured, at least one.
      device: where.
    """
    dtypes = list(dict.fromkeys(row.dtype for row in rows))
    most = max(sum(row.dtype == dtype for row in rows) for dtype in dtypes)
    size = (13.0, len(dtypes) * max(LEAST, 1.5 + LINE * most))
    options: Any = {"width_ratios": (2, 1), "squeeze": False}
    with picture(path, figsize=size, nrows=len(dtypes), ncols=2, **options) as (figure, grid):
        figure.suptitle(device)
        for dtype, (left, right) in zip(dtypes, grid, strict=True):
            chosen = [row for row in rows if row.dtype == dtype]
            _ratios(left, [row for row in chosen if row.time_ratio is not None], dtype)
            _against_floor(right, chosen)


def _ratios(axes: Any, rows: Sequence[Row], dtype: str) -> None:
    rows = sorted(rows, key=lambda row: -(row.time_ratio or 0))
    names = [row.name for row in rows]
    # Of a name that comes twice the size tells which is which.
    labels = [f"{row.name}, {row.size}" if names.count(row.name) > 1 else row.name for row in rows]
    places = np.arange(len(rows))
    ratios = np.asarray([row.time_ratio for row in rows], float)
    quartiles = np.asarray([row.time_ratio_quartiles or (row.time_ratio,) * 2 for row in rows])
    colors = ["C0" if row.kind == "op" else "C2" for row in rows]
    axes.barh(places, ratios, color=colors, alpha=0.8)
    if rows:
        spread = np.abs(quartiles.T - ratios)
        axes.errorbar(ratios, places, xerr=spread, fmt="none", ecolor="0.3", elinewidth=1)
    torch = [(row.torch_time_ratio, place) for row, place in zip(rows, places, strict=True)]
    beside = [(ratio, place) for ratio, place in torch if ratio is not None]
    if beside:
        axes.plot(*zip(*beside, strict=True), "k|", label="over that of PyTorch eager")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
    axes.axvline(1, color="0.3", linewidth=1)
    axes.set_yticks(places, labels, fontsize=7)
    axes.set(xscale="log", xlabel="our time over that of jax.grad")
    axes.set_title(f"Ratios, {dtype}", loc="left")
    axes.margins(y=0.01)
    few_log_ticks(axes.xaxis)


def _against_floor(axes: Any, rows: Sequence[Row]) -> None:
    for kind, color in (("op", "C0"), ("model", "C2")):
        of_kind = [row for row in rows if row.kind == kind]
        if not of_kind:
            continue
        floors = [1e3 * row.floor_seconds for row in of_kind]
        axes.scatter(floors, [1e3 * row.seconds for row in of_kind], s=14, color=color, label=kind)
    ends = [1e3 * row.floor_seconds for row in rows] + [1e3 * row.seconds for row in rows]
    line = min(ends), max(ends)
    axes.plot(line, line, color="0.3", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="floor [ms]", ylabel="our time [ms]")
    axes.set_title("Time against the machine's limit")
    for axis in (axes.xaxis, axes.yaxis):
        few_log_ticks(axis)
    axes.legend(loc="upper left")
