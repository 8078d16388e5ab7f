"""The parallel reference, and the checker that holds a hand-written backward pass against it.

jax_ref.check_op(manual_bp.linear, jax_ref.references.dense.linear, x, W, b)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax_ref import references
    from jax_ref.check import check_op, check_rule, check_vjp
    from jax_ref.errors import CheckError
    from jax_ref.model import check_model
    from jax_ref.verdict import Diagnosis, GradientMismatch, Kind, Report, Row, Verdict

__all__ = [
    "CheckError",
    "Diagnosis",
    "GradientMismatch",
    "Kind",
    "Report",
    "Row",
    "Verdict",
    "check_model",
    "check_op",
    "check_rule",
    "check_vjp",
    "references",
]

_HOMES = {
    "check": ("check_op", "check_rule", "check_vjp"),
    "errors": ("CheckError",),
    "model": ("check_model",),
    "verdict": ("Diagnosis", "GradientMismatch", "Kind", "Report", "Row", "Verdict"),
}


def __getattr__(name: str) -> Any:
    # Where the package is installed every run of pytest imports it, and few of them need JAX.
    if name == "references":
        return import_module("jax_ref.references")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"jax_ref.{home}"), name)
    raise AttributeError(f"module 'jax_ref' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
