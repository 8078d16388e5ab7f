"""The page as text: what is in it, what is not, and how it comes to the disk."""

import base64
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jax_ref import Report, Row, Verdict, page
from jax_ref.errors import CheckError
from sample_reports import HOSTILE, failing, inconclusive, many, passing

AWKWARD = [HOSTILE, "<!--<script>", "]]>", "\ud800 alone", "\u2028\0 line", "ŷ = ∂L/∂σ 🙂"]


class Scripts(HTMLParser):
    """The text of every script element, and the name of every element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        if tag == "script":
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.texts[-1] += data


def content(text: str) -> dict[str, Any]:
    """Return the data of a page."""
    return json.loads(Scripts(text).texts[0])


def rows(text: str, report: int = 0) -> list[dict[str, Any]]:
    read = content(text)
    return [dict(zip(read["fields"], row, strict=True)) for row in read["reports"][report]["rows"]]


def cells(read: dict[str, Any], number: int) -> np.ndarray:
    """Return a heat map, undone by another route than the one that packed it."""
    columns, packed = read["maps"][number]
    halves = np.frombuffer(base64.b64decode(packed), "<u2").astype(np.uint32)
    return (halves << 16).view(np.float32).reshape(-1, columns)


def with_row(**chosen: Any) -> Report:
    return Report("op", "float64", (Row("jax.grad", "x", 0.0, 1e-10, Verdict.PASS, **chosen),))


def test_no_reports_are_an_error(tmp_path: Path) -> None:
    message = "page: reports: expected at least one report, got none"
    with pytest.raises(CheckError) as raised:
        page.render([])
    assert str(raised.value) == message
    with pytest.raises(CheckError):
        page.write([], tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_reports_can_be_read_back() -> None:
    reports = many()
    read = content(page.render(reports))
    assert len(read["reports"]) == len(reports)
    for plain, report in zip(read["reports"], reports, strict=True):
        wanted = report.to_dict()
        for name in ("name", "dtype", "verdict", "headline", "level", "seed", "device", "notes"):
            assert plain[name] == wanted[name]
        assert plain["diagnoses"].keys() == report.diagnoses.keys()
        assert len(plain["rows"]) == len(report.rows)


def test_a_row_keeps_every_field() -> None:
    report = failing()
    for plain, row in zip(rows(page.render([report])), report.rows, strict=True):
        assert (plain["witness"], plain["leaf"], plain["verdict"], plain["detail"]) == (
            row.witness,
            row.leaf,
            row.verdict,
            row.detail,
        )
        assert plain["index"] == (None if row.index is None else list(row.index))
        assert float(plain["error"]) == pytest.approx(row.error, rel=5e-3)
        assert float(plain["visible"]) == pytest.approx(row.sees, rel=5e-3)
        if row.hand is not None:
            assert float(plain["hand"]) == pytest.approx(row.hand, rel=1e-8, nan_ok=True)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_json_has_no_word_for_is_kept_as_a_string(value: float) -> None:
    report = with_row(hand=value, truth=value, heat=((value,),))
    report = replace(report, rows=(replace(report.rows[0], error=value),))
    text = page.render([report])
    (row,) = rows(text)
    for name in ("error", "hand", "truth"):
        assert isinstance(row[name], str)
        np.testing.assert_equal(float(row[name]), value)
    np.testing.assert_equal(cells(content(text), row["heat"]), [[value]])


def test_a_heat_map_keeps_its_shape_its_zeros_and_two_digits() -> None:
    exponents = np.linspace(-30, 5, 23 * 7).reshape(23, 7)
    heat = np.where(exponents < -28, 0, 10**exponents)
    text = page.render([with_row(heat=tuple(map(tuple, heat.tolist())))])
    got = cells(content(text), rows(text)[0]["heat"])
    assert got.shape == heat.shape
    np.testing.assert_allclose(got, heat, rtol=2**-8, atol=0)


def test_a_row_that_is_not_about_entries_has_no_map() -> None:
    assert rows(page.render([with_row()]))[0]["heat"] is None


def test_equal_maps_are_written_once() -> None:
    one = with_row(heat=((0.0, 1e-16),))
    assert len(content(page.render([one, one]))["maps"]) == 1


def test_what_failed_keeps_its_map_where_room_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "CELLS", 3)
    good = [with_row(heat=((i * 1e-16, 0.0),)) for i in (1, 2)]
    row = Row("jax.grad", "x", 1.0, 1e-10, Verdict.FAIL, heat=((1.0, 0.5),))
    text = page.render([*good, Report("wrong", "float64", (row,))])
    numbers = [rows(text, report)[0]["heat"] for report in range(3)]
    assert numbers == [page.LEFT_OUT, page.LEFT_OUT, 0]
    np.testing.assert_equal(cells(content(text), 0), [[1.0, 0.5]])


def test_four_hundred_large_reports_stay_small() -> None:
    rng = np.random.default_rng(0)
    maps = [tuple(map(tuple, 10 ** rng.uniform(-17, -11, (24, 24)))) for _ in range(1200)]
    witness, leaf = "finite difference", "params['layers'][11]['W']"
    made = [
        Row(witness, leaf, 1e-12, 1e-10, Verdict.PASS, None, False, (3, 7), 0.123456789, -2.5e-11)
        for _ in range(40)
    ]
    reports = [
        Report(f"op {i}", "float32", tuple(replace(row, heat=maps[i * 3 % 1200]) for row in made))
        for i in range(400)
    ]
    assert len(page.render(reports)) < 4e6


@pytest.mark.parametrize("name", AWKWARD)
def test_no_name_ends_the_data_or_begins_an_element(name: str) -> None:
    row = Row(name, name, 1.0, 0.1, Verdict.FAIL, detail=name)
    report = Report(name, name, (row,), notes=(name,), device=name, stage=name)
    text = page.render([report], title=name)
    (plain,) = content(text)["reports"]
    for field in ("name", "dtype", "device", "stage"):
        assert plain[field] == name
    assert plain["notes"] == [name]
    calm = Scripts(page.render([passing()]))
    assert Scripts(text).names == calm.names
    assert Scripts(text).texts[1] == calm.texts[1]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_can_be_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    page.write([replace(passing(), name=name)], path, title=name)
    assert content(path.read_text(encoding="utf-8"))["reports"][0]["name"] == name


@pytest.mark.parametrize(
    ("reports", "word"),
    [
        ([passing()], "PASS"),
        ([passing(), inconclusive()], "INCONCLUSIVE"),
        ([passing(), inconclusive(), failing()], "FAIL"),
    ],
)
def test_the_tab_says_the_worst_verdict_and_the_title(reports: list[Report], word: str) -> None:
    text = page.render(reports, title="mine & <yours>")
    assert f"<title>{word} · mine &amp; &lt;yours&gt;</title>" in text


def test_nothing_is_fetched_from_anywhere() -> None:
    text = page.render(many())
    assert re.findall(r"(?i)https?:|url\(|@import|\bfetch\(|XMLHttp|WebSocket", text) == []
    assert re.findall(r"""(?i)\b(?:src|href)=["']?+(?!data:,)""", text) == []
    assert "default-src 'none'" in text


def test_a_report_writes_itself(tmp_path: Path) -> None:
    failing().to_html(str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text == page.render([failing()])


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    page.write([passing()], path)
    assert path.read_text(encoding="utf-8") == page.render([passing()])
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "page.html"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckError, match="No space left on device") as raised:
        page.write([passing()], path)
    assert "\n" not in str(raised.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["", "missing/page.html", "file/page.html"])
def test_the_folder_must_be_there(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    with pytest.raises(CheckError) as raised:
        page.write([passing()], path)
    assert str(raised.value) == f"page: path: expected a file in an existing folder, got {path}"
