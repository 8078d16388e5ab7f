"""Small seeded experiments: what the lecture notes say happens, made to happen and drawn."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bp_lab.experiments import symmetry, vanishing_gradients

table: Mapping[str, Any] = MappingProxyType(
    {"vanishing-gradients": vanishing_gradients, "symmetry": symmetry}
)
