"""The plugin, in runs of pytest within this one."""

import json
import os
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jax_ref
import sample_reports
from jax_ref import CheckError, GradientMismatch, Report, check, model
from jax_ref.pytest_plugin import CHECKED, CheckGradient, gradient_cases

pytest_plugins = ("pytester",)

# Needs no JAX, so that other processes start at once.
JUDGED = """
import pytest
from jax_ref import Diagnosis, Kind, Report, Row, Verdict

WRONG = Row(
    "jax.grad", "x", 2.0, 1e-10, Verdict.FAIL, index=(1, 2), hand=-0.5, truth=0.5, detail="x[1, 2]"
)


def test_wrong(check_gradient):
    diagnoses = {"x": (Diagnosis(Kind.SIGN, "sign error", 0.0),)}
    check_gradient.judge(Report("layer_norm", "float64", (WRONG,), diagnoses))


def test_hidden(check_gradient):
    row = Row("jax.grad", "x", 0.0, 1e-10, Verdict.PASS, vacuous=True)
    check_gradient.judge(Report("clip", "float32", (row,)))


@pytest.fixture
def checked_before(check_gradient):
    row = Row("value", "y", 1e-5, 1e-3, Verdict.PASS)
    check_gradient.judge(Report("softmax", "bfloat16", (row,)))


def test_with_a_fixture(checked_before):
    pass


def test_of_something_else():
    pass
"""
MANY = """
import pytest
from jax_ref import Report, Row, Verdict


@pytest.mark.parametrize("k", range(41))
def test_one(check_gradient, k):
    verdict = Verdict.FAIL if k == 7 else Verdict.PASS
    check_gradient.judge(Report(f"op{k}", "float32", (Row("value", "y", 1.0, 2.0, verdict),)))
"""
RULES = """
import jax
import jax.numpy as jnp
from jax_ref.pytest_plugin import gradient_cases


@jax.custom_vjp
def square(x):
    return x * x


@jax.custom_vjp
def negated(x):
    return x * x


square.defvjp(lambda x: (x * x, x), lambda x, dy: (2 * x * dy,))
negated.defvjp(lambda x: (x * x, x), lambda x, dy: (-2 * x * dy,))


@gradient_cases({"square": square, "negated": negated}, ("float64",), ((2, 3),))
def test_square(check_gradient, case):
    x = check_gradient.normal(case.shape, case.dtype)
    check_gradient.rule(case.op, x, primal=jnp.square)
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a folder in which pytest is run with what a user has installed, not with our files."""
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
        monkeypatch.delenv(name)
    pytester.makeini(
        "[pytest]\naddopts = --strict-config\nfilterwarnings =\n"
        "    error\n    ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    )
    return pytester


def table(result: pytest.RunResult) -> list[str]:
    """Return the lines of the table."""
    start = next(i for i, line in enumerate(result.outlines) if line.strip("= ") == "gradients")
    lines = result.outlines[start + 1 :]
    return lines[: next(i for i, line in enumerate(lines) if line.startswith("="))]


@pytest.mark.parametrize("processes", [0, 2])
def test_a_run_ends_with_the_table_of_what_was_checked(inner: Any, processes: int) -> None:
    inner.makepyfile(test_it=JUDGED)
    light = ("-pno:cacheprovider", "-pno:jaxtyping", "-pno:hypothesispytest")
    result = inner.runpytest_inprocess(f"-n{processes}", *light)
    result.assert_outcomes(passed=3, failed=1)
    assert table(result) == [
        "INCONCLUSIVE  clip        float32   0.0e+00 of 1.0e-10  test_it.py::test_hidden"
        " - x: zero gradient everywhere",
        "PASS          softmax     bfloat16  1.0e-05 of 1.0e-03  test_it.py::test_with_a_fixture",
        "FAIL          layer_norm  float64   2.0e+00 of 1.0e-10  test_it.py::test_wrong"
        " - x[1, 2]: hand −1.000 × truth: sign error",
        "3 checked: 1 FAIL, 1 INCONCLUSIVE, 1 PASS",
    ]


def test_a_failure_shows_the_report_and_how_to_repeat_it(inner: Any) -> None:
    inner.makepyfile(test_it=RULES)
    result = inner.runpytest_inprocess("-n0", "--gradient-seed=3")
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "\ngradients: seed 3\n" in text
    assert "GradientMismatch: x[" in text
    assert "E         x: sign error" in text
    assert " gradient check " in text
    again = "pytest 'test_it.py::test_square[negated-float64-2x3]' --gradient-seed 3"
    assert f"\nagain: {again} --gradient-level fast\n" in text
    # The frames of the plugin and of the checker are left out.
    assert "pytest_plugin.py" not in text
    assert "check.py" not in text


def test_a_test_is_run_again_with_the_same_numbers(inner: Any) -> None:
    inner.makepyfile(test_it=RULES)

    def lines(seed: int) -> list[str]:
        result = inner.runpytest_inprocess("-n0", "-k", "negated", f"--gradient-seed={seed}")
        return [line for line in result.outlines if "ratio" in line]

    first = lines(5)
    assert first
    assert lines(5) == first
    assert lines(6) != first


OWN_SEED = """
import jax.numpy as jnp

def test_it(check_gradient):
    x = check_gradient.normal((9,), "float64")
    check_gradient.vjp(jnp.sin, lambda x: (jnp.sin(x), x), lambda x, dy: (dy,), x, seed=5)
"""


def test_a_check_with_a_seed_of_its_own_is_run_again_with_the_same_inputs(inner: Any) -> None:
    inner.makepyfile(test_it=OWN_SEED)
    result = inner.runpytest_inprocess("-n0", "--gradient-seed=7")
    result.stdout.fnmatch_lines(["again: pytest test_it.py::test_it --gradient-seed 7 *"])


def test_strict_lets_an_inconclusive_gradient_fail(inner: Any) -> None:
    inner.makepyfile(test_it=JUDGED)
    result = inner.runpytest_inprocess("-n0", "-k", "hidden", "--gradient-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "gradients: strict",
            "E*GradientMismatch: clip [[]float32[]]: INCONCLUSIVE",
            "again: pytest test_it.py::test_hidden * --gradient-level fast --gradient-strict",
        ]
    )


