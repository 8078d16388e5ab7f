"""Cases of the convolutions: one to three spatial axes, every kind of padding, every setting."""

import functools

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, normal

Axes = tuple[tuple[int, int], ...]  # the places of each spatial axis and the taps of the kernel

SIGNAL = {"b": 2, "axes": ((7, 3),), "c": 3, "m": 4}
IMAGE = {"b": 1, "axes": ((5, 2), (7, 3)), "c": 2, "m": 3}
OBLONG = {"b": 3, "axes": ((4, 5), (6, 1)), "c": 1, "m": 2}
VOLUME = {"b": 2, "axes": ((4, 1), (5, 3), (3, 2)), "c": 2, "m": 1}
POINT = {"b": 1, "axes": ((1, 1),), "c": 1, "m": 1}
EMPTY = {"b": 0, "axes": ((5, 3),), "c": 2, "m": 3}

SETTINGS = ({"strides": 2}, {"padding": "VALID", "dilation": 2})
UNEVEN = (
    {"strides": (2, 3), "padding": ((0, 2), (3, 1)), "dilation": (1, 2)},
    {"strides": (3, 1), "padding": ((5, 4), (0, 0)), "dilation": (2, 1)},
)


def _kernel(
    rng: np.random.Generator,
    b: int,
    axes: Axes,
    c: int,
    m: int,
    *,
    groups: int = 1,
    biased: bool = True,
) -> tuple:
    """Return x, W and b; c and m are the channels of a group."""
    size, kernel = zip(*axes, strict=True)
    x = normal(rng, b, *size, groups * c)
    W = normal(rng, *kernel, c, groups * m)
    return x, W, normal(rng, groups * m) if biased else None


def _fits(sizes: Sizes, options: Options) -> bool:
    """Return whether settings are for as many axes, and a window fits into the padded input."""
    axes = len(sizes["axes"])
    each = {name: options.get(name, 1) for name in ("strides", "dilation")}
    padding = options.get("padding", "SAME")
    given = [*each.values(), padding]
    if any(isinstance(value, tuple) and len(value) != axes for value in given):
        return False
    if padding == "SAME":
        return True
    for axis, (size, taps) in enumerate(sizes["axes"]):
        dilation = each["dilation"]
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
    {"kernel": 3, "strides": 2},
    {"kernel": 2, "padding": "VALID"},
    {"kernel": (2, 3), "strides": (3, 1), "padding": ((0, 2), (3, 1)), "dilation": (1, 2)},
)

_CONV: tuple[tuple[str, dict, tuple, tuple], ...] = (
    ("", {}, (SIGNAL, EMPTY), SETTINGS),
    ("uneven", {}, (OBLONG,), UNEVEN),
    ("2 groups, no bias", {"groups": 2, "biased": False}, (VOLUME, POINT), ({"groups": 2},)),
    ("3 groups", {"groups": 3}, (IMAGE,), ({"groups": 3, "strides": 3, "padding": 1},)),
)

cases = (
    *(
        Case(
            "conv",
            manual_bp.conv,
            references.convolution.conv,
            functools.partial(_kernel, **drawn),
            sizes,
            options,
            variant,
            _fits,
        )
        for variant, drawn, sizes, options in _CONV
    ),
    Case(
        "im2col",
        manual_bp.im2col,
        references.convolution.im2col,
        _patches,
        SPACES,
        PATCHES,
        fits=_patches_fit,
    ),
)
