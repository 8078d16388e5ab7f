"""Cases of the elementwise functions."""

from collections.abc import Callable

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Bench, Case, normal
from manual_bp.activations import Elementwise

SIZES = ({"batch": (2, 1, 7)}, {"batch": ()}, {"batch": (0, 4)})

OPTIONS = {
    "relu": tuple({"slope_at_zero": s} for s in (1.0, 0.0, 0.5)),
    "leaky_relu": (
        {},
        {"negative_slope": 0.3, "slope_at_zero": 0.0},
        {"negative_slope": -0.5},
    ),
    "elu": ({}, {"alpha": 0.3}),
    "celu": ({}, {"alpha": 0.3}),
}
BENCH: Bench = (({"batch": (4096, 1024)}, {}),)


def _drawn_for(activation: Elementwise) -> Callable[..., tuple]:
    """Return a draw that reaches every piece of the function and keeps away from its kinks."""
    points = [point for point, _ in activation.kinks]
    scale = max([2, *points])

    def draw(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
        u = scale * normal(rng, *batch)
        for point in points:
            u = np.where(np.abs(u - point) < 0.1, point + 0.25, u)
        # A lone number in a flat piece would have the gradient vanish, and the case show nothing.
        return (np.minimum(np.abs(u), 0.75) if u.size == 1 else u,)

    return draw


def _extremes_for(activation: Elementwise) -> Callable[..., tuple]:
    # float16 does not hold the square of 1e4.
    large = 200.0 if activation is manual_bp.squared_relu else 1e4

    def draw(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
        u = np.asarray([large, -large, 40.0, -40.0, 2.0, 0.5])
        return (u[rng.integers(0, len(u), batch)],)

    return draw


_everywhere = tuple(
    Case(
        op_name=name,
        op=activation,
        reference=references.activations.table[name],
        draw=_drawn_for(activation),
        sizes=SIZES,
        options=OPTIONS.get(name, ({},)),
        # The identity has nothing to compute.
        bench=() if activation is manual_bp.identity else BENCH,
    )
    for name, activation in manual_bp.activations.table.items()
)

_extremes = tuple(
    Case(
        op_name=name,
        op=activation,
        reference=references.activations.table[name],
        draw=_extremes_for(activation),
        sizes=({"batch": (5, 7)},),
        variant="extremes",
    )
    for name, activation in manual_bp.activations.table.items()
)

cases = (*_everywhere, *_extremes)
