"""The page in a real browser: it says nothing, asks for nothing, and does what it shows."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import browser as browser_module
from browser import Browser, NoBrowserError, Tab
from jax_ref import Report, Row, Verdict, page
from sample_reports import HOSTILE, failing, inconclusive, many, passing

PHONE = {"width": 390, "height": 844}
SMALL = {"width": 360, "height": 740}
DESK = {"width": 1440, "height": 900}
SCREENS = [pytest.param(PHONE, id="phone"), pytest.param(DESK, id="desk")]

Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        started = Browser()
    except NoBrowserError as reason:
        pytest.skip(str(reason))
    with started:
        yield started


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open the page of some reports; whatever the test does, the page stays silent and alone."""
    tabs: list[tuple[Tab, Path]] = []

    def opened(reports: list[Report], *, title: str = "Gradient check", **screen: Any) -> Tab:
        path = tmp_path / f"{len(tabs)}.html"
        page.write(reports, path, title=title)
        tab = Tab(browser, **screen)
        tabs.append((tab, path))
        tab.open(path)
        return tab

    yield opened
    for tab, path in tabs:
        said, requested = tab.said(), tab.requested()
        tab.close()
        assert said == []
        assert requested == [path.as_uri()]


def names(tab: Tab) -> list[str]:
    """Return the names of the rows that can be seen, from above."""
    return tab.run(
        "[...document.querySelectorAll('#grid > tbody')].filter(body => body.offsetParent)"
        ".map(body => body.querySelector('.open-it').innerText)"
    )


def overflow(tab: Tab) -> int:
    return tab.run("document.scrollingElement.scrollWidth - innerWidth")


def with_errors(**errors: float | None) -> list[Report]:
    """Return a report of each name, with one row of that error; none where it is None."""
    return [
        Report(
            name,
            "float64",
            (Row("structure", "x", 0.0, 1.0, Verdict.PASS),)
            + (() if error is None else (Row("value", "y", error, 1e-10, Verdict.PASS),)),
        )
        for name, error in errors.items()
    ]


def column(tab: Tab, label: str) -> str:
    """Return the selector of the column with that heading."""
    heads = tab.run("[...document.querySelectorAll('#grid > thead th')].map(th => th.innerText)")
    return f"#grid > thead th:nth-child({heads.index(label) + 1})"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_opens_in_silence(show: Open, screen: dict[str, int], dark: bool) -> None:
    tab = show(many(), dark=dark, **screen)
    assert tab.run("document.querySelector('h1').innerText.trim()") == "FAIL"
    assert tab.run("document.title") == "FAIL · Gradient check"
    assert len(names(tab)) == len(many())


def test_the_summary_counts_and_names_where_it_ran(show: Open) -> None:
    tab = show([*many(), replace(passing(), device="gpu: NVIDIA H100", level="full")], **DESK)
    header = tab.run("document.querySelector('header').innerText")
    assert "Of 28 checks, 2 fail, 1 is inconclusive and 25 pass." in header
    for wanted in ("cpu, gpu: NVIDIA H100", "fast, full", "0, 7"):
        assert wanted in header


def test_the_worst_error_of_a_witness_leads_to_its_check(show: Open) -> None:
    tab = show(with_errors(good=1e-16, bad=3e-11, better=1e-13), **DESK)
    tiles = tab.run("[...document.querySelectorAll('.tile')].map(tile => tile.innerText)")
    assert [tile.split("\n")[:2] for tile in tiles] == [["structure", "0"], ["value", "3.0e-11"]]
    tab.click(".tiles li:nth-child(2) button")
    assert tab.run("document.activeElement.innerText") == "bad"
    assert tab.run("document.activeElement.getAttribute('aria-expanded')") == "true"


def test_a_row_says_the_worst_error_of_each_witness_and_what_it_sees(show: Open) -> None:
    report = failing()
    tab = show([report, passing()], **DESK)
    heads = tab.run("[...document.querySelectorAll('#grid > thead th')].map(th => th.innerText)")
    shown = tab.run("[...document.querySelector('.row').cells].map(cell => cell.innerText)")
    row = dict(zip((head.replace("\n", " ") for head in heads), shown, strict=True))
    assert row.pop("Op").split("\n\n") == ["layer_norm", report.headline]
    assert row == {
        "Dtype": "float64",
        "structure": "0",
        "linearity": "∞",
        "jax.grad": "∞",
        "finite difference": "∞",
        "value": "",
        "Sees down to": "1.0e-10",
        "Verdict": "FAIL",
    }


