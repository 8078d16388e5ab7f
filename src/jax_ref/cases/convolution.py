"""Cases of the convolutions: one to three spatial axes, every kind of padding, every setting."""

import functools
from typing import Any

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, Options, Sizes, normal

Axes = tuple[tuple[int, int], ...]  # the places of each spatial axis and the taps of the kernel

SIGNAL = {"b": 2, "axes": ((7, 3),), "c": 3, "m": 4}
IMAGE = {"b": 1, "axes": ((5, 2), (7, 3)), "c": 2, "m": 3}
OBLONG = {"b": 3, "axes": ((4, 5), (6, 1)), "c": 1, "m": 2}
VOLUME = {"b": 2, "axes": ((4, 1), (5, 3), (3, 2)), "c": 2, "m": 1}
BATCH = {"b": 33, "axes": ((4, 2),), "c": 2, "m": 1}
POINTS = {"b": 2, "axes": ((3, 1), (2, 1)), "c": 3, "m": 2}
# Images that are laid side by side, with strides of 1 and of 2, no larger than that wants.
WIDE = {"b": 3, "axes": ((2, 2), (442, 3)), "c": 32, "m": 33}
WIDER = {"b": 3, "axes": ((2, 2), (884, 3)), "c": 32, "m": 33}
# A kernel whose rows are no more than the channels of input and output together.
FEW_ROWS = {"b": 3, "axes": ((4, 2), (5, 3)), "c": 2, "m": 10}
EMPTY = {"b": 0, "axes": ((1, 1),), "c": 1, "m": 3}

SETTINGS = ({"strides": 2}, {"padding": "VALID", "dilation": 2})
UNEVEN = (
    {"strides": (2, 3), "padding": ((0, 2), (3, 1)), "dilation": (1, 2)},
    {"strides": (3, 1), "padding": ((5, 4), (0, 0)), "dilation": (2, 1)},
)
SIDE_BY_SIDE: tuple[Options, ...] = (
    {},
    {"padding": "VALID", "dilation": (1, 2)},
    {"padding": ((1, 0), (2, 5))},
    {"padding": ((0, 1), (3, 3))},
)
SIDE_BY_SIDE_STRIDED: tuple[Options, ...] = (
    {"strides": (3, 2)},
    {"strides": (2, 2), "padding": ((0, 1), (1, 1))},
)

SETTINGS_TRANSPOSED = ({"strides": 2, "output_padding": 1}, {"padding": 1, "dilation": 2})
UNEVEN_TRANSPOSED = (
    {
        "strides": (2, 3),
        "padding": ((0, 2), (3, 1)),
        "output_padding": (1, 2),
        "dilation": (1, 2),
    },
)

NO_BIAS = {"groups": 2, "biased": False}
THREE = {"groups": 3}
DEPTHWISE = {"depthwise": True}

TIMES = (
    {"b": 2, "t": 7, "k": 3, "c": 2, "m": 1},
    {"b": 1, "t": 2, "k": 5, "c": 1, "m": 3},
    {"b": 0, "t": 3, "k": 1, "c": 2, "m": 2},
)


BENCH: dict[str, Bench] = {
    "conv": (
        ({"b": 64, "axes": ((28, 3), (28, 3)), "c": 16, "m": 32}, {}),
        ({"b": 16, "axes": ((14, 3), (14, 3)), "c": 128, "m": 128}, {}),
        ({"b": 64, "axes": ((28, 1), (28, 1)), "c": 64, "m": 64}, {}),
    ),
    "depthwise_conv": (({"b": 32, "axes": ((56, 3), (56, 3)), "c": 64, "m": 1}, {}),),
    "transposed_conv": (
        (
            {"b": 16, "axes": ((14, 4), (14, 4)), "c": 64, "m": 32},
            {"strides": 2, "padding": 1},
        ),
    ),
    "causal_conv_1d": (({"b": 16, "t": 512, "k": 3, "c": 64, "m": 64}, {"dilation": 2}),),
    "im2col": (({"b": 32, "space": (28, 28), "c": 16}, {"kernel": 3}),),
}


def _has_times(sizes: Sizes, options: Options) -> bool:
    del options
    return min(sizes["t"], sizes["k"]) > 0


def _kernel(
    rng: np.random.Generator,
    b: int,
    axes: Axes,
    c: int,
    m: int,
    *,
    groups: int = 1,
    depthwise: bool = False,
    biased: bool = True,
) -> tuple:
    """Return x, W and b; c and m are the channels of a group, or m the multiplier."""
    size, kernel = zip(*axes, strict=True)
    x = normal(rng, b, *size, groups * c)
    W = normal(rng, *kernel, c, groups * m)
    outputs = (c if depthwise else groups) * m
    return x, W, normal(rng, outputs) if biased else None


