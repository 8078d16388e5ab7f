"""Cases of the losses: every kind of target, every reduction."""

import math
from collections.abc import Callable

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, away_from_zero, normal

SIZES = (
    {"batch": (4,), "n": 5},
    {"batch": (), "n": 3},
    {"batch": (2, 3), "n": 7},
    {"batch": (1,), "n": 1},
    {"batch": (0,), "n": 3},
)
CURVED = tuple(sizes for sizes in SIZES if sizes["n"] != 1)
WEIGHTS = (0.5, 2.0, 0.25, 1.5)
SMOOTHED: Options = {"class_weights": WEIGHTS, "label_smoothing": 0.2}
BATCHES = ({"batch": (5,)}, {"batch": (2, 3)}, {"batch": ()})
MATRIX = {"batch": (4096,), "n": 1024}
VECTORS = {"batch": (8192,), "n": 128}
TOKENS = {"batch": (1024,), "n": 16384}
COUNTED = (
    {"batch": (5,), "counted": 3},
    {"batch": (2, 3), "counted": 4},
    {"batch": (2,), "counted": 1},
    {"batch": (2,), "counted": 0},
)
REDUCTIONS = tuple({"reduction": reduction} for reduction in ("mean", "sum", "none"))


def _fits(sizes: Sizes, options: Options) -> bool:
    return options.get("reduction", "mean") != "mean" or 0 not in sizes["batch"]


def fits_few(sizes: Sizes, options: Options) -> bool:
    """Return whether the option goes with the size: all with one long batch, "none" with any."""
    batch = sizes["batch"]
    return options["reduction"] == "none" or (len(batch) == 1 and batch[0] > 1)


def _fits_cosine(sizes: Sizes, options: Options) -> bool:
    """Return the same, but for single numbers, which cannot turn, where ε is to be seen."""
    return fits_few(sizes, options) and (sizes["n"] != 1 or "epsilon" in options)


def _with_setting(name: str, value: float, **others: float) -> tuple[Options, ...]:
    """Return the reductions, one of them with the settings."""
    return (
        {"reduction": "none"},
        {"reduction": "mean"},
        {"reduction": "sum", name: value, **others},
    )


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


def _some_ignored(rng: np.random.Generator, batch: tuple[int, ...], counted: int) -> tuple:
    """Return logits of as many classes as there are weights, and labels, −1 but for a few."""
    logits, labels = _labels(rng, batch, len(WEIGHTS))
    return logits, np.where(rng.permutation(labels.size).reshape(batch) < counted, labels, -1)


