"""Cases of the reductions and scans: over one axis, several, all; zeros among factors."""

from collections.abc import Callable
from typing import Any

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, Options, Sizes, normal

SIZES = (
    {"batch": (2, 3), "n": 5},
    {"batch": (1,), "n": 1},
    {"batch": (0,), "n": 3},
)
REDUCED: tuple[Options, ...] = (
    {"axis": -1},
    {"axis": (-1, 0), "keepdims": True},
    {"axis": None},
)
ALONG: tuple[Options, ...] = ({"axis": -1}, {"axis": 0})
TIES: tuple[Options, ...] = (
    {"axis": -1, "ties": "first"},
    {"axis": (2, 0), "ties": "first", "keepdims": True},
    {"axis": None, "ties": "split"},
    {"axis": 0, "ties": "split", "keepdims": True},
)
ROWS = {"batch": (4096,), "n": 1024}
FEW_ROWS = {"batch": (1024,), "n": 512}
BENCH: dict[str, Bench] = {
    **dict.fromkeys(("reduce_sum", "reduce_mean", "cumsum", "logsumexp"), ((ROWS, {"axis": -1}),)),
    **dict.fromkeys(("reduce_max", "reduce_min"), ((ROWS, {"axis": -1, "ties": "first"}),)),
    **dict.fromkeys(("reduce_prod", "cumprod"), ((FEW_ROWS, {"axis": -1}),)),
}


def _numbers(sizes: Sizes, options: Options) -> frozenset[int] | None:
    """Return the axes from 0; None where one does not exist or comes twice."""
    axis, rank = options["axis"], len(sizes["batch"]) + 1
    given = range(rank) if axis is None else (axis,) if isinstance(axis, int) else axis
    found = frozenset(one % rank for one in given if -rank <= one < rank)
    return found if len(found) == len(given) else None


def _fits(sizes: Sizes, options: Options) -> bool:
    return _numbers(sizes, options) is not None


def _fits_entries(sizes: Sizes, options: Options) -> bool:
    found, shape = _numbers(sizes, options), (*sizes["batch"], sizes["n"])
    return found is not None and all(shape[axis] for axis in found)


def _draw(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (normal(rng, *batch, n),)


def _distinct(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return numbers no closer to each other than 0.25, of both signs."""
    x = (np.arange(n * np.prod(batch, dtype=int)) - 1.5) / 4
    return (rng.permutation(x).reshape(*batch, n),)


def _factors(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (np.round(rng.choice([-1, 1], (*batch, n)) * rng.uniform(0.5, 1.5, (*batch, n)), 2),)


def _with_zeros(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return factors of which, along the last axis, one, two, three, none, … are 0."""
    (x,) = _factors(rng, batch, n)
    rows = x.reshape(-1, n) if x.size else x.reshape(0, max(n, 1))
    for zeros, row in enumerate(rows, start=1):
        row[rng.permutation(n)[: zeros % 4]] = 0
    return (rows.reshape(*batch, n),)


def _scores(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (2 * normal(rng, *batch, n),)


def _far(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return scores of which every other one is too far below to count."""
    (x,) = _scores(rng, batch, n)
    return (np.where(np.arange(n) % 2 == 1, -1e4, x),)


def _case(
    name: str,
    draw: Callable[..., tuple],
    options: tuple[Options, ...],
    fits: Callable[[Sizes, Options], bool] = _fits,
    **rest: Any,
) -> Case:
    op, reference = getattr(manual_bp, name), getattr(references.reductions, name)
    bench = () if "variant" in rest else BENCH[name]
    sizes = rest.pop("sizes", SIZES)
    return Case(name, op, reference, draw, sizes, options, fits=fits, bench=bench, **rest)


cases = (
    _case("reduce_sum", _draw, REDUCED),
    _case("reduce_mean", _draw, REDUCED, _fits_entries),
    _case("reduce_max", _distinct, TIES, _fits_entries),
    _case("reduce_min", _distinct, TIES, _fits_entries),
    _case("reduce_prod", _factors, REDUCED),
    _case("reduce_prod", _with_zeros, REDUCED[:1], sizes=SIZES[:1], variant="zeros"),
    _case("cumsum", _draw, ALONG),
    _case("cumprod", _factors, ALONG),
    _case("cumprod", _with_zeros, ALONG[:1], sizes=SIZES[:1], variant="zeros"),
    _case("logsumexp", _scores, REDUCED, _fits_entries),
    _case("logsumexp", _far, REDUCED[:1], sizes=SIZES[:1], variant="far apart"),
)
