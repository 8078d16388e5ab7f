"""Pooling: windows over the spatial axes of (batch, *spatial, channel)."""
