"""Cases of the losses: every kind of target, every reduction."""

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, normal

SIZES = (
    {"batch": (4,), "n": 5},
    {"batch": (), "n": 3},
    {"batch": (2, 3), "n": 7},
    {"batch": (1,), "n": 1},
    {"batch": (0,), "n": 3},
)
REDUCTIONS = tuple({"reduction": reduction} for reduction in ("mean", "sum", "none"))


def _fits(sizes: Sizes, options: Options) -> bool:
    return options["reduction"] != "mean" or 0 not in sizes["batch"]


def _uniform(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.asarray(np.round(rng.uniform(0.05, 0.95, shape), 2))


def _real_targets(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return normal(rng, *batch, n), normal(rng, *batch, n)


def _soft_targets(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return 2 * normal(rng, *batch, n), _uniform(rng, *batch, n)


def _hard_targets(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return 2 * normal(rng, *batch, n), rng.integers(0, 2, (*batch, n)).astype(float)


def _probabilities(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return _uniform(rng, *batch, n), _uniform(rng, *batch, n)


def _labels(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return 2 * normal(rng, *batch, n), rng.integers(0, n, batch, dtype=np.int32)


def _one_hot(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    logits, labels = _labels(rng, batch, n)
    return logits, np.eye(n)[labels]


_VARIANTS = (
    ("squared_error", "", _real_targets),
    ("binary_cross_entropy", "soft targets", _soft_targets),
    ("binary_cross_entropy", "hard targets", _hard_targets),
    ("binary_cross_entropy_on_probabilities", "", _probabilities),
    ("softmax_cross_entropy", "integer labels", _labels),
    ("softmax_cross_entropy", "one-hot labels", _one_hot),
    ("softmax_cross_entropy", "soft labels", _soft_targets),
    ("softmax_squared_error", "", _soft_targets),
)

cases = tuple(
    Case(
        name,
        getattr(manual_bp, name),
        references.losses.table[name],
        draw,
        SIZES,
        options=REDUCTIONS,
        variant=variant,
        fits=_fits,
    )
    for name, variant, draw in _VARIANTS
)
