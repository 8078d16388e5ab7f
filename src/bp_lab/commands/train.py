"""`manual-bp train`."""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bp_lab.commands.screen import Screen
from bp_lab.data import Dataset
from bp_lab.errors import FAILED, INTERRUPTED, InputError
from bp_lab.runs import Config, folder, gradient_check, models, train
from bp_lab.runs.interrupt import Interrupted
from bp_lab.runs.run import Epoch, Listener
from jax_ref import GradientMismatch, Report


class _Screen(Screen, Listener):
    """Shows a run on the terminal."""

    def started(self, out: Path, config: Config, model: str, dataset: Dataset) -> None:
        sizes = f"{len(dataset.train.y)} / {len(dataset.validation.y)} / {len(dataset.test.y)}"
        dtype = (
            f"{config.dtype} computed in {config.model_dtype}" if config.is_mixed else config.dtype
        )
        for line in (
            f"{model}, engine {config.engine}, {dtype}, {out}",
            f"{dataset.name}: {sizes} samples to train / validate / test",
        ):
            self.console.print(line, markup=False, soft_wrap=True)

    def checked(self, report: Report, epoch: int) -> None:
        worst = report.worst(gradient_check.WITNESS)
        leaves = len({row.leaf for row in report.rows if row.witness == gradient_check.WITNESS})
        when = f" before epoch {epoch + 1}" if epoch else ""
        self.verdict(report, when)
        if worst:
            self.console.print(
                f", {leaves} gradients (every dW, db and δ) against jax.grad and finite "
                f"differences; worst {worst.error:.1e} of {worst.leaf} to jax.grad",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        if not report:
            self.console.print(str(report), markup=False, soft_wrap=True)

    def trained(self, epoch: Epoch) -> None:
        shown = (
            f"loss {epoch.loss:.4f}  accuracy {100 * epoch.validation_accuracy:.2f} %  "
            f"{epoch.samples / epoch.seconds:,.0f} samples/s"
        )
        self.advance(epoch.number, shown)


def run(settings: Mapping[str, Any], typed: set[str], out: Path | None, *, resume: bool) -> int:
    """Train with the settings, of which `typed` were given on the command line."""
    config = _saved_config(out) if resume else Config(**settings)
    _expect_of_model(config.model, settings, typed)
    if resume:
        config = _resumed_config(config, settings, typed)
    console = Console(highlight=False)
    screen = _Screen(console, config.epochs)
    try:
        result = train(config, out, resume=resume, listener=screen)
    except GradientMismatch as mismatch:
        console.print(str(mismatch), markup=False, soft_wrap=True)
        console.print("Training stopped there; whole epochs before it are saved.")
        return FAILED
    except Interrupted as interrupted:
        console.print(f"Stopped; {interrupted.epochs} whole epochs are saved. To go on:")
        command = f"  manual-bp train --resume --out {shlex.quote(str(interrupted.out))}"
        console.print(command, markup=False, soft_wrap=True)
        return INTERRUPTED
    finally:
        screen.close()
    console.print(_table(result))
    where = f"In {result['out']}: {folder.RESULT}, checkpoints and pictures"
    console.print(where, markup=False, soft_wrap=True)
    return 0


def _expect_of_model(model: str, settings: Mapping[str, Any], typed: set[str]) -> None:
    """Raise an InputError where a size was typed that the model does not have."""
    for name in sorted(typed):
        others = [other for other, kind in models.table.items() if name in kind.sizes]
        if others and settings[name] and model not in others:
            expected = f"none for {model}, for it is of {', '.join(others)}"
            raise InputError("train", f"--{name}", expected, settings[name])


def _saved_config(out: Path | None) -> Config:
    if out is None:
        raise InputError("train", "--out", "the folder of the run to --resume", "none")
    saved = folder.read_config(out)["config"]
    try:
        return Config.from_dict(saved)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        expected = "the settings of a run of this version"
        raise InputError("run", str(out / folder.CONFIG), expected, error) from None


def _resumed_config(config: Config, settings: Mapping[str, Any], typed: set[str]) -> Config:
    changeable = {"epochs", "dataset"}  # data are known by their contents, wherever they lie
    for name in sorted(typed - changeable):
        before = config.model_dtype if name == "precision" else getattr(config, name)
        if settings[name] != before:
            option = f"--{name.replace('_', '-')}"
            expected = f"{before}, as when the run began"
            raise InputError("train", option, expected, settings[name])
    changed = dataclasses.replace(config, **{name: settings[name] for name in typed & changeable})
    if changed.epochs < config.epochs:
        expected = f"at least {config.epochs}, as when the run began"
        raise InputError("train", "--epochs", expected, changed.epochs)
    return changed


def _table(result: Mapping[str, Any]) -> Table:
    table = Table(show_header=False)
    checked = result["gradient_check"]
    error = checked["worst_relative_error"]
    worst = "" if error is None else f" (worst {error:.1e}, {checked['worst_leaf']})"
    rows = {
        "test accuracy": f"{100 * result['test_accuracy']:.2f} %",
        "validation accuracy": f"{100 * result['validation_accuracy']:.2f} %",
        "training loss": f"{result['loss_curve'][-1]:.4f}",
        "parameters": f"{result['parameters']:,}",
        "epochs": f"{result['epochs']} in {result['seconds']:.1f} s",
        "a step": f"{1e3 * result['seconds_per_step']:.2f} ms",
        "gradient check": f"{checked['verdict']}{worst}",
    }
    for name, value in rows.items():
        table.add_row(name, value.replace("[", r"\["))
    return table
