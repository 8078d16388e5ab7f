"""The picture of the sweeps: time and memory against size, both as logarithms, with their fits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bp_lab.bench.scaling import COSTS, Curve
from bp_lab.plots.figure import picture

ACROSS = 2  # sweeps side by side, each of two panels
PANEL = (3.6, 2.7)  # inches
UNITS = {"time": ("time [ms]", 1e-3), "memory": ("temporary memory [MiB]", 2.0**20)}
SIDES: dict[str, Any] = {
    "ours": {"color": "C0", "marker": "o", "markersize": 5},
    "peer": {"color": "C1", "marker": "s", "markersize": 8},
    "torch": {"color": "C2", "marker": "^", "markersize": 7},
}
EDGE = 1.15  # between the outermost sizes and the edges
MARGIN = 0.08  # of the height, below and above
LEGEND = 0.15  # of the height, for a line of the legend
LEAST_SPAN = 6.0  # of the heights
WIDE = 1e3


def draw(path: Path, curves: Sequence[Curve], device: str) -> None:
    """Draw two panels for each sweep, its time and its memory, ours against the peers.

    Args:
      path: the file.
      curves: what was measured, at least one.
      device: where.
    """
    across = min(ACROSS, len(curves))
    down = -(-len(curves) // across)
    size = (2 * across * PANEL[0], 0.4 + down * PANEL[1])
    with picture(path, figsize=size, nrows=down, ncols=2 * across, squeeze=False) as (figure, grid):
        figure.suptitle(f"{device}; named are the fitted exponents")
        panels = grid.reshape(-1, 2)
        for (left, right), curve in zip(panels, curves, strict=False):
            several = len({one.dtype for one in curves}) > 1
            title = f"{curve.name}, {curve.dtype}" if several else curve.name
            left.set_title(title, loc="left", fontsize=10)
            for axes, cost in ((left, "time"), (right, "memory")):
                _panel(axes, curve, cost)
        for empty in panels[len(curves) :].flat:
            empty.remove()


def _panel(axes: Any, curve: Curve, cost: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    label, unit = UNITS[cost]
    sides = [side for side in COSTS[cost] if any(c is not None for c in curve.costs(cost, side))]
    axes.set(xscale="log", yscale="log", xlabel=curve.axis, ylabel=label)
    axes.set_xlim(min(curve.rows) / EDGE, max(curve.rows) * EDGE)
    drawn = [y for side in sides for y in _side(axes, curve, cost, side, unit)]
    if drawn:
        # Room for the legend, and a curve that is flat should look flat.
        middle, least = np.sqrt(min(drawn) * max(drawn)), np.sqrt(LEAST_SPAN)
        low, high = min(*drawn, middle / least), max(*drawn, middle * least)
        span = high / low
        axes.set_ylim(low / span**MARGIN, high * span ** (MARGIN + LEGEND * len(sides)))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if span < WIDE else (1,)))
    else:
        axes.yaxis.set_major_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.set_xticks(list(curve.rows), [str(size) for size in curve.rows])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="upper left")


def _side(axes: Any, curve: Curve, cost: str, side: str, unit: float) -> list[float]:
    """Draw one side and its fit; return the heights of its points."""
    style, name = SIDES[side], {"peer": curve.peer, "torch": "PyTorch"}.get(side, side)
    costs = curve.costs(cost, side)
    points = [(n, c / unit) for n, c in zip(curve.rows, costs, strict=True) if c]
    fit = curve.exponent(cost, side)
    x, y = np.asarray(points, float).reshape(-1, 2).T
    label = f"{name}: {fit.in_words(len(costs))}"
    axes.plot(x, y, label=label, linestyle="none", fillstyle="none", **style)
    if fit.value is not None:
        # The line of least squares goes through the mean of the points.
        x, y = np.log(x), np.log(y)
        line = np.exp(y.mean() + fit.value * (x - x.mean()))
        axes.plot(np.exp(x), line, color=style["color"], linewidth=1)
    return [height for _, height in points]
