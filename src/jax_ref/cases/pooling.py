"""Cases of pooling: one to three spatial axes, overlapping, dilated, padded, tied."""

import math
from typing import Any

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, Options, Sizes, away_from_zero, normal

LINE = {"b": 2, "spatial": (7,), "c": 3}
PLANE = {"b": 2, "spatial": (5, 4), "c": 3}
SPACE = {"b": 1, "spatial": (3, 4, 2), "c": 2}
NOTHING = {"b": 0, "spatial": (5,), "c": 1}
SIZES = (LINE, PLANE, SPACE, NOTHING)

OVERLAPPING = {"window": (3,), "strides": (2,), "padding": "SAME"}
UNEVEN = {"window": (3, 2), "strides": (1, 3), "padding": ((2, 1), (0, 1))}
HALVED = {"window": (2, 2)}
PICTURES = {"b": 64, "spatial": (56, 56), "c": 32}
FEW_PICTURES = {"b": 32, "spatial": (56, 56), "c": 32}
BENCH: dict[str, Bench] = {
    **dict.fromkeys(("max_pool", "mean_pool"), ((PICTURES, HALVED),)),
    "lp_pool": ((FEW_PICTURES, HALVED),),
    **dict.fromkeys(("global_mean_pool", "global_max_pool"), ((FEW_PICTURES, {}),)),
    **dict.fromkeys(
        ("adaptive_mean_pool", "adaptive_max_pool"), ((FEW_PICTURES, {"size": (7, 7)}),)
    ),
}
TILED = ({"b": 2, "spatial": (6, 4), "c": 3},)
SOLID = {"window": (2, 3, 1), "padding": ((0, 1), (1, 0), (0, 0))}


def _fits(sizes: Sizes, options: Options) -> bool:
    """Return whether the windows fit, and none reads padding alone; of no elements, fewer."""
    spatial, window = sizes["spatial"], options["window"]
    padding = options.get("padding", "VALID")
    if len(window) != len(spatial) or padding == "SAME":
        return len(window) == len(spatial)
    if padding == "VALID":
        return all(k <= n for k, n in zip(window, spatial, strict=True))
    if 0 in (sizes["b"], sizes["c"]):
        return False
    dilation = options.get("dilation", (1,) * len(window))
    return all(
        map(
            _every_window_reads_x,
            spatial,
            window,
            options.get("strides", window),
            padding,
            dilation,
        )
    )


def _every_window_reads_x(n: int, k: int, s: int, padding: tuple[int, int], d: int) -> bool:
    before, after = padding
    starts = np.arange(0, before + n + after - (k - 1) * d, s)
    reads = starts[:, None] + d * np.arange(k) - before
    return starts.size > 0 and bool(((reads >= 0) & (reads < n)).any(1).all())


def _distinct(rng: np.random.Generator, b: int, spatial: tuple[int, ...], c: int) -> tuple:
    """Return values that differ by 1/8 or more between positions, none of them 0."""
    n = math.prod(spatial)
    values = np.broadcast_to((np.arange(n) - n // 2 + 0.5) / 8, (b, c, n))
    return (np.moveaxis(rng.permuted(values, axis=-1), 1, -1).reshape(b, *spatial, c),)


def _normal(rng: np.random.Generator, b: int, spatial: tuple[int, ...], c: int) -> tuple:
    return (normal(rng, b, *spatial, c),)


def _away_from_zero(rng: np.random.Generator, b: int, spatial: tuple[int, ...], c: int) -> tuple:
    return (away_from_zero(rng, b, *spatial, c),)


def _case(
    name: str, draw: Any, sizes: tuple[Sizes, ...] = SIZES, variant: str = "", **keywords: Any
) -> Case:
    op, reference = getattr(manual_bp, name), references.pooling.table[name]
    bench = () if variant else BENCH[name]
    return Case(name, op, reference, draw, sizes, variant=variant, bench=bench, **keywords)


def _as_many_axes(sizes: Sizes, options: Options) -> bool:
    return len(options["size"]) == len(sizes["spatial"])


BINS = tuple({"size": size} for size in ((3,), (2, 3), (1, 2, 3)))
DIVIDING = ({"size": (3, 2)}, {"size": (1, 1)})
TIES = ({"ties": "first"}, {"ties": "split"})

cases = (
    _case(
        "max_pool",
        _distinct,
        options=(
            {**OVERLAPPING, "dilation": (2,)},
            UNEVEN,
            {**UNEVEN, "ties": "split"},
            SOLID,
        ),
        fits=_fits,
    ),
    _case(
        "mean_pool",
        _normal,
        options=(
            {**OVERLAPPING, "count_padding": False},
            {**UNEVEN, "count_padding": False},
            UNEVEN,
            SOLID,
        ),
        fits=_fits,
    ),
    _case(
        "lp_pool",
        _away_from_zero,
        options=(
            {**OVERLAPPING, "p": 1.5},
            {**UNEVEN, "p": 1.0},
            SOLID,
        ),
        fits=_fits,
    ),
    *(
        _case(name, draw, TILED, "tiles", options=({"window": (3, 2)},), fits=_fits)
        for name, draw in (
            ("max_pool", _distinct),
            ("mean_pool", _normal),
            ("lp_pool", _away_from_zero),
        )
    ),
    _case("global_mean_pool", _normal),
    _case("global_max_pool", _distinct, options=TIES),
    _case("adaptive_mean_pool", _normal, options=BINS, fits=_as_many_axes),
    _case(
        "adaptive_mean_pool",
        _normal,
        options=DIVIDING,
        fits=_as_many_axes,
        sizes=({"b": 2, "spatial": (6, 4), "c": 3}, {"b": 0, "spatial": (3, 2), "c": 1}),
        variant="dividing",
    ),
    _case("adaptive_max_pool", _distinct, options=BINS, fits=_as_many_axes),
)
