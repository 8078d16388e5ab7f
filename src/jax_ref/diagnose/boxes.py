"""Mistakes of a block: some neighbouring slices are wrong, and right is what lies outside."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from jax_ref.diagnose import factors, places, terms, whole
from jax_ref.diagnose.evidence import Difference, Evidence, Explanation
from jax_ref.verdict import Kind

FILLED = 0.5  # of a block is wrong, at least
LARGEST = 0.8  # of the leaf, else it is no block


def boxed(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain the block that is wrong as if it were a leaf."""
    box = _box(difference)
    if box is None:
        return
    part = difference.at(box)
    inside = replace(evidence, hand=part.hand, truth=part.truth, truth_at=None)
    seen = (difference.truth != 0) | difference.wrong
    place = places.where(difference.wrong, seen, evidence)
    for propose in (whole.sign, whole.factor, factors.factors, terms.terms):
        for found in propose(inside, part):
            if part.fits(found) and part.likely(found):
                kind = Kind.FACTOR if found.kind is Kind.BATCH_SUM else found.kind
                yield replace(
                    found, kind=kind, says=f"{found.says}, at {place}", nats=found.nats + 3.0
                )


def _box(difference: Difference) -> tuple[slice, ...] | None:
    """Return the block that holds all that is wrong; None if it is most of the leaf."""
    wrong = difference.wrong
    if not difference.count or not wrong.ndim:
        return None
    box = tuple(slice(int(index.min()), int(index.max()) + 1) for index in np.nonzero(wrong))
    size = wrong[box].size
    if size > LARGEST * wrong.size or difference.count < FILLED * size:
        return None
    return box
