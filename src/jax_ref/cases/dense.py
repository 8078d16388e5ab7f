"""Cases of the dense ops."""

from typing import Any

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, Options, Sizes, normal

AFFINE = (
    {"batch": (5,), "n": 3, "m": 4},
    {"batch": (), "n": 4, "m": 3},
    {"batch": (2, 3), "n": 7, "m": 5},
    {"batch": (1,), "n": 1, "m": 1},
    {"batch": (0,), "n": 3, "m": 2},
    {"batch": (3,), "n": 0, "m": 2},
    {"batch": (3,), "n": 2, "m": 0},
)
TURNED = ({"batch": (5,), "n": 17, "m": 2}, {"batch": (2, 3), "n": 8, "m": 1})
BILINEAR = (
    {"batch": (2, 3), "n": 4, "k": 5, "m": 2},
    {"batch": (3,), "n": 1, "k": 0, "m": 2},
)
MATRICES = (
    {"batch": (2, 3), "n": 4, "k": 5, "m": 2},
    {"batch": (2,), "n": 3, "k": 0, "m": 1},
)
REPEATED = ({"batch": (2, 3, 4), "n": 3, "k": 2, "m": 1},)
SOFTMAX = (
    {"batch": (4,), "n": 5},
    {"batch": (), "n": 3},
    {"batch": (2, 3), "n": 7},
    {"batch": (3,), "n": 1},
    {"batch": (0,), "n": 4},
)


BENCH_AFFINE: Bench = (({"batch": (256,), "n": 1024, "m": 1024}, {}),)
BENCH_SOFTMAX: Bench = (({"batch": (4096,), "n": 1024}, {"axis": -1}),)


def _row(rng: np.random.Generator, batch: tuple[int, ...], n: int, m: int) -> tuple:
    return normal(rng, *batch, n), normal(rng, n, m), normal(rng, m)


def _column(rng: np.random.Generator, batch: tuple[int, ...], n: int, m: int) -> tuple:
    return normal(rng, n, *batch), normal(rng, m, n), normal(rng, m)


def _row_without_bias(rng: np.random.Generator, **sizes: Any) -> tuple:
    return (*_row(rng, **sizes)[:2], None)


def _column_without_bias(rng: np.random.Generator, **sizes: Any) -> tuple:
    return (*_column(rng, **sizes)[:2], None)


def _bilinear(rng: np.random.Generator, batch: tuple[int, ...], n: int, k: int, m: int) -> tuple:
    inputs = normal(rng, *batch, n), normal(rng, *batch, k)
    return (*inputs, normal(rng, m, n, k), normal(rng, m))


def _bilinear_without_bias(rng: np.random.Generator, **sizes: Any) -> tuple:
    return (*_bilinear(rng, **sizes)[:3], None)


def _matrices(rng: np.random.Generator, batch: tuple[int, ...], n: int, k: int, m: int) -> tuple:
    return normal(rng, *batch, n, k), normal(rng, *batch, k, m)


def _repeated(rng: np.random.Generator, batch: tuple[int, ...], n: int, k: int, m: int) -> tuple:
    """Return matrices of which one lacks the first axis, and the sizes of others are 1."""
    return normal(rng, 1, *batch[2:], n, k), normal(rng, *batch[:-1], 1, k, m)


def _scores(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (2 * normal(rng, *batch, n),)


def _sure_scores(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return scores of which one stands out, so that y is near 1 there."""
    (u,) = _scores(rng, batch, n)
    return (u / 2 + 5 * np.eye(n)[rng.integers(0, n, batch)],)


def _around_support(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    """Return u that is the output plus a threshold, or 0.1 and more below the threshold."""
    places = rng.permuted(np.broadcast_to(np.arange(n), (*batch, n)), axis=-1)
    inside = places < rng.integers(min(n, 2), n + 1, (*batch, 1))
    y = rng.uniform(0.5, 1, (*batch, n)) * inside
    y = y / y.sum(-1, keepdims=True) - rng.uniform(0.1, 1.5, (*batch, n)) * ~inside
    return (np.round(y + rng.standard_normal((*batch, 1)), 2),)


def _around_support_down(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return (np.moveaxis(_around_support(rng, batch, n)[0], -1, 0),)


def _axis_has_entries(sizes: Sizes, options: Options) -> bool:
    shape = (*sizes["batch"], sizes["n"])
    return shape[options["axis"]] > 0


cases = (
    Case(
        "linear",
        manual_bp.linear,
        references.dense.linear,
        _row,
        (*AFFINE, *TURNED),
        bench=BENCH_AFFINE,
    ),
    Case(
        "linear",
        manual_bp.linear,
        references.dense.linear,
        _row_without_bias,
        AFFINE,
        variant="no bias",
    ),
    Case(
        "linear_column",
        manual_bp.linear_column,
        references.dense.linear_column,
        _column,
        AFFINE,
        bench=BENCH_AFFINE,
    ),
    Case(
        "linear_column",
        manual_bp.linear_column,
        references.dense.linear_column,
        _column_without_bias,
        AFFINE,
        variant="no bias",
    ),
    Case(
        "bilinear",
        manual_bp.bilinear,
        references.dense.bilinear,
        _bilinear,
        BILINEAR,
        bench=(({"batch": (256,), "n": 128, "k": 128, "m": 64}, {}),),
    ),
    Case(
        "bilinear",
        manual_bp.bilinear,
        references.dense.bilinear,
        _bilinear_without_bias,
        BILINEAR[:1],
        variant="no bias",
    ),
    Case(
        "matmul",
        manual_bp.matmul,
        references.dense.matmul,
        _matrices,
        MATRICES,
        bench=(({"batch": (16,), "n": 256, "k": 256, "m": 256}, {}),),
    ),
    Case(
        "matmul",
        manual_bp.matmul,
        references.dense.matmul,
        _repeated,
        REPEATED,
        variant="repeated",
    ),
    *(
        Case(
            name,
            getattr(manual_bp, name),
            getattr(references.dense, name),
            _scores,
            SOFTMAX,
            options=({"axis": -1}, {"axis": 0, "temperature": 1.5}),
            fits=_axis_has_entries,
            bench=BENCH_SOFTMAX,
        )
        for name in ("softmax", "log_softmax")
    ),
    Case(
        "softmax",
        manual_bp.softmax,
        references.dense.softmax_by_pairs,
        _sure_scores,
        SOFTMAX[:3],
        variant="sure",
    ),
    Case(
        "sparsemax",
        manual_bp.sparsemax,
        references.dense.sparsemax,
        _around_support,
        SOFTMAX,
        bench=(({"batch": (256,), "n": 512}, {}),),
    ),
    Case(
        "sparsemax",
        manual_bp.sparsemax,
        references.dense.sparsemax,
        _around_support_down,
        SOFTMAX[2:3],
        options=({"axis": 0},),
        variant="down",
    ),
)
