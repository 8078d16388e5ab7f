"""The terms and factors that a gradient may be made of: products of named arrays, and their sums.

Atoms     arguments, intermediates and outputs that broadcast to the leaf, or to what is summed
Outer     1, atoms, products of two
Inner     a cotangent times 1, an atom or two, as it is or summed over some of its axes
Slopes    functions of an atom: 1 − a², a (1 − a), cos a, a > 0, …
Values    are kept at a few thousand entries of the leaf; the sums run over all.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jax_ref.diagnose.evidence import Evidence, Numbers, real
from jax_ref.diagnose.matrices import Atom, matrices
from jax_ref.diagnose.places import aligned, is_floating

ATOMS = 10
WORK = 2**26  # numbers that the products before their sums may have together
DERIVED = 3  # degree of what no one named, so that named arrays are preferred
PLAIN = 2  # degree of what pairs of terms are made of, beside the cotangent
MATED = 8  # arrays that a matrix product may be made of

SLOPES: Mapping[str, Callable[[Numbers], Numbers]] = {
    "{}": lambda a: a,
    "(1 − {})": lambda a: 1 - a,
    "(1 − {}²)": lambda a: 1 - a**2,
    "{0} ⊙ (1 − {0})": lambda a: a * (1 - a),
    "{}²": np.square,
    "√{}": np.sqrt,
    "exp({})": np.exp,
    "cos({})": np.cos,
    "sin({})": np.sin,
    "sign({})": np.sign,
    "({} > 0)": lambda a: (a > 0).astype(float),
    "({} ≤ 0)": lambda a: (a <= 0).astype(float),
    "(|{}| ≤ 1)": lambda a: (np.abs(a) <= 1).astype(float),
    "(1 + {})": lambda a: 1 + a,
    "(1 + {}²)": lambda a: 1 + a**2,
    "σ({})": lambda a: 1 / (1 + np.exp(-a)),
    "tanh({})": np.tanh,
    "log({})": np.log,
    "σ′({})": lambda a: 1 / (2 + np.exp(a) + np.exp(-a)),
    "tanh′({})": lambda a: 1 - np.tanh(a) ** 2,
    "Φ({})": lambda a: (1 + np.vectorize(math.erf, otypes=[float])(a / math.sqrt(2))) / 2,
    "φ({})": lambda a: np.exp(-(a**2) / 2) / math.sqrt(2 * math.pi),
}
CURVES = (
    "(1 − {})",
    "(1 − {}²)",
    "{0} ⊙ (1 − {0})",
    "({} > 0)",
    "exp({})",
    "cos({})",
    "sin({})",
    "sign({})",
    "σ({})",
    "σ′({})",
    "tanh′({})",
    "Φ({})",
    "φ({})",
)
GATES = ("{}", "(1 − {})", "(1 − {}²)", "{0} ⊙ (1 − {0})", "({} > 0)", "cos({})", "tanh′({})")


OUTER = "outer"


class Word(NamedTuple):
    """A factor or term in words.

    Attributes:
      says: the words.
      degree: of how many arrays and functions it is made.
      summed: how many numbers each of its entries is a sum of.
      group: of what pairs of terms are tried: the same cotangent summed over the same axes.
    """

    says: str
    degree: int
    summed: int = 1
    group: str = ""


class Vocabulary(NamedTuple):
    """Words, and their values at some entries of a leaf: (words, entries)."""

    words: list[Word]
    values: Numbers

    @classmethod
    def of(cls, pairs: Sequence[tuple[Word, Numbers]]) -> "Vocabulary":
        """Return the vocabulary of the words whose values are finite and not all 0."""
        kept = [(w, v) for w, v in pairs if np.isfinite(v).all() and v.any()]
        return cls([word for word, _ in kept], np.array([value for _, value in kept]))


@dataclass(frozen=True)
class Places:
    """Some entries of a leaf."""

    shape: tuple[int, ...]
    index: tuple[Any, ...]

    @property
    def count(self) -> int:
        """The number of entries."""
        return len(self.index[0]) if self.shape else 1

    def of(self, array: Numbers) -> Numbers | None:
        """Return the entries of an array that broadcasts to the leaf; None if it does not."""
        view = aligned(array, self.shape)
        return None if view is None else view[self.index]


def atoms(evidence: Evidence) -> list[Atom]:
    """Return the arguments, intermediates and outputs, each once, named ones first."""
    named = {**evidence.residuals, **evidence.primals, **evidence.outputs}
    order = sorted(named, key=lambda name: name.partition("[")[0] == "residual")
    found: list[Atom] = []
    for name in order:
        array = named[name]
        if not array.size:
            continue
        if is_floating(array) or array.dtype.kind == "b":
            _add(found, Atom(name, real(array)))
        elif array.dtype.kind in "iu":
            _add_one_hot(found, name, array, evidence.truth.shape)
    for atom in _of_rows(evidence):
        _add(found, atom)
    return found


def _of_rows(evidence: Evidence) -> Iterator[Atom]:
    """Yield what normalisations of the primal over its last axis save."""
    x = evidence.primals.get(evidence.leaf)
    if x is None or not x.ndim or x.shape[-1] < 2 or not is_floating(x):
        return
    x = real(x)
    name = evidence.leaf
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    total = exponentials.sum(-1, keepdims=True)
    centred = x - x.mean(-1, keepdims=True)
    yield Atom(f"softmax({name})", exponentials / total, DERIVED)
    yield Atom(f"logsumexp({name})", np.log(total) + x.max(-1, keepdims=True), DERIVED)
    yield Atom(f"({name} − mean({name}, −1))", centred, DERIVED)
    yield Atom(f"1/std({name}, −1)", 1 / centred.std(-1, keepdims=True), DERIVED)


def _add(found: list[Atom], atom: Atom) -> None:
    same = (a for a in found if a.array.shape == atom.array.shape)
    # A single number only changes a coefficient.
    if atom.array.size == 1:
        return
    if np.isfinite(atom.array).all() and not any(np.array_equal(a.array, atom.array) for a in same):
        found.append(atom)


def _add_one_hot(found: list[Atom], name: str, ids: Numbers, shape: tuple[int, ...]) -> None:
    if ids.shape == shape[:-1] and shape and (ids >= 0).all() and (ids < shape[-1]).all():
        _add(found, Atom(f"onehot({name})", np.eye(shape[-1])[ids]))


def products(known: Sequence[Atom]) -> list[Atom]:
    """Return 1, the atoms and the products of two of them."""
    pairs = itertools.combinations_with_replacement(known, 2)
    return [
        Atom("", np.ones(()), 0),
        *known,
        *(
            Atom(
                f"{a.name}²" if a is b else f"{a.name} ⊙ {b.name}",
                a.array * b.array,
                a.degree + b.degree,
            )
            for a, b in pairs
        ),
    ]


def fitting(known: Sequence[Atom], shape: tuple[int, ...]) -> list[Atom]:
    """Return the atoms that broadcast to a shape, as views of that rank; at most ten."""
    views = ((atom, aligned(atom.array, shape)) for atom in known)
    return [Atom(atom.name, _thin(view), atom.degree) for atom, view in views if view is not None][
        :ATOMS
    ]


def _thin(view: Numbers) -> Numbers:
    """Return a broadcast view with its broadcast axes of size 1, so that products stay small."""
    return view[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in view.strides)]


def outer(evidence: Evidence, places: Places) -> Vocabulary:
    """Return what a term may be multiplied by."""
    pairs = []
    for product in products(fitting(atoms(evidence), places.shape)):
        values = places.of(product.array)
        if values is not None:
            group = OUTER if product.degree <= PLAIN else ""
            pairs.append((Word(product.name, product.degree, group=group), values))
    for atom in fitting(atoms(evidence), places.shape):
        values = places.of(atom.array)
        if values is not None:
            part = Atom(atom.name, values, atom.degree)
            pairs += [
                (Word(s.name, s.degree), s.array) for s in (_slope(part, says) for says in CURVES)
            ]
    return Vocabulary.of(pairs)


def slopes(evidence: Evidence, places: Places) -> Vocabulary:
    """Return the factors that an elementwise slope may be made of; the first is 1."""
    known = fitting(atoms(evidence), places.shape)
    cotangents = [Atom(name, real(dy)) for name, dy in evidence.cotangents.items()]
    pairs = [(Word("", 0), np.ones(places.count))]
    for atom in known:
        values = places.of(atom.array)
        assert values is not None
        for at, (says, slope) in enumerate(SLOPES.items()):
            pairs.append((Word(says.format(atom.name), atom.degree + (at > 0)), slope(values)))
        pairs += _counts(atom, places)
    for product in products(known)[1 + len(known) :]:
        values = places.of(product.array)
        if values is not None and not product.name.endswith("²"):
            pairs.append((Word(product.name, product.degree), values))
    for atom in fitting(cotangents, places.shape):
        values = places.of(atom.array)
        if values is not None:
            pairs.append((Word(atom.name, 1), values))
    return Vocabulary.of(pairs)


def _counts(atom: Atom, places: Places) -> Iterator[tuple[Word, Numbers]]:
    """Yield the sums of a mask along each axis: what a masked mean is divided by."""
    if not np.isin(atom.array, (0.0, 1.0)).all():
        return
    for axis in range(atom.array.ndim):
        values = places.of(atom.array.sum(axis, keepdims=True))
        if values is not None:
            yield Word(f"sum({atom.name}, {axis})", 2), values


def inner(evidence: Evidence, places: Places) -> Vocabulary:
    """Return what is linear in the cotangents, summed or not; the first is 1."""
    pairs = [(Word("", 0), np.ones(places.count))]
    known = atoms(evidence)
    for cotangent in _linear(evidence):
        view = aligned(cotangent.array, places.shape)
        whole = cotangent.array if view is None else view
        near = products(fitting(known, whole.shape))
        affordable = max(4, WORK // (4 * max(whole.size, 1)))
        for product in near[:affordable]:
            name = f"{cotangent.name} ⊙ {product.name}" if product.name else cotangent.name
            array = whole * product.array
            if array.shape == whole.shape:
                whose = cotangent.name if cotangent.degree + product.degree <= 1 + PLAIN else ""
                degree = cotangent.degree + product.degree
                pairs += _sums(Atom(name, array, degree), places, whose)
    near = [atom for atom in known if atom.array.ndim > 1][:MATED]
    gates = [_slope(atom, says) for atom in near for says in GATES]
    linear = _linear(evidence)[: len(evidence.cotangents)]
    for product in matrices(linear, near, gates, places.shape):
        pairs.append((Word(product.name, product.degree), product.array[places.index]))
    return Vocabulary.of(pairs)


def _slope(atom: Atom, says: str) -> Atom:
    """Return a function of an atom."""
    plain = says == "{}"
    return Atom(says.format(atom.name), SLOPES[says](atom.array), atom.degree + (not plain))


def _linear(evidence: Evidence) -> list[Atom]:
    """Return what is linear in the cotangents: they, and the truth of the other leaves."""
    given = [Atom(name, real(dy)) for name, dy in evidence.cotangents.items()]
    others = [
        Atom(f"d{name}", real(truth), DERIVED)
        for name, truth in evidence.truths.items()
        if name != evidence.leaf
    ]
    return [a for a in (*given, *others[:4]) if a.array.size and np.isfinite(a.array).all()]


def _sums(atom: Atom, places: Places, whose: str) -> Iterator[tuple[Word, Numbers]]:
    """Yield an array and its sums over one axis, over all but one, and over all.

    Args:
      atom: the array.
      places: at which the sums are kept.
      whose: the cotangent in it, of which pairs of terms are made; empty where none are.
    """
    rank = atom.array.ndim
    axes = range(rank)
    reductions: dict[tuple[int, ...], None] = {(): None, **{(a,): None for a in axes}}
    reductions |= {tuple(a for a in axes if a != kept): None for kept in axes} if rank > 2 else {}
    reductions |= {tuple(axes): None}
    for reduced in reductions:
        total = atom.array.sum(reduced, keepdims=True) if reduced else atom.array
        values = places.of(total) if rank <= len(places.shape) else None
        if values is None:
            values = places.of(total.squeeze(reduced))
        if values is not None:
            summed = int(np.prod([atom.array.shape[a] for a in reduced])) if reduced else 1
            says = f"sum({atom.name}{_axes(reduced, rank)})" if reduced else atom.name
            group = f"{whose}{reduced}" if whose else ""
            yield Word(says, atom.degree + len(reduced[:1]), summed, group), values


def _axes(reduced: tuple[int, ...], rank: int) -> str:
    if len(reduced) == rank and rank > 1:
        return ""
    names = ["−1" if axis == rank - 1 else str(axis) for axis in reduced]
    return f", {names[0]}" if len(names) == 1 else f", ({', '.join(names)})"
