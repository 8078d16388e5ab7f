"""Cases of the normalisations: with a scale and a bias and without, means far from 0."""

import math

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, away_from_zero, normal

ROWS = (
    {"batch": (4,), "n": 5},
    {"batch": (), "n": 3},
    {"batch": (2, 3), "n": 7},
    {"batch": (3,), "n": 1},
    {"batch": (0,), "n": 4},
    {"batch": (2,), "n": 0},
)
PLACES = (
    {"batch": (2, 3), "n": 6},
    {"batch": (3, 1, 5), "n": 2},
    {"batch": (2, 1), "n": 3},
    {"batch": (0, 3), "n": 4},
    {"batch": (2, 0), "n": 3},
    {"batch": (2, 3), "n": 0},
)
SAMPLES = (
    {"batch": (5,), "n": 3},
    {"batch": (2, 3), "n": 4},
    {"batch": (2,), "n": 5},
    {"batch": (1,), "n": 2},
    {"batch": (), "n": 3},
    {"batch": (0,), "n": 2},
    {"batch": (3,), "n": 0},
)
KERNELS = (
    {"batch": (5,), "n": 3},
    {"batch": (3, 2), "n": 4},
    {"batch": (1,), "n": 2},
    {"batch": (), "n": 3},
    {"batch": (0,), "n": 2},
    {"batch": (3,), "n": 0},
)
MATRIX = {"batch": (4096,), "n": 1024}
PICTURES = {"batch": (32, 28, 28), "n": 64}
EPSILONS: tuple[Options, ...] = ({}, {"epsilon": 0.3})


def _enough(entries: int, options: Options) -> bool:
    """Keep a small ε from the few entries where dx is of order ε, and its digits are lost."""
    return ("epsilon" in options) == (entries < 4)


def _fits(sizes: Sizes, options: Options) -> bool:
    return _enough(sizes["n"], options)


def _groups_fit(sizes: Sizes, options: Options) -> bool:
    batch, n, groups = sizes["batch"], sizes["n"], options["groups"]
    if not batch or n % groups:
        return False
    if not math.prod(batch) * n:
        return groups == 1
    return "epsilon" in options or math.prod(batch[1:]) * n // groups > 2


def _places_fit(sizes: Sizes, options: Options) -> bool:
    batch = sizes["batch"]
    return len(batch) > 1 and _enough(math.prod(batch[1:]), options)


def _samples_fit(sizes: Sizes, options: Options) -> bool:
    samples = math.prod(sizes["batch"])
    if not options["training"]:
        return samples in (0, 5)
    return samples > 2 or ("epsilon" in options and samples > 0)


def _axis_fits(sizes: Sizes, options: Options) -> bool:
    shape = (*sizes["batch"], sizes["n"])
    if len(shape) == 1 or 0 in shape:
        return options["axis"] == -1
    return "epsilon" in options or shape[-1] > 1


def _kernel_fits(sizes: Sizes, options: Options) -> bool:
    return _enough(math.prod(sizes["batch"]), options)


