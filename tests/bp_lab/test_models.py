"""The models that a run can train, and the settings that they refuse."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from bp_lab.data import load
from bp_lab.errors import InputError
from bp_lab.runs import Config, engine, train
from bp_lab.runs.predict import load_network

SMALL = {
    "cnn": Config(model="cnn", channels=(3, 4), hidden=(8,), epochs=2, batch_size=64),
    "resnet": Config(model="resnet", channels=(3,), epochs=2, batch_size=64),
    **{
        cell: Config(model=cell, hidden=(6,), epochs=2, batch_size=64)
        for cell in ("rnn", "lstm", "gru")
    },
}


@pytest.fixture(autouse=True)
def few_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a fifth of the digits: in programs that are not optimised a convolution takes long."""
    digits = load("digits")
    x = np.concatenate([digits.train.x, digits.validation.x])[::5]
    y = np.concatenate([digits.train.y, digits.validation.y])[::5]
    np.savez(tmp_path / "few.npz", x=(255 * x).astype(np.uint8).reshape(-1, 8, 8), y=y)
    for name, config in SMALL.items():
        few = dataclasses.replace(config, dataset=str(tmp_path / "few.npz"))
        monkeypatch.setitem(SMALL, name, few)


@pytest.mark.parametrize("model", SMALL)
def test_a_model_passes_its_check_and_is_trained_and_reads_images(
    model: str, tmp_path: Path
) -> None:
    result = train(SMALL[model], tmp_path / "run")
    assert result["model"].startswith(f"{model} ")
    assert result["gradient_check"]["verdict"] == "PASS"
    assert result["loss_curve"][1] < result["loss_curve"][0]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["model"] == model
    network = load_network(tmp_path / "run")
    classes, confidence = network(np.zeros((3, 64), np.float32))
    assert classes.shape == (3,)
    assert ((confidence > 0) & (confidence <= 1)).all()


@pytest.mark.parametrize("model", ["cnn", "resnet"])
def test_both_engines_take_the_same_way(model: str, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL[model], check="never")
    curves = [
        train(dataclasses.replace(config, engine=name), tmp_path / name)["loss_curve"]
        for name in ("manual", "autodiff")
    ]
    np.testing.assert_allclose(*curves, rtol=1e-4)


@pytest.mark.parametrize("model", ["cnn", "resnet"])
def test_a_stopped_run_goes_on_where_it_was(model: str, tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL[model], check="never")
    whole = train(config, tmp_path / "whole")
    train(dataclasses.replace(config, epochs=1), tmp_path / "parts")
    resumed = train(config, tmp_path / "parts", resume=True)
    assert resumed["loss_curve"] == whole["loss_curve"]


def test_settings_without_a_model_are_those_of_an_mlp() -> None:
    saved = Config().to_dict()
    for newer in ("model", "channels"):
        del saved[newer]
    assert Config.from_dict(saved) == Config()


def test_defaults_go_with_the_model() -> None:
    assert (Config().hidden, Config().activation, Config().initialiser) == (
        (512, 256),
        "relu",
        "he_normal",
    )
    lstm = Config(model="lstm")
    assert (lstm.hidden, lstm.activation, lstm.initialiser) == ((128,), "tanh", "xavier_normal")
    assert lstm.learning_rate == 0.005
    assert Config(model="lstm", optimizer="sgd").learning_rate == 0.1
    params, carried = engine.initial(lstm, 64, 10, (8, 8))
    assert carried == ()
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == (8 + 128 + 1) * 512 + 129 * 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": "resnext"},
            "train: --model: expected one of mlp, cnn, resnet, rnn, lstm, gru, got resnext",
        ),
        (
            {"model": "gru", "hidden": (8, 8)},
            "train: --hidden: expected one width for gru, got (8, 8)",
        ),
        (
            {"model": "resnet", "hidden": (8,)},
            "train: --hidden: expected none for resnet, got (8,)",
        ),
        (
            {"model": "lstm", "activation": "relu"},
            "train: --activation: expected one of tanh, got relu",
        ),
        (
            {"model": "cnn", "loss": "squared-error"},
            "train: --loss: expected one of softmax-xent, bce, softmax-squared-error, "
            "got squared-error",
        ),
        (
            {"model": "cnn", "channels": ()},
            "train: --channels: expected numbers of at least 1, got ()",
        ),
    ],
)
def test_settings_that_do_not_go_together(settings: dict, message: str) -> None:
    with pytest.raises(InputError) as refused:
        Config(**settings)
    assert str(refused.value) == message


def test_data_that_a_model_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        Config(model="cnn", channels=(2, 2, 2, 2)).expect_fit((8, 8))
    expected = (
        "train: --channels: expected at most 3 of them, which halve images of 8×8, got (2, 2, 2, 2)"
    )
    assert str(refused.value) == expected
    with pytest.raises(InputError) as refused:
        Config(model="resnet", channels=(2,) * 5).expect_fit((8, 8))
    expected = (
        "train: --channels: expected at most 4 of them, which halve images of 8×8, "
        "got (2, 2, 2, 2, 2)"
    )
    assert str(refused.value) == expected
    with pytest.raises(InputError) as refused:
        Config(model="cnn").expect_fit((1, 8))
    expected = "train: --model: expected one that does not halve images of 1×8, got cnn"
    assert str(refused.value) == expected
    with pytest.raises(InputError) as refused:
        Config(model="lstm").expect_fit(None)
    expected = "train: --model: expected mlp for samples that are vectors, not images, got lstm"
    assert str(refused.value) == expected
    Config().expect_fit(None)
