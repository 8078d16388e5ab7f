"""Mistakes of a factor: of each entry, of each slice, of a few levels, of a slope as a function.

Search   hand ⊙ A = truth ⊙ B for slopes A, B, one of which may be 1: ‖hand A − truth B‖² opens into
         three matrix products, so that all pairs are tried at once.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from jax_ref.diagnose import vocabulary
from jax_ref.diagnose.evidence import (
    FINEST,
    Difference,
    Evidence,
    Explanation,
    Numbers,
    agree,
    norm,
)
from jax_ref.diagnose.places import where
from jax_ref.diagnose.terms import BEST, beside, largest, plainest
from jax_ref.diagnose.vocabulary import Places, Vocabulary
from jax_ref.diagnose.whole import in_words
from jax_ref.verdict import Kind

ONE = 1.6  # × the nats of one word: one factor and no more
CURVED = 0.3  # of the error may lie off the curve
SMOOTH = 10  # different numbers, at least, before a curve through them means anything


def factors(
    evidence: Evidence, difference: Difference, *, within: bool = False
) -> Iterator[Explanation]:
    """Explain a hand that lacks an elementwise factor, has one too many, or the wrong one.

    Args:
      evidence: what factors are made of.
      difference: of hand and truth.
      within: whether only the wrong entries are looked at.
    """
    index = difference.sampled(within=within)
    places, part = Places(difference.truth.shape, index), difference.at(index)
    slopes = vocabulary.slopes(evidence, places)
    values = slopes.values / np.abs(slopes.values).max(-1, keepdims=True)
    lacking = _distances(values, part)
    pairs = largest(np.exp(-lacking), BEST)
    fits = [_fitted(part, slopes.values[i], slopes.values[j]) for i, j in pairs]
    found = [
        _factor(evidence, part, slopes, *pairs[at], *fits[at])
        for at in plainest([left for _, left in fits], part)
    ]
    found = [e for e in found if part.fits(e) or e.nats < ONE * math.log(len(slopes.words))]
    if found:
        yield min(found, key=lambda e: (e.nats, e.left))


def within(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that lacks an elementwise factor in a part, and is right elsewhere."""
    seen = (difference.truth != 0) | difference.wrong
    if difference.wrong[seen].all():
        return
    for found in factors(evidence, difference, within=True):
        if difference.fits(found):
            place = where(difference.wrong, seen, evidence)
            yield replace(found, says=f"{found.says}, at {place}", nats=found.nats + 3.0)


def _distances(values: Numbers, part: Difference) -> Numbers:
    """Return the squared distance of c hand ⊙ A and truth ⊙ B for all A, B, c the best number."""
    by_hand, true = values * part.hand, values * part.truth
    across = by_hand @ true.T
    hand_size, true_size = (by_hand**2).sum(-1)[:, None], (true**2).sum(-1)[None]
    with np.errstate(invalid="ignore", divide="ignore"):
        sine = 1 - across**2 / (hand_size * true_size)
    sine[np.arange(len(values)), np.arange(len(values))] = np.inf
    # A factor that is 0 somewhere hides what is wrong there, unless the other is 1.
    hides = (np.abs(values[:, part.wrong]) < 1e-9).any(-1)
    sine[np.ix_(hides, np.arange(len(values)) > 0)] = np.inf
    sine[np.ix_(np.arange(len(values)) > 0, hides)] = np.inf
    return np.where(np.isfinite(sine), sine, np.inf)


def _fitted(part: Difference, a: Numbers, b: Numbers) -> tuple[float, float]:
    """Return how many times truth ⊙ B hand ⊙ A is, 1 where it is near, and what this leaves."""
    by_hand, true = part.hand * a, part.truth * b
    across = float(by_hand @ true)
    ratio = float(by_hand @ by_hand) / across if across else math.inf
    if abs(ratio - 1) <= max(1e-6, 2 * part.resolution):
        ratio = 1.0
    by_hand = by_hand / ratio
    apart = np.abs(by_hand - true)
    apart[apart <= part.rounding * np.maximum(np.abs(a), np.abs(b))] = 0
    error = part.hand - part.truth
    least = min(norm(error * a), norm(error * b), norm(by_hand), norm(true))
    return ratio, norm(apart) / least if least else math.inf


