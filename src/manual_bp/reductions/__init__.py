"""Reductions and scans: sums, products, extremes; over one axis, several or all."""