def _features(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return scales or biases, far from 1 and 0."""
    return normal(rng, n) + 1.5


def _rows(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> np.ndarray:
    return 2 * normal(rng, *batch, n) + 3


def _affine(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return _rows(rng, batch, n), _features(rng, n), _features(rng, n)


def _no_bias(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return _rows(rng, batch, n), _features(rng, n), None


def _no_scale(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return _rows(rng, batch, n), None, _features(rng, n)


def _far(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return every other row of mean 1000 and variance 1e-4, with scales and biases."""
    far = (np.arange(math.prod(batch)) % 2 == 0).reshape(*batch, 1)
    x = np.where(far, 1000 + normal(rng, *batch, n) / 100, normal(rng, *batch, n))
    return x, _features(rng, n), _features(rng, n)


def _scaled(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return _rows(rng, batch, n), _features(rng, n)


def _not_scaled(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return _rows(rng, batch, n), None


def _with_statistics(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return *_affine(rng, batch, n), normal(rng, n), np.round(rng.uniform(0.3, 2, n), 2)


def _statistics_alone(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    x, _, _, *statistics = _with_statistics(rng, batch, n)
    return x, None, None, *statistics


def _far_samples(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return every other feature of mean 1000 and variance 1e-4."""
    x, *rest = _with_statistics(rng, batch, n)
    return np.where(np.arange(n) % 2 == 0, 1000 + x / 100, x), *rest


def _vectors(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (away_from_zero(rng, *batch, n),)


def _directions(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return away_from_zero(rng, *batch, n), _features(rng, n)


cases = (
    *(
        Case(
            "layer_norm",
            manual_bp.layer_norm,
            references.normalization.layer_norm,
            draw,
            sizes,
            options=options,
            variant=variant,
            fits=_fits,
            bench=() if variant else ((MATRIX, {}),),
        )
        for variant, draw, sizes, options in (
            ("", _affine, ROWS, EPSILONS),
            ("no bias", _no_bias, ROWS[:1], EPSILONS[:1]),
            ("no scale", _no_scale, ROWS[1:2], EPSILONS[1:]),
            ("far means", _far, ROWS[:1], EPSILONS[:1]),
        )
    ),
    *(
        Case(
            "rms_norm",
            manual_bp.rms_norm,
            references.normalization.rms_norm,
            draw,
            sizes,
            options=options,
            variant=variant,
            fits=_fits,
            bench=() if variant else ((MATRIX, {}),),
        )
        for variant, draw, sizes, options in (
            ("", _scaled, ROWS, EPSILONS),
            ("no scale", _not_scaled, ROWS[1:2], EPSILONS[1:]),
        )
    ),
    *(
        Case(
            "group_norm",
            manual_bp.group_norm,
            references.normalization.group_norm,
            draw,
            sizes,
            options=options,
            variant=variant,
            fits=_groups_fit,
            bench=() if variant else ((PICTURES, {"groups": 8}),),
        )
        for variant, draw, sizes, options in (
            ("", _affine, PLACES, ({"groups": 1}, {"groups": 2}, {"groups": 3, "epsilon": 0.3})),
            ("no bias", _no_bias, PLACES[:1], ({"groups": 3},)),
            ("no scale", _no_scale, PLACES[:1], ({"groups": 2},)),
        )
    ),
    *(
        Case(
            "instance_norm",
            manual_bp.instance_norm,
            references.normalization.instance_norm,
            draw,
            sizes,
            options=options,
            variant=variant,
            fits=_places_fit,
            bench=() if variant else ((PICTURES, {}),),
        )
        for variant, draw, sizes, options in (
            ("", _affine, PLACES, EPSILONS),
            ("no bias", _no_bias, PLACES[:1], EPSILONS[1:]),
            ("no scale", _no_scale, PLACES[1:2], EPSILONS[:1]),
        )
    ),
    *(
        Case(
            "batch_norm",
            manual_bp.batch_norm,
            references.normalization.batch_norm,
            draw,
            sizes,
            options=options,
            variant=variant,
            fits=_samples_fit,
            bench=() if variant else tuple((s, {"training": True}) for s in (MATRIX, PICTURES)),
        )
        for variant, draw, sizes, options in (
            (
                "",
                _with_statistics,
                SAMPLES,
                (
                    {"training": True, "epsilon": 0.3, "momentum": 0.4},
                    {"training": False, "epsilon": 0.01},
                ),
            ),
            (
                "statistics alone",
                _statistics_alone,
                SAMPLES[:1],
                ({"training": True}, {"training": False}),
            ),
            ("far means", _far_samples, SAMPLES[:1], ({"training": True},)),
        )
    ),
    Case(
        "l2_normalize",
        manual_bp.l2_normalize,
        references.normalization.l2_normalize,
        _vectors,
        ROWS,
        options=({"axis": -1}, {"axis": 0, "epsilon": 0.3}),
        fits=_axis_fits,
        bench=((MATRIX, {"axis": -1}),),
    ),
    Case(
        "weight_norm",
        manual_bp.weight_norm,
        references.normalization.weight_norm,
        _directions,
        KERNELS,
        options=EPSILONS,
        fits=_kernel_fits,
        bench=(({"batch": (3, 3, 256), "n": 512}, {}),),
    ),
)
