"""Cases of the elementwise functions."""

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, away_from_zero, normal

SIZES = ({"batch": (5, 3)}, {"batch": ()}, {"batch": (2, 1, 7)}, {"batch": (1,)}, {"batch": (0, 4)})

OPTIONS = {
    "relu": tuple({"slope_at_zero": s} for s in (1.0, 0.0, 0.5)),
    "leaky_relu": (
        {},
        {"negative_slope": 0.3, "slope_at_zero": 0.0},
        {"negative_slope": -0.5},
    ),
}


def _draw(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    return (2 * normal(rng, *batch),)


def _draw_away_from_kink(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    u = 2 * away_from_zero(rng, *batch)
    # A lone negative number would have relu's gradient vanish, and the case show nothing.
    return (np.abs(u) if u.size == 1 else u,)


def _draw_extremes(rng: np.random.Generator, batch: tuple[int, ...]) -> tuple:
    u = np.asarray([1e4, -1e4, 40.0, -40.0, 2.0])
    return (u[rng.integers(0, len(u), batch)],)


_everywhere = tuple(
    Case(
        op_name=name,
        op=activation,
        reference=references.activations.table[name],
        draw=_draw_away_from_kink if name in OPTIONS else _draw,
        sizes=SIZES,
        options=OPTIONS.get(name, ({},)),
    )
    for name, activation in manual_bp.activations.table.items()
)

_extremes = tuple(
    Case(
        op_name=name,
        op=activation,
        reference=references.activations.table[name],
        draw=_draw_extremes,
        sizes=({"batch": (5, 7)},),
        variant="extremes",
    )
    for name, activation in manual_bp.activations.table.items()
)

cases = (*_everywhere, *_extremes)
