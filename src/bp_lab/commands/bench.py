"""`manual-bp bench`."""

from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from bp_lab.bench import checker, mlp_step
from bp_lab.errors import InputError
from bp_lab.files import write_json
from bp_lab.runs import engine
from bp_lab.runs.config import DTYPES

PAIRS = {"step": 40, "checker": 5}


def run(subject: str, pairs: int | None, dtype: str, json: Path | None) -> int:
    """Measure, print a table, and write it as JSON where asked."""
    if subject not in PAIRS:
        raise InputError("bench", "SUBJECT", "'step' or 'checker'", repr(subject))
    pairs = PAIRS[subject] if pairs is None else pairs
    if pairs < 3:
        raise InputError("bench", "--pairs", "at least 3", pairs)
    if dtype not in DTYPES:
        raise InputError("bench", "--dtype", "one of " + ", ".join(DTYPES), dtype)
    if json is not None and (json.is_dir() or not json.parent.is_dir()):
        raise InputError("bench", "--json", "a file in an existing folder", json)
    measure = _checker if subject == "checker" else _step
    result = {"device": str(jax.devices()[0]), "pairs": pairs, **measure(dtype, pairs)}
    if json is not None:
        write_json(json, result)
    return 0


def _checker(_dtype: str, pairs: int) -> dict[str, Any]:
    console = Console(highlight=False)
    with console.status("measuring"):
        cost, large = checker.cost(pairs), list(checker.large())
    size = f"{checker.ROWS} × {checker.FEATURES}"
    title = f"check_rule beside check_grads, layer norm {size}, float64"
    table = Table("call", "ratio", "quartiles", "ms", "check_grads ms", title=title)
    for name, row in cost.items():
        low, high = row["ratio_quartiles"]
        milliseconds = (f"{1e3 * row[key]:.0f}" for key in ("seconds", "check_grads_seconds"))
        quartiles = f"{low:.2f}–{high:.2f}"
        table.add_row(name.replace("_", " "), f"{row['ratio']:.2f}", quartiles, *milliseconds)
    console.print(table)
    for row in large:
        megabytes = row["peak_bytes"] / 2**20
        console.print(f"{row['entries']} entries: {row['seconds']:.1f} s, {megabytes:.0f} MiB peak")
    return {"cost": cost, "large": large}


def _step(dtype: str, pairs: int) -> dict[str, Any]:
    console = Console(highlight=False)
    with console.status("measuring"), engine.precision(dtype):
        rows = list(mlp_step.rows(dtype, pairs))
    columns = ("optimizer", "beside", "time", "quartiles", "memory", "compile", "ms", "GEMM share")
    table = Table(*columns, title=f"Training step of {mlp_step.MODEL}")
    for row in rows:
        low, high = row["time_ratio_quartiles"]
        table.add_row(
            row["optimizer"],
            row["peer"],
            f"{row['time_ratio']:.2f}",
            f"{low:.2f}–{high:.2f}",
            f"{row['memory_ratio']:.2f}",
            f"{row['compile_ratio']:.2f}",
            f"{1e3 * row['seconds']:.1f}",
            f"{100 * row['limit_share']:.0f} %",
        )
    device = str(jax.devices()[0])
    console.print(table)
    console.print(
        f"{device}, {dtype}, medians of {pairs} pairs; time, memory and compile are ratios, below "
        f"1 where ours is better. Best matrix product: {rows[0]['gemm_flops_per_second']:.2e} "
        "flop/s.",
        soft_wrap=True,
    )
    return {"rows": rows}
