"""Labelled samples for training, and image files for prediction."""

from bp_lab.data.dataset import Dataset, Split
from bp_lab.data.images import read_images
from bp_lab.data.sources import DIGITS, load

__all__ = ["DIGITS", "Dataset", "Split", "load", "read_images"]
