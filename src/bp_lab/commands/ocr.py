"""`manual-bp ocr`."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bp_lab.commands import ocr_pipeline
from bp_lab.commands.screen import Screen
from bp_lab.errors import FAILED, INTERRUPTED, InputError
from bp_lab.files import expect_a_place, write_json
from bp_lab.ocr import evaluation, reader
from bp_lab.ocr.settings import Settings
from bp_lab.ocr.training import Epoch, Listener, train
from bp_lab.runs import folder, gradient_check
from bp_lab.runs.interrupt import Interrupted
from jax_ref import GradientMismatch, Report


class _Screen(Screen, Listener):
    """Shows a training on the terminal."""

    def started(self, out: Path, settings: Settings, parameters: int) -> None:
        line = f"reader of lines, {parameters:,} parameters, engine {settings.engine}, {out}"
        self.console.print(line, markup=False, soft_wrap=True)

    def checked(self, report: Report) -> None:
        worst = report.worst(gradient_check.WITNESS)
        told = f", worst {worst.error:.1e} of {worst.leaf} to jax.grad" if worst else ""
        self.verdict(report)
        self.console.print(told, markup=False, soft_wrap=True)

    def trained(self, epoch: Epoch) -> None:
        shown = (
            f"loss {epoch.loss:.4f}  misread {100 * epoch.error_rate:.2f} %  "
            f"{epoch.lines / epoch.seconds:,.0f} lines/s"
        )
        self.advance(epoch.number, shown)


def run_train(settings: Mapping[str, Any], typed: set[str], out: Path | None, resume: bool) -> int:
    """Train the reader with the settings, of which `typed` were given on the command line."""
    chosen = _resumed(settings, typed, out) if resume else Settings(**settings)
    console = Console(highlight=False)
    screen = _Screen(console, chosen.epochs)
    try:
        result = train(chosen, out, resume=resume, listener=screen)
    except GradientMismatch as mismatch:
        console.print(str(mismatch), markup=False, soft_wrap=True)
        return FAILED
    except Interrupted as interrupted:
        console.print(f"Stopped; {interrupted.epochs} whole epochs are saved. To go on:")
        command = f"  manual-bp ocr train --resume --out {shlex.quote(str(interrupted.out))}"
        console.print(command, markup=False, soft_wrap=True)
        return INTERRUPTED
    finally:
        screen.close()
    console.print(_table(result["figures"]))
    where = f"In {result['out']}: {reader.SHIPPED}, {folder.RESULT}, checkpoints and pictures"
    console.print(where, markup=False, soft_wrap=True)
    return 0


def _resumed(settings: Mapping[str, Any], typed: set[str], out: Path | None) -> Settings:
    if out is None:
        raise InputError("ocr train", "--out", "the folder of the run to --resume", "none")
    saved = folder.read_config(out)["config"]
    try:
        before = Settings.from_dict(saved)
    except (TypeError, KeyError) as error:
        expected = "the settings of a training of the reader, of this version"
        raise InputError("run", str(out / folder.CONFIG), expected, error) from None
    for name in sorted(typed):
        if settings[name] != getattr(before, name):
            option = f"--{name.replace('_', '-')}"
            expected = f"{getattr(before, name)}, as when the run began"
            raise InputError("ocr train", option, expected, settings[name])
    return before


def run_evaluate(
    weights: Path | None, count: int, beam: int, json: Path | None, pages: int = 0
) -> int:
    """Print how well lines, and pages, are read that the training never saw."""
    expect_a_place("ocr evaluate", "--json", json)
    for option, value, least in (("--lines", count, 1), ("--beam", beam, 0), ("--pages", pages, 0)):
        if value < least:
            expected = f"a whole number of at least {least}"
            raise InputError("ocr evaluate", option, expected, value)
    network = reader.load(weights)
    figures = evaluation.evaluate(network, count, beam=beam or None)
    Console(highlight=False).print(_table(figures))
    if pages:
        figures["pages"] = ocr_pipeline.ceiling(network, pages)
    if json is not None:
        write_json(json, figures)
    return 0


def _table(figures: Mapping[str, Any]) -> Table:
    table = Table("lines", "characters misread", "lines without an error", "characters")
    for split, of_split in figures.items():
        table.add_row(
            split,
            f"{100 * of_split['error_rate']:.2f} %",
            f"{100 * of_split['exact_lines']:.1f} %",
            f"{of_split['characters']:,}",
        )
    return table
