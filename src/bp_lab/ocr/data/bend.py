"""Pictures rotated and sheared."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


class Bend:
    """An affine change of a picture; what it shows stays whole.

    A point p of the picture moves to A p, A = rotation · shear, and the new picture is as large as
    what A makes of the old.
    """

    def __init__(self, shape: tuple[int, ...], *, degrees: float, shear: float) -> None:
        """Take the shape of the pictures, the rotation in degrees, and columns a row of shear."""
        angle = math.radians(degrees)
        rotation = np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        forward = rotation @ np.array([[1, -shear], [0, 1]])
        rows, columns = shape[:2]
        corners = forward @ np.array([[0, columns, 0, columns], [0, 0, rows, rows]], float)
        low = corners.min(1)
        width, height = (max(1, math.ceil(side)) for side in corners.max(1) - low)
        back = np.linalg.inv(forward)
        offset = back @ low
        self._size = (width, height)
        self._map = (*back[0], offset[0], *back[1], offset[1])

    def smooth(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture changed, in between pixels by their mean; the outside is 0."""
        from PIL import Image

        return self._changed(picture, Image.Resampling.BILINEAR)

    def nearest(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers, int32 (rows, columns), that move with the pixels; the outside is 0."""
        from PIL import Image

        return self._changed(numbers, Image.Resampling.NEAREST)

    def _changed(self, picture: np.ndarray, resample: "Image.Resampling") -> np.ndarray:
        from PIL import Image

        image = Image.fromarray(picture)
        return np.asarray(image.transform(self._size, Image.Transform.AFFINE, self._map, resample))
