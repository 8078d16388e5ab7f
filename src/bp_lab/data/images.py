"""Image files made into samples like those a model was trained on.

A training image is a digit in ink of brightness 1 on a ground of 0, cropped, scaled and centred.
A scan or photograph is brought to that form in five steps:

1. Grey: the luminance. Transparent pixels take the ground: the border's median brightness, or,
   where the border itself is mostly transparent, white under dark content and black under light.
2. Ink: the distance from the border's median brightness, toward the far side of Otsu's threshold.
3. Noise: what is fainter than four standard deviations of the ground, or than a tenth of the
   darkest ink, is ground; so are specks of less than 2 % of the largest stroke.
4. Size: the ink's bounding box is scaled, keeping its aspect, to fit a box that fills sides of up
   to 16 pixels and 20/28 of longer ones. Each pixel is the mean ink of its area.
5. Place: in small images the box is centred, as UCI's digits are (8 × 8: ink counted in blocks of
   a 32 × 32 bitmap); in larger ones the centre of mass is, as MNIST's are (28 × 28: 20 × 20).

Source: Otsu 1979, doi:10.1109/TSMC.1979.4310076; Alpaydin & Kaynak 1998, doi:10.24432/C50P49;
LeCun et al. 1998, doi:10.1109/5.726791.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bp_lab.data.pixels import border, composed, decoded
from bp_lab.errors import InputError

_LONGEST_SIDE = 1024
_LEAST_CONTRAST = 0.05
_FAINTEST = 0.1
_NOISE_SIGMAS = 4.0
_SMALLEST_SPECK = 0.02
_LARGEST_SMALL_SIDE = 16
_BOX_SHARE = 20 / 28
_FINE = 4


def read_images(paths: Sequence[Path], image_shape: tuple[int, int]) -> np.ndarray:
    """Return one sample for each image file.

    Args:
      paths: PNG, JPEG, GIF, BMP, TIFF, WebP or PPM files of any size, on a light or dark ground,
        in colour, grey, 16 bits or with transparency. Of several frames the first counts, and
        the orientation that a camera noted is obeyed.
      image_shape: (rows, columns) of the training images.

    Returns:
      float32 (n, rows * columns) in [0, 1], in the order of `paths`: ink 1, ground 0.

    Raises:
      InputError: a file is missing, a folder, no image, damaged, of more than `LARGEST_PIXELS`
        pixels, or shows nothing that stands out from its ground.
    """
    rows, columns = image_shape
    samples = np.zeros((len(paths), rows * columns), np.float32)
    for sample, path in zip(samples, paths, strict=True):
        ink = _without_noise(_ink(composed(decoded(Path(path), _LONGEST_SIDE)), str(path)))
        sample[:] = _placed(ink, rows, columns).reshape(-1)
    return samples


def _ink(grey: np.ndarray, place: str) -> np.ndarray:
    """Return the distance from the ground on the ink's side, 0 elsewhere: (rows, columns)."""
    low, high = float(grey.min()), float(grey.max())
    if high - low < _LEAST_CONTRAST:
        came = f"an image all of one brightness ({low:.3g} to {high:.3g})"
        raise InputError(place, "image", "ink that stands out from its ground", came)
    ground = float(np.median(border(grey)))
    distance = ground - grey if ground > _otsu(grey, low, high) else grey - ground
    return np.maximum(distance, 0)


def _otsu(values: np.ndarray, low: float, high: float) -> float:
    """Return the threshold that leaves the greatest variance between the two sides."""
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = below[-1] + counts[-1] - below
    sums = np.cumsum(counts * middles)
    # A side may be empty where rounding moves the extremes off the range; its weight is then 0.
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * gap**2
    # Empty bins between the sides tie; their middle is the fairest threshold.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(edges[1 + best[len(best) // 2]])


def _without_noise(ink: np.ndarray) -> np.ndarray:
    from scipy import ndimage  # type: ignore[import-untyped]

    threshold = _otsu(ink, 0.0, float(ink.max()))
    full = float(np.median(ink[ink > threshold]))
    ground = ink[ink <= threshold]
    noise = math.sqrt(float(np.mean(np.minimum(ground, np.percentile(ground, 90)) ** 2)))
    cut = min(max(_NOISE_SIGMAS * noise, _FAINTEST * full), threshold)
    mask = ink > cut
    regions, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(regions.reshape(-1), minlength=count + 1)
    areas[0] = 0
    kept = (areas >= _SMALLEST_SPECK * areas.max())[regions]
    return np.where(kept & mask, np.minimum(ink / full, 1), 0).astype(np.float32)


def _placed(ink: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the ink's bounding box scaled and put in its place: (rows, columns)."""
    from PIL import Image

    high, wide = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    box = ink[high[0] : high[-1] + 1, wide[0] : wide[-1] + 1]
    # On a canvas of finer pixels, sizes and places need no rounding to whole pixels.
    fit = min(_FINE * _room(rows) / box.shape[0], _FINE * _room(columns) / box.shape[1])
    height, width = (max(1, round(fit * side)) for side in box.shape)
    scaled = np.asarray(
        Image.fromarray(box).resize((width, height), Image.Resampling.BOX), np.float32
    )
    canvas = np.zeros((_FINE * rows, _FINE * columns), np.float32)
    top = _start(scaled.sum(1), canvas.shape[0])
    left = _start(scaled.sum(0), canvas.shape[1])
    canvas[top : top + height, left : left + width] = scaled
    sample = canvas.reshape(rows, _FINE, columns, _FINE).mean((1, 3))
    return np.clip(sample / sample.max(), 0, 1)


def _room(side: int) -> float:
    return side if side <= _LARGEST_SMALL_SIDE else side * _BOX_SHARE


def _start(mass: np.ndarray, side: int) -> int:
    """Return where a profile of ink starts on an axis of fine pixels."""
    if side <= _LARGEST_SMALL_SIDE * _FINE:
        return (side - mass.size + 1) // 2
    centre = float(mass @ (np.arange(mass.size) + 0.5)) / float(mass.sum())
    return min(max(round(side / 2 - centre), 0), side - mass.size)