def _factor(
    evidence: Evidence,
    part: Difference,
    slopes: Vocabulary,
    i: int,
    j: int,
    ratio: float,
    left: float,
) -> Explanation:
    """Return the explanation that hand ⊙ A is a multiple of truth ⊙ B."""
    missing, superfluous = slopes.words[i], slopes.words[j]
    says = f"factor {missing.says} missing"
    if j:
        says = f"factor {superfluous.says} superfluous"
    if i and j:
        says = f"factor {superfluous.says} where {missing.says} belongs"
    kind = Kind.UPSTREAM if missing.says in evidence.cotangents else Kind.MISSING_FACTOR
    nats = math.log(len(slopes.words)) * ((i > 0) + (j > 0))
    nats += 0.5 * (missing.degree + superfluous.degree)
    freedom = 0
    if ratio != 1:
        more, cost, freedom = in_words(ratio, evidence, part)
        says, nats = f"{says}, and {more}", nats + beside(cost, part)
    return Explanation(kind, says, left, nats, freedom)


def slices(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is off by a factor for each index of some axes: one that has no name."""
    hand, truth = difference.hand, difference.truth
    axes = range(truth.ndim)
    for varying in [*((a,) for a in axes), *(tuple(set(axes) - {a}) for a in axes)]:
        others = tuple(a for a in axes if a not in varying)
        if not varying or not others:
            continue
        square = (hand * hand).sum(others, keepdims=True)
        across = (hand * truth).sum(others, keepdims=True)
        mended = hand * (across / np.where(square == 0, 1, square))
        plural = "axes" if len(varying) > 1 else "axis"
        says = f"a factor for each index of {plural} {', '.join(map(str, varying))} missing"
        left = difference.left(mended, multiplied=True)
        if left <= difference.exact:
            nats = 3.0 + math.log(across.size)
            yield Explanation(Kind.MISSING_FACTOR, says, left, nats, across.size)


def levels(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is off by one of two or three factors, as after exchanged branches."""
    index = difference.sampled()
    part = difference.at(index)
    seen = (part.hand != 0) & (part.truth != 0)
    if np.count_nonzero(seen) < 4 or (part.wrong & ~seen).any():
        return
    ratio = part.truth[seen] / part.hand[seen]
    within = max(10 * difference.resolution, FINEST)
    ordered = np.sort(ratio)
    gaps = np.flatnonzero(np.diff(ordered) > within * np.abs(ordered[1:]))
    if not 1 <= gaps.size <= 2:
        return
    means = np.array([group.mean() for group in np.split(ordered, gaps + 1)])
    nearest = means[np.abs(ratio[:, None] - means).argmin(-1)]
    mended = part.hand.copy()
    mended[seen] *= nearest
    shown = ", ".join(f"{1 / value:.4g}" for value in means).replace("-", "−")
    says = f"factor missing that takes {len(means)} values: hand is {shown} × truth"
    yield Explanation(Kind.MISSING_FACTOR, says, part.left(mended), 9.0, len(means))


def curves(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain an elementwise slope that is wrong as a function of one array.

    The error over dy is held, in the order of the array's numbers, against the line between each
    number's neighbours: a function of the array lies near it, and noise does not.
    """
    places = Places(difference.truth.shape, difference.sampled())
    part = difference.sample
    for name, cotangent in evidence.cotangents.items():
        if not _is_elementwise(evidence, name):
            continue
        dy = cotangent.astype(np.float64)[places.index]
        slope = (part.truth - part.hand) / np.where(dy == 0, 1, dy)
        for atom in vocabulary.fitting(vocabulary.atoms(evidence), places.shape):
            along = places.of(atom.array)
            if along is None or np.unique(along).size < max(SMOOTH, 0.9 * along.size):
                continue
            mended = part.truth - dy * (slope - _between_neighbours(along, slope))
            says = f"the slope is wrong as a function of {atom.name}"
            left = part.left(mended)
            if left < CURVED:
                yield Explanation(Kind.MISSING_FACTOR, says, left, 5.0, None)


def _is_elementwise(evidence: Evidence, name: str) -> bool:
    """Return whether each entry of the truth depends on the same entry of a cotangent only."""
    dy = evidence.cotangents[name]
    is_complex = "c" in (dy.dtype.kind, evidence.truth.dtype.kind)
    if dy.shape != evidence.truth.shape or evidence.truth_at is None or is_complex:
        return False
    kept = np.where(np.random.default_rng(0).random(dy.shape) < 0.5, dy, 0).astype(dy.dtype)
    part = np.asarray(evidence.truth_at({**evidence.cotangents, name: kept})[evidence.leaf])
    return agree(part, np.where(kept == 0, 0, evidence.truth), max(evidence.resolution, 1e-9))


def _between_neighbours(x: Numbers, y: Numbers) -> Numbers:
    """Return for each point the height of the line between the points left and right of it."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    left, right = np.arange(len(x)) - 1, np.arange(len(x)) + 1
    left[0], right[-1] = 1, len(x) - 2
    step = x[right] - x[left]
    share = np.where(step == 0, 0.5, (x - x[left]) / np.where(step == 0, 1, step))
    heights = np.empty_like(y)
    heights[order] = y[left] + share * (y[right] - y[left])
    return heights
