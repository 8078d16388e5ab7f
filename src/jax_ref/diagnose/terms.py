"""Mistakes of a term: one or two are missing, superfluous, of the wrong sign, or of another array.

Search   truth = hand + c T,  T = O ⊙ I  with O outer and I inner. All products are tried at once:
         ⟨O ⊙ I, e⟩ = (O ⊙ e) Iᵀ and ‖O ⊙ I‖² = O² (I²)ᵀ are two matrix products. For a second
         term, and where the hand has a factor as well, what is known already is projected out:
         the gain of T is ⟨T, e⊥⟩² / ‖T⊥‖².
Sample   Fits are made at up to 2048 entries, half of them wrong ones; sums run over all.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jax_ref.diagnose import numbers, vocabulary
from jax_ref.diagnose.evidence import Difference, Evidence, Explanation, Numbers, dot, norm
from jax_ref.diagnose.vocabulary import Places, Vocabulary
from jax_ref.diagnose.whole import in_words
from jax_ref.verdict import Kind

BEST = 48  # candidates of a search that are fitted one by one
PAIRED = 256  # entries at which two terms are sought
GROUP = 1200  # terms of which all pairs are tried,
PER_GROUP = 16  # and so many pairs kept
DISTINCT = 1 - 1e-9  # squared cosine of two terms that are the same
UNNAMED = 4.0  # nats of a coefficient without a name
PLAIN = 2.0  # nats of 2, of ½, of a sign
ELEMENTWISE = 3.0  # nats: a slope is more often off by a factor than by a term
ROUNDING = 1e-7  # to which a squared distance opened into products is known
HELD = 0.05  # of the truth is the term, and as much is not


class Term(NamedTuple):
    """A product of an outer and an inner word, at the sampled entries."""

    outer: int
    inner: int
    values: Numbers


class Phrase(NamedTuple):
    """A term with its coefficient: in words, with its sign, and what it costs to say."""

    words: str
    sign: str
    size: float
    nats: float
    summed: bool


class Search(NamedTuple):
    """The products of two vocabularies at the sampled entries of a difference."""

    evidence: Evidence
    part: Difference
    outer: Vocabulary
    inner: Vocabulary

    @classmethod
    def among(cls, evidence: Evidence, difference: Difference) -> "Search":
        """Return the search for what a leaf may be made of."""
        places = Places(difference.truth.shape, difference.sampled())
        words = vocabulary.outer(evidence, places), vocabulary.inner(evidence, places)
        return cls(evidence, difference.sample, *words)

    @property
    def nats(self) -> float:
        """The logarithm of the number of terms."""
        return math.log(len(self.outer.words) * len(self.inner.words))

    def thinned(self, count: int) -> "Search":
        """Return the search at fewer entries."""
        kept = np.unique(np.linspace(0, self.part.truth.size - 1, count).astype(int))
        outer, inner = (
            Vocabulary(words.words, np.ascontiguousarray(words.values[:, kept]))
            for words in (self.outer, self.inner)
        )
        return Search(self.evidence, self.part.at(kept), outer, inner)

    def term(self, i: int, j: int) -> Term:
        """Return the product of two words."""
        return Term(i, j, self.outer.values[i] * self.inner.values[j])

    def group(self, name: str) -> list[tuple[int, int]]:
        """Return the plain terms of a group, the simplest first."""
        outer = [i for i, word in enumerate(self.outer.words) if word.group]
        inner = [j for j, word in enumerate(self.inner.words) if word.group == name]
        degree = {
            (i, j): self.outer.words[i].degree + self.inner.words[j].degree
            for i in outer
            for j in inner
        }
        return sorted(degree, key=lambda place: degree[place])[:GROUP]

    def best(self, target: Numbers, given: Sequence[Numbers] = ()) -> list[Term]:
        """Return the terms that explain most of a target, beside what is given."""
        outer, inner = self.outer.values, self.inner.values
        base = _orthonormal(given, target.size)
        rest = target - base.T @ (base @ target)
        across = (outer * rest) @ inner.T
        whole = square = (outer**2) @ (inner**2).T
        for direction in base:
            square = square - ((outer * direction) @ inner.T) ** 2
        usable = (whole > 0) & (square > ROUNDING * whole)
        gain = np.where(usable, across**2 / np.where(usable, square, 1), 0.0)
        return [self.term(i, j) for i, j in largest(gain, BEST)]

    def phrase(self, term: Term, coefficient: float) -> Phrase:
        """Return a term in words, as the sum or the mean that makes its coefficient plainest."""
        outer, inner = self.outer.words[term.outer], self.inner.words[term.inner]
        coefficient *= self.part.scale
        total = " ⊙ ".join(filter(None, (outer.says, inner.says))) or "1"
        sign, nats = ("− " if coefficient < 0 else ""), 0.5 * (outer.degree + inner.degree)
        size, count = abs(coefficient), inner.summed
        nats += 0.0 if count > 1 or "@" in inner.says else ELEMENTWISE
        shapes = {total: size}
        if count > 1:
            shapes = {total.replace("sum(", "mean(", 1): size * count, **shapes}
        for words, value in shapes.items():
            for plain in (1.0, 2.0):
                if self._near(value, float(plain)):
                    return Phrase(words, sign, plain, nats + plain - 1, count > 1)
        for words, value in shapes.items():
            named = numbers.named(value, self.evidence)
            if named:
                factor = named[0].partition(" × truth")[0].partition(" of truth")[0]
                words, more = f"{factor} × {words}", 1.0 + 0.3 * named[1]
                return Phrase(words, sign, value, nats + more, count > 1)
        nats += UNNAMED * (5 if self.part.coarse else 1)
        return Phrase(f"{size:.4g} × {total}", sign, size, nats, count > 1)

    def lacking(self, term: Term, coefficient: float) -> tuple[str, float]:
        """Return in words that a term is missing, superfluous or wrong, and its nats."""
        count = self.inner.words[term.inner].summed
        size, says = abs(coefficient) * self.part.scale, self.phrase(term, coefficient)
        mean = self.phrase(term, math.copysign(1 / (count * self.part.scale), coefficient)).words
        if count > 1 and self._near(size, 1 - 1 / count):
            return f"mean and sum mixed up: term {mean}", says.nats
        if count > 2 and self._near(size * count * (count - 1), 1.0):
            return f"N and N − 1 mixed up: term {mean}", says.nats
        if says.size == 2:
            return f"term {says.sign}{says.words} has the wrong sign", says.nats
        if says.size == 1 and says.sign and not says.summed:
            return f"term {says.words} superfluous", says.nats
        return f"term {says.sign}{says.words} missing", says.nats

    def _near(self, value: float, wanted: float) -> bool:
        return abs(value / wanted - 1) <= max(1e-6, 2 * self.part.resolution)


class Fit(NamedTuple):
    """Terms with their coefficients, and what the hand is multiplied by, if it is."""

    terms: Sequence[Term]
    coefficients: Sequence[float]
    ratio: float | None
    left: float


def terms(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that lacks a term, is another term, lacks two, or one and a factor."""
    search = Search.among(evidence, difference)
    part = search.part
    first = search.best(part.truth - part.hand)
    for attempt in (
        lambda: _explained(search, [_fitted(part, [term]) for term in first]),
        lambda: _operands(search),
        lambda: _explained(search, [_fitted(part, pair) for pair in _pairs(search)], exact=True),
        lambda: _explained(search, _scaled(search), exact=True),
    ):
        found = attempt()
        yield from found
        if any(part.fits(e) and difference.likely(e) for e in found):
            return


