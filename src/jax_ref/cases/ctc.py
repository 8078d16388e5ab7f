"""Cases of connectionist temporal classification: sequences, with and without lengths."""

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, normal
from jax_ref.cases.losses import REDUCTIONS, fits_few

SEQUENCES = (
    {"batch": (4,), "t": 6, "v": 5, "s": 3},
    {"batch": (), "t": 3, "v": 2, "s": 1},
    {"batch": (2, 3), "t": 4, "v": 3, "s": 2},
    {"batch": (1,), "t": 1, "v": 4, "s": 0},
    {"batch": (3,), "t": 0, "v": 1, "s": 2},
    {"batch": (0,), "t": 2, "v": 3, "s": 1},
)


def _sequences(rng: np.random.Generator, batch: tuple[int, ...], t: int, v: int, s: int) -> tuple:
    """Return logits, labels that are no 0, often twice in a row, and lengths that leave a path."""
    labels = rng.integers(min(1, v - 1), min(v, 3), (*batch, s), np.int32)
    label_lengths = rng.integers(0, min(s, (t + 1) // 2) + 1 if v > 1 else 1, batch, np.int32)
    least = np.maximum(2 * label_lengths - 1, 0)
    logit_lengths = rng.integers(least, t + 1, dtype=np.int32)
    return normal(rng, *batch, t, v), labels, logit_lengths, label_lengths


def _whole_sequences(
    rng: np.random.Generator, batch: tuple[int, ...], t: int, v: int, s: int
) -> tuple:
    """Return logits and labels that are no 1, and no lengths."""
    labels = rng.integers(1, v, (*batch, s), np.int32)
    return normal(rng, *batch, t, v), np.where(labels == 1, 0, labels), None, None


cases = tuple(
    Case(
        "ctc",
        manual_bp.ctc,
        references.losses.ctc,
        draw,
        sizes,
        options=options,
        variant=variant,
        fits=fits_few,
        tolerance=1e-10,
        bench=bench,
    )
    for variant, draw, sizes, options, bench in (
        (
            "lengths",
            _sequences,
            SEQUENCES,
            REDUCTIONS,
            (({"batch": (16,), "t": 128, "v": 64, "s": 32}, REDUCTIONS[0]),),
        ),
        ("blank 1", _whole_sequences, SEQUENCES[:2], ({"reduction": "none", "blank": 1},), ()),
    )
)
