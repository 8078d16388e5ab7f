"""The function along coordinates, and along those that share a kink: all leaves as one vector."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jax_ref.examine import Examination, Findings
from jax_ref.oracles import finite_difference
from jax_ref.oracles.finite_difference import Slopes
from jax_ref.points import Point

STEP = 2.0**-20
APART = 1e-4  # of the largest slope, by which a sum of slopes misses where a kink is shared


class Lines:
    """The function along coordinates and groups of them, and the hand's slopes beside it."""

    def __init__(self, examination: Examination, point: Point, found: Findings) -> None:
        """Lay all leaves one after another."""
        self.paths = examination.subject.arguments.paths
        self.hand, self.true = (
            np.concatenate([np.asarray(side[path], np.float64).reshape(-1) for path in self.paths])
            for side in (found.hand, found.true)
        )
        self.x, restore = ravel_pytree([jnp.asarray(leaf) for leaf in point.chosen])
        J = examination.projection(point)
        self.moved: Callable[[jax.Array], Any] = lambda x: J(*restore(x))

    def outside(self, along: np.ndarray, slack: Any) -> tuple[np.ndarray, Slopes]:
        """Return where the hand is not between the one-sided slopes, and these."""
        scale = finite_difference.scales(self.x, along)
        slopes = finite_difference.slopes(self.moved, self.x, along, scale)
        bar = 10 * slopes.bar + slack
        by_hand = along @ self.hand
        beyond = (by_hand < slopes.low - bar) | (by_hand > slopes.high + bar)
        return beyond, slopes


def lines_of(examination: Examination, point: Point, found: Findings) -> Lines | None:
    """Return the lines; None where there are none to go along."""
    if any(np.issubdtype(leaf.dtype, np.complexfloating) for leaf in point.chosen):
        return None
    lines = Lines(examination, point, found)
    return lines if np.isfinite(lines.hand).all() else None


def sizes_of(hand: Any, true: Any, tolerance: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest slope of a leaf, and where the two differ; both once for each entry."""
    hand, true = (np.asarray(side, np.float64).reshape(-1) for side in (hand, true))
    largest = np.full(true.size, np.abs(true).max(initial=0.0))
    if tolerance is None:
        return largest, np.zeros(true.size, bool)
    return largest, np.abs(hand - true) > tolerance * largest


def drawn(parts: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Return the coordinates at random, those of the first part first, and so on."""
    return np.concatenate([rng.permutation(np.flatnonzero(part)) for part in parts])


def along_each(coordinates: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    """Return the directions along some coordinates."""
    units = np.zeros((len(coordinates), size))
    units[np.arange(len(coordinates)), np.asarray(coordinates, int)] = 1
    return units


def sharing(J: Any, x: Any, units: np.ndarray) -> np.ndarray:
    """Return, for each set of coordinates that share kinks, the direction along all of them."""
    count = len(units)
    pairs = np.asarray([(i, j) for i in range(count) for j in range(i)], int).reshape(-1, 2)
    along = np.concatenate([units, units[pairs[:, 0]] + units[pairs[:, 1]]])
    if not len(pairs):
        return along[:0]
    step = STEP * finite_difference.scales(x, along)[:, None]
    here, around = finite_difference.on_lines(J, x, along, step * np.asarray([1.0, -1.0]))
    slopes = (around - here) / step
    single, double = slopes[:count], slopes[count:]
    excess = np.abs(double - single[pairs[:, 0]] - single[pairs[:, 1]]).max(-1)
    group = np.arange(count)
    for i, j in pairs[excess > APART * np.abs(slopes).max()]:
        group[group == group[i]] = group[j]
    members = [group == name for name in np.unique(group)]
    return np.asarray([units[m].sum(0) for m in members if m.sum() > 1]).reshape(-1, x.size)
