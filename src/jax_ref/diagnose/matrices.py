"""Matrix products that a gradient may hold: dy Wᵀ, xᵀ dy, xᵀ (dy Wᵀ ⊙ h')."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jax_ref.diagnose.evidence import Numbers

WORK = 2**28  # multiplications of all products together
PRODUCTS = 400


class Atom(NamedTuple):
    """A named array that gradients are made of, or a product of some.

    Attributes:
      name: in words.
      array: float64.
      degree: of how many arrays and functions it is made.
    """

    name: str
    array: Numbers
    degree: int = 1


def matrices(
    linear: Sequence[Atom], known: Sequence[Atom], slopes: Sequence[Atom], shape: tuple[int, ...]
) -> list[Atom]:
    """Return products of one shape that are linear in a cotangent.

    Args:
      linear: the cotangents.
      known: what they may be multiplied by.
      slopes: what comes in between, elementwise, in a product of three.
      shape: of the leaf.
    """
    bench = _Bench()
    weights = [atom for atom in known if atom.array.ndim > 1]
    found, chains = [], []
    for cotangent in (c for c in linear if c.array.ndim > 1):
        for weight in weights:
            pulled = [*bench.along(cotangent, weight), *bench.across(cotangent, weight)]
            found += [p for p in pulled if p.array.shape == shape]
        chains += [p for w in weights for p in bench.along(cotangent, w)]
        chains.append(cotangent)
    gated = [
        Atom(f"({c.name} ⊙ {slope.name})", c.array * slope.array, c.degree + slope.degree)
        for c in chains
        for slope in slopes
        if slope.array.shape == c.array.shape
    ]
    for chain in (*chains, *gated):
        for weight in weights:
            pulled = [*bench.along(chain, weight), *bench.across(chain, weight)]
            found += [p for p in pulled if p.array.shape == shape]
    return sorted(found, key=lambda p: p.degree)[:PRODUCTS]


class _Bench:
    """Matrix products, as long as they are cheap."""

    def __init__(self) -> None:
        self.work = float(WORK)

    def along(self, left: Atom, weight: Atom) -> Iterator[Atom]:
        """Yield dy W and dy Wᵀ, which keep the samples apart."""
        a, w = left.array, weight.array
        degree = left.degree + weight.degree
        yield from self._product(f"{left.name} @ {weight.name}", a, w, degree)
        yield from self._product(f"{left.name} @ {weight.name}.T", a, w.swapaxes(-1, -2), degree)

    def across(self, left: Atom, weight: Atom) -> Iterator[Atom]:
        """Yield xᵀ dy and the like, which sum over the samples, or over the rows of each."""
        a, w = left.array, weight.array
        degree = left.degree + weight.degree
        name, of = left.name, weight.name
        turned, back = a.swapaxes(-1, -2), w.swapaxes(-1, -2)
        yield from self._product(f"{of}.T @ {name}", back, a, degree)
        yield from self._product(f"{name}.T @ {of}", turned, w, degree)
        yield from self._product(f"{of} @ {name}", w, a, degree)
        yield from self._product(f"{of}.T @ {name}.T", back, turned, degree)
        yield from self._product(f"{of} @ {name}.T", w, turned, degree)
        if a.ndim > 2 and a.shape[:-1] == w.shape[:-1]:
            flat = w.reshape(-1, w.shape[-1]), a.reshape(-1, a.shape[-1])
            yield from self._product(f"{of}.T @ {name}, all samples", flat[0].T, flat[1], degree)

    def _product(self, says: str, x: Numbers, y: Numbers, degree: int) -> Iterator[Atom]:
        fits = x.shape[-1] == y.shape[-2] and (
            x.shape[:-2] == y.shape[:-2] or 2 in (x.ndim, y.ndim)
        )
        work = math.prod(x.shape[:-1]) * math.prod(y.shape[:-2]) * x.shape[-1] * y.shape[-1]
        if fits and work <= self.work:
            self.work -= work
            yield Atom(says, x @ y, degree)
