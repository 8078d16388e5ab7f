"""From numbers to a word: comparisons, rows, reports."""

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jax_ref
from jax_ref import Report, Row, Verdict
from jax_ref.compare import compare, describe
from jax_ref.verdict import merge

TOLERANCE = 1e-6


def compared(hand: Any, truth: Any, tolerance: float = TOLERANCE, noise: float = 0.0) -> Row:
    return compare("witness", "x", np.asarray(hand), np.asarray(truth), tolerance, noise)


TRUTH = np.array([[1.0, -2.0], [0.5, 4.0]])


def test_equal_arrays_pass_with_no_error() -> None:
    row = compared(TRUTH, TRUTH)
    assert (row.verdict, row.error, row.detail, row.vacuous) == (Verdict.PASS, 0, "", False)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tolerance", [TOLERANCE, 1.0, 1e300])
def test_what_is_not_finite_never_passes(bad: float, tolerance: float) -> None:
    hand = TRUTH.copy()
    hand[1, 0] = bad
    row = compared(hand, TRUTH, tolerance)
    assert row.verdict is Verdict.FAIL
    assert row.error == np.inf
    assert row.detail.startswith(f"x[1, 0]: hand {bad:.9g}, truth 0.5")


@pytest.mark.parametrize("truth", [0.0, np.zeros(3)])
@pytest.mark.parametrize("noise", [0.0, 1e-12])
def test_a_nan_never_passes_where_the_truth_is_zero(truth: Any, noise: float) -> None:
    row = compared(np.full(np.shape(truth), np.nan), truth, noise=noise)
    assert row.verdict is Verdict.FAIL


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_truth_that_is_not_finite_decides_nothing(bad: float) -> None:
    truth = np.array([1.0, bad])
    for hand in (truth, np.array([1.0, 2.0]), np.array([np.nan, np.nan])):
        assert compared(hand, truth).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("relative", [0.9, 1.1])
def test_the_largest_entry_sets_the_scale_of_every_entry(relative: float) -> None:
    for entry in np.ndindex(TRUTH.shape):
        hand = TRUTH.copy()
        hand[entry] += relative * TOLERANCE * 4
        wanted = Verdict.PASS if relative < 1 else Verdict.FAIL
        row = compared(hand, TRUTH)
        assert row.verdict is wanted
        assert row.error == pytest.approx(relative * TOLERANCE, rel=1e-6)


def test_many_small_errors_fail_by_the_norm() -> None:
    truth = np.zeros(10000)
    truth[0] = 1.0
    hand = truth + 0.5 * TOLERANCE
    row = compared(hand, truth)
    assert row.verdict is Verdict.FAIL
    assert row.error == pytest.approx(50 * TOLERANCE, rel=1e-6)


def test_the_error_does_not_grow_with_the_number_of_entries() -> None:
    errors = [compared(np.full(n, 1 + 1e-7), np.ones(n)).error for n in (1, 10, 10000)]
    np.testing.assert_allclose(errors, 1e-7, rtol=1e-6)


def test_one_wrong_entry_in_a_million_is_found_and_named() -> None:
    truth = np.random.default_rng(0).standard_normal((1000, 1000))
    hand = truth.copy()
    hand[617, 42] += 1e-3
    row = compared(hand, truth)
    assert row.verdict is Verdict.FAIL
    assert row.detail == describe("x", (617, 42), hand[617, 42], truth[617, 42])


def test_shapes_are_not_broadcast() -> None:
    for hand, truth in ((np.ones(3), np.ones((1, 3))), (1.0, np.ones(1)), (np.ones(0), np.ones(3))):
        row = compared(hand, truth)
        assert row.verdict is Verdict.FAIL
        assert row.detail == (f"x: hand has shape {np.shape(hand)}, truth {np.shape(truth)}")


def test_a_truth_of_zero_passes_vacuously_and_only_there() -> None:
    zeros = np.zeros(3)
    row = compared(zeros, zeros)
    assert (row.verdict, row.vacuous, row.error) == (Verdict.PASS, True, 0)
    assert compared(np.full(3, 1e-3), zeros).verdict is Verdict.FAIL