def _pairs(search: Search) -> list[list[Term]]:
    """Return the pairs of terms of one group that explain most together."""
    few = search.thinned(PAIRED)
    error = few.part.truth - few.part.hand
    found: list[tuple[float, list[tuple[int, int]]]] = []
    for group in dict.fromkeys(word.group for word in few.inner.words if word.group):
        named = few.group(group)
        values = np.array([few.outer.values[i] * few.inner.values[j] for i, j in named])
        gain, pairs = _joint_gain(values, error)
        found += [(-g, [named[a], named[b]]) for g, (a, b) in zip(gain, pairs, strict=True)]
    best = sorted(found)[:BEST]
    return [[search.term(*place) for place in pair] for _, pair in best]


def _joint_gain(values: Numbers, error: Numbers) -> tuple[list[float], list[list[int]]]:
    """Return the shares of an error that the best pairs of terms explain, and these pairs."""
    lengths = np.sqrt((values**2).sum(-1))
    kept = np.flatnonzero(lengths > 0)
    units = values[kept] / lengths[kept, None]
    gram, along = units @ units.T, units @ (error / (norm(error) or 1.0))
    apart = np.triu(1 - gram**2, 1)
    joint = along[:, None] ** 2 + along[None] ** 2 - 2 * gram * np.multiply.outer(along, along)
    gain = np.where(apart > 1 - DISTINCT, joint / np.where(apart > 0, apart, 1), 0.0)
    best = largest(gain, PER_GROUP)
    return [float(gain[a, b]) for a, b in best], [[int(kept[a]), int(kept[b])] for a, b in best]


