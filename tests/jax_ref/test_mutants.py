"""Mutants: what is edited, what is left alone, what is in force, and who notices."""

import ast
import dataclasses
import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref import cases
from jax_ref.cases.case import Case
from jax_ref.mutants import (
    EQUIVALENT,
    KILLED,
    SURVIVED,
    Judge,
    Mutant,
    Outcome,
    Score,
    in_force,
    mutants,
    outcomes,
)
from jax_ref.mutants.edits import KINDS, edits
from jax_ref.mutants.reach import Seen, residual_parts
from jax_ref.mutants.score import Trial

SEEN = Seen(
    ranks={"x": {2}, "y": {2}, "b": {1, 2}, "dy": {2}, "W": {2}},
    fields={"residual": {"x": "array", "y": "array", "decay": "number", "axis": ""}},
)


def edited(source: str, kind: str, *, saved: bool = False) -> set[str]:
    """Return the expressions that edits of one kind put into a line of a function."""
    function = ast.parse(f"def f():\n    {source}").body[0]
    assert isinstance(function, ast.FunctionDef)
    part = function.body[0].value if saved else function.body[0]
    return {ast.unparse(e.new) for e in edits(part, SEEN, saved=saved) if e.kind == kind}


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        ("z = -x", "sign", {"x"}),
        ("z = x + y", "sign", {"x - y"}),
        ("z = x - y", "sign", {"x + y"}),
        ("z = x * y", "sign", {"-(x * y)"}),
        ("z = jnp.exp(x)", "sign", {"-jnp.exp(x)", "jnp.exp(-x)", "-x"} - {"jnp.exp(-x)"}),
        ("return x, dp", "sign", {"-x"}),
        ("z = x * y", "operand", {"x / y"}),
        ("z = x / y", "operand", {"x * y", "y / x"}),
        ("z = x - y", "operand", {"y - x"}),
        ("z = x ** y", "operand", {"x * y", "y ** x"}),
        ("z = x @ W.T", "operand", {"W.T @ x", "x.T @ W.T"}),
        ("z = f(x, y, 3)", "operand", {"f(y, x, 3)"}),
        (
            "z = jnp.matmul(x, W.T)",
            "operand",
            {"jnp.matmul(W.T, x)", "jnp.matmul(x.T, W.T)"},
        ),
        ("z = b.sum(-1, keepdims=True)", "axis", {"0", "1", "None", "False"}),
        ("z = x.sum(-1)", "axis", {"0", "None"}),
        ("z = x.sum(residual.axis)", "axis", {"0", "-1", "None"}),
        ("z = x.T", "axis", {"x"}),
        ("z = b[..., None]", "axis", {"b", "b[None, ...]"}),
        ("z = x[0]", "index", {"1", "-1"}),
        ("z = x[-1]", "index", {"0", "-2"}),
        ("z = x[:-1]", "index", {"1:-1", "-2", "0"}),
        ("z = x[::2]", "index", {"1::2", ":-1:2", "1", "3"}),
        ("z = 0.5 * x", "constant", {"1.5", "1.0", "-0.5", "0.0"}),
        ("z = f(True)", "constant", {"False"}),
        ("z = x + y", "dropped term", {"x", "y"}),
        ("z = x - y", "dropped term", {"x", "-y"}),
        ("z = x / y", "dropped term", {"x", "1 / y"}),
        ("z.append(x)", "dropped term", {"None"}),
        ("return x, y", "swapped return", {"(y, x)", "(zeroed(x), y)", "(x, zeroed(y))"}),
        ("return (x * y,)", "swapped return", {"(zeroed(x * y),)"}),
        ("z = residual.x * residual.decay", "wrong residual", {"residual.y"}),
        (
            "z = x if b > 0 else y",
            "comparison",
            {"b >= 0", "b <= 0", "y if b > 0 else x", "x", "y"},
        ),
        (
            "z = jnp.where(b == 0, x, y)",
            "comparison",
            {"b != 0", "jnp.where(b == 0, y, x)", "x", "y"},
        ),
        (
            "z = x is not None and y",
            "comparison",
            {"x is None", "x is not None or y", "y"} | {"x is not None"},
        ),
        ("if biased:\n        x = y", "comparison", {"not biased"}),
        ("z = op.wide(x).sum(0, dtype=wide)", "dtype", {"x", "op.wide(x).sum(0)"}),
        ("z = x.astype(y.dtype)", "dtype", {"x"}),
        ("z = jnp.exp(x)", "call", {"jnp.expm1(x)", "x"}),
        ("z = x.sum(0)", "call", {"x.mean(0)"}),
        ("z = math.prod(s)", "call", {"sum(s)"}),
        ("z = zip(reversed(a), b)", "call", {"a"}),
    ],
)
def test_an_expression_is_edited(source: str, kind: str, expected: set[str]) -> None:
    assert edited(source, kind) == expected


