"""Image files of any kind as brightness and opacity, in memory that does not grow with the file."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bp_lab.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

LARGEST_PIXELS = 2**26
"""The most pixels that an image may have, below Pillow's own limit of 89,478,485."""

# Formats that Pillow decodes itself; others, such as EPS, start programs.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


class Pixels(NamedTuple):
    """What an image file shows.

    Attributes:
      brightness: float32 (rows, columns) in [0, 1], black 0.
      opacity: of the same shape and range; None where all is opaque.
      block: each pixel is the mean of so many rows and columns of the file's pixels.
    """

    brightness: np.ndarray
    opacity: np.ndarray | None
    block: int


def decoded(path: Path, longest_side: int) -> Pixels:
    """Return the pixels of an image file.

    Args:
      path: a PNG, JPEG, GIF, BMP, TIFF, WebP or PPM file. Of several frames the first counts, and
        the orientation that a camera noted is obeyed.
      longest_side: where a side is twice as long or more, whole blocks of pixels become one.

    Raises:
      InputError: the file is missing, a folder, no image, damaged, of more than `LARGEST_PIXELS`
        pixels, or has pixels that are no numbers.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    place = str(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, and of sizes that are checked here.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > LARGEST_PIXELS:
                    came = f"{image.width} x {image.height}"
                    expected = f"at most {LARGEST_PIXELS} pixels"
                    raise InputError(place, "image", expected, came)
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                pixels = _grey(image, max(1, max(image.size) // longest_side))
    except InputError:
        raise
    except Image.DecompressionBombError:
        expected = f"at most {LARGEST_PIXELS} pixels"
        raise InputError(place, "image", expected, "more than twice as many") from None
    except UnidentifiedImageError:
        came = "an empty file" if path.stat().st_size == 0 else "content of another kind"
        raise InputError(place, "image", f"one of {', '.join(FORMATS)}", came) from None
    except OSError as error:
        expected = "an image file" if error.errno else "an intact image"
        raise InputError(place, "image", expected, error.strerror or error) from None
    except Exception as error:  # noqa: BLE001  Pillow's decoders let through what their parsers meet
        raise InputError(place, "image", "an intact image", error or type(error)) from None
    if not np.isfinite(pixels.brightness).all():
        raise InputError(place, "image", "finite pixels", "NaN or infinity")
    return pixels


def _grey(image: "Image.Image", block: int) -> Pixels:
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        deep = np.array(image, np.float32) / np.float32(1 if image.mode == "F" else 65535)
        return Pixels(np.asarray(Image.fromarray(deep).reduce(block)), None, block)
    if image.has_transparency_data:
        # Palettes and premultiplied colours know no direct way to grey with opacity.
        both = image.convert("RGBA").convert("LA").reduce(block)
        pair = np.asarray(both, np.float32) / 255
        return Pixels(pair[..., 0], pair[..., 1], block)
    # LAB knows no direct way to grey.
    direct = image if image.mode in ("1", "L") else image.convert("RGB")
    return Pixels(np.asarray(direct.convert("L").reduce(block), np.float32) / 255, None, block)


def border(array: np.ndarray) -> np.ndarray:
    """Return the pixels on the edge of an image."""
    inner = array[1:-1]
    return np.concatenate([array[0], array[-1], inner[:, 0], inner[:, -1]])


def composed(pixels: Pixels) -> np.ndarray:
    """Return what an image shows where it is transparent as well.

    There lies the ground: the border's median brightness, or, where the border itself is mostly
    transparent, white under dark content and black under light.
    """
    grey, opacity, _ = pixels
    if opacity is None or opacity.min() == 1:
        return grey
    edge = border(opacity) > 0.5
    if np.count_nonzero(edge) * 2 > edge.size:
        under = float(np.median(border(grey)[edge]))
    else:
        under = 1.0 if np.average(grey, weights=opacity + 1e-9) < 0.5 else 0.0
    return np.asarray(opacity * grey + (1 - opacity) * np.float32(under))
