"""Bad input at the command line: status 2, one message, no traceback, nothing overwritten."""

import sys
from collections.abc import Iterator
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
            ("--precision", "int8"),
            "--precision: expected one of float32, float64, bfloat16, float16, got int8",
        ),
        (
            ("--precision", "float32", "--dtype", "bfloat16"),
            "--precision: expected bfloat16, as --dtype, or a narrower dtype, got float32",
        ),
        (
            ("--precision", "bfloat16", "--engine", "autodiff"),
            "--precision: expected float32, as --dtype, with --engine autodiff, got bfloat16",
        ),
        (
            ("--optimizer", "rms"),
            "--optimizer: expected one of sgd, momentum, adam, lbfgs, got rms",
        ),
        (
            ("--channels", "8"),
            "--channels: expected none for mlp, for it is of cnn, resnet, got (8,)",
        ),
        (
            ("--model", "gru", "--channels", "8,4"),
            "--channels: expected none for gru, for it is of cnn, resnet, got (8, 4)",
        ),
        (("--resume",), "--out: expected the folder of the run to --resume, got none"),
    ],
)
def test_a_bad_setting_of_train(manual_bp_command, arguments, message, tmp_path: Path) -> None:
    outcome = manual_bp_command("train", *arguments)
    assert (outcome.status, outcome.err, outcome.out) == (2, f"train: {message}\n", "")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "size", "named"),
    [
        ("mlp", "--hidden", "--hidden"),
        ("cnn", "--channels", "--hidden, --channels"),
        ("resnet", "--channels", "--channels"),
        ("lstm", "--hidden", "--hidden"),
    ],
)
def test_a_model_that_no_memory_holds(
    manual_bp_command, tmp_path: Path, model: str, size: str, named: str
) -> None:
    outcome = manual_bp_command("train", "--model", model, size, 10**11)
    assert outcome.status == 2
    assert outcome.err.startswith(
        f"train: {named}: expected parameters and optimizer that fit into "
    )
    assert outcome.err.count("\n") == 1
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
        (("check", "--html", "no/where.html"), "check: --html: expected a file in an existing "),
        (("check", "--level", "slow"), "check: --level: expected one of fast, full, got slow"),
        (("check", "--seed", "-1"), "check: --seed: expected a whole number ≥ 0, got -1"),
        (("check", "--args", "m:args"), "check: --args: expected nothing without a RULE, got m:a"),
        (("check", "m:rule", "--op", "relu"), "check: --op: expected nothing beside a RULE, got "),
        (("check", "m:rule"), "check: --args: expected the arguments at which to check m:rule, g"),
        (("bench", "--dtype", "int8"), "bench: --dtype: expected one of float32, "),
        (("bench", "--pairs", "1"), "bench: --pairs: expected at least 3, got 1"),
        (("bench", "--kind", "loss"), "bench: --kind: expected one of op, model, got loss"),
        (("bench", "relu", "--kind", "model"), "bench: --kind: expected that of one of the names"),
        (("bench", "nonesuch"), "bench: NAME: expected 'checker', or part of one of sigmoid, tanh"),
        (("bench", "checker", "relu"), "bench: NAME: expected 'checker' by itself, got checker r"),
        (("bench", "checker", "--plot", "b.png"), "bench: --plot: expected nothing beside 'check"),
        (("bench", "checker", "--quick"), "bench: --quick: expected nothing beside 'checker', got"),
        (("bench", "checker", "--dtype", "float32"), "bench: --dtype: expected nothing beside 'ch"),
        (("bench", "--json", "no/where.json"), "bench: --json: expected a file in an existing fo"),
        (("bench", "--plot", "no/where.png"), "bench: --plot: expected a file in an existing fol"),
        (("bench", "--compare", "none.json"), "bench: --compare: expected a file that --json wro"),
        (
            ("bench", "--scaling", "none"),
            "bench: NAME: expected part of one of mlp step, sgd by ba",
        ),
        (("bench", "--scaling", "checker"), "bench: NAME: expected part of one of mlp step, sgd b"),
        (("bench", "--scaling", "conv", "--kind", "model"), "bench: --kind: expected that of one "),
        (("bench", "--scaling", "--compare", "b.json"), "bench: --compare: expected nothing besid"),
        (("experiment", "x"), "experiment: name: expected one of vanishing-gradients, symmetry"),
        (("experiment", "symmetry", "--out", "no"), "experiment: --out: expected an existing fold"),
        (("experiment", "symmetry", "--seed", "-1"), "experiment: --seed: expected a whole number"),
        (("ocr", "train-pipeline", "."), "ocr train-pipeline: OUT: expected a file in an existing"),
        (
            ("ocr", "evaluate", "--json", "."),
            "ocr evaluate: --json: expected a file in an existing",
        ),
        (
            ("ocr", "train-pipeline", "w.npz", "--seed", "-1"),
            "ocr train-pipeline: --seed: expected a whole number from 0 to 2³²−1, got -1",
        ),
    ],
)
def test_bad_input_of_the_other_commands(manual_bp_command, arguments, start) -> None:
    outcome = manual_bp_command(*arguments)
    assert outcome.status == 2
    assert outcome.err.startswith(start)
    assert outcome.err.count("\n") == 1


