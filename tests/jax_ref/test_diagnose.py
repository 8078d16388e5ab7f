"""Diagnosis: every class of mistake is named from numbers alone, and chance is not explained."""

import math
from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jax_ref import Kind
from jax_ref.diagnose import Evidence, diagnose

ROWS, N = 6, 5


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


TRUTH = numbers(ROWS, N)
X, DY = numbers(ROWS, N, seed=1), numbers(ROWS, N, seed=2)


def first(hand: np.ndarray, truth: np.ndarray = TRUTH, **known: object) -> tuple[Kind, str]:
    diagnosis = diagnose(Evidence("x", hand=hand, truth=truth, **known))[0]
    return diagnosis.kind, diagnosis.says


def of_dy(rule: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Mapping[str, np.ndarray]]:
    return lambda cotangents: {"x": rule(cotangents["dy"])}


@pytest.mark.parametrize(
    ("factor", "said"),
    [(2, "2"), (0.5, "1/2|½|0.5"), (1 / ROWS, "1/6|⅙"), (1 / N, "1/5|⅕"), (-2, "[−-]2")],
)
def test_a_constant_factor(factor: float, said: str) -> None:
    kind, says = first(factor * TRUTH, primals={"x": X}, cotangents={"dy": DY})
    assert kind in (Kind.FACTOR, Kind.BATCH_SUM)
    assert any(part in says for part in said.replace("[−-]", "−").split("|")), says


def test_a_sign() -> None:
    assert first(-TRUTH) == (Kind.SIGN, "sign error")


def test_a_sign_of_some_entries_is_not_one_of_all() -> None:
    flipped = TRUTH.copy()
    flipped[:, 3] *= -1
    _, says = first(flipped)
    assert says != "sign error"
    assert "3" in says


@pytest.mark.parametrize(
    ("repeated", "said"),
    [([1], "row 1 of axis 0"), ([1, 4], "rows 1, 4 of axis 0")],
)
def test_rows_that_were_overwritten_are_counted(repeated: list[int], said: str) -> None:
    ids = np.asarray([0, 2, 3, *repeated, *repeated])
    dy = numbers(len(ids), N)
    hand, truth = np.zeros((ROWS, N)), np.zeros((ROWS, N))
    np.add.at(truth, ids, dy)
    hand[ids] = dy
    _, says = first(hand, truth, primals={"ids": ids}, cotangents={"dy": dy})
    assert says == f"repeated index overwritten, not accumulated: {said}, which ids repeats"


def test_a_transpose_of_a_square_matrix() -> None:
    square = numbers(N, N)
    assert first(square.T, square)[0] is Kind.PERMUTED


def test_axes_permuted_at_rank_3() -> None:
    cube = numbers(4, 4, 4)
    assert first(cube.transpose(2, 0, 1), cube)[0] is Kind.PERMUTED


def test_a_flipped_kernel() -> None:
    kernel = numbers(3, 3, 2, 4)
    assert first(kernel[::-1, ::-1], kernel)[0] is Kind.FLIPPED


def test_two_cotangents_swapped() -> None:
    other = numbers(ROWS, N, seed=7)
    hands, truths = {"x": other, "y": TRUTH}, {"x": TRUTH, "y": other}
    kind, says = first(other, hands=hands, truths=truths)
    assert kind is Kind.SWAPPED
    assert "y" in says


def test_a_batch_sum_that_is_missing() -> None:
    assert first(DY, DY.sum(0), cotangents={"dy": DY})[0] is Kind.BATCH_SUM


def test_a_batch_mean_for_the_sum() -> None:
    primals = {"u": X, "x": X[0]}
    kind, says = first(DY.mean(0), DY.sum(0), primals=primals, cotangents={"dy": DY})
    assert kind is Kind.FACTOR
    assert "batch size 6" in says


def test_an_upstream_cotangent_ignored() -> None:
    slope = np.cos(X)
    known = {"primals": {"x": X}, "cotangents": {"dy": DY}, "truth_at": of_dy(lambda d: d * slope)}
    assert first(slope, DY * slope, **known)[0] is Kind.UPSTREAM


def test_a_term_is_missing() -> None:
    whole = DY - DY.mean(-1, keepdims=True)
    kind, says = first(DY, whole, primals={"x": X}, cotangents={"dy": DY})
    assert kind is Kind.TERM
    assert "dy" in says


