"""A page as the detector takes it: ink about 1, the ground about 0, whatever light fell on it.

The ground is the median of each block of pixels, and between the middles of the blocks a bilinear
surface. Ink is what differs from it, brighter or darker.
"""

import numpy as np

_BLOCK = 32
_LEAST_CONTRAST = 0.08
_BRIGHTEST = 1.5


def flattened(picture: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel from the ground, float32 (rows, columns) in [0, 1.5].

    Args:
      picture: grey, uint8 (rows, columns).
    """
    distance = np.abs(picture.astype(np.float32) - ground_of(picture)) / np.float32(255)
    few = distance[:: 1 + distance.shape[0] // 512, :: 1 + distance.shape[1] // 512]
    full = max(float(np.percentile(few, 99)), _LEAST_CONTRAST)
    return np.minimum(distance / np.float32(full), np.float32(_BRIGHTEST))


def ground_of(picture: np.ndarray) -> np.ndarray:
    """Return the brightness of the ground, float32 (rows, columns) in 0 … 255."""
    from PIL import Image
    from scipy import ndimage  # type: ignore[import-untyped]

    rows, columns = (max(1, -(-side // _BLOCK)) for side in picture.shape)
    padded = np.pad(
        picture,
        ((0, rows * _BLOCK - picture.shape[0]), (0, columns * _BLOCK - picture.shape[1])),
        mode="edge",
    )
    blocks = padded.reshape(rows, _BLOCK, columns, _BLOCK)[:, ::2, :, ::2]
    medians = np.median(blocks, axis=(1, 3)).astype(np.float32)
    medians = ndimage.median_filter(medians, 3, mode="nearest")
    size = (columns * _BLOCK, rows * _BLOCK)
    surface = Image.fromarray(medians).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(surface)[: picture.shape[0], : picture.shape[1]]
