"""Cases of the regularisers."""

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, normal


def _weights(rng: np.random.Generator, n: int, m: int) -> tuple:
    return ({"first": normal(rng, n, m), "rest": (normal(rng, m), normal(rng, 2, n, 1))},)


def _with_key(rng: np.random.Generator, batch: tuple[int, ...], n: int) -> tuple:
    return normal(rng, *batch, n), rng.integers(0, 2**32, 2, dtype=np.uint32)


def _has_the_axes(sizes: Sizes, options: Options) -> bool:
    """Leave what is sized 0 or () to the first option."""
    rank = len(sizes["batch"]) if sizes["n"] else 0
    if "shared_axes" in options:
        return rank == 2
    return rank == 1 or (rank != 2 and options == {"rate": 0.4})


cases = (
    Case(
        "weight_decay",
        manual_bp.weight_decay,
        references.regularization.weight_decay,
        _weights,
        sizes=({"n": 3, "m": 5}, {"n": 1, "m": 1}, {"n": 4, "m": 0}),
        options=({"decay": 0.3}, {"decay": 0.3, "samples": 7}),
        bench=(({"n": 2048, "m": 1024}, {"decay": 1e-4}),),
    ),
    Case(
        "dropout",
        manual_bp.dropout,
        references.regularization.dropout,
        _with_key,
        sizes=(
            {"batch": (5,), "n": 7},
            {"batch": (2, 3), "n": 5},
            {"batch": (), "n": 3},
            {"batch": (2, 3), "n": 0},
        ),
        options=(
            {"rate": 0.4},
            {"rate": 0.4, "scaling": "evaluation"},
            {"rate": 0.4, "training": False},
            {"rate": 0.4, "scaling": "evaluation", "training": False},
            {"rate": 0.0},
            {"rate": 0.3, "shared_axes": (1,)},
            {"rate": 0.3, "shared_axes": (0, -1)},
        ),
        fits=_has_the_axes,
        bench=(({"batch": (1024,), "n": 1024}, {"rate": 0.4}),),
    ),
)
