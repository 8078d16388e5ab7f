"""The names of factors: after the sizes of the arrays, and the numbers that losses are full of."""

import math
from collections.abc import Iterator

import numpy as np

from jax_ref.diagnose.evidence import Evidence

PLAIN = {
    1.0: "1",
    2.0: "2",
    3.0: "3",
    4.0: "4",
    1 / 2: "½",
    1 / 3: "⅓",
    1 / 4: "¼",
    2 / 3: "⅔",
    math.log(2): "ln 2",
    1 / math.log(2): "1/ln 2",
    math.log(10): "ln 10",
    math.sqrt(2): "√2",
    1 / math.sqrt(2): "1/√2",
    math.pi: "π",
    2 * math.pi: "2π",
    math.pi / 180: "π/180",
    180 / math.pi: "180/π",
    math.sqrt(2 / math.pi): "√(2/π)",
}
LEAST = 1e-6  # of a factor, below which it has its name in float64


def batch(evidence: Evidence) -> int | None:
    """Return the number of samples: the first axis of an output, or of an argument of a loss."""
    for array in (*evidence.outputs.values(), *evidence.primals.values()):
        if array.ndim and array.size > 1:
            return int(array.shape[0])
    return None


def sizes(evidence: Evidence) -> dict[int, str]:  # noqa: C901  a list of rules
    """Return the sizes that a mistake may divide by, with their names, likeliest first."""
    named: dict[int, str] = {}

    def add(size: int, name: str) -> None:
        if size > 1:
            named.setdefault(int(size), name)

    add(batch(evidence) or 0, "the batch size")
    arrays = {**evidence.outputs, **evidence.primals, **evidence.residuals}
    for name, array in arrays.items():
        if array.dtype.kind == "b":
            add(int(np.count_nonzero(array)), f"the number of entries of {name} that hold,")
            add(
                int(array.size - np.count_nonzero(array)),
                f"the number of entries of {name} that fail,",
            )
    for name, array in arrays.items():
        if array.ndim > 2:
            add(math.prod(array.shape[:-1]), f"the product of the leading axes of {name},")
    for name, array in arrays.items():
        if array.ndim > 1:
            add(array.shape[-1], f"the last axis of {name},")
    for name, array in arrays.items():
        for axis, size in enumerate(array.shape):
            add(size, f"axis {axis} of {name},")
        add(array.size, f"the size of {name},")
        for axis, size in enumerate(array.shape):
            add(array.size // max(size, 1), f"the size of {name} without axis {axis},")
    return named


def near(value: float, wanted: float | int, resolution: float) -> bool:
    """Return whether a fitted factor is one that has a name."""
    return abs(value / wanted - 1) <= max(LEAST, resolution / 3)


def named(value: float, evidence: Evidence) -> tuple[str, float] | None:
    """Return a factor "2 × truth", "1/5 of truth: divided by …?" and its nats; None without a name.

    Args:
      value: the factor.
      evidence: whose sizes it may be named after.
    """
    sign, size = ("−" if value < 0 else ""), abs(value)
    for nats, (number, words) in enumerate(_names(evidence)):
        if near(size, number, evidence.resolution):
            return sign + words, math.log(nats + 1) + (1.0 if sign else 0.0)
    return None


def words(value: float, evidence: Evidence) -> tuple[str, float, int]:
    """Return a factor in words, its nats, and how many numbers had to be fitted: 0 or 1."""
    found = named(value, evidence)
    if found:
        return (*found, 0)
    digits = 9 if abs(abs(value) - 1) < 1e-3 else 5
    return f"{value:.{digits}g} × truth".replace("-", "−"), 4.0, 1


def _names(evidence: Evidence) -> Iterator[tuple[float, str]]:  # noqa: C901  a list of rules
    """Yield factors in the order of how common they are."""
    known = sizes(evidence)
    size = batch(evidence)
    notes = {}
    if size is not None and size > 1:
        notes = {
            float(size): f": not divided by the batch size {size}?",
            1 / size: f": divided by the batch size {size}?",
        }
    for number, text in list(PLAIN.items())[1:]:
        yield number, f"{text} × truth{notes.get(number, '')}"
    for size, what in known.items():
        yield size, f"{size} × truth: not divided by {what} {size}?"
        yield 1 / size, f"1/{size} of truth: divided by {what} {size}?"
    for size, what in known.items():
        yield math.sqrt(size), f"√{size} × truth: not divided by the root of {what} {size}?"
        yield 1 / math.sqrt(size), f"1/√{size} of truth: divided by the root of {what} {size}?"
    for size, what in known.items():
        if size > 2:
            yield (
                size / (size - 1),
                f"{size}/{size - 1} of truth: divided by N − 1, N {what} {size}?",
            )
            yield (
                (size - 1) / size,
                f"{size - 1}/{size} of truth: divided by N, not N − 1, {what} {size}?",
            )
    for size, what in known.items():
        if size == 2:
            continue
        yield 2 / size, f"2/{size} of truth: divided by {what} {size}?"
        yield size / 2, f"{size}/2 × truth: not divided by {what} {size}?"
    small = list(known.items())[:12]
    for size, what in small:
        for other, of in small:
            if size != other:
                says = f"{size}/{other} of truth: divided by {of} {other}, not by {what} {size}?"
                yield size / other, says
    for name, array in {**evidence.primals, **evidence.residuals}.items():
        if array.size == 1 and array.dtype.kind not in "bcV":
            number = abs(float(array.reshape(())))
            if number and math.isfinite(number):
                yield number, f"{number:.5g} × truth: {name} superfluous?"
                yield 1 / number, f"{1 / number:.5g} × truth: {name} missing?"