def test_an_array_of_the_same_rank_is_saved_instead() -> None:
    line = "r = Residual(x, b, decay)"
    assert edited(line, "wrong residual", saved=True) == {"y", "dy", "W"}


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError(1 - 2)",
        "if x.ndim > 1 + n:\n        raise ValueError(n)",
        "dy = op.expect_cotangent(name, dy, (*x.shape[:-1], m * 2), dtype)",
        "op.expect_shape(name, 'W', W, (x.shape[-1], None))",
        "z = zip(ops, strict=True)",
        "z = pays_in_pieces(x, len(x) > 2 * n)",
        "z: Float[Array, 'n 1'] = x",
        "z = residual.x.shape",
        "z = 'mean'",
        "pass",
    ],
)
def test_what_refuses_bad_input_and_what_computes_nothing_is_left_alone(source: str) -> None:
    assert {kind: found for kind in KINDS if (found := edited(source, kind))} == {}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = x * W\nreturn y, R(x, W)", ["R(x, W)"]),
        ("y = f(x)\nsaved = g(y)\nreturn y, R(saved)", ["saved = g(y)", "R(saved)"]),
        ("e = x - W\ny = e * e\nreturn y, R(e)", ["R(e)"]),
        (
            "y = f(x)\nk = g(x)\nif k is not None:\n    k = h(k)\nreturn y, R(k)",
            ["k = g(x)", "if k is not None:\n    k = h(k)", "R(k)"],
        ),
        (
            "rs = []\nfor f in fs:\n    x, r = f(x)\n    rs.append(r)\nreturn x, R(rs)",
            ["rs = []", "rs.append(r)", "R(rs)"],
        ),
        ("return other.forward(x)", []),
    ],
)
def test_of_a_forward_what_feeds_the_residual_alone_counts(body: str, expected: list[str]) -> None:
    source = "def forward(x, W):\n    " + body.replace("\n", "\n    ")
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert [ast.unparse(part) for part in residual_parts(function)] == expected


# --- a toy op, from its source to its score ---------------------------------------------------

TOY = """
import jax.numpy as jnp

def forward(x, w):
    return x / w, (x, w)

def _over(dy, w):
    return dy / w

def backward(residual, dy):
    x, w = residual
    if dy.ndim < 0:
        raise ValueError(dy.ndim - 1)
    dx = _over(dy, w)
    return dx, -dx * x / w

def elsewhere(x):
    return x - 1

alias = _over
table = {"over": _over}
"""


@contextmanager
def module_of(tmp_path: Path, text: str) -> Iterator[ModuleType]:
    """Yield a module with a text; each test has its own file, as sources are read once."""
    name = f"toy_{tmp_path.name}".replace("-", "_")
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[ModuleType]:
    """Return a module with an op."""
    with module_of(tmp_path, TOY) as module:
        yield module


def toy_case(toy: ModuleType, draw: Callable[..., tuple[Any, ...]], variant: str = "") -> Case:
    return Case("toy", toy, lambda x, w: x * w**-1, draw, ({"n": 3},), variant=variant)


