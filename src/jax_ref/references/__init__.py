"""Forward functions written another way than `manual_bp`'s, for JAX to differentiate."""

from jax_ref.references import activations, convolution, dense, losses, models, regularization

__all__ = ["activations", "convolution", "dense", "losses", "models", "regularization"]
