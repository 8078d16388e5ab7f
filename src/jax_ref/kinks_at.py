"""At a kink any slope between the one-sided ones is right, and only there.

A hand that differs from `jax.grad` at a point where something is compared has its slopes held
against differences on both sides: along each coordinate where the two differ, and along several at
once, of all arguments together, so that a subgradient is told from a sum of two. None of these
directions mixes signs: across independent kinks the slopes of a sum do not bound its subgradients.
A jump of slopes where nothing is compared is no kink.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jax_ref.examine import AT, DIFFERENCES, NEAR, Examination, Findings, Point, differences
from jax_ref.oracles import finite_difference
from jax_ref.verdict import Row, Verdict

COORDINATES = 64
SUBSETS = 8
JUDGED = ("jax.grad", "precision")


def forgive(examination: Examination, found: Findings, *, sampled: int) -> Findings:
    """Return the findings with each difference at a kink judged by the one-sided slopes."""
    point = examination.point.in_float64()
    bent = [row for row in found.rows if "KINK" in row.detail]
    failed = [row for row in found.rows if row.verdict is Verdict.FAIL]
    wrong = [row for row in failed if row.witness in JUDGED and row.leaf in found.true]
    weaker = DIFFERENCES if examination.subject.reference else ()
    crossed = [row for row in failed if row.witness in weaker]
    if not bent and not wrong and not crossed:
        return found
    step, lines = examination.turns(point)
    if bent and step > NEAR:
        straight = differences(examination, point, found, sampled=sampled, smooth=True)
        by_leaf = {row.leaf: row for row in straight}
        found.rows = [by_leaf[row.leaf] if row in bent else row for row in found.rows]
    if step > AT:
        return found
    if wrong and _is_subgradient(examination, point, found, wrong):
        found.rows = [_kink(row) if row in wrong else row for row in found.rows]
        found.notes.append(f"KINK: the point is where something turns: {lines}")
        wrong = []
    # A signed direction crosses several kinks at once.
    spread = [row for row in crossed if row.index is None and not wrong]
    found.rows = [row for row in found.rows if row not in spread]
    return found


def _is_subgradient(
    examination: Examination, point: Point, found: Findings, wrong: list[Row]
) -> bool:
    """Return whether the hand's slopes lie between the one-sided ones, of all leaves together."""
    if any(np.issubdtype(leaf.dtype, np.complexfloating) for leaf in point.chosen):
        return False
    paths = examination.subject.arguments.paths
    hand, true = (
        np.concatenate([np.asarray(side[path], np.float64).reshape(-1) for path in paths])
        for side in (found.hand, found.true)
    )
    if not np.isfinite(hand).all():
        return False
    x, restore = ravel_pytree([jnp.asarray(leaf) for leaf in point.chosen])
    J = examination.projection(point)

    def moved(x: jax.Array) -> Any:
        return J(*restore(x))

    tolerance = max(row.tolerance for row in wrong)
    along = _directions(np.abs(hand - true) > tolerance * np.abs(true).max(), examination.rng)
    slopes = finite_difference.slopes(moved, x, along, finite_difference.scales(x, along))
    # The hand's own rounding adds up along a direction.
    rounding = tolerance * np.abs(along) @ np.abs(true)
    bar = 10 * slopes.bar + rounding + tolerance * np.abs(true).max()
    by_hand = along @ hand
    return bool(((by_hand >= slopes.low - bar) & (by_hand <= slopes.high + bar)).all())


def _directions(apart: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return coordinates where the two differ, all of these at once, all there are, and subsets."""
    where = np.flatnonzero(apart)
    some = where if len(where) <= COORDINATES else rng.choice(where, COORDINATES, replace=False)
    units = np.zeros((len(some), apart.size))
    units[np.arange(len(some)), some] = 1
    subsets = rng.integers(0, 2, (SUBSETS, apart.size))
    whole = np.ones((1, apart.size))
    return np.concatenate([units, apart[None].astype(float), whole, subsets])


def _kink(row: Row) -> Row:
    detail = f"{row.leaf}: KINK, within the one-sided slopes; jax.grad takes another"
    return replace(row, error=0.0, verdict=Verdict.PASS, detail=detail)