def test_an_elementwise_factor_is_missing() -> None:
    kind, says = first(DY, DY * X, primals={"x": X}, cotangents={"dy": DY})
    assert kind is Kind.MISSING_FACTOR
    assert "x" in says


def test_a_part_is_zero() -> None:
    kind, says = first(np.where(np.arange(N) < 3, TRUTH, 0))
    assert kind is Kind.PART_ZERO
    assert "3" in says


def test_the_part_that_is_zero_is_told_by_what_decides_it() -> None:
    kind, says = first(np.where(X > 0, TRUTH, 0), primals={"x": X})
    assert kind is Kind.PART_ZERO
    assert "x" in says


def test_a_permutation_is_no_index_that_was_overwritten() -> None:
    """Its norm is the truth's, but for the order in which the squares are summed."""
    for seed in range(8):
        truth = numbers(ROWS, N, seed=20 + seed)
        order = np.random.default_rng(seed).permuted(np.tile(np.arange(N), (ROWS, 1)), axis=1)
        hand = np.take_along_axis(truth, order, 1)
        assert "repeated index" not in first(hand, truth, residuals={"order": order})[1]


def test_one_wrong_entry_of_many() -> None:
    truth = numbers(300, 400)
    hand = truth + 1e-16 * numbers(300, 400, seed=3)
    hand[17, 201] += 0.5
    kind, says = first(hand, truth, resolution=1e-12)
    assert kind is Kind.FEW
    assert "17, 201" in says


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_a_detour_through_another_dtype(dtype: type) -> None:
    kind, says = first(TRUTH.astype(dtype).astype(np.float64))
    assert kind is Kind.PRECISION
    assert np.dtype(dtype).name in says


def test_digits_that_cancelled() -> None:
    far = 1e9 + TRUTH
    assert first((far + 1e-9 * far * 1e-2 * X) - 1e9)[0] in (Kind.PRECISION, Kind.DTYPE)


def test_a_wrong_shape_says_both() -> None:
    kind, says = first(numbers(3, 4), numbers(2, 7))
    assert kind is Kind.SHAPE
    assert "(3, 4)" in says
    assert "(2, 7)" in says


def test_nan_in_a_masked_branch() -> None:
    leaked = TRUTH.copy()
    leaked[2, 1] = np.nan
    kind, says = first(leaked)
    assert kind is Kind.NAN
    assert "2, 1" in says


def test_noise_is_not_explained() -> None:
    """Of random errors beside a random vocabulary at most one in twenty gets a name."""
    named = 0
    for seed in range(40):
        truth, hand, x, dy = (numbers(ROWS, N, seed=100 + 4 * seed + k) for k in range(4))
        named += first(hand, truth, primals={"x": x}, cotangents={"dy": dy})[0] is not Kind.UNKNOWN
    assert named <= 2


def test_explanations_come_best_first_and_say_what_they_leave() -> None:
    found = diagnose(Evidence("x", hand=2 * TRUTH + 1e-3 * X, truth=TRUTH))
    assert [d.left for d in found] == sorted(d.left for d in found)
    assert found[0].kind is Kind.FACTOR
    assert math.isclose(found[0].left, 1e-3, rel_tol=1)


@given(data=st.data())
def test_it_answers_whatever_the_numbers_are(data: st.DataObject) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    numbers = arrays.arrays(np.float64, shape, elements=st.floats(allow_subnormal=False))
    hand, truth, x = (data.draw(numbers) for _ in range(3))
    found = diagnose(Evidence("x", hand=hand, truth=truth, primals={"x": x}))
    assert found
    assert all(d.says and not math.isnan(d.left) for d in found)


def test_what_explains_a_part_is_not_told_as_a_fact() -> None:
    away = X * np.linalg.norm(TRUTH) / np.linalg.norm(X)
    assert first(-TRUTH + 0.4 * away) == (
        Kind.SIGN,
        "mostly sign error; 40% of the error is left",
    )
    assert first(-TRUTH + 1e-12 * away)[1] == "sign error"


def test_of_the_truth_for_another_cotangent_nearly_all_must_be_equal() -> None:
    slope = np.cos(X)
    known = {"primals": {"x": X}, "cotangents": {"dy": DY}, "truth_at": of_dy(lambda d: d * slope)}
    off = 0.3 * np.linalg.norm(slope - DY * slope) / np.linalg.norm(DY) * numbers(ROWS, N, seed=9)
    assert first(slope, DY * slope, **known)[0] is Kind.UPSTREAM
    assert first(slope + off, DY * slope, **known)[0] is not Kind.UPSTREAM
