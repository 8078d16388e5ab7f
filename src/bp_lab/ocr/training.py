"""A training of the reader from its first line to its last: check, train, save, report."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bp_lab.errors import InputError
from bp_lab.files import write_json
from bp_lab.ocr import data, engine, evaluation, pictures
from bp_lab.ocr.batches import Batch, batches
from bp_lab.ocr.reader import SHIPPED, Reader
from bp_lab.ocr.settings import VISITS, Settings
from bp_lab.runs import folder, gradient_check
from bp_lab.runs.checkpoint import Checkpoints, Snapshot, opened
from bp_lab.runs.interrupt import Interrupted, Stop, stop_on_interrupt
from jax_ref import GradientMismatch, Report
from manual_bp import train as steps

SHORT, LONGEST = 8, 24
"""The most characters of a line, at first and then."""

_SHORT_EPOCHS = 3
_VALIDATION_SEED, _VALIDATED = 2_000_003, 96
_EVALUATED = 512


class Epoch(NamedTuple):
    """What is shown of an epoch.

    Attributes:
      number: from 1.
      loss: a character, in nats, the mean over the batches.
      error_rate: of characters, on lines like those of the training that it never saw.
      seconds: of its steps.
      lines: that its steps visited.
    """

    number: int
    loss: float
    error_rate: float
    seconds: float
    lines: int


class Listener:
    """Hears how a training goes. These methods do nothing."""

    def started(self, out: Path, settings: Settings, parameters: int) -> None:
        """The run has its folder."""

    def checked(self, report: Report) -> None:
        """The gradients were checked."""

    def resumed(self, epoch: int) -> None:
        """The run goes on after this many epochs."""

    def trained(self, epoch: Epoch) -> None:
        """An epoch is over, and saved."""


def train(
    settings: Settings,
    out: Path | None = None,
    *,
    resume: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Train a reader and leave a run folder; return what its `result.json` holds.

    Args:
      settings: of the training; those of the run where it is resumed.
      out: the run folder, new or empty; None for the next free one of `runs/`.
      resume: go on with the run in `out`, from its last whole epoch.
      listener: hears how it goes.

    Raises:
      InputError: the folder cannot be used, or the loss is no longer finite.
      GradientMismatch: the gradient check failed; no epoch was trained.
      Interrupted: Ctrl-C; the last whole epoch is saved.
    """
    listener = listener or Listener()
    with stop_on_interrupt() as stop:
        if resume:
            assert out is not None
        else:
            out = folder.claim(out, "ocr")
            _write_config(out, settings)
        params = engine.initial(settings)
        listener.started(out, settings, sum(leaf.size for leaf in jax.tree.leaves(params)))
        with opened(out) as checkpoints, ThreadPoolExecutor(1) as drawing:
            state = steps.init(params, engine.optimizer(settings))
            history: dict[str, Any] = {"epochs": [], "gradient_check": gradient_check.summary(None)}
            start = checkpoints.latest(like=state) or Snapshot(0, state, history)
            if resume:  # what could not be resumed is left as it is
                _write_config(out, settings)
            params, history = _train(settings, start, checkpoints, listener, stop, out, drawing)
        reader = Reader(params)
        reader.save(out / SHIPPED)
        result = {
            "settings": settings.to_dict(),
            "seconds": sum(epoch["seconds"] for epoch in history["epochs"]),
            "gradient_check": history["gradient_check"],
            "figures": evaluation.evaluate(reader, _EVALUATED),
        }
        pictures.draw(out, history["epochs"], reader)
        write_json(out / folder.RESULT, result)
        return {**result, "out": str(out)}


def _write_config(out: Path, settings: Settings) -> None:
    write_json(out / folder.CONFIG, {"config": settings.to_dict(), "dataset": {"name": "ocr"}})


def _train(
    settings: Settings,
    start: Snapshot,
    checkpoints: Checkpoints,
    listener: Listener,
    stop: Stop,
    out: Path,
    drawing: ThreadPoolExecutor,
) -> tuple[Any, dict[str, Any]]:
    done, state, history = start
    if done:
        listener.resumed(done)
    elif settings.check == "first":
        report = engine.check(settings, state.params)
        listener.checked(report)
        if gradient_check.is_wrong(report):
            raise GradientMismatch(str(report))
        history["gradient_check"] = gradient_check.summary(report)
    step = steps.jit_step(engine.loss_and_gradients(settings), engine.optimizer(settings))
    validation = data.lines(_VALIDATION_SEED, _VALIDATED, split="test")
    drawn = drawing.submit(epoch_batches, settings, done)
    for number in range(done, settings.epochs):
        visited, drawn = drawn.result(), _next(drawing, settings, number)
        if stop.asked:
            raise Interrupted(out, number)
        state, epoch = _epoch(step, state, visited, number, validation)
        history["epochs"].append(epoch._asdict())
        checkpoints.save(Snapshot(number + 1, state, history))
        listener.trained(epoch)
    return state.params, history


def _next(drawing: ThreadPoolExecutor, settings: Settings, number: int) -> "Future[list[Batch]]":
    """Let the batches of the next epoch be drawn while this one is trained; none after the last."""
    if number + 1 < settings.epochs:
        return drawing.submit(epoch_batches, settings, number + 1)
    return drawing.submit(list[Batch])


def epoch_batches(settings: Settings, number: int) -> list[Batch]:
    """Return the batches of an epoch; they depend on nothing but the settings and its number."""
    longest = SHORT if number < _SHORT_EPOCHS else LONGEST
    first = number * settings.lines
    lines = [
        data.line(settings.seed, first + place, split="train", longest=longest)
        for place in range(settings.lines)
    ]
    rng = np.random.default_rng((settings.seed, number))
    made: list[Batch] = []
    for _ in range(VISITS):
        lines = [lines[place] for place in rng.permutation(len(lines))]
        made += batches(lines, settings.batch_size, LONGEST, rng)
    return made


def _epoch(
    step: Any, state: Any, visited: list[Batch], number: int, validation: list[data.LineImage]
) -> tuple[Any, Epoch]:
    """Return the state after the epoch of that number, and what is shown of it."""
    losses, start = [], time.perf_counter()
    for batch in visited:
        state, loss = step(state, tuple(batch))
        losses.append(float(loss) / batch.lengths.mean())
    seconds = time.perf_counter() - start
    mean = float(np.mean(losses))
    if not np.isfinite(mean):
        came = f"{mean} in epoch {number + 1}; try a smaller --learning-rate"
        raise InputError("ocr train", "loss", "a finite number", came)
    read = Reader(state.params).read([line.image for line in validation], beam=None)
    rate = evaluation.error_rate([one.text for one in read], [line.text for line in validation])
    return state, Epoch(number + 1, mean, rate, seconds, sum(len(b.widths) for b in visited))
