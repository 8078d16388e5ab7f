"""`manual-bp ocr train-pipeline`, and what `manual-bp ocr evaluate` says of pages."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bp_lab.errors import expect_seed
from bp_lab.files import expect_a_place
from bp_lab.ocr.data import Split
from bp_lab.ocr.evaluation import HELD_OUT


def train(out: Path, seed: int) -> int:
    """Train the three networks and write them to one file."""
    from bp_lab.ocr.pipeline import training, weights

    expect_a_place("ocr train-pipeline", "OUT", out)
    expect_seed("ocr train-pipeline", seed)
    weights.save(out, training.fit(seed, say=lambda line: print(line, flush=True)))
    print(f"{out}: {out.stat().st_size / 2**20:.2f} MiB")
    return 0


def ceiling(network: Any, pages: int, splits: Sequence[Split] = HELD_OUT) -> list[dict[str, Any]]:
    """Print how well pages are read, and would be with steps that make no mistake; return it.

    Args:
      network: the reader of lines, which is measured beside the pipeline.
      pages: drawn of each split.
      splits: which.
    """
    from bp_lab.ocr import readers
    from bp_lab.ocr.pipeline import ceiling

    networks, others = readers.networks(), {"the reader of lines": readers.by_lines(network)}
    found = [ceiling.analyse(networks, split, pages=pages, readers=others) for split in splits]
    console = Console(highlight=False)
    console.print(_steps(found))
    console.print(_whole(found))
    return [_as_json(one) for one in found]


def _steps(found: Sequence[Any]) -> Table:
    from bp_lab.ocr.pipeline.ceiling import STEPS

    table = Table("each step by itself", *(one.split for one in found))
    for place, step in enumerate(STEPS):
        counts = [one.steps[place] for one in found]
        table.add_row(f"{step}: found", *(_share(count.recall) for count in counts))
        if step != STEPS[-1]:
            table.add_row(f"{step}: right", *(_share(count.precision) for count in counts))
    return table


def _whole(found: Sequence[Any]) -> Table:
    from bp_lab.ocr.pipeline.ceiling import WHOLE

    table = Table("characters read right", *(one.split for one in found))
    for place, name in enumerate(WHOLE):
        table.add_row(name, *(_share(one.whole[place].recall) for one in found))
    for name in found[0].readers:
        on_found, on_true = zip(*(one.readers[name] for one in found), strict=True)
        table.add_row(name, *(_share(one.recall) for one in on_found))
        table.add_row("true detection", *(_share(one.recall) for one in on_true))
    return table


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _as_json(one: Any) -> dict[str, Any]:
    from bp_lab.ocr.pipeline.ceiling import STEPS, WHOLE

    return {
        "split": one.split,
        "steps": {name: asdict(c) for name, c in zip(STEPS, one.steps, strict=True)},
        "whole": {name: asdict(c) for name, c in zip(WHOLE, one.whole, strict=True)},
        "readers": {
            name: {"on lines found": asdict(a), "on true lines": asdict(b)}
            for name, (a, b) in one.readers.items()
        },
    }
