"""Ink on paper: thickness and texture of the ink, light, contrast, blur, noise, compression."""

import io

import numpy as np

from bp_lab.ocr.data.splits import Split

NOISE = 0.04
"""The largest standard deviation of a training picture's noise; white is 1."""

UNSEEN_NOISE = (0.05, 0.08)
"""The standard deviations of the split "unseen noise"."""


def photograph(
    rng: np.random.Generator, ink: np.ndarray, split: Split, *, size: float
) -> np.ndarray:
    """Return a grey picture, uint8 (rows, columns), of ink on a ground.

    Args:
      rng: the random numbers.
      ink: coverage, uint8 (rows, columns).
      split: says how much noise there is.
      size: of the smallest font in pixels; the blur is in proportion.
    """
    from PIL import Image, ImageFilter

    grown = ink
    if rng.random() < 0.5:
        radius = size / 24 * rng.uniform(0.2, 0.9)
        blurred = Image.fromarray(ink).filter(ImageFilter.GaussianBlur(radius))
        grown = np.asarray(blurred)
    cover = (grown / np.float32(255)) ** np.float32(rng.uniform(0.6, 1.4))
    if rng.random() < 0.4:
        cover = cover * (1 - rng.uniform(0, 0.4) * _field(rng, ink.shape, size / 6))
    paper, contrast = rng.uniform(0.6, 1), rng.uniform(0.4, 0.95)
    ground, written = paper, paper * (1 - contrast)
    if rng.random() < 0.25:
        ground, written = written, ground
    picture = ground + (written - ground) * cover
    if rng.random() < 0.6:
        picture = picture * _light(rng, ink.shape)
    if rng.random() < 0.4:
        grain = _field(rng, ink.shape, rng.uniform(2, size))
        picture = picture + np.float32(rng.uniform(0, 0.06)) * (grain - np.float32(0.5))
    picture = picture + _noise(rng, split, ink.shape)
    image = Image.fromarray((255 * picture.clip(0, 1)).astype(np.uint8))
    if rng.random() < 0.15:
        compressed = io.BytesIO()
        image.save(compressed, "JPEG", quality=int(rng.integers(50, 95)))
        image = Image.open(compressed)
    return np.asarray(image)


def _noise(rng: np.random.Generator, split: Split, shape: tuple[int, ...]) -> np.ndarray:
    low, high = UNSEEN_NOISE if split == "unseen noise" else (0.0, NOISE)
    deviation = np.float32(rng.uniform(low, high))
    return deviation * rng.standard_normal(shape, np.float32)


def _light(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return light that changes slowly from a corner to the others."""
    return _enlarged(rng.uniform(0.75, 1, (2, 2)), shape)


def _field(rng: np.random.Generator, shape: tuple[int, ...], cell: float) -> np.ndarray:
    """Return a random texture in [0, 1] with spots of about so many pixels."""
    rows, columns = (max(2, round(side / max(cell, 2))) for side in shape)
    return _enlarged(rng.random((rows, columns)), shape)


def _enlarged(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
