"""Cases of attention: heads that share keys, sizes of 1 and 0, masks, tiles that are not full."""

from collections.abc import Callable

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, Options, Sizes, normal

HEADS = (
    {"b": 2, "t": 3, "s": 5, "n": 2, "g": 1, "h": 3, "w": 2},
    {"b": 1, "t": 5, "s": 3, "n": 4, "g": 2, "h": 2, "w": 3},
    {"b": 1, "t": 2, "s": 4, "n": 2, "g": 2, "h": 2, "w": 2},
    {"b": 1, "t": 1, "s": 1, "n": 1, "g": 1, "h": 1, "w": 1},
    {"b": 0, "t": 2, "s": 3, "n": 2, "g": 2, "h": 1, "w": 2},
    {"b": 2, "t": 0, "s": 2, "n": 1, "g": 1, "h": 2, "w": 1},
    {"b": 1, "t": 2, "s": 0, "n": 1, "g": 1, "h": 2, "w": 1},
)
SEEN: tuple[Options, ...] = (
    {},
    {"causal": True, "tile": (1, 2, 2)},
    {"window": (1, 0), "scale": 0.7, "tile": (1, 2, 3)},
    {"window": (0, 2), "tile": (2, 1, 2)},
    {"window": (None, 1), "tile": (1, 3, 1)},
    {"window": (2, None), "causal": True},
)
SCORES = "bnts"
# A bias that is the same for all keys has no gradient: it changes no softmax.
BIASES: tuple[Sizes, ...] = (
    {**HEADS[0], "repeated": ""},
    {**HEADS[1], "repeated": "bt"},
    {**HEADS[0], "repeated": "bnt"},
)
MASKS: tuple[Sizes, ...] = (
    {**HEADS[0], "repeated": ""},
    {**HEADS[1], "repeated": "ns"},
    {**HEADS[0], "repeated": "bt"},
)
TILED: tuple[Options, ...] = ({}, {"tile": (1, 2, 2)})
BENCH: Bench = (
    ({"b": 1, "t": 2048, "s": 2048, "n": 8, "g": 8, "h": 64, "w": 64}, {"causal": True}),
    ({"b": 8, "t": 512, "s": 512, "n": 8, "g": 8, "h": 64, "w": 64}, {}),
)


def _fits(sizes: Sizes, options: Options) -> bool:
    del options
    return sizes["g"] > 0 and sizes["n"] % sizes["g"] == 0


def _heads(
    rng: np.random.Generator, b: int, t: int, s: int, n: int, g: int, h: int, w: int
) -> tuple:
    """Return queries, keys and values, no bias and no mask."""
    return normal(rng, b, t, n, h), normal(rng, b, s, g, h), normal(rng, b, s, g, w), None, None


def _shape(sizes: Sizes, repeated: str) -> list[int]:
    """Return the shape of a bias or mask, 1 along the axes along which it is repeated."""
    return [1 if axis in repeated else sizes[axis] for axis in SCORES]


def _biased(rng: np.random.Generator, *, repeated: str, **sizes: int) -> tuple:
    return *_heads(rng, **sizes)[:3], normal(rng, *_shape(sizes, repeated)), None


def _far_apart(rng: np.random.Generator, *, repeated: str, **sizes: int) -> tuple:
    """Return a bias that is much larger for a query than for the one before, and a mask."""
    *args, bias, _ = _biased(rng, repeated=repeated, **sizes)
    rows = 800.0 * np.arange(bias.shape[2])[:, None]
    return *args, bias + rows, rng.random(_shape(sizes, "n")) < 0.7


def _masked(rng: np.random.Generator, *, repeated: str, **sizes: int) -> tuple:
    """Return a mask under which a query may see nothing."""
    return *_heads(rng, **sizes)[:4], rng.random(_shape(sizes, repeated)) < 0.5


def _both(rng: np.random.Generator, *, repeated: str, **sizes: int) -> tuple:
    """Return a bias, and a mask that is repeated where the bias is not."""
    others = "".join(axis for axis in SCORES if axis not in repeated)
    given = _biased(rng, repeated=repeated, **sizes)
    return *given[:4], rng.random(_shape(sizes, others)) < 0.7


def _case(
    draw: Callable[..., tuple],
    sizes: tuple[Sizes, ...],
    options: tuple[Options, ...],
    variant: str = "",
    bench: Bench = (),
) -> Case:
    op, reference = manual_bp.dot_product_attention, references.attention.dot_product_attention
    return Case(
        "dot_product_attention", op, reference, draw, sizes, options, variant, _fits, bench=bench
    )


cases = (
    _case(_heads, HEADS, SEEN, bench=BENCH),
    _case(_biased, BIASES, TILED, "bias"),
    _case(_masked, MASKS, TILED, "mask"),
    _case(_far_apart, BIASES[:1], TILED, "far apart"),
    _case(_both, BIASES[1:], TILED[1:], "bias and mask"),
)
