"""Mutants that no gradient tells from the original, each with the reason.

The key is the file, the line of source and the line with the mistake, so that an entry holds
wherever the line moves, and is stale as soon as the line changes.
"""

from collections.abc import Mapping
from types import MappingProxyType

_ACCUMULATION = (
    "JAX accumulates sums and products of half precision in float32 and rounds the result once, "
    "asked to or not; the argument states it."
)
_EVEN = "The slope is an even function of u; a minus on u changes nothing."
_FLOAT32 = (
    "Of float32 the dtype for sums is float32, whichever branch says so; no dtype lies between."
)
_OUTSIDE = "It differs for p outside [0, 1] alone, where there is no loss and so no gradient."
_UNKNOWN = "It differs for labels out of range alone, where there is no loss and so no gradient."
_INDEX = "Every label of four bytes or more holds every class; int32 and int64 index alike."
_BOTH_FORMS = "Both forms hold every digit between the two thresholds; either may be taken there."
_LAST_IS_ODD = "The stages come in pairs, so the last one stands at an odd place and is not taken."

_BY_FILE: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "activations.py": (
        (
            "if kept is not None and kept.dtype == u_wide.dtype:",
            "if kept is not None:",
            "A sign kept as a number of the input's dtype is the same sign, in more memory.",
        ),
        (
            "kept = kept.astype(u.dtype)",
            "kept = kept",
            "The slope of half precision stays in float32: more memory, and a gradient that is no "
            "less exact.",
        ),
    ),
}

EQUIVALENT: Mapping[tuple[str, str, str], str] = MappingProxyType(
    {
        (file, original, mutated): why
        for file, entries in _BY_FILE.items()
        for original, mutated, why in entries
    }
)