def _few_labels(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    """Return logits of as many classes as there are weights, and labels."""
    return _labels(rng, batch, len(WEIGHTS))


def _unsigned_labels(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    """Return labels of a dtype that cannot hold −1."""
    logits, labels = _labels(rng, batch, 3)
    return logits, labels.astype(np.uint32)


def _soft_weighted(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    return _soft_targets(rng, batch, len(WEIGHTS))


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


def _errors_between_halves(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return predictions and targets whose errors keep a tenth away from the multiples of ½."""
    target = normal(rng, *batch, n)
    error = np.round(2 * normal(rng, *batch, n)) / 2 + 0.25
    return target + error + np.round(rng.uniform(-0.15, 0.15, error.shape), 2), target


def _margins(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return scores that miss or exceed the margin of their targets ±1 by more than 0.05."""
    targets = rng.choice([-1.0, 1.0], (*batch, n))
    return targets * (1 + away_from_zero(rng, *batch, n)), targets


def _log_probabilities(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return np.round(np.log(_uniform(rng, *batch, n)), 2), _uniform(rng, *batch, n)


def _scores(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return scores that differ from the label's by no multiple of ½, to a tenth, and labels."""
    scores, labels = _labels(rng, batch, n)
    noise = np.round(rng.uniform(-0.07, 0.07, scores.shape), 2)
    return np.round(2 * scores) / 2 + noise + 0.25 * np.eye(n)[labels], labels


def _triplets(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return triplets clear of coincidence and of the margins ½ and 1."""
    shape = (3, math.prod(batch), n)
    points = normal(rng, *shape)

    def blind() -> np.ndarray:
        near, far = (np.linalg.norm(points[0] - other, axis=-1) for other in points[1:])
        closest = np.minimum(near, far)
        slack = [np.abs(near - far + margin) for margin in (0.5, 1.0)]
        return (np.min([closest, *slack], axis=0) < 0.15) & (n > 0)

    while (unclear := blind()).any():
        points[:, unclear] = normal(rng, *shape)[:, unclear]
    return tuple(points.reshape(3, *batch, n))


def _pairs(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return the same for pairs, and weights of which most are 0 or 1."""
    first, second, _ = _triplets(rng, batch, n)
    direction = second - first
    norm = np.linalg.norm(direction, axis=-1, keepdims=True)
    # In front of, between and behind the margins.
    distance = rng.choice([0.3, 0.75, 1.4], norm.shape) * (norm > 0)
    apart = np.round(direction / np.maximum(norm, 0.1) * distance, 2)
    return first, first + apart, rng.choice([0.0, 1.0, 0.3], batch)


_VARIANTS: tuple[tuple[str, str, Callable[..., tuple], Sizes | None], ...] = (
    ("squared_error", "", _real_targets, MATRIX),
    ("binary_cross_entropy", "soft targets", _soft_targets, None),
    ("binary_cross_entropy", "hard targets", _hard_targets, MATRIX),
    ("binary_cross_entropy_on_probabilities", "", _probabilities, MATRIX),
    ("softmax_cross_entropy", "integer labels", _labels, TOKENS),
    ("softmax_cross_entropy", "one-hot labels", _one_hot, MATRIX),
    ("softmax_cross_entropy", "soft labels", _soft_targets, None),
    ("softmax_squared_error", "", _soft_targets, MATRIX),
    ("absolute_error", "", _errors_between_halves, MATRIX),
    ("hinge", "", _margins, MATRIX),
    ("kl_divergence", "", _log_probabilities, MATRIX),
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
        bench=() if timed is None else ((timed, REDUCTIONS[0]),),
    )
    for name, variant, draw, timed in _VARIANTS
)

_few = tuple(
    Case(
        name,
        getattr(manual_bp, name),
        references.losses.table[name],
        draw,
        sizes,
        options=options,
        fits=fits,
        bench=((timed, REDUCTIONS[0]),),
    )
    for name, draw, options, sizes, fits, timed in (
        ("negative_log_likelihood", _labels, REDUCTIONS, SIZES, fits_few, MATRIX),
        ("multiclass_hinge", _scores, _with_setting("margin", 0.5), SIZES, fits_few, MATRIX),
        ("cosine", _real_targets, _with_setting("epsilon", 0.3), CURVED, _fits_cosine, MATRIX),
        ("focal", _hard_targets, _with_setting("gamma", 1.5, alpha=0.3), SIZES, fits_few, MATRIX),
        ("triplet", _triplets, _with_setting("margin", 0.5), SIZES, fits_few, VECTORS),
        ("contrastive", _pairs, _with_setting("margin", 0.5), SIZES, fits_few, VECTORS),
    )
)

_special = (
    Case(
        "huber",
        manual_bp.huber,
        references.losses.huber,
        _errors_between_halves,
        SIZES,
        options=(
            {"reduction": "mean"},
            {"reduction": "sum", "delta": 0.5},
            {"reduction": "none", "delta": 1.5},
        ),
        fits=_fits,
        bench=((MATRIX, REDUCTIONS[0]),),
    ),
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
    *(
        Case(
            "softmax_cross_entropy",
            manual_bp.softmax_cross_entropy,
            references.losses.softmax_cross_entropy,
            draw,
            sizes,
            options=options,
            variant=variant,
            fits=_fits,
        )
        for variant, draw, sizes, options in (
            (
                "some ignored",
                _some_ignored,
                COUNTED,
                (
                    {"ignored_label": -1},
                    {"ignored_label": -1, "reduction": "none", **SMOOTHED},
                ),
            ),
            ("weighted", _few_labels, BATCHES[:1], (SMOOTHED, {"class_weights": WEIGHTS})),
            ("none ignored", _unsigned_labels, BATCHES[:1], ({"ignored_label": -1},)),
            ("soft labels, smoothed", _soft_weighted, BATCHES, (SMOOTHED,)),
        )
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

cases = (*_everywhere, *_few, *_special)
