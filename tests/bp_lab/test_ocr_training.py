"""Trainings of the reader: what they leave, that they can be resumed, that both engines agree."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bp_lab.errors import InputError
from bp_lab.experiments import reading_engines
from bp_lab.ocr import batches, data, engine, evaluation, pictures, training
from bp_lab.ocr.decoding import Reading
from bp_lab.ocr.settings import Settings
from bp_lab.runs.interrupt import Interrupted

SMALL = Settings(
    epochs=2, lines=16, batch_size=4, channels=(1, 2, 1, 2), hidden=2, check="never", seed=3
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile one shape alone, and measure on few lines."""
    monkeypatch.setattr(batches, "BUCKETS", (160,))
    monkeypatch.setattr(training, "_EVALUATED", 2)
    monkeypatch.setattr(training, "_VALIDATED", 2)
    monkeypatch.setattr(training.pictures, "draw", lambda *_: None)
    monkeypatch.setattr(pictures, "_SHOWN", 1)


class _Counting(training.Listener):
    def __init__(self, stop: Any = None) -> None:
        self.epochs: list[int] = []
        self.resumed_after: int | None = None
        self.stop = stop

    def resumed(self, epoch: int) -> None:
        self.resumed_after = epoch

    def trained(self, epoch: training.Epoch) -> None:
        self.epochs.append(epoch.number)
        if self.stop:
            self.stop()


def test_a_training_can_be_stopped_and_resumed_to_the_same_reader(tmp_path: Path) -> None:
    import os
    import signal

    step = training.steps.jit_step

    def once(*given: Any, cache: list[Any] = []) -> Any:  # noqa: B006  one program for all runs
        if not cache:
            cache.append(step(*given))
        return cache[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.steps, "jit_step", once)
        whole = training.train(SMALL, tmp_path / "whole")
        stopping = _Counting(lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted, match="after 1 epochs"):
            training.train(SMALL, tmp_path / "run", listener=stopping)
        going_on = _Counting()
        resumed = training.train(SMALL, tmp_path / "run", resume=True, listener=going_on)
    assert (stopping.epochs, going_on.resumed_after, going_on.epochs) == ([1], 1, [2])
    assert resumed["figures"] == whole["figures"]
    assert set(whole["figures"]) == set(evaluation.HELD_OUT)
    weights = [(tmp_path / name / "reader.npz").read_bytes() for name in ("whole", "run")]
    arrays = [dict(np.load(tmp_path / name / "reader.npz")) for name in ("whole", "run")]
    assert len(weights[0]) == len(weights[1])
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name])
    written = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert Settings.from_dict(written["settings"]) == SMALL
    assert written["gradient_check"]["verdict"] == "NOT RUN"


def test_both_engines_train_the_same_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"float64": reading_engines.WHERE["float64"]}
    monkeypatch.setattr(reading_engines, "WHERE", where)
    result = reading_engines.run(3, 3, SMALL)
    of = result.trainings["float64"]
    assert 0 < of.gradients.max() < 1e-12
    assert of.apart("by hand").max() < 1e-12
    assert of.apart("autodiff, moved by an ulp").max() < 1e-12
    assert len(set(of.loss["by hand"])) == 3
    said = reading_engines.lines(result)
    assert said[0].endswith(" up to step 3")
    assert said[-1].endswith(" times as long")
    reading_engines.draw(tmp_path / "e.png", result)
    assert (tmp_path / "e.png").stat().st_size > 5000


def test_parameters_are_moved_by_an_ulp() -> None:
    start = engine.initial(SMALL)._asdict()["V"]
    moved = reading_engines._moved(np.asarray(start), 0)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(np.abs(moved - start), np.spacing(np.abs(start)))


def test_the_lines_that_are_checked_are_short_and_have_steps_enough() -> None:
    few = engine.few_lines(5)
    assert few.x.shape[2] == 64
    assert (few.widths <= 64).all()
    for width, row, length in zip(few.widths, few.labels, few.lengths, strict=True):
        repeats = (row[1:length] == row[: length - 1]).sum()
        assert width // 4 >= length + repeats


