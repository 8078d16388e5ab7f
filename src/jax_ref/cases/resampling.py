"""Cases of resampling: larger and smaller, by factors and to sizes, one to three axes."""

from typing import Any

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, normal

SIZES = (
    {"b": 2, "spatial": (5,), "c": 3},
    {"b": 2, "spatial": (3, 4), "c": 1},
    {"b": 1, "spatial": (2, 1, 3), "c": 2},
    {"b": 0, "spatial": (3,), "c": 2},
)
TARGETS = ({"factor": 3}, {"size": (5, 2)}, {"size": (1, 4, 5)}, {"size": (1, 2)})
CORNERS = ({"factor": 2, "align_corners": True}, {"size": (1, 2), "align_corners": True})
SQUARES = (
    {"b": 2, "h": 3, "w": 2, "c": 5},
    {"b": 0, "h": 1, "w": 3, "c": 1},
)
FACTOR = 6  # every factor below divides it
PICTURES = {"b": 32, "spatial": (28, 28), "c": 32}
BENCH: dict[str, Sizes] = {
    "upsample_nearest": PICTURES,
    "upsample_linear": PICTURES,
    "pixel_shuffle": {"b": 16, "h": 56, "w": 56, "c": 2},
    "pixel_unshuffle": {"b": 16, "h": 28, "w": 28, "c": 8},
}


def _normal(rng: np.random.Generator, b: int, spatial: tuple[int, ...], c: int) -> tuple:
    return (normal(rng, b, *spatial, c),)


def _many_channels(rng: np.random.Generator, b: int, h: int, w: int, c: int) -> tuple:
    return (normal(rng, b, h, w, c * FACTOR**2),)


def _many_pixels(rng: np.random.Generator, b: int, h: int, w: int, c: int) -> tuple:
    return (normal(rng, b, h * FACTOR, w * FACTOR, c),)


def _fits(sizes: Sizes, options: Options) -> bool:
    return "factor" in options or len(options["size"]) == len(sizes["spatial"])


def _case(name: str, draw: Any, sizes: tuple[Sizes, ...], **keywords: Any) -> Case:
    reference = references.resampling.table[name]
    bench = ((BENCH[name], {"factor": 2}),)
    return Case(name, getattr(manual_bp, name), reference, draw, sizes, bench=bench, **keywords)


_FACTORS = ({"factor": 2}, {"factor": 3})

cases = (
    _case("upsample_nearest", _normal, SIZES, options=TARGETS, fits=_fits),
    _case("upsample_linear", _normal, SIZES, options=(*TARGETS, *CORNERS), fits=_fits),
    _case("pixel_shuffle", _many_channels, SQUARES, options=_FACTORS),
    _case("pixel_unshuffle", _many_pixels, SQUARES, options=_FACTORS),
)
