"""Linear interpolation along one axis by a whole factor, all places of one phase at once.

Shapes   x, dx: (…, n, …)   y, dy: (…, f n, …)
Forward  Place fk + r of y lies δ = (2r + 1 − f)/(2f) places behind place k of x, between it and the
         neighbour on the side of δ: behind k for δ > 0, before it for δ < 0, none for δ = 0.
           y_{fk+r} = (1 − |δ|) xₖ + |δ| xₖ₊₁ or |δ| xₖ₋₁
         Before the first place stands the first, and behind the last the last.
Derive   With dyₖʳ = dy_{fk+r}, xₖ is used by all phases of k, as the neighbour by those of k − 1
         with δ > 0 and of k + 1 with δ < 0, and at an edge as its own neighbour:
  (1) hereₖ = Σᵣ (1 − |δᵣ|) dyₖʳ,   behindₖ = Σ_{δ>0} |δᵣ| dyₖʳ,   beforeₖ = Σ_{δ<0} |δᵣ| dyₖʳ
  (2) dxₖ = hereₖ + behindₖ₋₁ + beforeₖ₊₁ + 1[k = 0] before₀ + 1[k = n−1] behindₙ₋₁
         What is not there counts 0.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from manual_bp import windows


def stretch(x: Float[Array, "*shape"], factor: int, axis: int) -> Float[Array, "*longer"]:
    """Return y, interpolated along the axis."""
    phases = [
        (1 - share) * x + share * _neighbour(x, axis, side) if side else x
        for side, share in _shares(factor)
    ]
    shape = (*x.shape[:axis], factor * x.shape[axis], *x.shape[axis + 1 :])
    return jnp.stack(phases, axis + 1).reshape(shape)


def stretch_transposed(
    dy: Float[Array, "*longer"], factor: int, axis: int
) -> Float[Array, "*shape"]:
    """Return dx."""
    shape = (*dy.shape[:axis], dy.shape[axis] // factor, factor, *dy.shape[axis + 1 :])
    phases = jnp.unstack(dy.reshape(shape), axis=axis + 1)
    of_phases = [*zip(_shares(factor), phases, strict=True)]
    dx = windows.total((1 - share) * phase for (_, share), phase in of_phases)  # (1)
    for side in (-1, 1):
        owed = [share * phase for (towards, share), phase in of_phases if towards == side]
        if owed:
            dx = dx + _neighbour_transposed(windows.total(owed), axis, side)  # (1), (2)
    return dx


def _shares(factor: int) -> Iterator[tuple[int, float]]:
    """Yield of each phase on which side its neighbour is, −1, 1 or 0 for none, and its share."""
    for r in range(factor):
        twice = 2 * r + 1 - factor
        yield int(np.sign(twice)), abs(twice) / (2 * factor)


def _neighbour(x: Float[Array, "*shape"], axis: int, side: int) -> Float[Array, "*shape"]:
    """Return what stands before each entry, for side −1, or behind it; at the edge itself."""
    return jnp.where(_edge(x, axis, side), x, _moved(x, axis, -side))


def _neighbour_transposed(
    dx: Float[Array, "*shape"], axis: int, side: int
) -> Float[Array, "*shape"]:
    """Return what each entry is owed as a neighbour on that side."""
    return _moved(dx, axis, side) + jnp.where(_edge(dx, axis, side), dx, 0)


def _edge(x: jax.Array, axis: int, side: int) -> Bool[Array, "*shape"]:
    """Return which entries are the first, of side −1, or the last, of side 1."""
    place = {-1: 0, 1: x.shape[axis] - 1}[side]
    return jax.lax.broadcasted_iota(jnp.int32, x.shape, axis) == place


def _moved(x: Float[Array, "*shape"], axis: int, places: int) -> Float[Array, "*shape"]:
    """Return x moved by one place towards the end, or by −1, and 0 where nothing came from."""
    around = [(0, 0, 0)] * x.ndim
    around[axis] = (places, -places, 0)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), around)
