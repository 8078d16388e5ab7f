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


def _narrow_labels(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return labels of a dtype that cannot hold the number of classes."""
    return 2 * normal(rng, *batch, n), rng.integers(0, min(n, 128), batch, dtype=np.int8)


def _one_hot(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    logits, labels = _labels(rng, batch, n)
    return logits, np.eye(n)[labels]


def _sure(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return logits that are nearly certain of the label, where p − 1 would cancel, and labels."""
    logits, labels = _labels(rng, batch, n)
    return logits / 2 + 9 * np.eye(n)[labels], labels.astype(np.uint32)


def _sure_one_hot(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    logits, labels = _sure(rng, batch, n)
    return logits, np.eye(n)[labels]


def _sure_soft(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return logits that are nearly certain of a class, and soft labels that are not of sum 1."""
    logits, _ = _sure(rng, batch, n)
    return logits, _uniform(rng, *batch, n)


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

_everywhere = tuple(
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

_special = (
    *(
        Case(
            "softmax_cross_entropy",
            manual_bp.softmax_cross_entropy,
            references.losses.softmax_cross_entropy_by_pairs,
            draw,
            SIZES[:2],
            options=REDUCTIONS,
            variant=variant,
            fits=_fits,
            tolerance=1e-14,
        )
        for variant, draw in (
            ("integer labels, sure", _sure),
            ("one-hot labels, sure", _sure_one_hot),
        )
    ),
    Case(
        "softmax_cross_entropy",
        manual_bp.softmax_cross_entropy,
        references.losses.softmax_cross_entropy,
        _sure_soft,
        SIZES[:2],
        options=REDUCTIONS,
        variant="soft labels, sure",
        fits=_fits,
    ),
    Case(
        "softmax_cross_entropy",
        manual_bp.softmax_cross_entropy,
        references.losses.softmax_cross_entropy,
        _narrow_labels,
        ({"batch": (3,), "n": 131},),
        options=REDUCTIONS,
        variant="narrow labels",
        fits=_fits,
    ),
)

cases = (*_everywhere, *_special)
