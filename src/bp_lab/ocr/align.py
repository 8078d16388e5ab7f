"""Where in a line the characters stand that the reader of lines read.

The likeliest path that leaves the text gives each character its steps: of the states blank, first
character, blank, second, …, blank the path stays, goes on by one, or skips the blank between two
unlike characters.

CTC asks for the order of the characters and not for their places. A network that sees both ways is
free to name a character where it begins, or where it ends, and keeps to what it once chose. How far
off that is, is read from the lines themselves: the one shift for all of them that moves the marks
to the columns with the least ink, where characters part.

Source   Viterbi 1967; the states: Graves et al. 2006, "Connectionist temporal classification".
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_INK = 0.4
_SHIFTS = tuple(range(-8, 6))
_NEAR, _DEARER = 2, 0.15
_FARTHEST = -1e9


def steps(log_p: np.ndarray, labels: Sequence[int], blank: int = 0) -> list[tuple[int, int]]:
    """Return the first and the last step of every label on the likeliest path that leaves them.

    Args:
      log_p: log-probabilities, (t, classes), of enough steps for the labels.
      labels: classes without the blank, one at least.
      blank: the class of the blank.
    """
    states = np.full(2 * len(labels) + 1, blank)
    states[1::2] = labels
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    best = np.full(len(states), _FARTHEST)
    best[:2] = log_p[0, states[:2]]
    came = np.zeros((len(log_p), len(states)), np.int8)
    for time, row in enumerate(log_p[1:], start=1):
        ways = np.full((3, len(states)), _FARTHEST)
        ways[0], ways[1, 1:] = best, best[:-1]
        ways[2, 2:] = np.where(skips[2:], best[:-2], _FARTHEST)
        came[time] = ways.argmax(0)
        best = ways.max(0) + row[states]
    state = len(states) - 1 - int(best[-2] > best[-1])
    path = []
    for time in range(len(log_p) - 1, -1, -1):
        path.append(state)
        state -= int(came[time, state])
    path.reverse()
    found = []
    for number in range(len(labels)):
        mine = [time for time, state in enumerate(path) if state == 2 * number + 1]
        found.append((mine[0], mine[-1]))
    return found


def places(
    lines: Sequence[np.ndarray], marks: Sequence[Sequence[float]]
) -> list[list[tuple[float, float]]]:
    """Return the columns of every character of every line, those of its ink.

    Args:
      lines: float32 (rows, columns) each, ink about 1, all read by one network.
      marks: for each line the column at which each of its characters was read, in order.
    """
    profiles = [line.clip(0, 1).sum(0) for line in lines]
    costs = [_cost(profiles, marks, shift) for shift in _SHIFTS]
    shift = _SHIFTS[int(np.argmin(costs))]
    found: list[list[tuple[float, float]]] = []
    for line, profile, given in zip(lines, profiles, marks, strict=True):
        if not given:
            found.append([])
            continue
        starts = [_least(profile, mark + shift)[0] for mark in given[1:]]
        edges = np.maximum.accumulate([0.0, *starts, float(line.shape[1])])
        found.append([_inked(line, start, stop) for start, stop in pairwise(edges)])
    return found


def _cost(profiles: Sequence[np.ndarray], marks: Sequence[Sequence[float]], shift: float) -> float:
    """Return the ink in the columns where characters would part."""
    lines = zip(profiles, marks, strict=True)
    return sum(_least(profile, mark + shift)[1] for profile, given in lines for mark in given[1:])


def _least(profile: np.ndarray, mark: float) -> tuple[float, float]:
    """Return the column near a mark with the least ink, and that ink, dearer further away."""
    columns = np.arange(round(mark) - _NEAR, round(mark) + _NEAR + 1)
    inside = columns.clip(0, len(profile) - 1)
    costs = profile[inside] + _DEARER * np.abs(columns - mark)
    best = int(costs.argmin())
    return float(inside[best]), float(costs[best])


def has_ink(line: np.ndarray, start: float, stop: float) -> bool:
    """Return whether there is ink between two columns of a line."""
    return bool((line[:, int(start) : int(np.ceil(stop))] > _INK).any())


def _inked(line: np.ndarray, start: float, stop: float) -> tuple[float, float]:
    first = int(start)
    inked = np.flatnonzero(line[:, first : int(np.ceil(stop))].max(0, initial=0) > _INK)
    if not inked.size:
        return start, stop
    return max(start, float(first + inked[0])), min(stop, float(first + inked[-1] + 1))
