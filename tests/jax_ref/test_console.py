"""A report in a terminal: what comes first, what is shown, and names that look like markup."""

import io
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from jax_ref import Report, Row, Verdict
from sample_reports import HOSTILE, failing, inconclusive, passing

LONG = "params['layers'][11]['attention']['W_q']"


def shown(report: Report, width: int = 80, **chosen: object) -> str:
    console = Console(width=width, file=io.StringIO(), **chosen)
    console.print(report)
    return console.file.getvalue()


def test_the_headline_stands_first_then_the_verdict() -> None:
    report = failing()
    first, second = shown(report).splitlines()[:2]
    assert first == report.headline
    assert second == "layer_norm [float64]: ✕ FAIL"


def test_every_diagnosis_says_what_it_leaves() -> None:
    text = shown(failing())
    assert "x: − truth in 20.8 % of the entries (sign error; leaves 0.2%)" in text
    assert "shift: NaN in 1 of 48 entries (NaN leaked; leaves 0.0%)" in text


def test_the_rows_that_failed_stand_before_the_inconclusive_ones() -> None:
    rows = (*inconclusive().rows, *failing().rows)
    lines = shown(Report("op", "float64", rows)).splitlines()
    marks = [line.split()[0] for line in lines if re.match(" [✓✕?] ", line)]
    assert marks == ["✕"] * 5 + ["?"]
    assert "  6 more rows pass" in lines


def test_where_all_pass_every_row_is_shown() -> None:
    report = passing()
    text = shown(report)
    assert text.count("✓") == len(report.rows) + 1
    assert "more row" not in text


def test_what_several_witnesses_say_of_an_entry_is_said_once() -> None:
    assert shown(failing()).count("hand nan, truth -0.92855076, ratio nan") == 1


def test_notes_the_stage_and_unseen_leaves_are_told() -> None:
    text = shown(replace(inconclusive(), stage="layer 7"))
    assert "first parts at layer 7" in text
    assert "lower: zero gradient everywhere: nothing seen" in text
    assert "note: every input is saturated" in text


def test_a_report_without_rows_is_inconclusive_and_prints() -> None:
    assert shown(Report("op", "float32", ())).splitlines() == ["op [float32]: ? INCONCLUSIVE"]


@pytest.mark.parametrize("name", ["params['W'][3, 7]", "x[/]", "[bold red]x", HOSTILE])
def test_a_name_is_never_read_for_markup(name: str) -> None:
    row = Row("w" + name, name, 1.0, 0.1, Verdict.FAIL, detail=f"{name}: wrong")
    report = Report(name, "float64", (row,), notes=(name,), stage=name)
    text = shown(report, width=1000)
    for wanted in (f"{name} [float64]: ✕ FAIL", f"at {name}", f" w{name} ", f"note: {name}"):
        assert wanted in text


@pytest.mark.parametrize("width", [80, 100])
def test_a_long_name_folds_and_every_number_stays(width: int) -> None:
    report = failing()
    rows = tuple(replace(row, leaf=LONG) for row in report.rows)
    lines = shown(replace(report, rows=rows), width).splitlines()
    assert max(map(len, lines)) <= width
    for row in report.failed:
        numbers = f"{row.error:.1e} {row.tolerance:.1e} {row.sees:.1e}".split()
        assert any(line.split()[-3:] == numbers for line in lines)


@pytest.mark.parametrize(
    ("report", "code"), [(failing(), "31m"), (passing(), "32m"), (inconclusive(), "33m")]
)
def test_the_verdict_is_coloured(report: Report, code: str) -> None:
    text = shown(report, force_terminal=True, color_system="standard")
    assert any(code in line for line in text.splitlines() if str(report.verdict) in line)


def test_rich_is_not_needed_to_import_and_to_print_plainly() -> None:
    program = (
        "import sys; sys.modules['rich'] = None\n"
        "from jax_ref import Report, console, page\n"
        "print(Report('op', 'float32', ()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "op [float32]: INCONCLUSIVE\n", done.stderr
