"""The registry of cases: op, reference, inputs. The only part of `jax_ref` that knows `manual_bp`.

Everything is driven from here: the tests, `manual-bp check`, the catalogue. An op of the ground
floor that no case names fails a test.
"""

from jax_ref.cases import activations, beyond, dense, losses, models, recurrence, regularization
from jax_ref.cases.case import DTYPES, Case, run

registry: tuple[Case, ...] = (
    *activations.cases,
    *dense.cases,
    *losses.cases,
    *recurrence.cases,
    *regularization.cases,
    *models.cases,
)

everything: tuple[Case, ...] = (*registry, *beyond.cases)

__all__ = ["DTYPES", "Case", "everything", "registry", "run"]
