"""The commands, as a user types them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jax_ref import cases


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


TRAIN = ("train", "--hidden", "24", "--epochs", "8", "--out", "run")


def test_train_shows_verdict_first_then_progress_then_a_table(manual_bp_command) -> None:
    outcome = manual_bp_command(*TRAIN)
    assert outcome.status == 0, outcome.err
    text = outcome.out
    assert (
        text.index("Gradient check: PASS") < text.index("samples/s") < text.index("test accuracy")
    )
    assert "mlp 64-24-10 relu softmax-xent, engine manual, float32, run" in text
    assert outcome.err == ""


def test_train_resume_takes_the_saved_settings_and_refuses_others(manual_bp_command) -> None:
    assert manual_bp_command(*TRAIN).status == 0
    other = manual_bp_command("train", "--resume", "--out", "run", "--hidden", "25")
    message = "train: --hidden: expected (24,), as when the run began, got (25,)\n"
    assert (other.status, other.err) == (2, message)
    fewer = manual_bp_command("train", "--resume", "--out", "run", "--epochs", "7")
    message = "train: --epochs: expected at least 8, as when the run began, got 7\n"
    assert (fewer.status, fewer.err) == (2, message)
    resume = ("train", "--resume", "--out", "run")
    channels = manual_bp_command(*resume, "--channels", "8")
    message = "train: --channels: expected none for mlp, for it is of cnn, resnet, got (8,)\n"
    assert (channels.status, channels.err) == (2, message)
    mixed = manual_bp_command(*resume, "--precision", "bfloat16")
    message = "train: --precision: expected float32, as when the run began, got bfloat16\n"
    assert (mixed.status, mixed.err) == (2, message)
    more = manual_bp_command(*resume, "--precision", "float32", "--epochs", "9")
    assert more.status == 0
    assert "Going on after epoch 8." in more.out
    assert json.loads(Path("run/result.json").read_text("utf-8"))["epochs"] == 9


def test_train_resume_finds_its_data_from_any_directory(
    manual_bp_command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez("data.npz", x=np.random.default_rng(0).random((60, 5)), y=np.arange(60) % 3)
    settings = ("--hidden", "4", "--check", "never", "--epochs", "1")
    assert manual_bp_command("train", "data.npz", "--out", "run", *settings).status == 0
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    resume = ("--resume", "--out", tmp_path / "run")
    assert manual_bp_command("train", *resume).status == 0
    Path("../data.npz").rename("moved.npz")
    lost = manual_bp_command("train", *resume)
    assert (lost.status, lost.err.count("\n")) == (2, 1)
    assert lost.err.startswith(f"{tmp_path / 'data.npz'}: source: expected 'digits', an .npz file")
    for named in ("moved.npz",), ():
        assert manual_bp_command("train", *named, *resume).status == 0
    other = manual_bp_command("train", "digits", *resume)
    message = "dataset: classes: expected 3, as when the run began, got 10\n"
    assert (other.status, other.err) == (2, message)


def test_predict_reads_images_of_any_size_and_ground(manual_bp_command) -> None:
    from bp_lab.data import load

    assert (
        manual_bp_command("train", "--hidden", "96", "--epochs", "12", "--out", "run").status == 0
    )
    test = load("digits").test
    paths, truth = [], []
    for sample in range(12):
        pixels = (255 * test.x[sample].reshape(8, 8)).astype(np.uint8)
        dark = sample % 2
        image = Image.fromarray(pixels if dark else 255 - pixels)
        paths.append(f"{sample}.png")
        image.resize((8 * (10 + sample),) * 2, Image.Resampling.BICUBIC).save(paths[-1])
        truth.append(str(test.y[sample]))
    outcome = manual_bp_command("predict", "run", *paths)
    assert outcome.status == 0, outcome.err
    rows = [line.split("│") for line in outcome.out.splitlines() if ".png" in line]
    assert [row[1].strip() for row in rows] == paths
    assert all(0 < float(row[3].strip().rstrip(" %")) <= 100 for row in rows)
    right = sum(row[2].strip() == label for row, label in zip(rows, truth, strict=True))
    assert right >= 10


def test_predict_without_a_checkpoint_or_an_image(manual_bp_command, tmp_path: Path) -> None:
    assert manual_bp_command(*TRAIN).status == 0
    missing = manual_bp_command("predict", "run", "none.png")
    assert missing.status == 2
    assert "none.png" in missing.err
    assert missing.err.count("\n") == 1
    (tmp_path / "run" / "checkpoints").rename(tmp_path / "elsewhere")
    outcome = manual_bp_command("predict", "run", "none.png")
    assert (outcome.status, outcome.err) == (
        2,
        "run: run: expected a run with a checkpoint, got none\n",
    )
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_predict_refuses_a_run_on_vectors(manual_bp_command) -> None:
    rng = np.random.default_rng(0)
    np.savez("vectors.npz", x=rng.random((30, 4)), y=np.arange(30) % 2)
    assert (
        manual_bp_command(
            "train", "vectors.npz", "--hidden", "4", "--epochs", "1", "--out", "run"
        ).status
        == 0
    )
    outcome = manual_bp_command("predict", "run", "x.png")
    message = "run: run: expected a run trained on images, got one trained on vectors\n"
    assert (outcome.status, outcome.err) == (2, message)


def test_check_prints_a_table_and_writes_json(manual_bp_command) -> None:
    outcome = manual_bp_command(
        "check",
        "--op",
        "log_softmax",
        "--dtype",
        "float64",
        "--dtype",
        "bfloat16",
        "--json",
        "c.json",
        "--html",
        "c.html",
        "--seed",
        "3",
    )
    assert outcome.status == 0, outcome.out
    assert outcome.out.splitlines()[-1] == "2 rows on cpu, level fast, seed 3: PASS"
    assert "<html" in Path("c.html").read_text("utf-8")
    written = json.loads(Path("c.json").read_text("utf-8"))
    assert written["verdict"] == "PASS"
    names = {case.name for case in cases.registry if "log_softmax" in case.name}
    assert {row["op"] for row in written["cases"]} == names
    for row in written["cases"]:
        assert row["verdict"] == "PASS"
        full = row["dtype"] == "float64"
        assert (row["level"], row["seed"], row["device"], row["headline"]) == ("fast", 3, "cpu", "")
        witnesses = {"jax.grad", "finite difference"} if full else {"precision"}
        assert row["witnesses"].keys() == {"value", "linearity", *witnesses}
        assert 0 <= row["worst_relative_error"] < (1e-12 if full else np.inf)


def test_check_of_a_wrong_backward_fails_with_status_1(manual_bp_command, monkeypatch) -> None:
    import dataclasses

    from manual_bp import activations

    wrong = dataclasses.replace(activations.tanh, slope=lambda y, _: 1 - y)
    case = next(case for case in cases.registry if case.name == "tanh")
    monkeypatch.setattr(cases, "registry", (dataclasses.replace(case, op=wrong),))
    outcome = manual_bp_command("check", "--dtype", "float64", "--json", "c.json")
    assert outcome.status == 1
    assert "FAIL" in outcome.out
    assert "u[" in outcome.out
    assert "ratio" in outcome.out
    written = json.loads(Path("c.json").read_text("utf-8"))
    assert written["verdict"] == "FAIL"
    assert written["cases"][0]["headline"].startswith("u")


RULES = """
import jax
import jax.numpy as jnp
import numpy as np

