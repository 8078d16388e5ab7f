"""What a wrong gradient looks like: sign, factor, axes, terms, a part, its digits.

Every class of mistake is a function that proposes explanations of the difference between hand and
truth, each with the share of the error that it leaves. They are asked in stages, those that leave
nothing to choose first, and fits against what the gradient may be made of last; the first stage
that explains the error is the last that is asked.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from jax_ref.diagnose import boxes, factors, order, places, precision, shapes, terms, whole
from jax_ref.diagnose.evidence import Difference, Evidence, Explanation, agree
from jax_ref.verdict import Diagnosis, Kind

__all__ = ["Evidence", "diagnose"]

Proposer = Callable[[Evidence, Difference], Iterator[Explanation]]
SHOWN = 5  # explanations, at most
TOLD = 0.01  # of the error, from which on what an explanation leaves is told
PART = 0.8  # of a leaf, where what is wrong in less is worth locating

STAGES: tuple[tuple[Proposer, ...], ...] = (
    (whole.zero, whole.sign, places.part_zero, precision.dtype),
    (whole.factor, order.arranged, whole.alike, places.overwritten, places.leaked),
    (places.very_few, places.other_mask),
    (
        places.few,
        places.confined,
        factors.factors,
        factors.levels,
        terms.terms,
        order.reshaped,
        order.reordered,
    ),
    (boxes.boxed, factors.slices, factors.within),
    (
        partial(whole.alike, scaled=True),
        partial(order.arranged, scaled=True),
        factors.curves,
    ),
)


def diagnose(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return what the difference between a hand-written cotangent and the truth looks like.

    Args:
      evidence: of one leaf that failed.

    Returns:
      Explanations, best fit first, the plainest first among equals; never empty: where none leaves
      less than half of the error, the last is Kind.UNKNOWN, and says where the error lies.

    Examples:
      >>> import numpy as np
      >>> truth = np.array([[1.0, 2.0, 4.0], [0.5, 3.0, -1.0]])
      >>> diagnose(Evidence("W", hand=-truth, truth=truth))[0].says
      'sign error'
    """
    with np.errstate(all="ignore"):
        if evidence.hand.shape != evidence.truth.shape:
            return _spoken(list(shapes.explain(evidence)), np.inf)
        leaks = list(places.nan(evidence))
        difference = Difference.between(evidence.hand, evidence.truth, evidence.resolution)
        if leaks and agree(difference.hand, difference.truth, evidence.resolution):
            return _spoken(leaks, difference.exact)
        found = _explained(evidence, difference)
        if not any(e.left < 0.5 for e in (*leaks, *found)):
            found.append(_unknown(evidence, difference))
        return _spoken([*leaks, *found], difference.exact)


def _explained(evidence: Evidence, difference: Difference) -> list[Explanation]:
    """Return the likely explanations, best first."""
    found: list[Explanation] = []
    for stage in STAGES:
        for propose in stage:
            found += [e for e in propose(evidence, difference) if difference.likely(e)]
        if any(difference.fits(e) for e in found):
            break
    if not found:
        found += precision.digits(evidence, difference)
    return sorted(found, key=lambda e: (max(e.left, difference.exact), e.nats, e.left))


def _unknown(evidence: Evidence, difference: Difference) -> Explanation:
    count, size = difference.count, difference.wrong.size
    says = str(Kind.UNKNOWN)
    seen = (difference.truth != 0) | difference.wrong
    if 0 < count < PART * np.count_nonzero(seen):
        place = places.where(difference.wrong, seen, evidence)
        says += f"; wrong at {count} of {size} entries: {place}"
    return Explanation(Kind.UNKNOWN, says, 1.0)


def _spoken(found: list[Explanation], exact: float) -> tuple[Diagnosis, ...]:
    """Return the explanations without those that say the same of the same kind.

    One that leaves more than an `exact` one may, and does not say so itself, is no fact: it is told
    with what it leaves.
    """
    said: dict[str, Diagnosis] = {}
    for e in reversed(found):
        part = e.kind is not Kind.UNKNOWN and e.left > max(exact, TOLD)
        says = f"mostly {e.says}; {e.left:.0%} of the error is left" if part else e.says
        said[says] = Diagnosis(e.kind, says, float(e.left))
    return tuple(reversed(said.values()))[:SHOWN]
