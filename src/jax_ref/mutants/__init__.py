"""Mutants: every backward pass with one mistake in it, to see whether the cases notice.

Each mutant is one edit of one expression of a function that a backward pass reaches (`reach`,
`edits`); it is put in force in this process (`mutant`) and held against the checks of every case
that reaches it (`score`). One that no check tells from the original survives: the cases are blind
to that mistake, or no gradient shows it, which `equivalent` then says in writing.
"""

from jax_ref.mutants.equivalent import EQUIVALENT
from jax_ref.mutants.mutant import Mutant, in_force, mutants
from jax_ref.mutants.score import (
    EQUAL,
    KILLED,
    SURVIVED,
    Judge,
    Outcome,
    Score,
    outcomes,
)

__all__ = [
    "EQUAL",
    "EQUIVALENT",
    "KILLED",
    "SURVIVED",
    "Judge",
    "Mutant",
    "Outcome",
    "Score",
    "in_force",
    "mutants",
    "outcomes",
]