def _causal(
    rng: np.random.Generator, b: int, t: int, k: int, c: int, m: int, **settings: Any
) -> tuple:
    return _kernel(rng, b, ((t, k),), c, m, **settings)


def _same_rank(sizes: Sizes, options: Options) -> bool:
    axes = len(sizes["axes"])
    return all(len(value) == axes for value in options.values() if isinstance(value, tuple))


def _fits(sizes: Sizes, options: Options) -> bool:
    """Return whether settings are for as many axes, and a window fits into the padded input."""
    padding, dilation = options.get("padding", "SAME"), options.get("dilation", 1)
    if not _same_rank(sizes, options):
        return False
    if padding == "SAME":
        return True
    for axis, (size, taps) in enumerate(sizes["axes"]):
        apart = dilation[axis] if isinstance(dilation, tuple) else dilation
        match padding:
            case "VALID":
                around = 0
            case int():
                around = 2 * padding
            case _:
                around = sum(padding[axis])
        if apart * (taps - 1) + 1 > size + around:
            return False
    return True


def _patches(rng: np.random.Generator, b: int, space: tuple[int, ...], c: int) -> tuple:
    return (normal(rng, b, *space, c),)


def _patches_fit(sizes: Sizes, options: Options) -> bool:
    space, kernel = sizes["space"], options["kernel"]
    taps = kernel if isinstance(kernel, tuple) else (kernel,) * len(space)
    return len(taps) == len(space) and _fits(
        {"axes": tuple(zip(space, taps, strict=True))}, options
    )


SPACES = (
    {"b": 2, "space": (7,), "c": 3},
    {"b": 3, "space": (5, 6), "c": 2},
    {"b": 0, "space": (5,), "c": 2},
)
PATCHES = (
    {"kernel": 2, "padding": "VALID"},
    {"kernel": (2, 3), "strides": (3, 1), "padding": ((0, 2), (3, 1)), "dilation": (1, 2)},
)

_VARIANTS: tuple[tuple[str, str, dict, tuple, tuple], ...] = (
    ("conv", "", {}, (SIGNAL, BATCH), SETTINGS),
    ("conv", "one tap", {}, (POINTS,), ({"strides": 2}, {})),
    ("conv", "uneven", {}, (OBLONG,), UNEVEN),
    ("conv", "side by side", {}, (WIDE,), SIDE_BY_SIDE),
    ("conv", "side by side, strided", {}, (WIDER,), SIDE_BY_SIDE_STRIDED),
    ("conv", "few rows", {}, (FEW_ROWS,), ({}, UNEVEN[0])),
    ("conv", "2 groups, no bias", NO_BIAS, (VOLUME, EMPTY), ({"groups": 2},)),
    ("conv", "3 groups", THREE, (IMAGE,), ({"groups": 3, "strides": 3, "padding": 1},)),
    ("depthwise_conv", "", DEPTHWISE, (IMAGE,), (SETTINGS[1], UNEVEN[0])),
    ("depthwise_conv", "no bias", {**DEPTHWISE, "biased": False}, (VOLUME, EMPTY), ({},)),
    ("transposed_conv", "", {}, (SIGNAL,), SETTINGS_TRANSPOSED),
    ("transposed_conv", "uneven", {}, (OBLONG,), UNEVEN_TRANSPOSED),
    ("transposed_conv", "2 groups, no bias", NO_BIAS, (IMAGE, EMPTY), ({"groups": 2},)),
)

cases = (
    *(
        Case(
            name,
            getattr(manual_bp, name),
            getattr(references.convolution, name),
            functools.partial(_kernel, **drawn),
            sizes,
            options,
            variant,
            _same_rank if name == "transposed_conv" else _fits,
            bench=() if variant else BENCH[name],
        )
        for name, variant, drawn, sizes, options in _VARIANTS
    ),
    *(
        Case(
            "causal_conv_1d",
            manual_bp.causal_conv_1d,
            references.convolution.causal_conv_1d,
            functools.partial(_causal, groups=groups, biased=biased),
            sizes,
            ({"groups": groups, "dilation": dilation},),
            variant,
            _has_times,
            bench=() if variant else BENCH["causal_conv_1d"],
        )
        for variant, sizes, groups, biased, dilation in (
            ("", TIMES, 1, True, 2),
            ("3 groups, no bias", TIMES[:1], 3, False, 1),
        )
    ),
    Case(
        "im2col",
        manual_bp.im2col,
        references.convolution.im2col,
        _patches,
        SPACES,
        PATCHES,
        fits=_patches_fit,
        bench=BENCH["im2col"],
    ),
)
