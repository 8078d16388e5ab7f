"""Cases of the look-ups, cuts and joins: numbers that repeat, every axis, nothing at all."""

from collections.abc import Callable

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, Options, Sizes, always, normal

TABLES = (
    {"batch": (2, 4), "v": 5, "n": 3},
    {"batch": (7,), "v": 1, "n": 1},
    {"batch": (0,), "v": 2, "n": 3},
)
PICKED = (
    {"batch": (4,), "v": 5, "n": 3, "m": 2},
    {"batch": (), "v": 3, "n": 1, "m": 4},
    {"batch": (0, 3), "v": 2, "n": 3, "m": 1},
)
LINES = (
    {"k": 4, "v": 5, "n": 3, "m": 2},
    {"k": 1, "v": 1, "n": 1, "m": 1},
    {"k": 0, "v": 3, "n": 2, "m": 4},
)
BOXES = ({"batch": (3, 5, 2)}, {"batch": (1, 0, 3)})
JOINS = ({"n": 2, "m": 5, "k": 3}, {"n": 1, "m": 0, "k": 2})
ARRAYS = ({"batch": (2, 3, 4)}, {"batch": ()}, {"batch": (0, 1)})

AXES: tuple[Options, ...] = ({"axis": 1},)
WIDTHS: tuple[Options, ...] = (
    {"widths": ((1, 2), (0, 3), (2, 0))},
    {"widths": ((0, 0), (2, 1), (0, 1)), "value": -1.5},
)
CUTS: tuple[Options, ...] = (
    {"starts": (1, 0, 2), "limits": (4, 5, 3)},
    {"starts": (0, 1, 0), "limits": (5, 6, 3), "strides": (2, 3, 1)},
    {"starts": (1, 2, 0), "limits": (5, 2, 3), "strides": (2, 3, 1)},
)
CUT = ({"batch": (5, 7, 3)},)
REPEATED = ({"batch": (4, 1, 2)}, {"batch": (1, 1, 1)})
FLIPS: tuple[Options, ...] = ({"axis": None}, {"axis": -1}, {"axis": (0, -1)})
BOUNDS: tuple[Options, ...] = (
    {"low": -0.4, "high": 0.8},
    {"low": 0.2, "slope_at_bounds": 0.0},
    {"high": 0.4, "slope_at_bounds": 0.5},
)
SHAPES: tuple[Options, ...] = (
    {"shape": (3, 4, 5, 2)},
    {"shape": (4, 1, 2)},
)
GRID = {"batch": (64, 128, 256)}
BENCH: dict[str, Bench] = {
    "embedding": (({"batch": (32, 128), "v": 50_000, "n": 256}, {}),),
    "take": (({"batch": (1024,), "v": 4096, "n": 8, "m": 64}, {"axis": 1}),),
    "take_along_axis": (({"k": 256, "v": 2048, "n": 16, "m": 64}, {"axis": 1}),),
    "scatter_add": (({"batch": (1024,), "v": 4096, "n": 8, "m": 64}, {"axis": 1}),),
    "pad": ((GRID, {"widths": ((0, 0), (1, 1), (2, 2))}),),
    "strided_slice": (
        (GRID, {"starts": (0, 0, 0), "limits": (64, 128, 256), "strides": (1, 2, 2)}),
    ),
    "concatenate": (({"n": 1024, "m": 512, "k": 512}, {"axis": 0}),),
    "flip": ((GRID, {"axis": -1}),),
    # Flattening moves nothing.
    "flatten": (),
    "where": (({"batch": (4096, 1024)}, {}),),
    "clip": (({"batch": (4096, 1024)}, {"low": -0.4, "high": 0.8}),),
    "broadcast_to": (({"batch": (256, 1, 64)}, {"shape": (256, 128, 64)}),),
}


def _rows(rng: np.random.Generator, batch: tuple[int, ...], v: int, n: int) -> tuple:
    return normal(rng, v, n), rng.integers(0, v, batch, dtype=np.int32)


def _narrow_rows(rng: np.random.Generator, batch: tuple[int, ...], v: int, n: int) -> tuple:
    """Return numbers of a dtype that cannot hold that of the rows."""
    return normal(rng, v, n), rng.integers(0, min(v, 128), batch, dtype=np.int8)


