"""Two ways to compute one thing, timed in turn.

Both run in pairs, each output waited for; the figure is the median of the ratios of pairs, so that
a machine whose speed drifts slows both sides alike. Which side begins a pair is drawn: a side that
always ran behind the other would have the cache, and the memory, as the other leaves it. It is
drawn alike in every run.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

WARM_UP = 2


class Side(Protocol):
    """What can be timed."""

    def run(self) -> float:
        """Do it once and return the seconds."""


@dataclass(frozen=True)
class Budget:
    """How often two sides are timed.

    Attributes:
      least: pairs, however long they take.
      most: pairs, however short they are.
      seconds: after which no further pair is begun.
    """

    least: int
    most: int
    seconds: float = np.inf


@dataclass(frozen=True)
class Spread:
    """The median of the ratios of pairs, and their quartiles."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, times: np.ndarray) -> "Spread":
        """Return the ratios of the first to the second of every pair, times being (pairs, 2)."""
        return cls(*map(float, np.percentile(times[:, 0] / times[:, 1], [25, 50, 75])))


def in_turn(first: Side, second: Side, budget: Budget, pause: float = 0.0) -> np.ndarray:
    """Run both sides in turn and return their seconds, (pairs, 2).

    Args:
      first: one side.
      second: the other.
      budget: how often.
      pause: seconds of rest before every run, where the threads of one side stay awake for a
        moment after it, and would slow the other.
    """
    sides = (first, second)
    for _ in range(WARM_UP):
        for side in sides:
            side.run()
    times: list[np.ndarray] = []
    draw = np.random.default_rng(0)
    end = time.perf_counter() + budget.seconds
    while len(times) < budget.least or (len(times) < budget.most and time.perf_counter() < end):
        pair = np.empty(2)
        for place in draw.permutation(2):
            if pause:
                time.sleep(pause)
            pair[place] = sides[place].run()
        times.append(pair)
    return np.asarray(times)


def fastest(sides: Mapping[str, Side], rounds: int) -> str:
    """Return the name of the side that takes the least time, all run in turn, in drawn order."""
    if len(sides) == 1:
        return next(iter(sides))
    for side in sides.values():
        side.run()
    names, draw = list(sides), np.random.default_rng(0)
    times = np.empty((rounds, len(names)))
    for taken in times:
        for place in draw.permutation(len(names)):
            taken[place] = sides[names[place]].run()
    return names[int(np.median(times, 0).argmin())]
