"""How two arrays are compared, and what the comparison is worth.

Error    Of a leaf, the larger of  max|hand − truth| / max|truth|  (elementwise) and
         ‖hand − truth‖ / ‖truth‖  (normwise). Neither grows with the number of elements.
Visible  The smallest such error that the row could have seen: its tolerance, or the noise of the
         truth where that is larger. A row that could see nothing says so.
Vacuous  A leaf whose truth is 0 throughout, or of the size of the rounding noise, passes where the
         hand is as small; but a check that saw nothing else of that leaf has shown nothing.
"""

from typing import Any

import numpy as np

from jax_ref.verdict import Row, Verdict

BLIND = 1e-3  # an error that large, relative to the gradient, must not stay unseen
HEAT = 24  # rows and columns of an error heat map, at most


def compare(
    witness: str,
    leaf: str,
    hand: Any,
    truth: Any,
    tolerance: float,
    noise: float = 0.0,
    *,
    infinities: bool = False,
) -> Row:
    """Return the row that holds one array against the truth, elementwise and normwise.

    Args:
      witness: who says what the truth is.
      leaf: name of the array.
      hand: hand-written value.
      truth: value to be met.
      tolerance: largest relative error that passes.
      noise: how far the truth itself is uncertain, in its own units; an error of this size passes,
        and a truth no larger than this cannot be told from 0.
      infinities: whether an infinite truth is met by the same infinity, as a value may be, or
        decides nothing, as of a gradient.
    """
    hand, truth = np.asarray(hand), np.asarray(truth)
    if hand.shape != truth.shape:
        detail = f"{leaf}: hand has shape {hand.shape}, truth {truth.shape}"
        return Row(witness, leaf, np.inf, tolerance, Verdict.FAIL, detail=detail)
    hand, truth = real(hand), real(truth)
    if not truth.size:
        return Row(witness, leaf, 0.0, tolerance, Verdict.PASS, vacuous=True)
    same = (hand == truth) & np.isinf(truth) & infinities
    seen = np.isfinite(truth) | same
    if not seen.all():
        index = _first(~seen)
        detail = describe(leaf, index, hand[index], truth[index])
        return Row(witness, leaf, np.inf, tolerance, Verdict.INCONCLUSIVE, detail=detail)
    hand, truth = np.where(same, 0, hand), np.where(same, 0, truth)
    difference = np.where(np.isfinite(hand), np.abs(hand - truth), np.inf)
    index = tuple(int(i) for i in np.unravel_index(int(difference.argmax()), truth.shape))
    largest = float(np.abs(truth).max())
    vacuous = largest <= noise
    scale = max(largest, noise) or 1.0
    normwise = _norm(difference / scale) / max(_norm(truth / scale), 1.0)
    error = float(max(difference[index] / scale, normwise))
    limit = max(tolerance, noise / scale)
    verdict = Verdict.PASS if error <= limit else Verdict.FAIL
    if verdict is Verdict.PASS and not vacuous and limit > max(tolerance, BLIND):
        verdict = Verdict.INCONCLUSIVE
    detail = "" if verdict is Verdict.PASS else describe(leaf, index, hand[index], truth[index])
    if verdict is Verdict.INCONCLUSIVE:
        detail = f"{leaf}: the truth itself is uncertain by {noise / scale:.1g} of the gradient"
    return Row(
        witness,
        leaf,
        0.0 if vacuous and not detail else error,
        max(tolerance, limit) if noise else tolerance,
        verdict,
        visible=limit,
        vacuous=vacuous,
        index=index,
        hand=float(hand[index]),
        truth=float(truth[index]),
        detail=detail,
        heat=heat_of(difference / scale),
    )


def describe(leaf: str, index: tuple[int, ...], hand: float, truth: float) -> str:
    """Return the line for one entry: case, leaf, index, both values, their ratio."""
    place = f"{leaf}[{', '.join(map(str, index))}]" if index else leaf
    ratio = f"{hand / truth:.6g}" if truth and np.isfinite(truth) else "∞"
    return f"{place}: hand {hand:.9g}, truth {truth:.9g}, ratio {ratio}"


def real(array: Any) -> np.ndarray:
    """Return the array in float64; a complex one with real and imaginary part on a last axis."""
    array = np.asarray(array)
    if np.issubdtype(array.dtype, np.complexfloating):
        return np.stack([array.real, array.imag], -1).astype(np.float64)
    return array.astype(np.float64)


def heat_of(error: Any) -> tuple[tuple[float, ...], ...]:
    """Return the largest error in each block of the array laid out in two dimensions."""
    columns = np.shape(error)[-1] if np.ndim(error) else 1
    table = np.reshape(error, (-1, columns))
    for axis in (0, 1):
        block = -(-table.shape[axis] // HEAT)
        starts = np.arange(0, table.shape[axis], block)
        table = np.maximum.reduceat(table, starts, axis=axis)
    return tuple(tuple(float(f"{value:.3g}") for value in row) for row in table)


def _norm(x: Any) -> float:
    return float(np.sqrt((x * x).sum()))


def _first(where: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(where)[0])