def test_below_the_noise_anything_as_small_passes_vacuously() -> None:
    truth = np.array([1e-18, -1e-17])
    row = compared(np.array([3e-17, 0]), truth, noise=1e-16)
    assert (row.verdict, row.vacuous) == (Verdict.PASS, True)
    assert compared(np.array([3e-16, 0]), truth, noise=1e-16).verdict is Verdict.FAIL
    assert compared(2 * truth, truth, noise=1e-20).verdict is Verdict.FAIL


def test_nothing_passes_vacuously() -> None:
    row = compared(np.zeros((0, 3)), np.zeros((0, 3)))
    assert (row.verdict, row.vacuous) == (Verdict.PASS, True)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e150])
def test_any_scale_is_judged_alike(scale: float) -> None:
    assert compared(scale * TRUTH, scale * TRUTH).verdict is Verdict.PASS
    assert compared(scale * TRUTH * (1 + 1e-9), scale * TRUTH).verdict is Verdict.PASS
    assert compared(scale * TRUTH * (1 + 1e-3), scale * TRUTH).verdict is Verdict.FAIL


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_low_precision_is_compared_in_float64(dtype: str) -> None:
    row = compare("witness", "x", jnp.asarray([1.0], dtype), np.array([1 + 1e-5]), 1e-6)
    assert row.verdict is Verdict.FAIL
    assert row.error == pytest.approx(1e-5, rel=1e-3)


def test_an_entry_is_described_by_place_values_and_ratio() -> None:
    assert describe("W", (3, 7), -1.5, 0.75) == "W[3, 7]: hand -1.5, truth 0.75, ratio -2"
    assert describe("loss", (), 1.0, 0.0) == "loss: hand 1, truth 0, ratio ∞"
    assert describe("b", (0,), np.nan, 2.0) == "b[0]: hand nan, truth 2, ratio nan"


def row(verdict: Verdict, leaf: str = "x", error: float = 0.0, **chosen: Any) -> Row:
    return Row("jax.grad", leaf, error, TOLERANCE, verdict, **chosen)


def report(*rows: Row) -> Report:
    return Report("op", "float64", rows)


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        ("PASS PASS", "PASS"),
        ("PASS FAIL", "FAIL"),
        ("PASS INCONCLUSIVE", "INCONCLUSIVE"),
        ("INCONCLUSIVE FAIL PASS", "FAIL"),
        ("", "INCONCLUSIVE"),
    ],
)
def test_the_worst_row_decides_and_no_rows_decide_nothing(verdicts: str, wanted: str) -> None:
    made = report(*(row(Verdict(verdict)) for verdict in verdicts.split()))
    assert made.verdict is Verdict(wanted)
    assert bool(made) == (wanted == "PASS")


def test_a_leaf_seen_by_one_witness_is_seen() -> None:
    blind, seeing = row(Verdict.PASS, vacuous=True), row(Verdict.PASS)
    assert report(blind).unseen == ("x",)
    assert report(blind).verdict is Verdict.INCONCLUSIVE
    assert report(blind, seeing).unseen == ()
    assert report(blind, seeing)
    assert report(seeing, row(Verdict.PASS, "W", vacuous=True)).unseen == ("W",)


def test_the_worst_row_is_worst_against_its_tolerance() -> None:
    mild, bad = row(Verdict.PASS, "x", 1e-7), row(Verdict.FAIL, "W", 1e-3)
    made = report(mild, bad)
    assert made.worst() is bad
    assert made.worst("jax.grad") is bad
    assert made.worst("value") is None
    assert made.worst_errors() == {"jax.grad": 1e-3}


def test_a_report_prints_its_worst_and_is_plain_data() -> None:
    bad = row(Verdict.FAIL, "W", 1e-3, detail="W[0]: hand 1, truth 2, ratio 0.5")
    text = str(report(row(Verdict.PASS), bad))
    assert text.splitlines()[:2] == ["W: W[0]: hand 1, truth 2, ratio 0.5", "op [float64]: FAIL"]
    assert "PASS" not in text
    plain = json.loads(json.dumps(report(row(Verdict.PASS), bad).to_dict()))
    assert [r["leaf"] for r in plain["rows"]] == ["x", "W"]


def test_merged_reports_keep_every_row() -> None:
    good, bad = row(Verdict.PASS), row(Verdict.FAIL)
    merged = merge("all", "float32", [report(good), report(bad, good)])
    assert (merged.name, merged.dtype, merged.rows) == ("all", "float32", (good, bad, good))
    assert issubclass(jax_ref.GradientMismatch, AssertionError)
