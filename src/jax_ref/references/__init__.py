"""Forward functions written another way than `manual_bp`'s, for JAX to differentiate."""

from jax_ref.references import (
    activations,
    attention,
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
    stacks,
)

__all__ = [
    "activations",
    "attention",
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
    "stacks",
]