def test_of_many_only_those_are_shown_that_did_not_pass(inner: Any) -> None:
    inner.makepyfile(MANY)
    result = inner.runpytest_inprocess("-n0", "-pno:randomly")
    failed, total = table(result)
    assert failed.startswith("FAIL  op7  float32")
    assert total == "41 checked: 1 FAIL, 40 PASS"


def test_a_run_that_checks_nothing_is_left_alone(inner: Any) -> None:
    inner.makepyfile(test_it="def test_it():\n    import sys\n    assert 'jax' not in sys.modules")
    result = inner.runpytest_subprocess("-n0", "-pno:jaxtyping", "-pno:hypothesispytest")
    result.assert_outcomes(passed=1)
    assert "gradient" not in result.stdout.str()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--gradient-seed=-1", "expected a whole number from 0 on, got '-1'"),
        ("--gradient-seed=x", "expected a whole number from 0 on, got 'x'"),
        ("--gradient-level=slow", "'slow' (choose from"),
    ],
)
def test_a_bad_option(inner: Any, option: str, words: str) -> None:
    result = inner.runpytest_inprocess("-n0", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in result.stderr.str()


def test_the_tests_are_named_op_dtype_shape(inner: Any) -> None:
    inner.makepyfile("""
        import jax.numpy as jnp
        from jax_ref.pytest_plugin import gradient_cases

        @gradient_cases({"layer_norm": 1}, ("float32", jnp.bfloat16), ((5, 3), (0, 4), ()))
        def test_shapes(case): ...

        @gradient_cases({"layer_norm": 1}, dtypes=("float16",))
        def test_no_shape(case): ...
    """)
    result = inner.runpytest_inprocess("-n0", "--collect-only", "-q", "-pno:randomly")
    ids = [line.partition("[")[2] for line in result.outlines if "[" in line]
    assert ids == [
        *(
            f"layer_norm-{d}-{s}]"
            for d in ("float32", "bfloat16")
            for s in ("5x3", "0x4", "scalar")
        ),
        "layer_norm-float16]",
    ]


def test_the_cases_hold_what_the_test_needs() -> None:
    op = object()
    (case,) = gradient_cases({"op": op}, (jnp.float32,), ((5, 3),)).args[1]
    assert (case.name, case.op, case.dtype, case.shape) == ("op", op, "float32", (5, 3))
    assert len(gradient_cases({"op": op}).args[1]) == 4


def checker(*, level: str = "fast", strict: bool = False) -> tuple[CheckGradient, list[Any]]:
    found: list[Any] = []
    return CheckGradient(level, 7, found, strict=strict), found


CALLS = {
    "check_vjp": lambda check, **keywords: check.vjp("primal", "forward", "backward", **keywords),
    "check_op": lambda check, **keywords: check.op("op", "reference", **keywords),
    "check_rule": lambda check, **keywords: check.rule("rule", **keywords),
}


@pytest.mark.parametrize(
    ("argument", "given", "came"),
    [
        ("ops", {}, "{}"),
        ("ops", [np.sin], "[<ufunc 'sin'>]"),
        ("ops", {1: np.sin}, "{1: <ufunc 'sin'>}"),
        ("dtypes", (), "()"),
        ("dtypes", "float32", "'float32'"),
        ("dtypes", jnp.float32, "<class 'jax.numpy.float32'>"),
        ("dtypes", ("float31",), "'float31'"),
        ("dtypes", (None,), "None"),
        ("dtypes", ("int32",), "'int32'"),
        ("shapes", (), "()"),
        ("shapes", 3, "3"),
        ("shapes", (5, 3), "5"),
        ("shapes", ("53",), "'53'"),
        ("shapes", ((5, -1),), "(5, -1)"),
        ("shapes", ((5, True),), "(5, True)"),
        ("shapes", ((5, 2.0),), "(5, 2.0)"),
    ],
)
def test_cases_of_what_no_test_can_be_run(argument: str, given: Any, came: str) -> None:
    arguments: dict[str, Any] = {"ops": {"sin": np.sin}, "dtypes": ("float32",), "shapes": None}
    with pytest.raises(CheckError) as caught:
        gradient_cases(**{**arguments, argument: given})
    said = str(caught.value)
    assert said.startswith(f"gradient_cases: {argument}: expected ")
    assert said.endswith(f", got {came}")


def test_numbers_of_numpy_are_shapes() -> None:
    mark = gradient_cases({"sin": np.sin}, (jnp.bfloat16,), [[np.int64(5), 3]]).mark
    assert list(mark.kwargs["ids"]) == ["sin-bfloat16-5x3"]
    assert [one.shape for one in mark.args[1]] == [(5, 3)]


@pytest.mark.parametrize("name", CALLS)
def test_level_and_seed_of_the_command_line_unless_given(name: str, monkeypatch: Any) -> None:
    seen = []
    passing = sample_reports.passing()
    monkeypatch.setattr(check, name, lambda *_, **keywords: seen.append(keywords) or passing)
    checks, found = checker(level="full")
    assert CALLS[name](checks) is passing
    CALLS[name](checks, level="fast", seed=1, wrt="x")
    assert seen == [
        {"level": "full", "seed": 7, "raises": False},
        {"level": "fast", "seed": 1, "wrt": "x", "raises": False},
    ]
    assert [key for key, _ in found] == [CHECKED] * 2


def test_a_model_has_no_level(monkeypatch: Any) -> None:
    seen = []
    passing = sample_reports.passing()
    monkeypatch.setattr(model, "check_model", lambda *a, **k: seen.append((a, k)) or passing)
    checker(level="full")[0].model("loss_and_gradients", "reference", "params", "x", "y")
    args = ("loss_and_gradients", "reference", "params", "x", "y")
    assert seen == [(args, {"seed": 7, "raises": False})]


def test_called_as_it_is_it_tells_an_op_from_a_rule(monkeypatch: Any) -> None:
    seen = []
    passing = sample_reports.passing()
    for name in ("check_op", "check_rule"):
        monkeypatch.setattr(check, name, lambda *_, n=name, **__: seen.append(n) or passing)
    checks, _ = checker()
    checks(SimpleNamespace(forward=abs, backward=abs), abs)
    checks(abs, np.ones(2))
    assert seen == ["check_op", "check_rule"]


@pytest.mark.parametrize(
    ("report", "strict", "fails"),
    [
        (sample_reports.passing(), True, False),
        (sample_reports.inconclusive(), False, False),
        (sample_reports.inconclusive(), True, True),
        (sample_reports.failing(), False, True),
    ],
)
def test_what_fails_a_test(report: Report, strict: bool, fails: bool) -> None:
    checks, found = checker(strict=strict)
    if fails:
        with pytest.raises(GradientMismatch) as mismatch:
            checks.judge(report)
        assert str(mismatch.value) == str(report)
    else:
        assert checks.judge(report) is report
    assert checks.judge(report, raises=False) is report
    assert [one["verdict"] for _, one in found] == [str(report.verdict)] * 2


def test_results_are_plain_data() -> None:
    checks, found = checker()
    x = checks.normal((2,), "float32")
    checks.vjp(
        jnp.sin, lambda x: (jnp.sin(x), x), lambda x, dy: (-dy * jnp.cos(x),), x, raises=False
    )
    (_, one) = found[0]
    assert one["verdict"] == "FAIL"
    assert json.loads(json.dumps(one)) == one


def test_inputs_are_drawn_anew_and_again_by_the_seed() -> None:
    first, second = (checker()[0] for _ in range(2))
    x, y = first.normal((3, 2), "float64"), first.normal((3, 2), jnp.bfloat16)
    assert (x.dtype, x.shape, y.dtype) == (np.float64, (3, 2), jnp.bfloat16)
    assert (x == second.normal((3, 2), "float64")).all()
    assert (x != y.astype("float64")).any()
    with jax_ref.check.precision_of((x,)):
        assert (CheckGradient("fast", 8, [], strict=False).normal((3, 2), "float64") != x).any()
