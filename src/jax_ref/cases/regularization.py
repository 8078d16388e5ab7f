"""Cases of the regularisers."""

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, normal


def _weights(rng: np.random.Generator, n: int, m: int) -> tuple:
    return ({"first": normal(rng, n, m), "rest": (normal(rng, m), normal(rng, 2, n, 1))},)


cases = (
    Case(
        "weight_decay",
        manual_bp.weight_decay,
        references.regularization.weight_decay,
        _weights,
        sizes=({"n": 3, "m": 5}, {"n": 1, "m": 1}, {"n": 4, "m": 0}),
        options=({"decay": 0.3}, {"decay": 0.3, "samples": 7}),
    ),
)
