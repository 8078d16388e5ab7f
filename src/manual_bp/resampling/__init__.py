"""Resampling: other sizes of the spatial axes of (batch, *spatial, channel)."""