args = (np.array([0.5, -1.0, 2.0]), 3)
lengths = iter((2, 3))


def draw():
    return [jnp.ones(next(lengths)), 3]


def power(x, n):
    return x**n


@jax.custom_vjp
def rule(x, n):
    return x**n


def forward(x, n):
    return x**n, (x, n)


def backward(residual, dy):
    x, n = residual
    return n * x ** (n - 1) * dy, None


def wrong(residual, dy):
    x, n = residual
    return x ** (n - 1) * dy, None


rule.defvjp(forward, backward)
"""


@pytest.fixture
def their_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module in the working directory."""
    (tmp_path / "their").mkdir()
    (tmp_path / "their" / "rules.py").write_text(RULES)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in ("their", "their.rules"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "named", ["their.rules:rule", "their.rules", "their.rules:forward,backward"]
)
def test_check_of_anyones_rule_op_or_pair(manual_bp_command, their_rules, named: str) -> None:
    needed = ("--args", "their.rules:args", "--primal", "their.rules:power")
    outcome = manual_bp_command("check", named, *needed, "--name", "cubes")
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("cubes [float64]: ✓ PASS")
    assert "jax.grad" in outcome.out
    assert outcome.out.splitlines()[-1] == "1 row on cpu, level fast, seed 0: PASS"


