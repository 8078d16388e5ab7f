"""Cases of the cross-entropy of an affine map: blocks not full, samples that do not count."""

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, normal
from jax_ref.cases.losses import WEIGHTS

SAMPLES = (
    {"batch": (5,), "n": 3, "v": 4},
    {"batch": (2, 3), "n": 2, "v": 5},
    {"batch": (), "n": 4, "v": 3},
    {"batch": (1,), "n": 1, "v": 2},
    {"batch": (3,), "n": 0, "v": 2},
    {"batch": (0,), "n": 2, "v": 3},
)
BLOCKS: tuple[Options, ...] = (
    {"reduction": "mean"},
    {"reduction": "sum", "block": 2},
    {"reduction": "mean", "block": 4},
)
SOME: tuple[Options, ...] = (
    {"ignored_label": 1, "block": 2},
    {"ignored_label": 1, "class_weights": WEIGHTS, "label_smoothing": 0.2},
)
BENCH = (({"batch": (1024,), "n": 256, "v": 16384}, BLOCKS[0]),)


def _labelled(rng: np.random.Generator, batch: tuple[int, ...], n: int, v: int) -> tuple:
    labels = rng.integers(0, v, batch, dtype=np.int32)
    return normal(rng, *batch, n), normal(rng, n, v), normal(rng, v), labels


def _without_bias(rng: np.random.Generator, batch: tuple[int, ...], n: int, v: int) -> tuple:
    x, W, _, labels = _labelled(rng, batch, n, v)
    return x, W, None, labels.astype(np.int8)


def _fits(sizes: Sizes, options: Options) -> bool:
    return options.get("reduction", "mean") == "sum" or 0 not in sizes["batch"]


cases = tuple(
    Case(
        "linear_cross_entropy",
        manual_bp.linear_cross_entropy,
        references.losses.linear_cross_entropy,
        draw,
        sizes,
        options,
        variant,
        _fits,
        bench=bench,
    )
    for draw, sizes, options, variant, bench in (
        (_labelled, SAMPLES, BLOCKS, "", BENCH),
        (_without_bias, SAMPLES[:1], BLOCKS, "no bias", ()),
        (_labelled, SAMPLES[:1], SOME, "some ignored", ()),
    )
)
