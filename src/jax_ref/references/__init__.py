"""Forward functions written another way than `manual_bp`'s, for JAX to differentiate."""

from jax_ref.references import activations, dense, losses, models, recurrence, regularization

__all__ = ["activations", "dense", "losses", "models", "recurrence", "regularization"]
