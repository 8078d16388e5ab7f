"""Mistakes of a part: where it lies, in words, and what is wrong there."""

import math
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from jax_ref.diagnose.evidence import Difference, Evidence, Explanation, Numbers, norm
from jax_ref.diagnose.whole import in_words, ratio_of
from jax_ref.verdict import Kind

SHOWN = 5  # indices of a list
FEW = 3
SHARE = 0.01
ENOUGH = 3  # entries, before a threshold or a factor means anything


def aligned(array: Numbers, shape: tuple[int, ...]) -> Numbers | None:
    """Return an array broadcast to a shape, its axes the last or else the first; None otherwise."""
    padded = array.shape + (1,) * (len(shape) - array.ndim)
    for candidate in (array.shape, padded):
        try:
            fits = np.broadcast_shapes(candidate, shape) == shape
        except ValueError:
            continue
        if fits:
            return np.broadcast_to(array.reshape(candidate), shape)
    return None


def is_floating(array: Numbers) -> bool:
    """Return whether an array holds real floating numbers, of whatever precision."""
    return bool(jnp.issubdtype(array.dtype, jnp.floating))


def where(places: Numbers, among: Numbers, evidence: Evidence) -> str:
    """Return in words where a mask holds, among the entries where another holds."""
    count = int(np.count_nonzero(places))
    if count <= FEW:
        return _listed(places)
    return _slices(places, among) or _region(places, among, evidence) or _listed(places)


def _listed(places: Numbers) -> str:
    """Return the first indices of a mask, and how many more there are."""
    if not places.ndim:
        return "its one entry"
    flat = np.flatnonzero(places)
    indices = np.transpose(np.unravel_index(flat[:FEW], places.shape)).tolist()
    more = f" and {flat.size - FEW} more" if flat.size > FEW else ""
    return ", ".join(str(index) for index in indices) + more


def _numbered(indices: Numbers, axis: int, rank: int) -> str:
    """Return some indices of one axis in words."""
    one, many = ("row", "rows") if axis == 0 and rank > 1 else ("index", "indices")
    return f"{one if indices.size == 1 else many} {runs(indices)} of axis {axis}"


def _slices(places: Numbers, among: Numbers) -> str:
    """Return the slices of one axis, or the triangle, that a mask fills; empty otherwise."""
    for axis, size in enumerate(places.shape):
        others = tuple(a for a in range(places.ndim) if a != axis)
        touched, full = places.any(others), (places == among).all(others)
        filled = np.flatnonzero(touched)
        if full[filled].all() and filled.size < size:
            return _numbered(filled, axis, places.ndim)
    if places.ndim > 1:
        rows, columns = (np.arange(size) for size in places.shape[-2:])
        below = rows[:, None] >= columns
        for words, half in (("above", ~below), ("below", below.T[: len(rows), : len(columns)])):
            if half.shape == below.shape and np.array_equal(places, among & half):
                return f"{words} the diagonal"
    return ""


def runs(indices: Numbers) -> str:
    """Return indices in words: "3, 7", "0–4", "1, 5 and 9 more"."""
    steps = np.flatnonzero(np.diff(indices) != 1) + 1
    parts = []
    for part in np.split(indices, steps):
        parts.append(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}")
        if len(part) == 2:
            parts[-1] = f"{part[0]}, {part[1]}"
    if len(parts) > SHOWN:
        shown = indices[:SHOWN].tolist()
        return f"{', '.join(map(str, shown))} and {len(indices) - SHOWN} more"
    return ", ".join(parts)


def _region(places: Numbers, among: Numbers, evidence: Evidence) -> str:
    """Return the condition on a named array that tells a mask from the rest; empty if none does."""
    rest = among & ~places
    if np.count_nonzero(rest) < ENOUGH:
        return ""
    named = {**evidence.primals, **evidence.residuals, **evidence.outputs}
    for name, array in named.items():
        view = aligned(array, places.shape) if array.ndim else None
        if view is None or not (is_floating(array) or array.dtype.kind in "biu"):
            continue
        inside, outside = view[places], view[rest]
        if array.dtype.kind == "b":
            condition = _of_mask(name, inside, outside)
        else:
            condition = _of_number(name, inside.astype(float), outside.astype(float))
        if condition:
            return f"where {condition}"
    return ""


def _of_mask(name: str, inside: Numbers, outside: Numbers) -> str:
    if inside.all() and not outside.any():
        return f"{name} holds"
    return f"{name} does not hold" if outside.all() and not inside.any() else ""


def _of_number(name: str, inside: Numbers, outside: Numbers) -> str:
    low, high = inside.min(), inside.max()
    if low == high and not (outside == low).any():
        return f"{name} = {low:.5g}"
    for words, within, without in (
        (name, inside, outside),
        (f"|{name}|", np.abs(inside), np.abs(outside)),
    ):
        for bound in (0.0, 1.0, None):
            least, most = within.min(), within.max()
            floor, ceiling = (least, most) if bound is None else (bound, bound)
            if without.max() < least and (bound is None or without.max() <= bound <= least):
                return f"{words} {'≥' if least == floor else '>'} {floor:.5g}"
            if without.min() > most and (bound is None or most <= bound <= without.min()):
                return f"{words} {'≤' if most == ceiling else '<'} {ceiling:.5g}"
    return ""


