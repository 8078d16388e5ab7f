"""The corpora and two testers of them as a Markdown page; a script that writes docs/CORPORA.md.

    python tests/corpora/table.py [--only NAME …] [--dtype DTYPE …]

With --only or --dtype the rows are printed and no page is written.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_context
from typing import Any, TypeVar

import corpus
import jax
from entry import DTYPES, Entry, Right, Wrong
from outcome import Outcome, ours, theirs, untrue

from jax_ref import Verdict

KEPT = 16  # entries whose compiled programs are kept: more make everything slow and large
_judged = count(1)

HEAD = """\
# Corpora

The checker is checked: {wrong} rules that are wrong, each a mistake that is made when a backward
pass is written by hand, and {right} that are right, however awkward. Beside our verdict (the fast
level) stands that of `jax.test_util.check_grads` on the same rule as a `jax.custom_vjp` function:
reverse mode, order 1, its own tolerances, in the rule's own dtype, on its floating arguments and
outputs alone. An entry stands in a dtype only where the mistake exists there: one of 1e-3 is none
in bfloat16; a blank cell stands for that, or for one that was not judged. This page is generated:
`python tests/corpora/table.py`.

## Summary

Of the wrong rules: how many were caught by each, of how many the first diagnosis was true, and of
how many the leaf and the index reported are wrong indeed.

| dtype | wrong | caught by us | by `check_grads` | diagnosis | leaf and index |
| --- | --- | --- | --- | --- | --- |
{wrong_summary}
Of the right rules: our verdicts, and what `check_grads` does. INCONCLUSIVE is true where
little can be seen: a gradient of 0, no entries, a derivative of JAX's that is NaN. `check_grads`
could not run where it raised something else than a mismatch.

| dtype | right | PASS | INCONCLUSIVE | FAIL | `check_grads`: passed | raised | could not run |
| --- | --- | --- | --- | --- | --- | --- | --- |
{right_summary}"""

WRONG_HEAD = """
## Wrong rules

A cell says what ours and then what `check_grads` makes of the rule in that dtype; a star marks a
first diagnosis that is not of the mistake.

| rule | mistake | first diagnosis | float64 | float32 | bfloat16 | float16 |
| --- | --- | --- | --- | --- | --- | --- |
"""

RIGHT_HEAD = """
## Right rules

| rule | awkward for | float64 | float32 | bfloat16 | float16 |
| --- | --- | --- | --- | --- | --- |
"""

Results = Mapping[str, tuple[Outcome, str]]
E = TypeVar("E", bound=Entry)


def judge(name: str, dtypes: Iterable[str]) -> Results:
    """Return what ours and `check_grads` say of an entry, by dtype.

    Raises:
      SystemExit: the entry says something of itself that is not so.
    """
    entry = corpus.EVERY[name]
    if complaints := untrue(entry):
        sys.exit(f"table: {name}: {'; '.join(complaints)}")
    chosen = [dtype for dtype in entry.dtypes if dtype in dtypes]
    results = {dtype: (ours(entry, dtype), theirs(entry, dtype)) for dtype in chosen}
    if next(_judged) % KEPT == 0:
        jax.clear_caches()
    return results


def start() -> None:
    """Prepare a process that judges, or that reads what was judged."""
    jax.config.update("jax_enable_x64", True)


def row(entry: Entry, results: Results) -> str:
    """Return an entry's row of the table."""
    cells = [f"`{entry.name}`", entry.says]
    if isinstance(entry, Wrong):
        cells.append(_diagnoses(entry, results))
    cells += [_cell(entry, results[dtype]) if dtype in results else "" for dtype in DTYPES]
    return _line(*(cell.replace("|", r"\|") for cell in cells))


def _diagnoses(entry: Wrong, results: Results) -> str:
    """Return the first diagnoses, with the dtypes of each where they differ."""
    said: dict[str, list[str]] = {}
    for dtype, (our, _) in results.items():
        star = "" if our.named(entry) else " \\*"
        said.setdefault(f"{our.first or 'none'}{star}", []).append(dtype)
    if len(said) == 1:
        return next(iter(said))
    return "; ".join(f"{what} ({', '.join(dtypes)})" for what, dtypes in said.items())


def _cell(entry: Entry, result: tuple[Outcome, str]) -> str:
    our, their = result
    complaints = our.complaints(entry)
    mark = f" ({'; '.join(complaints)})" if complaints else ""
    return f"{our.verdict}{mark}, {their}"


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def _present(judged: Mapping[str, Results], dtype: str, kind: type[E]) -> list[tuple[E, Any, str]]:
    """Return the entries of a kind that were judged in a dtype, with what was said of them."""
    entries = ((corpus.EVERY[name], results) for name, results in judged.items())
    return [(e, *r[dtype]) for e, r in entries if isinstance(e, kind) and dtype in r]


def of_wrong(dtype: str, judged: Mapping[str, Results]) -> str:
    """Return the summary's row of the wrong rules in a dtype."""
    present = _present(judged, dtype, Wrong)
    caught = [(entry, our) for entry, our, _ in present if our.verdict is Verdict.FAIL]
    parts = (
        len(caught),
        sum(their == "caught" for *_, their in present),
        sum(our.named(entry) for entry, our in caught),
        sum(not our.complaints(entry) for entry, our in caught),
    )
    return _line(dtype, len(present), *(_share(part, len(present)) for part in parts))


def of_right(dtype: str, judged: Mapping[str, Results]) -> str:
    """Return the summary's row of the right rules in a dtype."""
    present = _present(judged, dtype, Right)
    ours = [our.verdict for _, our, _ in present]
    theirs = [their for *_, their in present]
    return _line(
        dtype,
        len(present),
        *(ours.count(word) for word in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)),
        *(theirs.count(word) for word in ("passed", "raised", "could not run")),
    )


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.0f} %)" if whole else "–"


def render(judged: Mapping[str, Results]) -> str:
    """Return the page."""
    page = HEAD.format(
        wrong=len(corpus.WRONG),
        right=len(corpus.RIGHT),
        wrong_summary="".join(of_wrong(dtype, judged) for dtype in DTYPES),
        right_summary="".join(of_right(dtype, judged) for dtype in DTYPES),
    )
    page += WRONG_HEAD + "".join(row(entry, judged[entry.name]) for entry in corpus.WRONG)
    return page + RIGHT_HEAD + "".join(row(entry, judged[entry.name]) for entry in corpus.RIGHT)


def main() -> None:
    """Judge the entries and write the page, or print the rows that were asked for."""
    described = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=described)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=corpus.EVERY)
    parser.add_argument("--dtype", nargs="+", choices=DTYPES)
    asked = parser.parse_args()
    start()
    whole = not (asked.only or asked.dtype)
    names, shown = asked.only or list(corpus.EVERY), sys.stderr if whole else sys.stdout
    judged: dict[str, Results] = {}
    spawned = get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawned, initializer=start) as pool:
        every = pool.map(partial(judge, dtypes=asked.dtype or DTYPES), names)
        for name, results in zip(names, every, strict=True):
            judged[name] = results
            print(row(corpus.EVERY[name], results), end="", file=shown, flush=True)
    if whole:
        corpus.PAGE.parent.mkdir(exist_ok=True)
        corpus.PAGE.write_text(render(judged), encoding="utf-8")


if __name__ == "__main__":
    main()
