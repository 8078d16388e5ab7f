"""The checker is checked: every wrong rule fails where it should, by its name; no right one does.

Of the corpora every fourth entry is judged, in one of its dtypes; all in every dtype, and held
against what they say of themselves, with `--hypothesis-profile=thorough`. What the page shows is
the whole.
"""

import re
from collections.abc import Sequence

import corpus
import hypothesis
import pytest
from entry import DTYPES, Entry, Wrong
from outcome import ours, untrue

NAMED = 0.9  # of the wrong rules, at least, get a first diagnosis that is true
EVERY_NTH = 4


def thorough() -> bool:
    return hypothesis.settings.get_current_profile_name() == "thorough"


def judged(entries: Sequence[Entry]) -> list[pytest.param]:
    """Return entries with a dtype each, different from one to the next; or all in every dtype."""
    chosen = [(entry, dtype) for entry in entries for dtype in entry.dtypes]
    if not thorough():
        every = entries[::EVERY_NTH]
        chosen = [(entry, entry.dtypes[at % len(entry.dtypes)]) for at, entry in enumerate(every)]
    return [pytest.param(entry, dtype, id=f"{entry.name}-{dtype}") for entry, dtype in chosen]


@pytest.mark.parametrize(("entry", "dtype"), judged(corpus.WRONG))
def test_a_wrong_rule_fails_where_it_is_wrong(entry: Wrong, dtype: str):
    outcome = ours(entry, dtype)
    assert not outcome.complaints(entry)
    assert outcome.named(entry) or dtype in corpus.UNNAMED.get(entry.name, ())


@pytest.mark.parametrize(("entry", "dtype"), judged(corpus.RIGHT))
def test_a_right_rule_is_not_called_wrong(entry: Entry, dtype: str):
    assert not ours(entry, dtype).complaints(entry)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nine_of_ten_mistakes_are_named(dtype: str):
    present = [entry.name for entry in corpus.WRONG if dtype in entry.dtypes]
    unnamed = [name for name in present if dtype in corpus.UNNAMED.get(name, ())]
    assert len(unnamed) <= (1 - NAMED) * len(present)


def test_what_is_unnamed_is_in_the_corpora():
    assert all(
        set(corpus.EVERY[name].dtypes) >= {*dtypes} for name, dtypes in corpus.UNNAMED.items()
    )


@pytest.mark.parametrize("entry", corpus.EVERY.values() if thorough() else [], ids=lambda e: e.name)
def test_an_entry_is_what_it_says(entry: Entry):
    assert not untrue(entry)


def test_the_page_has_a_row_for_each_entry():
    page = corpus.PAGE.read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(corpus.EVERY), "run: python tests/corpora/table.py"


def test_the_page_shows_no_mistake_of_ours():
    page = corpus.PAGE.read_text(encoding="utf-8")
    assert not re.findall(r"^.*\bgot\b.*$", page, re.MULTILINE)
