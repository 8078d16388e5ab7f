"""Checks of gradients in a test suite: one line a gradient, and a table at the end of the run.

    from jax_ref.pytest_plugin import gradient_cases

    @gradient_cases({"square": square}, dtypes=("float32", "bfloat16"), shapes=((5, 3), (0, 4)))
    def test_gradient(check_gradient, case):
        x = check_gradient.normal(case.shape, case.dtype)
        check_gradient.rule(case.op, x, primal=jnp.square)

pytest loads this file where the package is installed, in every run, so nothing heavy is imported
before a gradient is checked. Results travel with the reports of the tests, from process to process.
"""

import argparse
import itertools
import shlex
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, no_type_check

import pytest

if TYPE_CHECKING:
    import jax

    from jax_ref.verdict import Report

CHECKED = "gradient"  # the user property that holds what was checked
SHOWN = 40  # lines of the table; of more, those that did not pass
DTYPES = ("float64", "float32", "bfloat16", "float16")

Checked = Mapping[str, Any]


@dataclass(frozen=True)
class GradientCase:
    """What a test of `gradient_cases` is handed.

    Attributes:
      name: of the op.
      op: what `gradient_cases` was given under that name.
      dtype: by name.
      shape: () where no shapes were given.
    """

    name: str
    op: Any
    dtype: str
    shape: tuple[int, ...] = ()


def gradient_cases(
    ops: Mapping[str, Any],
    dtypes: Sequence[Any] = DTYPES,
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> pytest.MarkDecorator:
    """Run a test once for each op, dtype and shape, handed to it as `case`.

    The tests are named op-dtype-shape, as `layer_norm-float32-5x3`.

    Args:
      ops: by name, at least one; anything that the test can make use of, as a rule, or a rule and
        its primal.
      dtypes: names or dtypes, floating or complex, at least one.
      shapes: at least one; odd ones, not square, of several ranks, of size 1 and 0 find most.

    Raises:
      CheckError: one of them is not what it may be, or is empty, and no test would be run.
    """
    if not isinstance(ops, Mapping) or not ops or not all(isinstance(name, str) for name in ops):
        _refuse("ops", "a dictionary of ops by name, at least one", ops)
    names = [_dtype(one) for one in _several("dtypes", dtypes, "('float32', 'bfloat16')")]
    sizes: dict[str, tuple[int, ...]] = {"": ()}
    if shapes is not None:
        sizes = dict(map(_size, _several("shapes", shapes, "((5, 3), (0, 4))")))
    cases = {
        "-".join(filter(None, (name, dtype, size))): GradientCase(name, op, dtype, sizes[size])
        for (name, op), dtype, size in itertools.product(ops.items(), names, sizes)
    }
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())


def _several(argument: str, values: Any, example: str) -> Sequence[Any]:
    given = () if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
    if not given:
        _refuse(argument, f"a sequence of at least one, as {example}", values)
    return given


def _dtype(given: Any) -> str:
    """Return the name of a dtype of which there are gradients."""
    import jax.numpy as jnp

    try:
        dtype = jnp.dtype(given)
    except TypeError:
        dtype = None
    if given is None or dtype is None or not jnp.issubdtype(dtype, jnp.inexact):
        _refuse("dtypes", "floating or complex dtypes or their names", given)
    return dtype.name


def _size(given: Any) -> tuple[str, tuple[int, ...]]:
    """Return how a shape is called in the name of a test, and the shape."""
    from jax_ref.settings import is_whole

    shape = given if isinstance(given, tuple | list) else (None,)
    if not all(is_whole(size) and size >= 0 for size in shape):
        _refuse("shapes", "shapes, tuples of whole numbers of at least 0", given)
    return "x".join(map(str, shape)) or "scalar", tuple(map(int, shape))


def _refuse(argument: str, expected: str, came: Any) -> NoReturn:
    from jax_ref.errors import CheckError
    from jax_ref.settings import cut_short

    raise CheckError("gradient_cases", argument, expected, cut_short(came))


