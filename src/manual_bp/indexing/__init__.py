"""Ops that move numbers and compute little: look-ups, cuts, joins, choices."""
