"""Cases of the activations of more than one argument: slopes, pieces, ties, gates."""

from typing import Any

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, Options, Sizes, away_from_zero, normal

SIZES = (
    {"batch": (2, 3), "n": 5},
    {"batch": (), "n": 3},
    {"batch": (4,), "n": 1},
    {"batch": (0,), "n": 2},
)
PIECES = ({"pieces": 3}, {"pieces": 2, "ties": "split"})


def _slope_each(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return away_from_zero(rng, *batch, n), normal(rng, n)


def _one_slope(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    # A lone number above 0 would have the gradient of the slope vanish.
    return -np.abs(away_from_zero(rng, *batch, n)), normal(rng)


def _pieces(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return, of six neighbours each, numbers no closer to each other than 0.5."""
    x = rng.permuted(np.broadcast_to(np.arange(6) / 2 - 1, (*batch, n, 6)), axis=-1)
    return ((x + np.round(rng.uniform(-1, 1, (*batch, n, 1)), 1)).reshape(*batch, 6 * n),)


def _tied(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (rng.integers(0, 2, (*batch, 6 * n)).astype(float),)


def _halves(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (2 * normal(rng, *batch, 2 * n),)


def _case(name: str, draw: Any, sizes: tuple[Sizes, ...] = SIZES, **rest: Any) -> Case:
    op, reference = getattr(manual_bp, name), getattr(references.gates, name)
    return Case(name, op, reference, draw, sizes, **rest)


BENCH: Bench = (({"batch": (4096,), "n": 512}, {}),)
_BY_TIES: tuple[Options, ...] = ({"pieces": 3}, {"pieces": 6, "ties": "split"})

cases = (
    _case("prelu", _slope_each, bench=(({"batch": (4096,), "n": 1024}, {}),)),
    _case("prelu", _one_slope, ({"batch": (3,), "n": 4}, {"batch": (), "n": 2}), variant="one α"),
    _case(
        "maxout",
        _pieces,
        options=PIECES,
        bench=(({"batch": (2048,), "n": 256}, {"pieces": 3}),),
    ),
    _case("maxout", _tied, SIZES[:1], options=_BY_TIES, variant="ties"),
    *(_case(name, _halves, bench=BENCH) for name in ("glu", "swiglu", "geglu")),
)
