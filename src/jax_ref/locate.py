"""Where a gradient is wrong, told by differences alone.

A leaf of up to 2048 numbers is differenced along every coordinate, which gives the whole truth to
the accuracy of differences. Of a larger one the signed direction that failed is cut into parts; the
part whose slope is furthest from the hand's is cut again, until one coordinate is left. With that
one mended, and perhaps a few more, signed directions tell whether the rest is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jax_ref.compare import compare
from jax_ref.oracles import finite_difference
from jax_ref.oracles.finite_difference import Slopes
from jax_ref.verdict import Row, Verdict

WHOLE = 2048
PARTS = 16
FEW = 4  # wrong entries of a large leaf that are looked for
ACCURATE = 1e-6  # of the largest entry, by which a difference may miss

J = Callable[[jax.Array], Any]


def truth_of(J: J, x: np.ndarray) -> np.ndarray | None:
    """Return the gradient of J at the vector x by differences; None where they say nothing."""
    if x.size > WHOLE:
        return None
    along = np.eye(x.size)
    found = finite_difference.slopes(J, x, along, finite_difference.scales(x, along))
    largest = np.abs(found.middle).max(initial=0.0)
    sure = np.isfinite(found.bar) & (found.bar <= ACCURATE * largest) & (found.low == found.high)
    return found.middle if sure.all() else None


def coordinate(J: J, x: np.ndarray, hand: np.ndarray, rng: np.random.Generator) -> int:
    """Return a coordinate along which the slope of J is not the hand's; x and hand are vectors."""
    signs = rng.choice([-1.0, 1.0], x.size)
    within = np.arange(x.size)
    while len(within) > 1:
        parts = np.array_split(within, min(PARTS, len(within)))
        along = np.zeros((PARTS, x.size))
        for row, part in zip(along, parts, strict=False):
            row[part] = signs[part]
        along = along[: len(parts)]
        found = finite_difference.slopes(J, x, along, finite_difference.scales(x, along))
        within = parts[int(_outside(found, along @ hand).argmax())]
    return int(within[0])


def _outside(found: Slopes, by_hand: np.ndarray) -> np.ndarray:
    """Return by how many error bars the hand's slopes miss."""
    outside = np.maximum(found.low - by_hand, by_hand - found.high)
    return np.where(np.isfinite(outside), outside / found.bar, np.inf)


def located(
    row: Row, J: J, x: Any, hand: Any, rng: np.random.Generator
) -> tuple[Row, np.ndarray | None]:
    """Return the failed row with its worst entry, and the whole truth where it was found.

    Args:
      row: a finite-difference row that failed.
      J: the scalar function of the leaf, laid flat.
      x: the leaf.
      hand: the hand's gradient of it.
      rng: draws directions.
    """
    flat, gradient = np.asarray(x).reshape(-1), np.asarray(hand, np.float64)
    if not np.isfinite(gradient).all():
        at = int(np.flatnonzero(~np.isfinite(gradient.reshape(-1)))[0])
        return _at(row, at, gradient, np.nan), None
    truth = truth_of(J, flat)
    if truth is not None:
        whole = truth.reshape(gradient.shape)
        worst = compare(row.witness, row.leaf, gradient, whole, row.tolerance)
        if worst.verdict is Verdict.FAIL:
            return replace(worst, visible=row.visible), whole
    mended = gradient.reshape(-1).copy()
    wrong: list[int] = []
    while len(wrong) < FEW and (not wrong or not _agrees(J, flat, mended, rng)):
        wrong.append(coordinate(J, flat, mended, rng))
        mended[wrong[-1]] = _slope(J, flat, wrong[-1])
    whole = mended.reshape(gradient.shape)
    found = _at(row, wrong[0], gradient, float(mended[wrong[0]]))
    return found, whole if _agrees(J, flat, mended, rng) else None


def _slope(J: J, x: np.ndarray, at: int) -> float:
    unit = np.zeros((1, x.size))
    unit[0, at] = 1
    return float(finite_difference.slopes(J, x, unit, finite_difference.scales(x, unit)).middle[0])


def _agrees(J: J, x: np.ndarray, gradient: np.ndarray, rng: np.random.Generator) -> bool:
    """Return whether the slopes along signed directions are those of the gradient."""
    along = rng.choice([-1.0, 1.0], (finite_difference.SIGNED, x.size))
    found = finite_difference.slopes(J, x, along, finite_difference.scales(x, along))
    return bool((_outside(found, along @ gradient) <= 10).all())


def _at(row: Row, at: int, gradient: np.ndarray, truth: float) -> Row:
    index = tuple(int(i) for i in np.unravel_index(at, gradient.shape))
    return replace(row, index=index, hand=float(gradient[index]), truth=truth)


def along_one(J: Callable[..., Any], chosen: Sequence[Any], at: int) -> J:
    """Return J as a function of one leaf, laid flat."""

    def moved(x: jax.Array) -> Any:
        return J(*chosen[:at], x.reshape(chosen[at].shape), *chosen[at + 1 :])

    return moved