def part_zero(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is 0 where the truth is not, and right elsewhere."""
    dead = difference.wrong & (difference.hand == 0)
    count = int(np.count_nonzero(dead))
    if count:
        place = where(dead, difference.truth != 0, evidence)
        says = f"zero at {count} of {dead.size} entries, where truth is not: {place}"
        mended = np.where(dead, difference.truth, difference.hand)
        yield Explanation(Kind.PART_ZERO, says, difference.left(mended), 1.0, None)


def leaked(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is not 0 where the truth is, and right elsewhere."""
    leaks = difference.wrong & (difference.truth == 0)
    count = int(np.count_nonzero(leaks))
    if count:
        place = where(leaks, np.ones_like(leaks), evidence)
        says = f"mask missing: not zero at {count} of {leaks.size} entries, where truth is: {place}"
        mended = np.where(leaks, 0.0, difference.hand)
        yield Explanation(Kind.MISSING_FACTOR, says, difference.left(mended), 2.0, None)


def overwritten(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is wrong at just the indices that an integer argument repeats."""
    wrong = difference.wrong
    for name, ids in {**evidence.residuals, **evidence.primals}.items():
        if ids.dtype.kind not in "iu" or ids.size < 2:
            continue
        for axis, size in enumerate(wrong.shape):
            if ids.min() < -size or ids.max() >= size:
                continue
            counts = np.bincount((ids % size).reshape(-1), minlength=size)
            others = tuple(a for a in range(wrong.ndim) if a != axis)
            touched = np.asarray(wrong.any(others))
            dead = (difference.truth == 0).all(others)
            spared = ((counts == 1) & ~touched).any() or _is_share(difference, touched, axis)
            if touched.any() and not touched[(counts < 2) | dead].any() and spared:
                yield _repeated(name, difference, axis, counts)


def _repeated(name: str, difference: Difference, axis: int, counts: Numbers) -> Explanation:
    """Return the explanation of slices that were overwritten, or averaged, not accumulated."""
    wrong = difference.wrong
    touched = np.flatnonzero(wrong.any(tuple(a for a in range(wrong.ndim) if a != axis)))
    repeated = _numbered(touched, axis, wrong.ndim)
    shape = tuple(-1 if a == axis else 1 for a in range(wrong.ndim))
    mended = difference.hand * np.maximum(counts, 1).reshape(shape)
    if difference.count >= ENOUGH and difference.left(mended) <= difference.exact:
        says = f"repeated index averaged, not accumulated: {repeated}, which {name} repeats"
        return Explanation(Kind.BATCH_SUM, says, 0.0, 1.0, None)
    says = f"repeated index overwritten, not accumulated: {repeated}, which {name} repeats"
    return Explanation(Kind.PART_ZERO, says, 0.0, 1.5, None)


def _is_share(difference: Difference, touched: Numbers, axis: int) -> bool:
    """Return whether the wrong slices are smaller than the truth's: a share of a sum."""
    hand, truth = (
        np.moveaxis(side, axis, 0)[touched] for side in (difference.hand, difference.truth)
    )
    return norm(hand) < (1 - difference.resolution) * norm(truth)


def _is_few(difference: Difference) -> bool:
    count, size = difference.count, difference.wrong.size
    return 0 < count <= max(FEW, SHARE * size) and 4 * count <= size


def very_few(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain as `few` does what is wrong in no more than three entries."""
    if difference.count <= FEW:
        yield from few(evidence, difference)


def few(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is wrong in a few entries only."""
    count, size = difference.count, difference.wrong.size
    if not _is_few(difference):
        return
    place = where(difference.wrong, difference.wrong, evidence)
    ratio, left = ratio_of(difference.at(difference.wrong))
    says = f"{count} of {size} entries wrong: {place}"
    if count > 1 and left <= difference.exact:
        says += f", {in_words(ratio, evidence, difference)[0]} there"
    nats = math.log(size) * count
    yield Explanation(Kind.FEW, says, 0.0, nats, None)


def confined(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is a multiple of the truth in a part, and right elsewhere."""
    wrong, count = difference.wrong, difference.count
    seen = (difference.truth != 0) | wrong
    if not count or wrong[seen].all() or _is_few(difference):
        return
    ratio, left = ratio_of(difference.at(wrong))
    if ratio and left <= difference.exact:
        says, nats, freedom = in_words(ratio, evidence, difference)
        kind = Kind.SIGN if says == "sign error" else Kind.FACTOR
        says += f" at {count} of {wrong.size} entries: {where(wrong, seen, evidence)}"
        yield Explanation(kind, says, left, nats + 3.0, freedom)


def other_mask(evidence: Evidence, difference: Difference) -> Iterator[Explanation]:
    """Explain a hand that is 0 where the truth is not, and the other way round."""
    dead = difference.wrong & (difference.hand == 0)
    leaks = difference.wrong & (difference.truth == 0)
    right = np.count_nonzero(~difference.wrong & (difference.truth != 0))
    if dead.any() and leaks.any() and (dead | leaks == difference.wrong).all():
        counts = f"{np.count_nonzero(dead)} entries and not at {np.count_nonzero(leaks)} others"
        says = f"another mask: zero at {counts} where truth is the other way round"
        if 3 * right >= difference.count:
            yield Explanation(Kind.MISSING_FACTOR, says, 0.0, 3.0, None)


def nan(evidence: Evidence) -> Iterator[Explanation]:
    """Explain a hand that is not finite where the truth is."""
    hand, truth = evidence.hand.astype(complex), evidence.truth.astype(complex)
    bad = ~np.isfinite(hand) & np.isfinite(truth)
    count = int(np.count_nonzero(bad))
    if not count:
        return
    names = [
        word for word, test in (("NaN", np.isnan), ("infinite", np.isinf)) if test(hand[bad]).any()
    ]
    listed = _listed(bad) if count < bad.size or count <= FEW else f"all {count} entries"
    region = _slices(bad, np.ones_like(bad)) if count > FEW else ""
    region = region or (_region(bad, np.ones_like(bad), evidence) if count > 1 else "")
    says = f"{' and '.join(names)} at {listed}{f': {region}' if region else ''}"
    yield Explanation(Kind.NAN, says, 0.0, 0.0, None)
