"""Small seeded experiments: what the lecture notes say happens, made to happen and drawn."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bp_lab.experiments import (
    batch_norm,
    normalised_rnn,
    reading_engines,
    symmetry,
    vanishing_gradients,
)

table: Mapping[str, Any] = MappingProxyType(
    {
        "vanishing-gradients": vanishing_gradients,
        "symmetry": symmetry,
        "batch-norm": batch_norm,
        "normalised-rnn": normalised_rnn,
        "reading-engines": reading_engines,
    }
)