def seeing(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return tuple(rng.uniform(1.5, 2.5, (2, n)))


def blind(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return np.ones(n), np.ones(n)


def nothing(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return np.zeros(n), np.ones(n)


def of_toy(toy: ModuleType, *toy_cases: Case) -> dict[str, Outcome]:
    judge = Judge(toy_cases)
    found = mutants(toy_cases, toy.__name__)
    return {mutant.mutated: judge.outcome(mutant) for mutant in found}


def test_the_backward_and_what_it_calls_are_mutated_and_nothing_else(toy: ModuleType) -> None:
    found = mutants([toy_case(toy, seeing)], toy.__name__)
    lines = TOY.splitlines()
    assert {lines[mutant.line - 1].strip() for mutant in found} == {
        "return dy / w",
        "dx = _over(dy, w)",
        "return dx, -dx * x / w",
    }
    assert all(mutant.original == lines[mutant.line - 1].strip() for mutant in found)


def test_a_function_made_when_its_module_is_imported_is_refused(tmp_path: Path) -> None:
    body = TOY.replace(
        "def _over(dy, w):\n    return dy / w",
        """
def _made():
    return lambda dy, w: dy / w

_over = _made()
""",
    )
    with module_of(tmp_path, body) as toy, pytest.raises(ValueError, match="_made makes it once"):
        mutants([toy_case(toy, seeing)], toy.__name__)


def test_ids_tell_where_and_what_and_are_the_same_again(toy: ModuleType) -> None:
    case = toy_case(toy, seeing)
    found = mutants([case], toy.__name__)
    ids = [mutant.id for mutant in found]
    assert f"{toy.__name__}.py:8:12 operand #1" in ids
    assert len(set(ids)) == len(ids)
    assert mutants([case], toy.__name__) == found
    assert len({mutant.key for mutant in found}) == len(found)


def test_a_seeing_case_kills_all_and_a_blind_one_lets_survive(toy: ModuleType) -> None:
    seen, unseen = (of_toy(toy, toy_case(toy, draw)) for draw in (seeing, blind))
    assert Score.of(seen.values()).survived == 0
    survivors = {line for line, outcome in unseen.items() if outcome.status == SURVIVED}
    assert survivors == {
        "return dy * w",
        "return dy",
        "return dx, -dx * x * w",
        "return dx, -dx * x",
        "return dx, -dx / x / w",
        "return dx, -dx / w",
    }
    assert unseen["return w / dy"].status == KILLED


def test_a_verdict_that_the_original_has_too_kills_nothing(toy: ModuleType) -> None:
    found = of_toy(toy, toy_case(toy, nothing))
    assert found["return dy * w"].status == SURVIVED
    assert found["return w / dy"].status == KILLED


def test_a_trial_that_cannot_tell_is_passed_over(
    toy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = dataclasses.replace(toy_case(toy, blind), sizes=({"n": 3}, {"n": 2}))
    unseen = next(m for m in mutants([case], toy.__name__) if m.mutated == "return dy * w")
    seen = next(m for m in mutants([case], toy.__name__) if m.mutated == "return w / dy")
    tried: list[str] = []
    whole = Trial.outcome
    monkeypatch.setattr(Trial, "outcome", lambda trial: tried.append(str(trial)) or whole(trial))
    assert Judge([case]).outcome(unseen).status == SURVIVED
    # The first is run without asking; there are others at the second size and in each dtype.
    assert tried == ["toy(n=2) in float64"] * 2
    tried.clear()
    assert Judge([case]).outcome(seen).status == KILLED
    assert len(tried) == 2  # the mutant and the original


def test_a_killed_mutant_says_who_killed_it(toy: ModuleType) -> None:
    found = of_toy(toy, toy_case(toy, blind), toy_case(toy, seeing, "seeing"))
    outcome = found["return dy * w"]
    assert outcome.trial == "toy[seeing](n=3) in float64"
    assert outcome.reason.startswith("FAIL: ")
    assert set(outcome.to_dict()) == {
        *("id", "kind", "file", "line", "original", "mutated", "ops"),
        *("status", "trial", "reason"),
    }


def negated(toy: ModuleType) -> Mutant:
    found = mutants([toy_case(toy, seeing)], toy.__name__)
    return next(mutant for mutant in found if mutant.mutated == "return -(dy / w)")


def test_a_mutant_is_in_force_by_every_name_and_only_inside(toy: ModuleType) -> None:
    mutant = negated(toy)
    names = (toy._over, toy.alias, toy.table["over"])
    assert [f(6.0, 3.0) for f in names] == [2.0] * 3
    with in_force(mutant):
        assert [f(6.0, 3.0) for f in names] == [-2.0] * 3
        (slope, _) = toy.backward((jnp.ones(2), jnp.ones(2)), jnp.ones(2))
        assert slope.tolist() == [-1, -1]
    assert [f(6.0, 3.0) for f in names] == [2.0] * 3


def test_the_original_is_back_after_an_error(toy: ModuleType) -> None:
    before = dict(vars(toy))
    with pytest.raises(KeyboardInterrupt), in_force(negated(toy)):
        raise KeyboardInterrupt
    assert toy._over(6.0, 3.0) == 2.0
    assert vars(toy) == before


def test_no_program_of_the_original_is_served_for_a_mutant_nor_the_reverse(
    toy: ModuleType,
) -> None:
    case = toy_case(toy, seeing)
    judge, mutant = Judge([case]), negated(toy)
    trial = next(judge.trials(mutant))
    verdicts = [trial.outcome()[0]]
    with in_force(mutant):
        verdicts.append(trial.outcome()[0])
    verdicts.append(trial.outcome()[0])
    assert verdicts == ["PASS", "FAIL", "PASS"]


def test_cheap_and_telling_trials_come_first(toy: ModuleType) -> None:
    mutant = negated(toy)
    sizes = ({"batch": (), "n": 0}, {"batch": (4,), "n": 5}, {"batch": (1,), "n": 1}, {"n": 2})
    case = Case("toy", toy, np.divide, seeing, sizes, options=({}, {"a": 1}))
    trials = list(Judge([case]).trials(mutant))
    first = [trial.sizes for trial in trials if trial.dtype == "float64"]
    assert first[::2] == [sizes[3], sizes[1], sizes[0], sizes[2]]
    dtypes = [trial.dtype for trial in trials]
    assert dtypes == sorted(dtypes, key=cases.DTYPES.index)
    of_dtype = Judge([case]).trials(dataclasses.replace(mutant, kind="dtype"))
    assert {trial.dtype for trial in of_dtype} == {"float32", "bfloat16", "float16"}


def test_a_score_is_the_share_of_the_killed_among_those_not_equivalent() -> None:
    score = Score(killed=3, survived=1, equivalent=2)
    assert (score.mutants, score.share) == (6, 0.75)
    assert Score(0, 0, 5).share == 1


# --- our own ops ------------------------------------------------------------------------------


EVERY_NTH = 800  # is held against the checks


def listed_and_judged() -> tuple[tuple[Mutant, ...], list[Outcome]]:
    found = mutants(cases.everything)
    return found, list(outcomes(found[::EVERY_NTH], workers=1))


def test_ours_are_mutated_in_every_way_and_of_a_sample_none_survives() -> None:
    # In another process, as annotations, which are enforced here, would make it slow; and in one
    # test, as it is the listing that takes long.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        ours, judged = pool.submit(listed_and_judged).result()
    assert len(judged) >= len(ours) // EVERY_NTH
    assert [outcome.mutant.id for outcome in judged if outcome.status == SURVIVED] == []

    assert {op for mutant in ours for op in mutant.ops} == {c.op_name for c in cases.everything}
    modules = {case.op.__name__ for case in cases.registry if isinstance(case.op, ModuleType)}
    assert modules <= {mutant.module for mutant in ours}
    assert "manual_bp.activations" in {mutant.module for mutant in ours}
    assert set(KINDS) == {mutant.kind for mutant in ours}
    assert len({mutant.id for mutant in ours}) == len(ours)

    # The equivalent are few, told apart, and still there.
    keys = Counter(mutant.key for mutant in ours)
    assert [key for key in EQUIVALENT if keys[key] != 1] == []
    assert len(EQUIVALENT) <= 0.03 * len(ours)
    assert all(why.endswith(".") for why in EQUIVALENT.values())


@pytest.mark.parametrize("case", cases.beyond.cases, ids=lambda case: case.name)
def test_no_case_beyond_the_registry_is_blind(case: Any) -> None:
    for sizes, options in case.combinations(every=False):
        for dtype in ("float64", "bfloat16"):
            verdict, said = Trial(case, sizes, options, dtype).outcome()
            assert verdict == "PASS", f"{sizes} {options} {dtype}: {said}"