def test_a_numeric_column_sorts_both_ways(show: Open) -> None:
    errors = {"mid": 2e-12, "blank": None, "inf": np.inf, "least": 0.0, "nan": np.nan, "top": 1e3}
    tab = show(with_errors(**errors), **DESK)
    value = column(tab, "value")
    assert tab.run(f"document.querySelector('{value}').ariaSort") is None
    tab.click(f"{value} button")
    assert tab.run(f"document.querySelector('{value}').ariaSort") == "descending"
    assert names(tab) == ["nan", "inf", "top", "mid", "least", "blank"]
    tab.click(f"{value} button")
    assert tab.run(f"document.querySelector('{value}').ariaSort") == "ascending"
    assert names(tab) == ["least", "mid", "top", "inf", "nan", "blank"]
    tab.click(f"{column(tab, 'Op')} button")
    assert names(tab) == ["blank", "inf", "least", "mid", "nan", "top"]
    assert tab.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_a_phone_sorts_by_a_list(show: Open) -> None:
    tab = show(with_errors(a=1e-12, b=1e-11, c=1e-13), **PHONE)
    tab.run("sort.value = 'witness1'; sort.dispatchEvent(new Event('change'))")
    assert names(tab) == ["b", "a", "c"]
    tab.click("#direction")
    assert names(tab) == ["c", "a", "b"]


def test_what_failed_stands_first(show: Open) -> None:
    tab = show([passing(), inconclusive(), failing()], **DESK)
    assert names(tab) == ["layer_norm", "clip", "linear"]


def test_the_filters_leave_what_they_say(show: Open) -> None:
    tab = show(many(), **DESK)
    tab.run("search.focus()")
    tab.type("SOFT bfloat")
    assert names(tab) == ["softmax_cross_entropy", "softmax"]
    assert tab.run("shown.innerText") == "2 of 27 checks"
    tab.click("#choice [value=FAIL]")
    assert names(tab) == ["softmax_cross_entropy"]
    assert tab.run("document.querySelector('[value=FAIL]').ariaPressed") == "true"
    tab.click("#choice [value=INCONCLUSIVE]")
    assert names(tab) == []
    assert tab.run("nothing.offsetHeight > 0")
    tab.run("search.value = ''; search.dispatchEvent(new Event('input'))")
    assert names(tab) == ["clip"]
    tab.click("#choice [value='']")
    assert len(names(tab)) == 27


def expanded(tab: Tab) -> list[bool]:
    return tab.run("[...document.querySelectorAll('.open-it')].map(b => b.ariaExpanded === 'true')")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_row_opens_by_mouse_and_by_keyboard(show: Open, screen: dict[str, int]) -> None:
    tab = show([failing(), passing()], **screen)
    assert expanded(tab) == [False, False]
    assert tab.run("document.querySelectorAll('.report').length") == 0
    tab.click("tbody:nth-of-type(1) .is")
    assert expanded(tab) == [True, False]
    tab.run("document.querySelectorAll('.open-it')[1].focus()")
    tab.press("Enter", "\r")
    assert expanded(tab) == [True, True]
    assert tab.run("document.querySelectorAll('.report').length") == 2
    tab.press(" ", " ")
    tab.click("tbody:nth-of-type(1) .open-it")
    assert expanded(tab) == [False, False]
    assert tab.run("document.querySelectorAll('.report').length") == 0


def test_every_control_is_reached_by_tab_and_shows_it(show: Open) -> None:
    tab = show([failing(), passing()], **DESK)
    reached = []
    for _ in range(30):
        tab.press("Tab")
        reached.append(tab.run("document.activeElement.className + document.activeElement.id"))
        if reached[-1] == "open-it":
            break
    assert {"tile", "search", "FAIL"} <= set(reached)
    assert reached[-1] == "open-it"
    outline = tab.run("getComputedStyle(document.activeElement).outline")
    assert "solid 2px" in outline


@pytest.mark.parametrize("screen", SCREENS)
def test_a_lone_report_is_open_and_tells_all(show: Open, screen: dict[str, int]) -> None:
    report = replace(failing(), stage="layer 7: attention")
    tab = show([report], **screen)
    text = tab.run("document.querySelector('.report').innerText")
    wanted = [report.headline, "layer 7: attention", *report.notes, "sign error", "leaves 31 %"]
    for part in (*wanted, "[0, 35]", "3.22507619", "-0.92855076", "1.0e-10"):
        assert part in text
    assert tab.run("tools.offsetHeight") == 0


