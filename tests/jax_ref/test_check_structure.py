"""Cotangents of a wrong structure, shape or dtype fail before any number is compared."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref import Verdict, check_op, references
from manual_bp import linear


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.round(np.random.default_rng(seed).standard_normal(shape), 2)


AFFINE = (random(5, 3), random(3, 4, seed=1), random(4, seed=2))

STRUCTURE = [
    ("wrong dtype", lambda dx, dW, db: (dx.astype(jnp.float32), dW, db), "x", "(5, 3) float32"),
    ("wrong shape", lambda dx, dW, db: (dx, dW.T, db), "W", "(4, 3) float64"),
    ("bias not summed", lambda dx, dW, db: (dx, dW, jnp.stack([db] * 5)), "b", "(5, 4) float64"),
    ("too few", lambda dx, dW, db: (dx, dW), "backward", "2 slots"),
    ("too many", lambda dx, dW, db: (dx, dW, db, None), "backward", "4 slots"),
    ("a list", lambda dx, dW, db: [dx, dW, db], "backward", "list"),
    ("no tuple", lambda dx, dW, db: dx, "backward", None),
]


@pytest.mark.parametrize(
    ("spoil", "leaf", "came"), [s[1:] for s in STRUCTURE], ids=[s[0] for s in STRUCTURE]
)
def test_a_wrong_structure_fails_and_is_described(spoil: Any, leaf: str, came: str | None) -> None:
    op = SimpleNamespace(
        forward=linear.forward, backward=lambda r, dy: spoil(*linear.backward(r, dy))
    )
    report = check_op(op, references.dense.linear, *AFFINE, name="planted", raises=False)
    (row,) = report.rows
    assert (report.verdict, row.witness, row.leaf) == (Verdict.FAIL, "structure", leaf)
    assert row.detail.startswith(f"{leaf}: expected ")
    assert came is None or row.detail.endswith(f", got {came}")
    assert row.detail in str(report)


def test_none_counts_as_zero() -> None:
    op = SimpleNamespace(
        forward=linear.forward, backward=lambda r, dy: (*linear.backward(r, dy)[:2], None)
    )
    report = check_op(op, references.dense.linear, *AFFINE, raises=False)
    assert {row.leaf for row in report.failed} == {"b"}
    assert report.failed[0].hand == 0
    assert "b: None counts as zero" in report.notes
    constant = SimpleNamespace(
        forward=lambda x, n: (x + 0 * n, None), backward=lambda _, dy: (dy, None)
    )
    sound = check_op(constant, lambda x, n: x + n - n, AFFINE[2], AFFINE[2], wrt="x")
    assert sound


def test_a_cotangent_for_an_integer_argument_fails() -> None:
    op = SimpleNamespace(
        forward=lambda table, index: (table[index], (table, index)),
        backward=lambda r, dy: (jnp.zeros_like(r[0]).at[r[1]].add(dy), jnp.ones(3)),
    )
    args = (random(4, 2), np.array([1, 3, 1]))
    report = check_op(op, lambda t, i: t[i], *args, raises=False)
    assert [row.detail for row in report.rows] == ["index: expected no cotangent, got one"]