class CheckGradient:
    """The checks of `jax_ref`, at the level and seed of the command line unless they are given.

    Attributes:
      level: "fast" or "full".
      seed: of the checks.
      rng: draws inputs; seeded as well.
    """

    def __init__(self, level: str, seed: int, found: list[Any], *, strict: bool) -> None:
        import numpy as np

        self.level, self.seed = level, seed
        # The checks draw their cotangents from the seed alone; inputs must not be like them.
        self.rng = np.random.default_rng([seed, 1])
        self._found, self._strict = found, strict

    def __call__(self, checked: Any, /, *args: Any, **keywords: Any) -> "Report":
        """Check an op, if it has a forward and a backward, or a rule."""
        __tracebackhide__ = True
        is_op = all(callable(getattr(checked, half, None)) for half in ("forward", "backward"))
        return (self.op if is_op else self.rule)(checked, *args, **keywords)

    def vjp(
        self, primal: Any, forward: Any, backward: Any, /, *args: Any, **keywords: Any
    ) -> "Report":
        """Check a forward and a backward, as `jax_ref.check_vjp`."""
        __tracebackhide__ = True
        return self._check("check_vjp", primal, forward, backward, *args, **keywords)

    def op(self, op: Any, reference: Any, /, *args: Any, **keywords: Any) -> "Report":
        """Check an op, as `jax_ref.check_op`."""
        __tracebackhide__ = True
        return self._check("check_op", op, reference, *args, **keywords)

    def rule(self, rule: Any, /, *args: Any, **keywords: Any) -> "Report":
        """Check a `jax.custom_vjp` or `jax.custom_jvp` function, as `jax_ref.check_rule`."""
        __tracebackhide__ = True
        return self._check("check_rule", rule, *args, **keywords)

    def model(
        self,
        loss_and_gradients: Any,
        reference_loss: Any,
        params: Any,
        *batch: Any,
        **keywords: Any,
    ) -> "Report":
        """Check a whole model, as `jax_ref.check_model`."""
        __tracebackhide__ = True
        args = (loss_and_gradients, reference_loss, params, *batch)
        return self._check("check_model", *args, **keywords)

    def judge(self, report: "Report", *, raises: bool = True) -> "Report":
        """Put a report into the table, and fail the test where it did not pass.

        Raises:
          GradientMismatch: the verdict is FAIL, or INCONCLUSIVE under `--gradient-strict`.
        """
        __tracebackhide__ = True
        from jax_ref.verdict import GradientMismatch, Verdict

        self._found.append((CHECKED, _plain(report, self.seed)))
        passing = {Verdict.PASS} if self._strict else {Verdict.PASS, Verdict.INCONCLUSIVE}
        if raises and report.verdict not in passing:
            raise GradientMismatch(str(report))
        return report

    def normal(self, shape: Sequence[int], dtype: Any = "float32") -> "jax.Array":
        """Return normal numbers rounded to two decimals, so that a failure can be read."""
        import jax
        import jax.numpy as jnp
        import numpy as np

        drawn = np.round(self.rng.standard_normal(shape), 2)
        with jax.enable_x64(True):
            return jnp.asarray(drawn, dtype)

    def _check(self, check: str, /, *args: Any, raises: bool = True, **keywords: Any) -> "Report":
        __tracebackhide__ = True
        import jax_ref

        settings: dict[str, Any] = {"seed": self.seed}
        if check != "check_model":  # which has one level
            settings["level"] = self.level
        report = getattr(jax_ref, check)(*args, **(settings | keywords), raises=False)
        return self.judge(report, raises=raises)


