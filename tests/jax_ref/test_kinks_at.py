"""At a kink what is allowed is told from what is wrong, and what is wrong there is said to be."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref import Report, check_model, check_rule, check_vjp

RNG = np.random.default_rng(0)


def points(*shape: int) -> np.ndarray:
    x = np.round(RNG.standard_normal(shape), 2)
    return np.asarray(np.where(np.abs(x) < 0.05, 0.5, x))


def check_relu(x: Any, slope: float, factor: Any = 1.0) -> Report:
    def backward(x: Any, dy: Any) -> Any:
        return (dy * factor * jnp.where(x > 0, 1.0, jnp.where(x == 0, slope, 0.0)).astype(x.dtype),)

    return check_vjp(jax.nn.relu, lambda x: (jax.nn.relu(x), x), backward, x, raises=False)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_headline_is_of_a_wrong_entry_and_not_of_an_allowed_one(dtype: str) -> None:
    x = points(4, 5).astype(dtype)
    x[1, 2], x[2, 0], x[3, 3] = 0.0, 0.0, 1.2
    factor = np.ones_like(x)
    factor[3, 3] = 1.1
    report = check_relu(x, 1.0, factor)
    assert report.headline == "x[3, 3]: hand 1.100 × truth: 1 of 20 entries wrong: [3, 3]"
    assert {row.index for row in report.failed} == {(3, 3)}


def test_a_leaf_that_is_allowed_does_not_fail_beside_one_that_is_wrong() -> None:
    x, W = points(4, 5), points(5, 3)
    x[1, 2] = x[2, 0] = 0.0
    report = check_vjp(
        lambda x, W: jax.nn.relu(x) @ W,
        lambda x, W: (jax.nn.relu(x) @ W, (x, W)),
        lambda r, dy: (jnp.where(r[0] >= 0, dy @ r[1].T, 0), 1.5 * jax.nn.relu(r[0]).T @ dy),
        x,
        W,
        raises=False,
    )
    assert {row.leaf for row in report.failed} == {"W"}
    assert any("KINK, within the one-sided slopes" in row.detail for row in report.rows)
    assert "note: KINK: the point is where something turns: max at" in str(report)


@pytest.mark.parametrize("slope", [2.0, -1.0])
def test_a_slope_that_is_none_of_a_kink_is_said_to_be_at_one(slope: float) -> None:
    x = points(6, 8)
    x[[2, 4]] = 0.0
    report = check_relu(x, slope)
    first, note = report.failed[0], " ".join(report.notes)
    assert first.index is not None
    assert first.index[0] in (2, 4)
    sides = sorted(map(float, report.headline.split("one-sided slopes ")[1].split(" and ")))
    assert first.hand == pytest.approx(slope * sum(sides))
    assert 0.0 in sides
    assert "KINK: at 16 of 16 wrong entries something turns: max at test_kinks_at.py" in note


def hidden(x: Any, W: Any) -> Any:
    return jax.nn.relu(x @ W)


def hidden_backward(residual: Any, dy: Any) -> Any:
    x, W = residual
    du = jnp.where(x @ W >= 0, dy, 0)
    return du @ W.T, x.T @ du


@pytest.mark.parametrize("alone", [True, False])
def test_where_kinks_meet_another_convention_is_told_of_them(alone: bool) -> None:
    x, W = points(6, 8), points(8, 3)
    x[[2, 4]] = 0.0
    rule = jax.custom_vjp(hidden)
    rule.defvjp(lambda x, W: (hidden(x, W), (x, W)), hidden_backward)
    report = check_rule(rule, x, W, primal=None if alone else hidden, raises=False)
    assert {row.leaf for row in report.failed} == {"x"}
    assert "one-sided slopes" in str(report)
    assert any(note.startswith("KINK") and "check beside" in note for note in report.notes)


@pytest.mark.parametrize("W", [np.zeros((8, 3)), points(8, 3)])
def test_a_model_that_fails_at_a_kink_says_so(W: np.ndarray) -> None:
    x = points(6, 8)

    def by_hand(W: Any, x: Any) -> Any:
        return hidden(x, W).sum(), 2 * x.T @ (x @ W >= 0).astype(x.dtype)

    report = check_model(by_hand, lambda W, x: hidden(x, W).sum(), W, x, raises=False)
    assert not report
    assert any("KINK" in note for note in report.notes) is (not W.any())
