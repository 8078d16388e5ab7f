"""Image files, and folders of them, as grey pages."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bp_lab.data.pixels import composed, decoded
from bp_lab.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")

_LONGEST_SIDE = 2048
_LEAST_CONTRAST = 0.1


class Picture(NamedTuple):
    """A grey picture, uint8 (rows, columns), and how many pixels of its file one of its is wide."""

    image: np.ndarray
    block: int


def files(inputs: Iterable[Path]) -> Iterator[Path]:
    """Yield the files among the inputs, and for each folder the images in it, by name.

    Raises:
      InputError: a folder holds no image, or cannot be read.
    """
    for path in inputs:
        if not path.is_dir():
            yield path
            continue
        try:
            found = sorted(
                p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()
            )
        except OSError as error:
            expected = "a folder that can be read"
            raise InputError("ocr", str(path), expected, error.strerror or error) from None
        if not found:
            raise InputError("ocr", str(path), f"images ({', '.join(SUFFIXES)})", "none")
        yield from found


def read(path: Path) -> Picture:
    """Return the picture in a file; of a large one, whole blocks of pixels become one.

    Raises:
      InputError: the file is missing, no image, damaged, or of more pixels than is allowed.
    """
    pixels = decoded(path, _LONGEST_SIDE)
    grey = composed(pixels)
    low = float(grey.min())
    span = max(float(grey.max()) - low, _LEAST_CONTRAST)
    stretched = (grey - np.float32(low)) * np.float32(255 / span)
    return Picture(stretched.clip(0, 255).astype(np.uint8), pixels.block)