def _plain(report: "Report", seed: int) -> dict[str, Any]:
    """Return what the table shows, as data that passes between processes.

    The seed is that of the run, of which inputs are drawn; a check may have one of its own.
    """
    from jax_ref.verdict import Verdict

    worst = report.worst()
    doubts = [row.detail for row in report.rows if row.verdict is Verdict.INCONCLUSIVE]
    doubts += [f"{leaf}: zero gradient everywhere" for leaf in report.unseen]
    return {
        "name": report.name,
        "dtype": report.dtype,
        "verdict": str(report.verdict),
        "error": float(worst.error) if worst else 0.0,
        "tolerance": float(worst.tolerance) if worst else 0.0,
        "says": report.headline or next(iter(doubts), ""),
        "level": report.level,
        "seed": seed,
    }


@pytest.fixture
def check_gradient(request: pytest.FixtureRequest) -> CheckGradient:
    """Check gradients at the level and seed of the command line: `.vjp`, `.op`, `.rule`, `.model`.

    They take what `jax_ref.check_vjp`, `check_op`, `check_rule` and `check_model` take.
    """
    option = request.config.getoption
    return CheckGradient(
        option("gradient_level") or "fast",
        option("gradient_seed") or 0,
        request.node.user_properties,
        strict=option("gradient_strict"),
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("gradients", "hand-written gradients")
    group.addoption(
        "--gradient-level",
        choices=("fast", "full"),
        help="how much of a gradient is checked (default: fast)",
    )
    group.addoption(
        "--gradient-strict",
        action="store_true",
        help="let a gradient of which too little was seen fail as well",
    )
    group.addoption(
        "--gradient-seed",
        type=_seed,
        metavar="N",
        help="of inputs, cotangents and directions (default: 0)",
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {text!r}")
    return int(text)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the options that were given."""
    level, seed = config.getoption("gradient_level"), config.getoption("gradient_seed")
    given = [f"level {level}"] if level else []
    given += [f"seed {seed}"] if seed is not None else []
    given += ["strict"] if config.getoption("gradient_strict") else []
    return f"gradients: {', '.join(given)}" if given else None


@pytest.hookimpl(wrapper=True)
@no_type_check  # where annotations are enforced, pytest would not see a generator
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failed test how its checks are run again."""
    report = yield
    failed = [one for one in _checked(report) if one["verdict"] != "PASS"]
    if report.failed and failed:
        again = "\n".join(dict.fromkeys(_again(report.nodeid, one) for one in failed))
        report.sections.append(("gradient check", again))
    return report


def _again(test: str, one: Checked) -> str:
    strict = " --gradient-strict" if one["verdict"] == "INCONCLUSIVE" else ""
    at = f"--gradient-seed {one['seed']} --gradient-level {one['level']}{strict}"
    return f"again: pytest {shlex.quote(test)} {at}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    reports = itertools.chain.from_iterable(terminalreporter.stats.values())
    # The last report of a test holds what all its phases checked.
    whole = [report for report in reports if getattr(report, "when", None) == "teardown"]
    whole.sort(key=lambda report: report.nodeid)
    checked = [(one, report.nodeid) for report in whole for one in _checked(report)]
    if not checked:
        return
    verdicts = [one["verdict"] for one, _ in checked]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    shown = checked
    if len(checked) > SHOWN:
        shown = [(one, test) for one, test in checked if one["verdict"] != "PASS"]
    terminalreporter.section("gradients")
    widths = {
        name: max((len(one[name]) for one, _ in shown), default=0)
        for name in ("verdict", "name", "dtype")
    }
    for one, test in shown:
        terminalreporter.write_line(_line(one, test, widths), **_color(one["verdict"]))
    total = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    terminalreporter.write_line(f"{len(checked)} checked: {total}")


def _line(one: Checked, test: str, widths: Mapping[str, int]) -> str:
    columns = [one[name].ljust(width) for name, width in widths.items()]
    columns += [f"{one['error']:.1e} of {one['tolerance']:.1e}", test]
    says = f" - {one['says']}" if one["says"] else ""
    return "  ".join(columns) + says


def _color(verdict: str) -> dict[str, bool]:
    return {{"PASS": "green", "FAIL": "red"}.get(verdict, "yellow"): True}


def _checked(report: Any) -> list[Checked]:
    return [value for name, value in report.user_properties if name == CHECKED]