def heat(tab: Tab, leaf: int) -> dict[str, int]:
    """Return how many cells of each kind the map of a leaf shows, and its columns."""
    return tab.run(
        "(cells => ({"
        " all: cells.children.length,"
        " columns: getComputedStyle(cells).gridTemplateColumns.split(' ').length,"
        " hot: cells.querySelectorAll('.hot').length,"
        " cool: cells.querySelectorAll('.cool').length,"
        " broken: cells.querySelectorAll('.broken').length,"
        "}))"
        f"(document.querySelectorAll('.leaf')[{leaf}].querySelector('.cells'))"
    )


@pytest.mark.parametrize("screen", SCREENS)
def test_the_heat_map_has_a_cell_for_each_block(show: Open, screen: dict[str, int]) -> None:
    report = failing()
    tab = show([report], **screen)
    for leaf, name in enumerate(["x", "shift"]):
        (row,) = (r for r in report.rows if (r.leaf, r.witness) == (name, "jax.grad"))
        values = np.asarray(row.heat)
        finite = np.isfinite(values)
        assert heat(tab, leaf) == {
            "all": values.size,
            "columns": values.shape[1],
            "hot": (finite & (values > row.tolerance)).sum(),
            "cool": ((values > 0) & (values <= row.tolerance)).sum(),
            "broken": (~finite).sum(),
        }


def test_another_witness_shows_its_own_map(show: Open) -> None:
    rows = (
        Row("value", "x", 1.0, 0.1, Verdict.FAIL, heat=((1.0, 0.0),)),
        Row("jax.grad", "x", 0.0, 0.1, Verdict.PASS, heat=((1e-3,), (0.0,), (1e-9,))),
    )
    tab = show([Report("op", "float64", rows)], **DESK)
    assert heat(tab, 0) == {"all": 2, "columns": 2, "hot": 1, "cool": 0, "broken": 0}
    tab.click(".seen tbody tr:nth-child(2) .show-map")
    assert heat(tab, 0) == {"all": 3, "columns": 1, "hot": 0, "cool": 2, "broken": 0}
    pressed = "[...document.querySelectorAll('.show-map')].map(b => b.ariaPressed)"
    assert tab.run(pressed) == ["false", "true"]
    titles = tab.run("[...document.querySelectorAll('.cells i')].map(cell => cell.title)")
    assert titles == ["block [0, 0]: 1.0e-3", "block [1, 0]: exact", "block [2, 0]: 1.0e-9"]


def test_a_map_that_was_left_out_says_so(show: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "CELLS", 0)
    tab = show([failing()], **DESK)
    assert tab.run("document.querySelectorAll('.cells').length") == 0
    assert "Left out" in tab.run("document.querySelector('.heat').innerText")


def test_the_kinds_of_cells_differ_in_colour(show: Open) -> None:
    heat_map = ((0.0, 1e-17, 0.9e-10, 1.1e-10, 1.0, np.inf),)
    row = Row("value", "x", np.inf, 1e-10, Verdict.FAIL, heat=heat_map)
    tab = show([Report("op", "float64", (row,))], **DESK)
    colours = tab.run(
        "[...document.querySelectorAll('.cells i')].map(i => getComputedStyle(i).backgroundColor)"
    )
    assert len(set(colours)) == len(heat_map[0])
    kinds = tab.run("[...document.querySelectorAll('.cells i')].map(cell => cell.className)")
    assert kinds == ["", "cool", "cool", "hot", "hot", "broken"]


@pytest.mark.parametrize(
    "screen",
    [*SCREENS, pytest.param(SMALL, id="small"), pytest.param({**DESK, "width": 1280}, id="1280")],
)
def test_the_page_never_scrolls_sideways(show: Open, screen: dict[str, int]) -> None:
    long = replace(failing("a" * 300), device="b" * 300, notes=("c" * 300,))
    tab = show([long, failing(), *many()], title="d" * 300, **screen)
    assert overflow(tab) <= 0
    tab.run("document.querySelectorAll('.open-it').forEach((b, i) => i < 4 && b.click())")
    tab.run("document.querySelectorAll('.leaf').forEach(leaf => { leaf.open = true })")
    assert overflow(tab) <= 0
    right = "document.querySelectorAll('.heat')].map(e => e.getBoundingClientRect().right)"
    edges = tab.run(f"[...{right}")
    assert len(edges) > 4
    assert max(edges) <= screen["width"]


