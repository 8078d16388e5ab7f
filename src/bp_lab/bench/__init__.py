"""Benchmarks: hand-written gradients beside autodiff, measured as ratios in one run."""