MODULES = {
    "sound": """
import jax, jax.numpy as jnp, numpy as np

args = (np.array([0.5, 2.0]),)
table = {"x": args[0]}
words = ("half",)
objects = (np.array([None, 1]),)
counts = (3,)


def failing():
    raise KeyError("no such file")


def square(x):
    return x * x


@jax.custom_vjp
def rule(x):
    return x * x


def forward(x):
    return x * x, x


def backward(x, dy):
    return (2 * x * dy,)


rule.defvjp(forward, backward)


def of_one(x):
    return (x,)


def raising(x, dy):
    raise RuntimeError("not today\\nnor tomorrow")


def nan(x):
    return x * jnp.nan
""",
    "missing": "import nonesuch",
    "raising": "\n1 / 0",
    "unreadable": "def f(:",
    "leaving": "raise SystemExit(0)",
}
ARGS = ("--args", "sound:args")
PRIMAL = ("--primal", "sound:square")
RULE = "sound:rule"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules in the working directory."""
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (("nonesuch:rule", *ARGS), "check: RULE: expected nonesuch to be a module that can be imp"),
        (("sound.part:rule", *ARGS), "check: RULE: expected sound.part to be a module that can b"),
        (("missing:rule", *ARGS), "check: RULE: expected missing to be a module that can be impo"),
        (("raising:rule", *ARGS), "check: RULE: expected raising to be a module that can be impor"),
        (("unreadable:rule", *ARGS), "check: RULE: expected unreadable to be a module that can be"),
        (("leaving:rule", *ARGS), "check: RULE: expected leaving to be a module that can be impor"),
        (("sound.py/rule", *ARGS), "check: RULE: expected a name as package.module:name, got 'sou"),
        (("sound:", *ARGS), "check: RULE: expected a name as package.module:name, got 'sound:'"),
        (("sound:rul", *ARGS), "check: RULE: expected a name in sound, got 'rul'"),
        (("sound:args", *ARGS), "check: RULE: expected a custom_vjp or custom_jvp function, or a"),
        (("sound", *ARGS), "check: --primal: expected the function that JAX differentiates, for "),
        (("sound:forward,backward", *ARGS), "check: --primal: expected the function that JAX dif"),
        ((RULE, "--args", "sound:table"), "check: --args: expected a tuple of arguments, an arra"),
        ((RULE, "--args", "sound:square"), "check: --args: expected a tuple of arguments, an arr"),
        ((RULE, "--args", "sound:failing"), "check: --args: expected a tuple of arguments, an ar"),
        ((RULE, "--args", "sound:words"), "check_rule: x: expected an array of numbers, got str "),
        ((RULE, "--args", "sound:objects"), "check_rule: x: expected an array of numbers, got an"),
        ((RULE, "--args", "sound:counts"), "check_rule: args: expected at least one floating arr"),
        ((RULE, *ARGS, "--dtype", "int8"), "check: --dtype: expected one of float64, float32, bf"),
        ((RULE, *ARGS, "--primal", RULE), "check_rule: primal: expected a function that JAX diff"),
        ((RULE, *ARGS, "--primal", "sound:nan"), "check_rule: primal: expected numbers at this p"),
        (("sound:square,backward", *ARGS, *PRIMAL), "check_vjp: forward: expected a pair (y, resi"),
        (("sound:forward,of_one", *ARGS, *PRIMAL), "check_vjp: backward: expected a function of "),
        (("sound:forward,raising", *ARGS, *PRIMAL), "check_vjp: backward: expected a function th"),
    ],
)
def test_bad_input_of_a_check_of_ones_own(manual_bp_command, modules, arguments, start) -> None:
    outcome = manual_bp_command("check", *arguments)
    assert outcome.status == 2
    assert outcome.err.startswith(start)
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing", "ModuleNotFoundError: No module named 'nonesuch' ({path}.py:1)"),
        ("raising", "ZeroDivisionError: division by zero ({path}.py:2)"),
        ("unreadable", "SyntaxError: invalid syntax (unreadable.py, line 1)"),
    ],
)
def test_an_import_that_fails_says_where(manual_bp_command, modules, name, told, tmp_path) -> None:
    outcome = manual_bp_command("check", f"{name}:rule", *ARGS)
    assert outcome.err.endswith(f", got {told.format(path=tmp_path / name)}\n")


def test_an_unknown_command(manual_bp_command) -> None:
    outcome = manual_bp_command("frobnicate")
    assert outcome.status == 2
    assert "No such command 'frobnicate'" in outcome.err
