"""A training run from its first line to its last: check, train, save, report."""

import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from bp_lab import data, plots
from bp_lab.errors import InputError
from bp_lab.files import write_json
from bp_lab.runs import engine, folder, gradient_check
from bp_lab.runs.checkpoint import Checkpoints, Snapshot, opened
from bp_lab.runs.config import Config, fingerprint
from bp_lab.runs.interrupt import Interrupted, Stop, stop_on_interrupt
from jax_ref import GradientMismatch, Report

PROBED = 256  # samples on which the size of every δ is followed


class Epoch(NamedTuple):
    """What is shown of an epoch: losses are means over its samples or over the part."""

    number: int
    loss: float
    validation_loss: float
    validation_accuracy: float
    delta_norms: list[float]
    seconds: float
    samples: int


class Listener:
    """Hears how a run goes. These methods do nothing."""

    def started(self, out: Path, config: Config, model: str, dataset: data.Dataset) -> None:
        """The run has its folder."""

    def checked(self, report: Report, epoch: int) -> None:
        """The gradients were checked."""

    def resumed(self, epoch: int) -> None:
        """The run goes on after this many epochs."""

    def trained(self, epoch: Epoch) -> None:
        """An epoch is over, and saved."""


class _Trainer:
    """The compiled functions of a run, and its data on the device."""

    def __init__(self, config: Config, dataset: data.Dataset) -> None:
        self.config, self.dataset = config, dataset
        self.optimizer = engine.optimizer(config)
        self.samples = len(dataset.train.y)
        self.batch_size = self.samples if config.batch_size == "full" else int(config.batch_size)
        self.steps = -(-self.samples // min(self.batch_size, self.samples))
        self.train = engine.data(config, dataset, dataset.train)
        self.parts = {
            part: (*engine.data(config, dataset, split), jnp.asarray(split.y))
            for part, split in (("validation", dataset.validation), ("test", dataset.test))
        }
        self._full = engine.loss_gradients_and_deltas(config)
        self._deltas = jax.jit(self._delta_norms)
        self._outputs = jax.jit(engine.scores(config))
        self._evaluate = jax.jit(self._loss_and_accuracy)
        self._epoch: Any = None

    def initial(self) -> Any:
        """Return the state before the first epoch."""
        features = self.dataset.train.x.shape[1]
        shape = self.dataset.image_shape
        return engine.initial_state(self.config, features, self.dataset.classes, shape)

    def epoch(self, state: Any, number: int) -> tuple[Any, Epoch]:
        """Return the state after the epoch of that number, and what is shown of it."""
        key = jax.random.fold_in(jax.random.key(self.config.seed), number)
        if self._epoch is None:
            make: Any = manual_bp.train.make_epoch(
                engine.loss_and_gradients(self.config),
                self.optimizer,
                batch_size=self.batch_size,
                stateful=True,
            )
            self._epoch = make.lower(state, self.train, key).compile()
        start = time.perf_counter()
        state, losses = jax.block_until_ready(self._epoch(state, self.train, key))
        seconds = time.perf_counter() - start
        rest = self.samples - (self.steps - 1) * min(self.batch_size, self.samples)
        weights = np.r_[np.full(self.steps - 1, min(self.batch_size, self.samples)), rest]
        loss = float(np.average(np.asarray(losses, np.float64), weights=weights))
        validation_loss, accuracy = self._evaluate(
            state.params, state.model, *self.parts["validation"]
        )
        few = tuple(array[:PROBED] for array in self.train)
        norms = [float(norm) for norm in self._deltas(state.params, state.model, *few)]
        shown = Epoch(
            number + 1, loss, float(validation_loss), float(accuracy), norms, seconds, self.samples
        )
        return state, shown

    def predictions(self, state: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes predicted for the test part, and the confidence in each."""
        outputs = self._outputs(state.params, state.model, self.parts["test"][0])
        confidence = np.asarray(engine.probabilities(self.config, outputs))
        return confidence.argmax(-1), confidence.max(-1)

    def _delta_norms(self, params: Any, carried: Any, x: Any, targets: Any) -> list[Any]:
        _, _, deltas = self._full(params, carried, x, targets)
        return [jnp.sqrt((delta.astype(jnp.float32) ** 2).sum()) for delta in deltas]

    def _loss_and_accuracy(
        self, params: Any, carried: Any, x: Any, targets: Any, y: Any
    ) -> tuple[Any, Any]:
        full = engine.loss_gradients_and_deltas(self.config, training=False)
        loss, _, _ = full(params, carried, x, targets)
        right = engine.scores(self.config)(params, carried, x).argmax(-1).astype(y.dtype) == y
        return loss, right.astype(jnp.float32).mean()


def train(
    config: Config,
    out: Path | None = None,
    *,
    resume: bool = False,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Train a network and leave a run folder; return what its `result.json` holds.

    Args:
      config: the settings; those of the run where it is resumed.
      out: the run folder, new or empty; None for the next free one of `runs/`.
      resume: go on with the run in `out`, from its last whole epoch.
      listener: hears how it goes.

    Raises:
      InputError: data, settings or folder cannot be used, or the loss is no longer finite.
      GradientMismatch: a gradient check failed; no epoch was trained after it.
      Interrupted: Ctrl-C; the last whole epoch is saved.
    """
    listener = listener or Listener()
    with stop_on_interrupt() as stop, engine.precision(config.dtype):
        dataset = data.load(config.dataset)
        config.expect_fit(dataset.image_shape)
        features = dataset.train.x.shape[1]
        engine.expect_memory(config, features, dataset.classes, dataset.image_shape)
        if resume:
            assert out is not None
            content = folder.read_config(out)
            _expect_same_data(content["dataset"], dataset)
            content["config"] = config.to_dict()  # a resumed run may be given more epochs
        else:
            out = folder.claim(out, config.dataset)
            content = {
                "config": config.to_dict(),
                "dataset": fingerprint(dataset),
                "versions": _versions(),
            }
            write_json(out / folder.CONFIG, content)
        model = config.describe_model(features, dataset.classes, dataset.image_shape)
        listener.started(out, config, model, dataset)
        trainer = _Trainer(config, dataset)
        with opened(out) as checkpoints:
            state = trainer.initial()
            history: dict[str, Any] = {"epochs": [], "gradient_check": None}
            start = checkpoints.latest(like=state) or Snapshot(0, state, history)
            if resume:  # what could not be resumed is left as it is
                write_json(out / folder.CONFIG, content)
            state, history = _train(trainer, checkpoints, start, listener, stop, out)
        predicted, confidence = trainer.predictions(state)
        result = _result(trainer, state, history, model, predicted)
        plots.draw_run(out, history["epochs"], dataset.test, predicted, confidence, dataset)
        write_json(out / folder.RESULT, result)
        return {**result, "out": str(out)}


def _train(
    trainer: _Trainer,
    checkpoints: Checkpoints,
    start: Snapshot,
    listener: Listener,
    stop: Stop,
    out: Path,
) -> tuple[Any, dict[str, Any]]:
    config, (done, state, history) = trainer.config, start
    if done:
        listener.resumed(done)
    for number in range(done, config.epochs):
        interval = config.check_interval
        due = interval is not None and (number % interval == 0 if interval else number == 0)
        if due:
            report = gradient_check.check(config, trainer.dataset, state, seed=number)
            listener.checked(report, number)
            if gradient_check.is_wrong(report):
                raise GradientMismatch(str(report))
            history["gradient_check"] = _worse(
                history["gradient_check"], gradient_check.summary(report)
            )
        if stop.asked:
            raise Interrupted(out, number)
        state, epoch = trainer.epoch(state, number)
        if not np.isfinite(epoch.loss):
            came = f"{epoch.loss} in epoch {epoch.number}; try a smaller --learning-rate"
            raise InputError("train", "loss", "a finite number", came)
        history["epochs"].append(epoch._asdict())
        checkpoints.save(Snapshot(number + 1, state, history))
        listener.trained(epoch)
    return state, history


def _worse(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of the check that was further from passing."""
    if before is None:
        return now

    def badness(summary: dict[str, Any]) -> tuple[bool, float]:
        return summary["verdict"] != "PASS", summary["worst_relative_error"] or 0.0

    return max(before, now, key=badness)


def _result(
    trainer: _Trainer, state: Any, history: dict[str, Any], model: str, predicted: np.ndarray
) -> dict[str, Any]:
    epochs, config = history["epochs"], trainer.config
    return {
        "dataset": trainer.dataset.name,
        "model": model,
        "engine": config.engine,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "epochs": len(epochs),
        "seconds": sum(epoch["seconds"] for epoch in epochs),
        "seconds_per_step": float(np.median([e["seconds"] for e in epochs])) / trainer.steps,
        "validation_accuracy": epochs[-1]["validation_accuracy"],
        "test_accuracy": float((predicted == trainer.dataset.test.y).mean()),
        "loss_curve": [epoch["loss"] for epoch in epochs],
        "gradient_check": history["gradient_check"] or gradient_check.summary(None),
    }


def _expect_same_data(before: dict[str, Any], dataset: data.Dataset) -> None:
    now = fingerprint(dataset)
    for argument in ("classes", "features", "samples", "sha256"):
        if before.get(argument) != now[argument]:
            expected = f"{before.get(argument)}, as when the run began"
            raise InputError("dataset", argument, expected, now[argument])


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = ("manual-bp", "jax", "jaxlib", "optax", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
