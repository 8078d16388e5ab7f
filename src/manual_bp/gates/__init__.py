"""Activations of more than one argument: with a learned slope, with pieces, with a gate."""
