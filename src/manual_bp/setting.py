"""The static settings of ops: what is a number, a whole number, an axis or a choice, and what not.

NumPy's numbers are turned into Python's: as they are, those of a floating dtype would turn an array
of another dtype into theirs. A boolean is no number here.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from manual_bp.op import complaint, wide_dtype


def is_whole(value: object) -> bool:
    """Return whether it is a whole number of Python or NumPy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether it is a real number of Python or NumPy."""
    return is_whole(value) or isinstance(value, float | np.floating)


def entries(value: Any) -> tuple[Any, ...] | None:
    """Return the entries of a list, a tuple or an array of NumPy; None for anything else."""
    listed = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
    return tuple(value) if listed else None


def expect_whole(place: str, argument: str, value: Any, least: int | None, wanted: str = "") -> int:
    """Return a whole number, or raise a ValueError unless it is one of `least` (None: any) up."""
    if not is_whole(value) or (least is not None and value < least):
        expected = wanted or f"a whole number of at least {least}"
        raise ValueError(complaint(place, argument, expected, repr(value)))
    return int(value)


def expect_below(place: str, argument: str, value: Any, count: int) -> int:
    """Return a whole number, or raise a ValueError unless it is one of 0 … count − 1."""
    if not is_whole(value) or not 0 <= value < count:
        raise ValueError(complaint(place, argument, f"0 … {count - 1}", repr(value)))
    return int(value)


def expect_wholes(
    place: str, argument: str, value: Any, count: int | None, wanted: str
) -> tuple[int, ...]:
    """Return whole numbers, or raise a ValueError unless there are `count` (None: any number)."""
    given = entries(value)
    if given is None or count not in (None, len(given)) or not all(map(is_whole, given)):
        raise ValueError(complaint(place, argument, wanted, repr(value)))
    return tuple(map(int, given))


def expect_pairs(
    place: str, argument: str, value: Any, count: int, wanted: str
) -> tuple[tuple[int, int], ...]:
    """Return pairs of whole numbers ≥ 0, or raise a ValueError unless there are `count`."""
    given = entries(value)
    listed = () if given is None else tuple(map(entries, given))
    pairs = [pair for pair in listed if pair is not None and len(pair) == 2]
    sound = all(is_whole(n) and n >= 0 for pair in pairs for n in pair)
    if given is None or not sound or not len(pairs) == len(given) == count:
        raise ValueError(complaint(place, argument, wanted, repr(value)))
    return tuple((int(low), int(high)) for low, high in pairs)


def expect_numbers(
    place: str, argument: str, value: Any, count: int, wanted: str
) -> tuple[float, ...]:
    """Return finite numbers, or raise a ValueError unless there are `count`."""
    given = entries(value)
    if given is None or len(given) != count:
        raise ValueError(complaint(place, argument, wanted, repr(value)))
    return tuple(expect_number(place, argument, entry, wanted) for entry in given)


def expect_number(
    place: str,
    argument: str,
    value: Any,
    wanted: str = "a finite number",
    fits: Callable[[float], bool] = math.isfinite,
) -> float:
    """Return a number, or raise a ValueError unless it is one that fits."""
    if not is_number(value) or not fits(value):
        raise ValueError(complaint(place, argument, wanted, repr(value)))
    return int(value) if is_whole(value) else float(value)


def expect_positive(place: str, argument: str, value: Any) -> float:
    """Return a number, or raise a ValueError unless it is finite and above 0."""
    return expect_number(
        place, argument, value, "a finite number above 0", lambda n: 0 < n < math.inf
    )


def expect_epsilon(place: str, value: Any, dtype: Any) -> float:
    """Return ε, or raise a ValueError unless it is above 0 in what sums of the dtype are taken in.

    One below the smallest normal number counts as 0 there, and a sum of 0 has no inverse.
    """
    epsilon = expect_positive(place, "epsilon", value)
    sums = wide_dtype(dtype)
    least = float(jnp.finfo(sums).tiny)
    if epsilon < least:
        raise ValueError(
            complaint(place, "epsilon", f"at least {least:.1e}, the least of {sums}", repr(value))
        )
    return epsilon


def expect_axis(place: str, array: jax.Array, value: Any) -> int:
    """Return the number of an axis, or raise a ValueError unless the array has it."""
    if not is_whole(value) or not -array.ndim <= value < array.ndim:
        raise ValueError(complaint(place, "axis", f"an axis of shape {array.shape}", repr(value)))
    return int(value)


def expect_choice(place: str, argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise a ValueError unless the value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        wanted = "one of " + ", ".join(repr(choice) for choice in choices)
        raise ValueError(complaint(place, argument, wanted, repr(value)))
