"""`manual-bp ocr train-pipeline` and `manual-bp ocr ceiling`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bp_lab.errors import InputError
from bp_lab.files import write_json


def train(out: Path, seed: int) -> int:
    """Train the three networks and write them to one file."""
    from bp_lab.ocr.pipeline import training, weights

    if not out.parent.is_dir():
        raise InputError("ocr", "OUT", "a file in a folder that exists", out)
    weights.save(out, training.fit(seed, say=lambda line: print(line, flush=True)))
    print(f"{out}: {out.stat().st_size / 2**20:.2f} MiB")
    return 0


def ceiling(
    splits: Sequence[str],
    pages: int,
    weights: Path | None,
    page_weights: Path | None,
    json: Path | None,
) -> int:
    """Print how well generated pages are read, and would be with steps that make no mistake."""
    from bp_lab.ocr import data, reader, readers
    from bp_lab.ocr.data import splits as known
    from bp_lab.ocr.pipeline import ceiling

    for split in splits:
        known.expect(split)
    networks = readers.networks(page_weights)
    others = {"the reader of lines": readers.by_lines(reader.load(weights))}
    chosen = [s for s in data.SPLITS if s in splits or (not splits and s != "train")]
    found = [ceiling.analyse(networks, split, pages=pages, readers=others) for split in chosen]
    console = Console(highlight=False)
    console.print(_steps(found))
    console.print(_whole(found))
    if json is not None:
        write_json(json, [_as_json(one) for one in found])
    return 0


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
