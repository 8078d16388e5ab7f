"""The registry of cases: op, reference, inputs. The only part of `jax_ref` that knows `manual_bp`.

Everything is driven from here: the tests, `manual-bp check`, the catalogue. An op of the ground
floor that no case names fails a test.
"""

from jax_ref.cases import (
    activations,
    attention,
    beyond,
    convolution,
    ctc,
    dense,
    fused_losses,
    gates,
    indexing,
    losses,
    models,
    normalization,
    pooling,
    recurrence,
    reductions,
    regularization,
    resampling,
)
from jax_ref.cases.case import (
    DTYPES,
    Case,
    run,
)

registry: tuple[Case, ...] = (
    *activations.cases,
    *attention.cases,
    *dense.cases,
    *gates.cases,
    *losses.cases,
    *ctc.cases,
    *fused_losses.cases,
    *regularization.cases,
    *indexing.cases,
    *reductions.cases,
    *pooling.cases,
    *resampling.cases,
    *normalization.cases,
    *convolution.cases,
    *recurrence.cases,
    *models.cases,
)

everything: tuple[Case, ...] = (*registry, *beyond.cases)

__all__ = [
    "DTYPES",
    "Case",
    "everything",
    "registry",
    "run",
]
