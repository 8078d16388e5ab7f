"""How every picture is made: no window, one look, written whole or not at all."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bp_lab.files import write_bytes

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
