"""The parallel reference, and the checker that holds a hand-written backward pass against it.

jax_ref.check_op(manual_bp.linear, jax_ref.references.dense.linear, x, W, b)
"""

from jax_ref import references
from jax_ref.check import check_model, check_op
from jax_ref.verdict import GradientMismatch, Report, Row, Verdict

__all__ = [
    "GradientMismatch",
    "Report",
    "Row",
    "Verdict",
    "check_model",
    "check_op",
    "references",
]
