"""`manual-bp mutants`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from bp_lab.errors import FAILED, InputError
from bp_lab.files import expect_a_place, write_json
from jax_ref import cases
from jax_ref.mutants import EQUAL, SURVIVED, Mutant, Outcome, Score, mutants, outcomes


def run(ops: Sequence[str], workers: int | None, json: Path | None) -> int:
    """Mutate the backward passes that the ops reach, or all; status 1 where a mutant survives.

    Survivors are printed as they are found.
    """
    known = sorted({case.op_name for case in cases.registry})
    for op in ops:
        if op not in known:
            raise InputError("mutants", "OP", "one of " + ", ".join(known), op)
    if workers is not None and workers < 1:
        raise InputError("mutants", "--workers", "at least 1", workers)
    expect_a_place("mutants", "--json", json)
    console = Console(highlight=False)
    wanted = ops or known
    chosen = [m for m in mutants(cases.everything) if not set(wanted).isdisjoint(m.ops)]
    found = []
    with Progress(console=console, transient=True) as progress:
        results = outcomes(chosen, workers)
        for outcome in progress.track(results, len(chosen), description="mutating"):
            found.append(outcome)
            if outcome.status == SURVIVED:
                _print("Survived", outcome, console)
    console.print(_table(found, wanted))
    for outcome in found:
        if outcome.status == EQUAL:
            _print("Equivalent", outcome, console)
    score = Score.of(found)
    said = f"{score.killed} of {score.killed + score.survived} mutants killed, {score.share:.1%}; "
    console.print(said + f"{score.equivalent} equivalent", soft_wrap=True)
    if json is not None:
        write_json(json, {**score.to_dict(), "mutants": [outcome.to_dict() for outcome in found]})
    return FAILED if score.survived else 0


def _table(found: Sequence[Outcome], wanted: Sequence[str]) -> Table:
    """Return a row an op; a function that several ops reach stands under the first of them."""

    def op_of(mutant: Mutant) -> str:
        return next(op for op in mutant.ops if op in wanted)

    table = Table("op", box=SIMPLE_HEAD)
    for head in ("mutants", "killed", "survived", "equivalent", "score"):
        table.add_column(head, justify="right")
    for op in dict.fromkeys(op_of(outcome.mutant) for outcome in found):
        score = Score.of(outcome for outcome in found if op_of(outcome.mutant) == op)
        counts = (score.mutants, score.killed, score.survived, score.equivalent)
        style = "red" if score.survived else "green"
        table.add_row(op, *map(str, counts), Text(f"{score.share:.1%}", style))
    return table


def _print(head: str, outcome: Outcome, console: Console) -> None:
    mutant = outcome.mutant
    lines: list[Any] = [(f"{head}: {mutant.id}", "bold")]
    lines += [f"\n  - {mutant.original}", f"\n  + {mutant.mutated}"]
    lines += [f"\n  {outcome.reason}"] if outcome.reason else []
    console.print(Text.assemble(*lines), soft_wrap=True)