def _picked(rng: np.random.Generator, batch: tuple[int, ...], v: int, n: int, m: int) -> tuple:
    return normal(rng, n, v, m), rng.integers(0, v, batch, dtype=np.int32)


def _updates(rng: np.random.Generator, batch: tuple[int, ...], v: int, n: int, m: int) -> tuple:
    return (*_picked(rng, batch, v, n, m), normal(rng, n, *batch, m))


def _picked_first(
    rng: np.random.Generator, batch: tuple[int, ...], v: int, n: int, m: int
) -> tuple:
    return normal(rng, v, n, m), rng.integers(0, v, batch, dtype=np.int32)


def _updates_first(
    rng: np.random.Generator, batch: tuple[int, ...], v: int, n: int, m: int
) -> tuple:
    return (*_picked_first(rng, batch, v, n, m), normal(rng, *batch, n, m))


def _lines(rng: np.random.Generator, k: int, v: int, n: int, m: int) -> tuple:
    return normal(rng, n, v, m), rng.integers(0, v, (n, k, m), dtype=np.int32)


def _joined(rng: np.random.Generator, n: int, m: int, k: int) -> tuple:
    return ([normal(rng, size, 3, k) for size in (n, m, 1)],)


def _joined_last(rng: np.random.Generator, n: int, m: int, k: int) -> tuple:
    return ((normal(rng, k, 3, n), normal(rng, k, 3, m)),)


def _array(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    return (normal(rng, *batch),)


def _branches(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    return rng.random(batch) < 0.5, normal(rng, *batch), normal(rng, *batch)


def _away_from_bounds(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    """Return odd tenths, of which one lies between all bounds; bounds are even tenths."""
    x = np.round(5 * normal(rng, *batch)) / 5 + 0.1
    x.reshape(-1)[:1] = 0.3
    return (x,)


def _has_rows(sizes: Sizes, options: Options) -> bool:
    return bool(sizes["v"] > (options.get("padding_id") or 0))


def _has_axes(sizes: Sizes, options: Options) -> bool:
    axis = options["axis"]
    return len(sizes["batch"]) >= (2 if isinstance(axis, tuple) else int(axis is not None))


def _broadcasts(sizes: Sizes, options: Options) -> bool:
    wanted = options["shape"][-len(sizes["batch"]) :]
    return all(m in (1, n) for m, n in zip(sizes["batch"], wanted, strict=True))


def _case(
    name: str,
    draw: Callable[..., tuple],
    sizes: tuple[Sizes, ...],
    options: tuple[Options, ...] = ({},),
    fits: Callable[[Sizes, Options], bool] = always,
    variant: str = "",
) -> Case:
    op, reference = getattr(manual_bp, name), getattr(references.indexing, name)
    bench = () if variant else BENCH[name]
    return Case(name, op, reference, draw, sizes, options, variant, fits, bench=bench)


_PADDED: tuple[Options, ...] = ({}, {"padding_id": 1})

cases = (
    _case("embedding", _rows, TABLES, _PADDED, _has_rows),
    _case("embedding", _narrow_rows, ({"batch": (3,), "v": 131, "n": 2},), variant="narrow ids"),
    _case("take", _picked, PICKED, AXES, _has_rows),
    _case("take", _picked_first, PICKED[:1], variant="first axis"),
    _case("take_along_axis", _lines, LINES, AXES, _has_rows),
    _case("scatter_add", _updates, PICKED, AXES, _has_rows),
    _case("scatter_add", _updates_first, PICKED[:1], variant="first axis"),
    _case("pad", _array, BOXES, WIDTHS),
    _case("strided_slice", _array, CUT, CUTS),
    _case("concatenate", _joined, JOINS, ({"axis": 0},)),
    _case("concatenate", _joined_last, JOINS[:1], ({"axis": -1},), variant="last axis"),
    _case("flip", _array, ARRAYS, FLIPS, _has_axes),
    _case("flatten", _array, (*BOXES, {"batch": (4,)}, {"batch": (0, 3)})),
    _case("where", _branches, ARRAYS),
    _case("clip", _away_from_bounds, ARRAYS, BOUNDS),
    _case("broadcast_to", _array, REPEATED, SHAPES, _broadcasts),
)
