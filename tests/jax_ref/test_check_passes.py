"""What is sound passes, what shows nothing says so, and the check leaves no trace."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import CheckError, Verdict, check_op, references

DTYPES = ("float64", "float32", "bfloat16", "float16")


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.round(np.random.default_rng(seed).standard_normal(shape), 2)


SINE = SimpleNamespace(forward=lambda x: (jnp.sin(x), x), backward=lambda x, dy: (dy * jnp.cos(x),))


def tangent(x: Any) -> Any:
    return jnp.cos(x - jnp.pi / 2)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3), (2, 1, 3, 2), (40, 30)])
def test_a_sound_rule_passes_at_any_rank(shape: tuple[int, ...]) -> None:
    assert check_op(SINE, tangent, random(*shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sound_rule_passes_in_any_dtype(dtype: str) -> None:
    linear = references.dense.linear
    args = [jnp.asarray(a, dtype) for a in (random(5, 3), random(3, 4), random(4))]
    report = check_op(manual_bp.linear, linear, *args)
    assert report
    assert report.dtype == dtype


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e30])
def test_a_sound_rule_passes_at_any_size_of_its_argument(size: float) -> None:
    assert check_op(manual_bp.identity, lambda u: u + 0, size * random(4, 3))


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e30])
def test_a_sound_rule_never_fails_at_any_size_of_its_gradient(size: float) -> None:
    x, W = random(4, 3), random(3, 2, seed=1)
    for args in ((size * x, W), (x, size * W), (size * x, size * W)):
        report = check_op(manual_bp.linear, references.dense.linear, *args, None)
        assert report.verdict is not Verdict.FAIL, str(report)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_to_see_is_inconclusive(shape: tuple[int, ...], dtype: str) -> None:
    report = check_op(SINE, tangent, jnp.zeros(shape, dtype))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert not report
    assert report.unseen


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_that_is_zero_is_inconclusive(dtype: str) -> None:
    report = check_op(
        manual_bp.relu, references.activations.relu, jnp.asarray(-np.abs(random(3, 4)) - 1, dtype)
    )
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "u" in report.unseen
    assert "u: zero gradient everywhere: nothing seen" in str(report)


def test_a_gradient_that_should_be_zero_and_is_not_fails() -> None:
    op = SimpleNamespace(forward=lambda x: (0 * x, None), backward=lambda _, dy: (1e-6 * dy,))
    report = check_op(op, lambda x: x - x, random(3), raises=False)
    assert report.verdict is Verdict.FAIL


def test_one_leaf_that_shows_nothing_makes_the_whole_inconclusive() -> None:
    op = SimpleNamespace(
        forward=lambda x, unused: (x**2, (x, unused)),
        backward=lambda r, dy: (2 * r[0] * dy, jnp.zeros_like(r[1])),
    )
    report = check_op(op, lambda x, unused: x * x, random(3), random(2))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.unseen == ("unused",)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_any_subgradient_of_a_kink_satisfies_the_differences(slope: float) -> None:
    u = np.array([-1.0, 0.0, 2.0])
    op, reference = manual_bp.relu, references.activations.relu
    assert check_op(op, reference, u, slope_at_zero=slope)


@pytest.mark.parametrize("slope", [-0.5, 1.5])
def test_a_slope_outside_of_the_kink_contradicts_the_differences(slope: float) -> None:
    u = np.array([-1.0, 0.0, 2.0])
    report = check_op(
        manual_bp.relu, references.activations.relu, u, slope_at_zero=slope, raises=False
    )
    failed = {row.witness for row in report.rows if row.verdict is Verdict.FAIL}
    assert failed == {"finite difference"}


def test_pytrees_of_arguments_and_outputs_are_named_leaf_by_leaf() -> None:
    op = SimpleNamespace(
        forward=lambda params, x: ({"double": 2 * x, "w": params["a"][0] * x}, (params, x)),
        backward=lambda r, dy: (
            {"a": [(dy["w"] * r[1]).sum(keepdims=True)[0]]},
            2 * dy["double"] + r[0]["a"][0] * dy["w"],
        ),
    )

    def reference(params: Any, x: Any) -> Any:
        return {"double": x + x, "w": x * params["a"][0]}

    report = check_op(op, reference, {"a": [np.array(1.5)]}, random(4))
    assert report
    assert {row.leaf for row in report.rows} == {"y['double']", "y['w']", "params['a'][0]", "x"}


def test_integers_have_no_cotangent_and_that_passes() -> None:
    labels = np.array([0, 2, 1])
    loss, reference = manual_bp.softmax_cross_entropy, references.losses.softmax_cross_entropy
    report = check_op(loss, reference, random(3, 4), labels)
    assert report
    assert "labels" not in {row.leaf for row in report.rows}


@pytest.mark.parametrize("seed", range(3))
def test_one_seed_gives_one_report(seed: int) -> None:
    first, again = (check_op(SINE, tangent, random(9, 9), seed=seed) for _ in range(2))
    assert first == again


def test_no_floating_argument_is_refused() -> None:
    with pytest.raises(CheckError) as caught:
        check_op(SINE, tangent, np.array([1, 2]))
    assert str(caught.value) == "check_op: args: expected at least one floating array, got none"


def test_the_report_is_plain_data_too() -> None:
    plain = check_op(SINE, tangent, random(3), name="sine").to_dict()
    assert (plain["name"], plain["dtype"], plain["verdict"]) == ("sine", "float64", "PASS")
    witnesses = {"value", "linearity", "jax.grad", "finite difference"}
    assert {row["witness"] for row in plain["rows"]} == witnesses
    assert all(type(row["verdict"]) is str for row in plain["rows"])


@pytest.mark.parametrize("x64", [True, False])
def test_nothing_global_is_changed(x64: bool) -> None:
    arrays = [random(3, 4).astype(np.float32), np.array([1, 0], np.int32)]
    copies = [array.copy() for array in arrays]
    op = SimpleNamespace(
        forward=lambda x, i: (x[i], (x, i)),
        backward=lambda r, dy: (jnp.zeros_like(r[0]).at[r[1]].add(dy), None),
    )
    with jax.enable_x64(x64):
        before = np.random.get_state()  # noqa: NPY002
        report = check_op(op, lambda x, i: jnp.take(x, i, axis=0), *arrays)
        assert jnp.ones(()).dtype == ("float64" if x64 else "float32")
        after = np.random.get_state()  # noqa: NPY002
    assert jax.config.jax_enable_x64
    assert report
    assert report.dtype == "float32"
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert array.dtype == copy.dtype
    np.testing.assert_equal(after, before)


def test_nothing_global_is_changed_by_a_failure() -> None:
    bad = SimpleNamespace(forward=SINE.forward, backward=lambda x, dy: (dy,))
    with jax.enable_x64(False):
        with pytest.raises(AssertionError):
            check_op(bad, tangent, np.array([1.0, 2.0]))
        assert jnp.ones(()).dtype == jnp.float32


def test_float64_is_checked_in_float64_even_where_it_is_switched_off() -> None:
    with jax.enable_x64(False):
        report = check_op(SINE, tangent, np.array([1.0, 2.0]))
    assert report
    assert report.dtype == "float64"