def test_an_epoch_is_the_same_for_its_number_and_visits_every_line_twice() -> None:
    settings = dataclasses.replace(SMALL, batch_size=1)
    once, again = training.epoch_batches(settings, 1), training.epoch_batches(settings, 1)
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
    shown = sorted(batch.x.tobytes() for batch in once)
    assert shown[::2] == shown[1::2]
    assert len(set(shown)) == len(shown) // 2 > 8


@pytest.mark.pictures
def test_the_pictures_are_drawn(tmp_path: Path) -> None:
    class Guessing:
        def read(self, lines: list[np.ndarray]) -> list[Reading]:
            return [Reading("$_{x", (0.5,) * 4) for _ in lines]

    epochs = [training.Epoch(n, 1 / n, 0.1 / n, 1.0, 32)._asdict() for n in (1, 2)]
    pictures.curves(tmp_path / "curves.png", epochs)
    pictures.samples(tmp_path / "samples.png", Guessing())  # type: ignore[arg-type]
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("curves.png", "samples.png"))


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    batch = batches.batch(data.lines(0, 2, split="digits", longest=3), 160, 24)
    with pytest.raises(InputError, match="ocr train: loss: expected a finite number, got nan"):
        training._epoch(lambda state, _: (state, np.nan), None, [batch], 0, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "--epochs: expected a whole number of at least 1, got 0"),
        (("--batch-size", "0"), "--batch-size: expected a whole number of at least 1, got 0"),
        (("--lines", "100"), "--lines: expected at least 128, four batches, got 100"),
        (("--hidden", "0"), "--hidden: expected a whole number of at least 1, got 0"),
        (("--seed", "-1"), "--seed: expected a whole number from 0 to 2³²−1, got -1"),
        (("--seed", str(2**64)), f"--seed: expected a whole number from 0 to 2³²−1, got {2**64}"),
        (("--learning-rate", "nan"), "--learning-rate: expected a number between 0 and 1, got nan"),
        (("--engine", "magic"), "--engine: expected one of manual, autodiff, got magic"),
        (("--check", "often"), "--check: expected one of first, never, got often"),
        (
            ("--channels", "4;4"),
            "--channels: expected whole numbers between commas, as 16,32,64,96, got '4;4'",
        ),
        (
            ("--channels", "4,4"),
            "--channels: expected four whole numbers of at least 1, got [4, 4]",
        ),
        (("--resume",), "--out: expected the folder of the run to --resume, got none"),
    ],
)
def test_a_bad_setting(manual_bp_command, arguments, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = manual_bp_command("ocr", "train", *arguments)
    assert (outcome.status, outcome.err, outcome.out) == (2, f"ocr train: {message}\n", "")
    assert not any(tmp_path.iterdir())


def test_a_resumed_run_keeps_its_settings(manual_bp_command, tmp_path: Path) -> None:
    content = {"config": SMALL.to_dict(), "dataset": {"name": "ocr"}}
    (tmp_path / "config.json").write_text(json.dumps(content), "utf-8")
    outcome = manual_bp_command("ocr", "train", "--resume", "--out", tmp_path, "--hidden", "9")
    assert outcome.status == 2
    assert outcome.err == "ocr train: --hidden: expected 2, as when the run began, got 9\n"
    content["config"] = {"epochs": 3}
    (tmp_path / "config.json").write_text(json.dumps(content), "utf-8")
    outcome = manual_bp_command("ocr", "train", "--resume", "--out", tmp_path)
    assert outcome.status == 2
    assert "expected the settings of a training of the reader, of this version" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lines", "0"), "ocr evaluate: --lines: expected a whole number of at least 1, got 0"),
        (("--beam", "-1"), "ocr evaluate: --beam: expected a whole number of at least 0, got -1"),
        (("--weights", "none.npz"), "none.npz: file: expected a readable file, got No such file"),
    ],
)
def test_what_cannot_be_evaluated(manual_bp_command, arguments, message) -> None:
    outcome = manual_bp_command("ocr", "evaluate", *arguments)
    assert outcome.status == 2
    assert outcome.err.startswith(message)
