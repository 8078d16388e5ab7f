"""Bad input at the command line: status 2, one message, no traceback, nothing overwritten."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--learning-rate", "-1"), "--learning-rate: expected a finite number > 0, got -1.0"),
        (("--learning-rate", "nan"), "--learning-rate: expected a finite number > 0, got nan"),
        (("--weight-decay", "-1"), "--weight-decay: expected a finite number ≥ 0, got -1.0"),
        (("--weight-decay", "inf"), "--weight-decay: expected a finite number ≥ 0, got inf"),
        (("--hidden", "8,0"), "--hidden: expected widths of at least 1, got (8, 0)"),
        (
            ("--hidden", "8;4"),
            "--hidden: expected whole numbers between commas, as 256,128, got '8;4'",
        ),
        (("--epochs", "0"), "--epochs: expected at least 1, got 0"),
        (("--seed", "-1"), "--seed: expected a whole number from 0 to 2³²−1, got -1"),
        (("--batch-size", "0"), "--batch-size: expected a whole number ≥ 1, or 'full', got 0"),
        (
            ("--batch-size", "all"),
            "--batch-size: expected a whole number ≥ 1, or 'full', got all",
        ),
        (
            ("--check", "every:0"),
            "--check: expected first, never or every:N with N ≥ 1, got every:0",
        ),
        (("--check", "often"), "--check: expected first, never or every:N with N ≥ 1, got often"),
        (("--engine", "magic"), "--engine: expected one of manual, autodiff, got magic"),
        (
            ("--dtype", "int8"),
            "--dtype: expected one of float32, float64, bfloat16, float16, got int8",
        ),
        (
            ("--optimizer", "rms"),
            "--optimizer: expected one of sgd, momentum, adam, lbfgs, got rms",
        ),
        (("--resume",), "--out: expected the folder of the run to --resume, got none"),
    ],
)
def test_a_bad_setting_of_train(manual_bp_command, arguments, message, tmp_path: Path) -> None:
    outcome = manual_bp_command("train", *arguments)
    assert (outcome.status, outcome.err, outcome.out) == (2, f"train: {message}\n", "")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "text", "kind"),
    [("--epochs", "many", "a whole number"), ("--learning-rate", "fast", "a number")],
)
def test_a_setting_that_is_no_number(manual_bp_command, option, text, kind) -> None:
    outcome = manual_bp_command("train", option, text)
    words = " ".join(outcome.err.replace("│", " ").split())
    assert outcome.status == 2
    assert f"Invalid value for '{option}': expected {kind}, got '{text}'" in words
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("name", ["activation", "loss", "initialiser"])
def test_an_unknown_name_is_answered_with_the_known_ones(manual_bp_command, name) -> None:
    outcome = manual_bp_command("train", f"--{name}", "nonesuch")
    assert outcome.status == 2
    assert outcome.err.startswith(f"train: --{name}: expected one of ")
    assert outcome.err.endswith(", got nonesuch\n")
    assert outcome.err.count("\n") == 1


def _write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


X, Y = np.random.default_rng(0).random((40, 6)), np.arange(40) % 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Path("missing.npz"), "missing.npz: source: expected"),
        (lambda: Path("empty.npz").write_bytes(b"") or Path("empty.npz"), "got an empty file"),
        (lambda: _write(Path("n.npz"), x=np.where(X < 0.1, np.nan, X), y=Y), "got nan in sample"),
        (lambda: _write(Path("i.npz"), x=np.where(X < 0.1, np.inf, X), y=Y), "got inf in sample"),
        (lambda: _write(Path("l.npz"), x=X, y=Y - 1), "l.npz: y: expected labels"),
        (lambda: _write(Path("s.npz"), x=X[:0], y=Y[:0]), "s.npz: x: expected 1 to"),
        (lambda: _write(Path("p.npz"), x=X, y=np.array([{}] * 40)), "pickle"),
    ],
)
def test_bad_data(manual_bp_command, make, words, tmp_path: Path) -> None:
    source = make()
    before = sorted(tmp_path.iterdir())
    outcome = manual_bp_command("train", source)
    assert outcome.status == 2
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_is_not_a_run(manual_bp_command, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "dear").write_text("keep me")
    expected = {
        ("train", "--out", folder): "train: --out: expected a new or empty folder, "
        f"got {folder}, which holds dear\n",
        ("train", "--resume", "--out", folder): f"run: {folder}: expected the folder of a run, "
        "with a config.json, got none\n",
        ("predict", folder, "x.png"): f"run: {folder}: expected the folder of a run, "
        "with a config.json, got none\n",
    }
    for arguments, message in expected.items():
        outcome = manual_bp_command(*arguments)
        assert (outcome.status, outcome.err) == (2, message)
    assert (folder / "dear").read_text() == "keep me"
    assert len(list(folder.iterdir())) == 1


def test_out_that_is_a_file(manual_bp_command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    outcome = manual_bp_command("train", "--out", tmp_path / "file")
    assert outcome.status == 2
    assert outcome.err.startswith("train: --out: expected a folder that can be written, got ")
    assert (tmp_path / "file").read_text() == "keep me"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 1, "dataset": 2}', "\x00\xff"])
def test_a_damaged_configuration(manual_bp_command, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, "latin-1")
    for arguments in (("train", "--resume", "--out", tmp_path), ("predict", tmp_path, "x.png")):
        outcome = manual_bp_command(*arguments)
        assert outcome.status == 2
        assert outcome.err.startswith(f"run: {tmp_path / 'config.json'}: expected ")
        assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (("check", "--op", "nonesuch"), "check: --op: expected part of one of "),
        (("check", "--dtype", "int8"), "check: --dtype: expected one of float64, "),
        (("check", "--json", "no/where.json"), "check: --json: expected a file in an existing "),
        (("bench", "--dtype", "int8"), "bench: --dtype: expected one of float32, "),
        (("bench", "--pairs", "1"), "bench: --pairs: expected at least 3, got 1"),
        (("experiment", "x"), "experiment: name: expected one of vanishing-gradients, symmetry"),
        (("experiment", "symmetry", "--out", "no"), "experiment: --out: expected an existing fold"),
    ],
)
def test_bad_input_of_the_other_commands(manual_bp_command, arguments, start) -> None:
    outcome = manual_bp_command(*arguments)
    assert outcome.status == 2
    assert outcome.err.startswith(start)
    assert outcome.err.count("\n") == 1


def test_an_unknown_command(manual_bp_command) -> None:
    outcome = manual_bp_command("frobnicate")
    assert outcome.status == 2
    assert "No such command 'frobnicate'" in outcome.err
