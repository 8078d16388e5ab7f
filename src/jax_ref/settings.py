"""The settings of the checks: what each may be, and what a checked function must not call its own.

NumPy's numbers are turned into Python's, so that a report is plain data. A boolean is no number.
"""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from jax_ref.errors import CheckError

Level = Literal["fast", "full"]
LEVELS = get_args(Level)
FAIL_ABOVE = 1e-10
RESERVED = ("wrt", "name", "seed", "level", "tolerance", "raises")


@dataclass(frozen=True)
class Settings:
    """How a check is run.

    Attributes:
      name: for the report.
      seed: of everything random, from 0 on.
      level: "fast" or "full".
      tolerance: largest relative error in float64; below 1, or a gradient of 0 would pass.
      raises: whether a FAIL raises.
    """

    name: str
    seed: int
    level: str
    tolerance: float
    raises: bool

    @classmethod
    def of(
        cls, place: str, name: Any, seed: Any, level: Any, tolerance: Any, *, raises: Any
    ) -> "Settings":
        """Return the settings of a check, of which `place` is the public function that complains.

        Raises:
          CheckError: one of them is not what it may be.
        """
        if not isinstance(name, str):
            raise CheckError(place, "name", "a string", cut_short(name))
        if not is_whole(seed) or seed < 0:
            raise CheckError(place, "seed", "a whole number of at least 0", cut_short(seed))
        if not isinstance(level, str) or level not in LEVELS:
            raise CheckError(place, "level", "'fast' or 'full'", cut_short(level))
        if not is_number(tolerance) or not 0 <= tolerance < 1:
            expected = "a number of at least 0 and below 1"
            raise CheckError(place, "tolerance", expected, cut_short(tolerance))
        if not isinstance(raises, bool | np.bool):
            raise CheckError(place, "raises", "True or False", cut_short(raises))
        return cls(name, int(seed), level, float(tolerance), bool(raises))


def is_whole(value: Any) -> bool:
    """Return whether it is a whole number of Python or NumPy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether it is a real number of Python or NumPy."""
    return is_whole(value) or isinstance(value, float | np.floating)


def cut_short(value: Any) -> str:
    """Return the first line of a value, cut short."""
    text = repr(value).split("\n")[0]
    return f"{text[:40]}…" if len(text) > 40 else text


def expect_wrt(place: str, value: Any, names: tuple[str, ...]) -> set[int]:
    """Return the positions that `wrt` chooses of the arguments of these names; of None, all.

    Raises:
      CheckError: it is no name and no position, nor several.
    """
    if value is None:
        return set(range(len(names)))
    one = isinstance(value, str | bytes | dict) or not isinstance(value, Iterable)
    one = one or getattr(value, "ndim", 1) == 0
    return {_position(place, entry, names) for entry in ((value,) if one else value)}


def _position(place: str, one: Any, names: tuple[str, ...]) -> int:
    if isinstance(one, str) and one in names:
        return names.index(one)
    if is_whole(one) and 0 <= one < len(names):
        return int(one)
    expected = f"one of {', '.join(names)}, or a position below {len(names)}"
    raise CheckError(place, "wrt", expected, cut_short(one))


def refuse_shared(
    place: str, role: str, function: Callable[..., Any], count: int, *, also: tuple[str, ...] = ()
) -> None:
    """Refuse a function with a keyword that the check would keep for itself.

    Args:
      place: the public function that complains.
      role: what it calls the function.
      function: called with `count` positional arguments.
      count: of them.
      also: keywords of the check beside the settings.

    Raises:
      CheckError: it has one that is bound neither by position nor by `functools.partial`.
    """
    bound: set[str] = set()
    plain = function
    while isinstance(plain, functools.partial):
        bound |= plain.keywords.keys()
        plain = plain.func
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return  # a built-in function without a signature
    by_keyword = [p for p in parameters[count:] if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_keyword += [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    for name in (p.name for p in by_keyword):
        if name in (*RESERVED, *also) and name not in bound:
            expected = f"no keyword {name}, which is a setting of {place}"
            came = f"one; bind it: functools.partial(…, {name}=…)"
            raise CheckError(place, role, expected, came)
