"""Forward functions written another way than `manual_bp`'s, for JAX to differentiate."""

from jax_ref.references import (
    activations,
    convolution,
    dense,
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

__all__ = [
    "activations",
    "convolution",
    "dense",
    "gates",
    "indexing",
    "losses",
    "models",
    "normalization",
    "pooling",
    "recurrence",
    "reductions",
    "regularization",
    "resampling",
]
