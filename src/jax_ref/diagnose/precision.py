"""Mistakes of precision: the wrong dtype, or digits lost on the way."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from jax_ref.diagnose.evidence import Difference, Evidence, Explanation, dot, norm
from jax_ref.diagnose.places import is_floating
from jax_ref.diagnose.whole import without_name
from jax_ref.verdict import Kind

LOSSY = ("float32", "float16", "bfloat16")
COARSEST = 0.06  # of the gradient may be lost before it is no matter of digits
STRUCTURED = 0.6  # correlation of the error with the truth


def dtype(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand whose dtype is not its primal's."""
    primal = evidence.primals.get(evidence.leaf)
    came = evidence.hand.dtype
    if primal is None or came == primal.dtype or not is_floating(evidence.hand):
        return
    # Evidence may be lifted to float64 to be read; its resolution tells the dtype it came from.
    lifted = primal.dtype == evidence.truth.dtype
    if lifted and float(jnp.finfo(came).eps) <= evidence.resolution:
        return
    says = f"dtype {came}" + ("" if lifted else f", of a primal of dtype {primal.dtype}")
    finest = 4 * float(jnp.finfo(evidence.hand.dtype).eps)
    within = np.abs(difference.error) <= finest * np.maximum(np.abs(difference.truth), 1e-3)
    left = difference.left(np.where(within, difference.truth, difference.hand))
    yield Explanation(Kind.DTYPE, says, left, 1.0, None)


def digits(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a small error without structure: the rounding of a lower precision."""
    truth, error = difference.truth, difference.truth - difference.hand
    size = norm(truth)
    share = difference.size / size if size else np.inf
    aligned = abs(dot(error, truth)) / (norm(error) * size) if size and norm(error) else 1.0
    enough = difference.count > 1 and 4 * difference.count >= np.count_nonzero(truth)
    structured = aligned > STRUCTURED + 2 / np.sqrt(max(difference.count, 1))
    if share > COARSEST or (structured and share > without_name(evidence.resolution)):
        return
    if enough:
        says = (
            f"digits lost: off by {share:.1g} of the gradient, as of {_looks_like(evidence, share)}"
        )
        yield Explanation(Kind.PRECISION, says, 0.0, 6.0, None)


def _looks_like(evidence: Evidence, share: float) -> str:
    """Return the precision that an error looks like: one that holds the hand, or of its size."""
    hand = evidence.hand.astype(np.float64)
    for name in reversed(LOSSY):
        if np.array_equal(hand, hand.astype(jnp.dtype(name)).astype(np.float64)):
            return name
    sizes = {name: float(jnp.finfo(name).eps) / 4 for name in LOSSY}
    return min(LOSSY, key=lambda name: abs(np.log(share / sizes[name])))
