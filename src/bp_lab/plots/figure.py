"""How every picture is made: no window, one look, written whole or not at all."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bp_lab.files import write_bytes

WIDE = 100.0  # from the first to the last tick, beyond which only powers of ten are named
STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 110,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


@contextlib.contextmanager
def picture(path: Path, **options: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (figure, axes) as of `Figure.subplots(**options)`; write a PNG at the end.

    Args:
      path: the file.
      **options: `figsize` in inches, and what `Figure.subplots` takes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=options.pop("figsize", (6.4, 4.0)), layout="constrained")
        yield figure, figure.subplots(**options)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def epochs_across(axes: Any) -> None:
    """Let an axes object have epochs, which are whole numbers, on its horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def few_log_ticks(axis: Any) -> None:
    """Let a logarithmic axis have no more ticks than can be read, labelled by plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < WIDE * low else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