def test_a_table_too_wide_scrolls_within_itself_under_its_header(show: Open) -> None:
    rows = tuple(Row(f"witness number {i}", "x", 0.0, 1.0, Verdict.PASS) for i in range(40))
    tab = show([Report(f"op {i}", "float64", rows) for i in range(60)], **DESK)
    tab.run("frame.scrollTo(400, 900)")
    assert overflow(tab) <= 0
    assert tab.run("frame.scrollLeft") == 400
    top = "document.querySelector('#grid thead th').getBoundingClientRect().top"
    assert tab.run(f"{top} - frame.getBoundingClientRect().top") == pytest.approx(1, abs=1)


def test_the_header_stays_in_sight(show: Open) -> None:
    tab = show(many(), **DESK)
    tab.run("scrollTo({ top: 900, behavior: 'instant' })")
    assert tab.run("scrollY") == 900
    assert tab.run("document.querySelector('#grid thead th').getBoundingClientRect().top") == 0


@pytest.mark.parametrize("screen", SCREENS)
def test_hostile_names_are_shown_and_not_obeyed(show: Open, screen: dict[str, int]) -> None:
    row = Row(HOSTILE, HOSTILE, 1.0, 0.1, Verdict.FAIL, detail=HOSTILE, heat=((1.0,),))
    report = Report(HOSTILE, HOSTILE, (row,), notes=(HOSTILE,), stage=HOSTILE, device=HOSTILE)
    tab = show([report], title=HOSTILE, **screen)
    assert tab.run("document.title") == f"FAIL · {HOSTILE}"
    assert tab.run("document.querySelectorAll('img, b:not(.gauge b)').length") == 0
    selectors = (".title", ".open-it", ".facts dd", ".stage code", ".notes li", ".leaf .mono")
    for selector in (*selectors, ".seen .witness", ".seen .detail"):
        assert HOSTILE in tab.run(f"document.querySelector('{selector}').textContent")


CONTRAST = """(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b]
    .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    const colour = parts(getComputedStyle(element).backgroundColor);
    return colour[3] === 0 ? behind(element.parentElement) : colour;
  };
  const ratio = element => {
    const [a, b] = [parts(getComputedStyle(element).color), behind(element)].map(luminance);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const chosen = [...document.querySelectorAll('SELECTORS')].filter(element => element.offsetParent);
  return chosen.map(element => [element.className + ' ' + element.innerText, ratio(element)]);
})()"""  # noqa: E501


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_verdicts_and_all_small_text_can_be_read(show: Open, dark: bool) -> None:
    tab = show([passing(), failing(), inconclusive()], dark=dark, **DESK)
    tab.run("document.querySelectorAll('.open-it').forEach(button => button.click())")
    selectors = ".verdict, .word, .number, .label, .dtype, .head, .notes li, .left, .index, th *"
    ratios = tab.run(CONTRAST.replace("SELECTORS", selectors + ", .readout, .legend, figcaption"))
    seen = " ".join(name for name, _ in ratios)
    assert all(f"verdict {verdict}" in seen for verdict in Verdict)
    assert [entry for entry in ratios if entry[1] < 4.5] == []


def test_the_two_schemes_differ(show: Open) -> None:
    papers = [
        show([passing()], dark=dark).run("getComputedStyle(document.body).backgroundColor")
        for dark in (False, True)
    ]
    assert papers[0] != papers[1]


def test_on_paper_it_is_light_and_shows_no_controls(show: Open) -> None:
    tab = show(many(), dark=True, **DESK)
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.run("tools.offsetHeight") == 0


@pytest.mark.parametrize("script", [None, "exit 1", "sleep 60"], ids=["none", "ends", "hangs"])
def test_without_a_browser_that_starts_there_is_a_reason(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_module, "START", 0.3)
    if script:
        (tmp_path / "chromium").write_text(f"#!/bin/sh\necho so it says\n{script}\n")
        (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if script else str(tmp_path))
    with pytest.raises(NoBrowserError, match="so it says" if script else "is installed"):
        Browser()
