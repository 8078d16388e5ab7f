"""The sweeps of the benchmark: the fit, the table of sweeps, and the command as a user types it."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats
from test_bench import row

from bp_lab.bench import contest, scaling
from bp_lab.bench.contest import Contest, Notes
from bp_lab.commands import bench as command

SIZES = (2, 4, 8, 16, 32)


def test_the_exponent_of_a_power_is_that_power() -> None:
    fit = scaling.exponent(SIZES, [3e-4 * n**1.7 for n in SIZES])
    assert fit.value == pytest.approx(1.7, abs=1e-12)
    assert fit.error == pytest.approx(0, abs=1e-12)
    assert fit.points == 5
    assert fit.in_words(5) == "1.70 ± 0.00"
    assert scaling.exponent(SIZES, [7.0] * 5).in_words(5) == "0.00 ± 0.00"


def test_the_standard_error_is_that_of_a_regression() -> None:
    costs = [2.0, 7.0, 9.0, 30.0, 41.0]
    fit, wanted = scaling.exponent(SIZES, costs), stats.linregress(np.log(SIZES), np.log(costs))
    assert fit.value == pytest.approx(wanted.slope)
    assert fit.error == pytest.approx(wanted.stderr)


def test_sizes_without_a_cost_are_left_out_and_counted() -> None:
    fit = scaling.exponent(SIZES, [0, None, 64.0, 128.0, 256.0])
    assert fit.value == pytest.approx(1)
    assert fit.in_words(5) == "1.00 ± 0.00 (3 of 5)"
    few = scaling.exponent(SIZES, [0, 0, 0, 128.0, 256.0])
    assert (few.value, few.error, few.points, few.in_words(5)) == (None, None, 2, "none")
    assert scaling.exponent(SIZES, [0] * 5).in_words(5) == "0 bytes"


def test_every_axis_is_swept_over_sizes_that_grow_by_about_a_factor() -> None:
    assert {sweep.axis for sweep in scaling.SWEEPS} == set(scaling.AXES)
    names = [sweep.name for sweep in scaling.SWEEPS]
    assert len(set(names)) == len(names)
    assert {sweep.kind for sweep in scaling.SWEEPS} == {"op", "model"}
    for sweep in scaling.SWEEPS:
        assert 4 <= len(sweep.sizes) <= 6
        assert all(1.3 < b / a <= 2 for a, b in pairwise(sweep.sizes))
        assert len({sweep.at(size, "float32").size for size in sweep.sizes}) == len(sweep.sizes)


@pytest.mark.parametrize("sweep", scaling.SWEEPS, ids=lambda sweep: sweep.name)
def test_every_sweep_has_a_peer_at_its_smallest_size(sweep: scaling.Sweep) -> None:
    assert sweep.at(sweep.sizes[0], "float32").prepare().peers


def relu(*sizes: int) -> scaling.Sweep:
    return scaling._op("relu", "width", sizes, lambda n: ({"batch": (3, n)}, {}))


def test_the_largest_size_settles_the_form_of_the_peer(monkeypatch) -> None:
    program: Any = None
    whole = Contest(program, {"slow": program, "fast": program})
    sweep = relu(2, 4, 8)
    prepared = replace(
        sweep, at=lambda *at: replace(sweep.at(*at), prepare=lambda: whole, size=str(at[0]))
    )
    seen = []

    def measured(subject: Any, *_: Any) -> Any:
        seen.append((subject.size, sorted(subject.prepare().peers)))
        return row(peer="fast", seconds=float(subject.size))

    monkeypatch.setattr(contest, "measured", measured)
    curves = list(scaling.measured(prepared, "float32", command.QUICK, Notes(), quick=False))
    assert seen == [("8", ["fast", "slow"]), ("4", ["fast"]), ("2", ["fast"])]
    assert [list(curve.rows) for curve in curves] == [[8], [4, 8], [2, 4, 8]]
    assert curves[-1].exponent("time", "ours").value == pytest.approx(1)
    assert curves[-1].exponent("time", "torch").points == 0


@pytest.fixture
def one_sweep(tiny, monkeypatch) -> None:
    monkeypatch.setattr(scaling, "SWEEPS", (relu(2, 4, 8, 16, 32),))


def test_bench_scaling_measures_prints_writes_and_draws(manual_bp_command, one_sweep) -> None:
    files = ("--json", "s.json", "--plot", "s.png")
    outcome = manual_bp_command("bench", "--scaling", "by wid", "--quick", "--pairs", "3", *files)
    assert outcome.status == 0, outcome.err
    assert "relu by width, float32, beside jax.nn" in outcome.out
    assert "0 bytes" in outcome.out
    result = json.loads(Path("s.json").read_text("utf-8"))
    assert (result["quick"], result["complete"]) == (True, True)
    (curve,) = result["sweeps"]
    assert (curve["name"], curve["axis"], curve["peer"]) == ("relu by width", "width", "jax.nn")
    assert [point["at"] for point in curve["points"]] == [2, 4, 8, 16]
    assert [point["size"] for point in curve["points"]] == [f"batch 3×{n}" for n in (2, 4, 8, 16)]
    assert all(point["time_ratio"] > 0 for point in curve["points"])
    assert curve["exponents"]["memory"]["ours"] == {"value": None, "error": None, "points": 0}
    time = curve["exponents"]["time"]
    assert (time["ours"]["points"], time["peer"]["points"], time["torch"]["points"]) == (4, 4, 0)
    logarithms = np.log([[point["at"], point["seconds"]] for point in curve["points"]]).T
    assert time["ours"]["value"] == pytest.approx(np.polyfit(*logarithms, 1)[0])
    with Image.open("s.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    old = manual_bp_command("bench", "relu", "--compare", "s.json")
    assert old.err.startswith("bench: --compare: expected a file that --json wrote")


def test_ctrl_c_keeps_the_sizes_that_were_measured(
    manual_bp_command, one_sweep, monkeypatch
) -> None:
    rows = iter([row("relu"), row("relu")])

    def until_the_third(*_: Any) -> Any:
        for one in rows:
            return one
        raise KeyboardInterrupt

    monkeypatch.setattr(contest, "measured", until_the_third)
    outcome = manual_bp_command("bench", "--scaling", "--json", "s.json", "--plot", "s.png")
    assert (outcome.status, outcome.err) == (130, "")
    assert "Interrupted in sweep 1 of 1." in outcome.out
    result = json.loads(Path("s.json").read_text("utf-8"))
    assert not result["complete"]
    (curve,) = result["sweeps"]
    assert [point["at"] for point in curve["points"]] == [16, 32]
    assert curve["exponents"]["time"]["ours"]["value"] is None
    assert Path("s.png").exists()


def test_several_dtypes_are_several_curves(manual_bp_command, one_sweep, monkeypatch) -> None:
    monkeypatch.setattr(contest, "measured", lambda subject, *_: row(dtype=subject.dtype))
    dtypes = ("--dtype", "float32,bfloat16", "--dtype", "float32")
    outcome = manual_bp_command("bench", "--scaling", *dtypes, "--kind", "op", "--json", "s.json")
    assert outcome.status == 0, outcome.err
    curves = json.loads(Path("s.json").read_text("utf-8"))["sweeps"]
    assert [curve["dtype"] for curve in curves] == ["float32", "bfloat16"]