def largest(table: Numbers, count: int) -> list[tuple[int, int]]:
    """Return the places of the largest numbers of a table that are above 0, the largest first."""
    flat = table.reshape(-1)
    count = min(count, flat.size)
    found = np.argpartition(-flat, count - 1)[:count]
    found = found[np.argsort(-flat[found], kind="stable")]
    rows, columns = np.unravel_index(found[flat[found] > 0], table.shape)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _scaled(search: Search) -> list[Fit]:
    """Return the fits of a multiple of the hand and a term."""
    part = search.part
    best = search.best(part.truth, [part.hand])
    held = [term for term in best if _holds_the_hand(part, term)]
    fits = [_fitted(part, [term], scaled=True) for term in held]
    least = HELD * norm(part.truth)
    return [f for f in fits if abs(f.coefficients[0]) * norm(f.terms[0].values) > least]


def plainest(left: Sequence[float], part: Difference) -> list[int]:
    """Return which of several fits leave least, or as little as the least."""
    least = max(min(left, default=math.inf) * 1.01, part.exact)
    return [at for at, one in enumerate(left) if one <= least]


def _explained(search: Search, fits: Sequence[Fit], *, exact: bool = False) -> list[Explanation]:
    """Return the plainest of the fits that leave least, in words; `exact`, if it leaves nothing."""
    best = [fits[at] for at in plainest([fit.left for fit in fits], search.part)]
    found = [_in_words(search, fit) for fit in best if not exact or search.part.fits(fit)]
    return [min(found, key=lambda e: (e.nats, e.left))] if found else []


def _in_words(search: Search, fit: Fit) -> Explanation:
    """Return the explanation that a fit is."""
    nats, says = len(fit.terms) * search.nats, []
    for term, coefficient in zip(fit.terms, fit.coefficients, strict=True):
        words, more = search.lacking(term, coefficient)
        says.append(words)
        nats += more
    if fit.ratio is not None:
        words, more, _ = in_words(fit.ratio, search.evidence, search.part)
        says.insert(0, words)
        nats += beside(more, search.part)
    nats -= _support(search.part, fit)
    freedom = len(fit.terms) + (fit.ratio is not None)
    return Explanation(Kind.TERM, "; ".join(says), fit.left, nats, freedom)


def beside(nats: float, part: Difference) -> float:
    """Return the nats of a factor beside another mistake: of few digits, only plain ones."""
    return nats + (3.0 if nats < PLAIN or not part.coarse else 5 * UNNAMED)


def _support(part: Difference, fit: Fit) -> float:
    """Return the nats of meeting the wrong entries, and no others, by chance; 0 if not met."""
    touched = np.any([term.values != 0 for term in fit.terms], axis=0)
    if not np.array_equal(touched, part.wrong):
        return 0.0
    size, count = part.wrong.size, part.count
    return math.lgamma(size + 1) - math.lgamma(count + 1) - math.lgamma(size - count + 1)


def _fitted(part: Difference, found: Sequence[Term], *, scaled: bool = False) -> Fit:
    """Return the coefficients of some terms, and of the hand where that is `scaled`."""
    given = [part.hand] if scaled else []
    columns = np.stack([*given, *(term.values for term in found)], -1)
    lengths = np.sqrt((columns**2).sum(0))
    target = part.truth if scaled else part.truth - part.hand
    solved = np.linalg.lstsq(columns / lengths, target, rcond=None)[0] / lengths
    left = part.left(part.truth - target + columns @ solved, multiplied=scaled)
    coefficients = solved.tolist()
    ratio = 1 / (coefficients.pop(0) or math.inf) if scaled else None
    return Fit(found, coefficients, ratio, left)


def _operands(search: Search) -> list[Explanation]:
    """Return the explanation that the hand is one term throughout, and the truth another."""
    part, says, nats, left = search.part, [], 0.0, 0.0
    for target in (part.hand, part.truth):
        fitted = []
        for term in search.best(target):
            coefficient = dot(term.values, target) / dot(term.values, term.values)
            apart = norm(target - coefficient * term.values) / (part.size or 1.0)
            phrase = search.phrase(term, coefficient)
            fitted.append((apart > part.exact, phrase.nats, apart, phrase.sign + phrase.words))
        if not fitted or min(fitted)[0]:
            return []
        _, more, apart, words = min(fitted)
        says.append(words)
        nats, left = nats + more + search.nats, max(left, apart)
    hand, truth = says
    transposed = hand.replace(".T", "") == truth.replace(".T", "")
    kind = Kind.PERMUTED if transposed and hand != truth else Kind.TERM
    return [Explanation(kind, f"{hand} where {truth} belongs", left, nats, 2)]


def _holds_the_hand(part: Difference, term: Term) -> bool:
    """Return whether the truth is not the term alone, but holds a part of the hand."""
    share = dot(term.values, part.truth) / dot(term.values, term.values)
    return norm(part.truth - share * term.values) > HELD * norm(part.truth)


def _orthonormal(given: Sequence[Numbers], size: int) -> Numbers:
    """Return an orthonormal basis of some vectors, in rows."""
    if not given:
        return np.zeros((0, size))
    return np.linalg.qr(np.stack(given, -1))[0].T
