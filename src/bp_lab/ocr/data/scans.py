"""Glyphs of real scanned digits: the 8 × 8 scans of scikit-learn, enlarged."""

import functools

import numpy as np

from bp_lab.ocr.data.fonts import Glyph


@functools.cache
def of_part(part: str) -> tuple[np.ndarray, ...]:
    """Return for each digit the scans of the part, (n, 8, 8) in [0, 1]."""
    from bp_lab.data import load

    split = getattr(load("digits"), part)
    return tuple(split.x[split.y == digit].reshape(-1, 8, 8) for digit in range(10))


def glyph(rng: np.random.Generator, digit: str, size: int, *, part: str) -> Glyph:
    """Return a scan of the digit, so many pixels high, with the baseline below it.

    Args:
      rng: chooses the scan, its slant and its space to the next.
      digit: one character.
      size: rows.
      part: "train" or "test", of the data set.
    """
    from PIL import Image

    of_digit = of_part(part)[int(digit)]
    scan = of_digit[rng.integers(len(of_digit))]
    columns = np.flatnonzero(scan.any(0))
    scan = scan[:, columns[0] : columns[-1] + 1]
    width = max(2, round(size * scan.shape[1] / 8 * rng.uniform(0.8, 1.1)))
    ink = Image.fromarray((255 * scan).astype(np.uint8))
    large = np.asarray(ink.resize((width, size), Image.Resampling.BICUBIC))
    return Glyph(large, 0, -size, width + size * rng.uniform(0.08, 0.3))
