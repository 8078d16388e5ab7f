"""Normalisation: activations brought to unit variance or norm, and the statistics of it."""
