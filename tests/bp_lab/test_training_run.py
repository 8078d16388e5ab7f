"""Whole training runs: what they leave, that they can be resumed, that both engines agree."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from orbax.checkpoint import CheckpointManager
from PIL import Image

import manual_bp
from bp_lab.errors import InputError
from bp_lab.runs import Config, checkpoint, engine, run, train
from bp_lab.runs.interrupt import Interrupted
from jax_ref import GradientMismatch

SMALL = Config(hidden=(12,), epochs=3, learning_rate=0.01, check="never")


def _parameters(out: Path, config: Config) -> list[np.ndarray]:
    from bp_lab.runs.predict import load_network

    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(out).params)]


def _assert_bit_identical(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    assert [leaf.tobytes() for leaf in a] == [leaf.tobytes() for leaf in b]


@pytest.mark.pictures
def test_a_run_leaves_result_configuration_checkpoint_and_pictures(tmp_path: Path) -> None:
    result = train(dataclasses.replace(SMALL, check="first"), tmp_path / "run")
    written = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert {**written, "out": str(tmp_path / "run")} == result
    assert written["dataset"] == "digits"
    assert written["model"] == "mlp 64-12-10 relu softmax-xent"
    assert written["parameters"] == 64 * 12 + 12 + 12 * 10 + 10
    assert written["epochs"] == len(written["loss_curve"]) == 3
    assert written["loss_curve"][0] > written["loss_curve"][-1] > 0
    assert written["seconds"] > written["seconds_per_step"] > 0
    assert 0.5 < written["test_accuracy"] <= 1
    check = written["gradient_check"]
    assert check["verdict"] == "PASS"
    assert check["worst_leaf"].startswith(("params", "δ"))
    assert 0 <= check["worst_relative_error"] < 1e-12
    config = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert Config.from_dict(config["config"]) == dataclasses.replace(SMALL, check="first")
    for name in ("curves", "delta_norms", "confusion", "misread"):
        with Image.open(tmp_path / "run" / f"{name}.png") as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert not list((tmp_path / "run").glob(".*"))


def test_without_a_check_the_result_says_so(tmp_path: Path) -> None:
    check = train(SMALL, tmp_path / "run")["gradient_check"]
    assert check == {"verdict": "NOT RUN", "worst_leaf": None, "worst_relative_error": None}


def test_a_second_run_does_not_touch_the_first(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (train(dataclasses.replace(SMALL, epochs=1))["out"] for _ in range(2))
    assert [first, second] == [f"runs{os.sep}digits-1", f"runs{os.sep}digits-2"]
    before = {path: path.read_bytes() for path in Path(first).rglob("*") if path.is_file()}
    with pytest.raises(InputError) as refused:
        train(SMALL, Path(first))
    assert str(refused.value) == (
        "train: --out: expected a new or empty folder (or --resume to go on with the run in it), "
        f"got {first}, which holds a run"
    )
    assert before == {path: path.read_bytes() for path in Path(first).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"},
        {"optimizer": "momentum", "dtype": "float64"},
        {"optimizer": "lbfgs", "batch_size": "full"},
        {"optimizer": "sgd", "dtype": "bfloat16"},
        {"optimizer": "adam", "precision": "float16"},
    ],
    ids=str,
)
def test_a_stopped_run_ends_bit_identical_to_an_undisturbed_one(tmp_path, changes) -> None:
    config = dataclasses.replace(SMALL, epochs=4, **changes)
    train(config, tmp_path / "whole")

    class PressCtrlC(run.Listener):
        def trained(self, epoch: run.Epoch) -> None:
            if epoch.number == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as stopped:
        train(config, tmp_path / "stopped", listener=PressCtrlC())
    assert stopped.value.epochs == 2
    assert not (tmp_path / "stopped" / "result.json").exists()
    resumed = train(config, tmp_path / "stopped", resume=True)
    whole = json.loads((tmp_path / "whole" / "result.json").read_text("utf-8"))
    assert resumed["loss_curve"] == whole["loss_curve"]
    _assert_bit_identical(
        _parameters(tmp_path / "whole", config), _parameters(tmp_path / "stopped", config)
    )


def test_a_finished_run_can_be_resumed_for_more_epochs(tmp_path: Path) -> None:
    train(dataclasses.replace(SMALL, epochs=2), tmp_path / "run")
    more = dataclasses.replace(SMALL, epochs=3)
    assert train(more, tmp_path / "run", resume=True)["epochs"] == 3
    train(more, tmp_path / "whole")
    _assert_bit_identical(
        _parameters(tmp_path / "run", more), _parameters(tmp_path / "whole", more)
    )


def test_a_damaged_last_checkpoint_is_named_and_kept_and_the_one_before_it_taken(
    tmp_path: Path,
) -> None:
    result = train(SMALL, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    for path in (checkpoints / "3").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:10])
    damaged = sorted(path.name for path in (checkpoints / "3").rglob("*"))
    # In a process of its own: threads of the storage library outlive a restore that failed.
    command = [Path(sys.executable).parent / "manual-bp", "train", "--resume", "--out"]
    resumed = subprocess.run(
        [*command, tmp_path / "run"], capture_output=True, text=True, check=False
    )
    message = f"checkpoint: {checkpoints / '3'}: expected a checkpoint of this run's network, got "
    assert (resumed.returncode, resumed.stderr.count("\n")) == (0, 1)
    assert resumed.stderr.startswith(message)
    assert "Going on after epoch 2." in resumed.stdout
    again = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert again["loss_curve"] == pytest.approx(result["loss_curve"], rel=1e-4)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["2", "3", "3.damaged-1"]
    kept = (checkpoints / "3.damaged-1").rglob("*")
    assert sorted(path.name for path in kept) == damaged


def test_a_resumption_that_is_refused_leaves_the_run_as_it_is(tmp_path: Path) -> None:
    train(SMALL, tmp_path / "run")
    for history in tmp_path.glob("run/checkpoints/*/history/metadata"):
        history.write_text("{", "utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as refused:
        train(dataclasses.replace(SMALL, epochs=4), tmp_path / "run", resume=True)
    last = tmp_path / "run" / "checkpoints" / "3"
    message = f"checkpoint: {last}: expected a checkpoint of this run's network, got "
    assert str(refused.value).startswith(message)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["a[b]", "a\\b"])
def test_a_folder_may_have_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(dataclasses.replace(SMALL, epochs=2), Path(name))
    assert train(SMALL, Path(name), resume=True)["epochs"] == 3
    train(SMALL, Path("whole"))
    _assert_bit_identical(_parameters(Path(name), SMALL), _parameters(Path("whole"), SMALL))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "whole"])


def test_a_checkpoint_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: Any, **_named: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CheckpointManager, "save", full)
    with pytest.raises(InputError) as refused:
        train(SMALL, tmp_path / "run")
    place, expected = (
        tmp_path / "run" / "checkpoints",
        "a folder that can be written, with room in it",
    )
    came = f"[Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}"
    assert str(refused.value) == f"checkpoint: {place}: expected {expected}, got {came}"


def test_data_that_changed_since_the_run_began_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source = tmp_path / "data.npz"
    x, y = rng.random((60, 5)), np.arange(60) % 3
    np.savez(source, x=x, y=y)
    config = Config(dataset=str(source), hidden=(4,), epochs=1, check="never")
    train(config, tmp_path / "run")
    np.savez(source, x=x, y=np.arange(60) % 4)
    with pytest.raises(InputError) as refused:
        train(config, tmp_path / "run", resume=True)
    assert str(refused.value) == "dataset: classes: expected 3, as when the run began, got 4"


@pytest.mark.parametrize(
    ("loss", "batch_size"),
    [("softmax-xent", 1), ("bce", 100), ("squared-error", "full"), ("softmax-squared-error", 20)],
)
def test_every_loss_and_batch_size_trains_and_passes_its_check(tmp_path, loss, batch_size) -> None:
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3
    x = np.eye(3)[y] @ rng.standard_normal((3, 5)) + 0.1 * rng.standard_normal((90, 5))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    config = Config(
        dataset=str(tmp_path / "data.npz"),
        hidden=(6,),
        activation="tanh",
        loss=loss,
        optimizer="momentum",
        batch_size=batch_size,
        epochs=3,
    )
    result = train(config, tmp_path / "run")
    assert result["gradient_check"]["verdict"] == "PASS"
    assert result["loss_curve"][-1] < result["loss_curve"][0]
    assert not (tmp_path / "run" / "misread.png").exists()


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_both_engines_take_the_same_way(tmp_path: Path, optimizer: str) -> None:
    config = dataclasses.replace(SMALL, optimizer=optimizer, dtype="float64", epochs=10)
    by_hand = train(config, tmp_path / "manual")
    by_jax = train(dataclasses.replace(config, engine="autodiff"), tmp_path / "autodiff")
    np.testing.assert_allclose(by_hand["loss_curve"], by_jax["loss_curve"], rtol=1e-12)
    assert (by_hand["engine"], by_jax["engine"]) == ("manual", "autodiff")
    for ours, theirs in zip(
        _parameters(tmp_path / "manual", config),
        _parameters(tmp_path / "autodiff", config),
        strict=True,
    ):
        assert ours.dtype == np.float64
        assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


def test_a_run_in_float16_keeps_float32_and_resumes_with_its_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = manual_bp.precision.loss_scale(2.0**24, interval=90)
    monkeypatch.setattr(engine.manual_bp.precision, "loss_scale", lambda: began)
    config = dataclasses.replace(SMALL, precision="float16", check="first", epochs=2)
    result = train(config, tmp_path / "run")
    assert result["gradient_check"]["verdict"] == "PASS"
    assert result["test_accuracy"] > 0.5
    with checkpoint.opened(tmp_path / "run") as checkpoints:
        state = checkpoints.latest(engine.initial_state(config, 64, 10)).state
    assert 1 < float(state.scale.value) < 2.0**24
    assert int(state.scale.interval) == 90
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}
    assert train(dataclasses.replace(config, epochs=3), tmp_path / "run", resume=True)


def test_a_wrong_backward_is_caught_before_training(tmp_path: Path, monkeypatch) -> None:
    hand_written = engine.hand_written

    def with_a_wrong_sign(config: Config, **settings: bool):
        right = hand_written(config, **settings)

        def wrong(params, *batch):
            loss, gradients, (first, *rest), carried = right(params, *batch)
            return loss, gradients, (-first, *rest), carried

        return wrong

    monkeypatch.setattr(engine, "hand_written", with_a_wrong_sign)
    with pytest.raises(GradientMismatch, match=r"δ\[0\]\[\d, \d+\]: hand .*, ratio -1"):
        train(dataclasses.replace(SMALL, check="first"), tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_run_saved_before_models_carried_anything_goes_on(tmp_path: Path, monkeypatch) -> None:
    class OldState(NamedTuple):
        params: Any
        optimizer: Any
        step: Any

    out = tmp_path / "run"
    whole = train(SMALL, tmp_path / "whole")
    with monkeypatch.context() as before:
        before.setattr(checkpoint, "_on_disk", lambda state: OldState(*state[:3]))
        train(dataclasses.replace(SMALL, epochs=1), out)
    assert train(SMALL, out, resume=True)["loss_curve"] == whole["loss_curve"]


def test_check_every_second_epoch(tmp_path: Path) -> None:
    class Count(run.Listener):
        epochs: list[int] = []  # noqa: RUF012

        def checked(self, report, epoch: int) -> None:
            assert report
            self.epochs.append(epoch)

    train(dataclasses.replace(SMALL, epochs=4, check="every:2"), tmp_path / "r", listener=Count())
    assert Count.epochs == [0, 2]


def test_a_loss_that_overflows_stops_the_run(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(InputError) as stopped:
        train(config, tmp_path / "run")
    assert str(stopped.value).startswith("train: loss: expected a finite number, got ")