def test_check_of_anyones_wrong_rule_in_two_dtypes(manual_bp_command, their_rules) -> None:
    outcome = manual_bp_command(
        *("check", "their.rules:forward,wrong", "--args", "their.rules:draw"),
        *("--primal", "their.rules:power", "--dtype", "float32", "--dtype", "bfloat16"),
        *("--json", "r.json", "--html", "r.html"),
    )
    assert outcome.status == 1, outcome.err
    for dtype in ("float32", "bfloat16"):
        assert f"wrong [{dtype}]: ✕ FAIL" in outcome.out
    written = json.loads(Path("r.json").read_text("utf-8"))
    assert [row["dtype"] for row in written["cases"]] == ["float32", "bfloat16"]
    assert all("0.333 × truth" in row["headline"] for row in written["cases"])
    assert Path("r.html").read_text("utf-8").count('"name":"wrong"') == 2


def test_check_without_a_primal_differences_the_rule(manual_bp_command, their_rules) -> None:
    outcome = manual_bp_command("check", "their.rules:rule", "--args", "their.rules:args")
    assert outcome.status == 0, outcome.err
    assert "finite difference" in outcome.out
    assert "jax.grad" not in outcome.out


@pytest.mark.parametrize("name", ["vanishing-gradients", "symmetry"])
def test_experiment_draws_its_effect(manual_bp_command, name: str) -> None:
    outcome = manual_bp_command("experiment", name)
    assert outcome.status == 0, outcome.err
    with Image.open(f"{name}.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    fields = json.loads(Path(f"{name}.json").read_text("utf-8"))
    assert all(isinstance(curve, list) for curves in fields.values() for curve in curves.values())


def test_experiments_show_what_they_claim() -> None:
    from bp_lab.experiments import symmetry, vanishing_gradients

    norms = vanishing_gradients.run(seed=3).norms
    sigmoid, relu = norms["sigmoid, Xavier"], norms["relu, He"]
    assert (np.diff(sigmoid) > 0).all()
    assert sigmoid[0] < 1e-5 * sigmoid[-1]
    assert 0.1 < relu[0] / relu[-1] < 10
    tied = symmetry.run(seed=3)
    assert tied.spread["zeros"].max() == 0
    assert tied.spread["uniform ±0.12"][-1] > 0.5
    assert tied.loss["uniform ±0.12"][-1] < 0.8 * tied.loss["zeros"][-1]


def test_names_with_brackets_are_shown_as_they_are(manual_bp_command) -> None:
    outcome = manual_bp_command("train", "--hidden", "4", "--epochs", "1", "--out", "q[/b][red]x")
    assert outcome.status == 0, outcome.err
    assert "In q[/b][red]x: result.json" in outcome.out


def test_more_epochs_are_remembered_when_a_resumed_run_is_stopped(manual_bp_command) -> None:
    assert manual_bp_command(*TRAIN).status == 0
    assert manual_bp_command("train", "--resume", "--out", "run", "--epochs", "10").status == 0
    assert json.loads(Path("run/config.json").read_text("utf-8"))["config"]["epochs"] == 10


def test_runs_that_is_no_folder_is_refused(manual_bp_command, tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to("/nonexistent")
    outcome = manual_bp_command("train", "--epochs", "1")
    assert outcome.status == 2
    assert outcome.err.startswith("train: --out: expected a folder that can be written, got runs (")


def test_a_report_that_cannot_be_written_is_refused(manual_bp_command, tmp_path: Path) -> None:
    outcome = manual_bp_command("check", "--op", "identity", "--json", tmp_path)
    assert (outcome.status, outcome.err) == (
        2,
        f"check: --json: expected a file in an existing folder, got {tmp_path}\n",
    )


def test_two_reports_are_two_files_and_a_name_is_no_longer_than_one_may_be(
    manual_bp_command,
) -> None:
    for given, message in (
        (("--json", "one", "--html", "one"), "--html: expected another file than --json, got one"),
        (
            ("--json", "a" * 300),
            "--json: expected the path of a file that can be written, "
            f"got {'a' * 300}: File name too long",
        ),
    ):
        outcome = manual_bp_command("check", "--op", "identity", *given)
        assert (outcome.status, outcome.err) == (2, f"check: {message}\n")
