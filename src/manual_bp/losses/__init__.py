"""Losses: one number a sample over the last axis, reduced over the batch."""
