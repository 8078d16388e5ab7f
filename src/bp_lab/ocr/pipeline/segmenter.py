"""The second step: a network that says of every column of a line whether characters part there.

The network slides along the line as one convolution a layer (`manual_bp.fcn`), a column at a time,
and says of the column in the middle of its window: inside a character, between two, or where no
text is, as between words. Runs of the first are the characters.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from bp_lab.ocr import data
from bp_lab.ocr.data import Box
from manual_bp import fcn

KERNELS = ((5, 5), (5, 5), (3, 7), (1, 17), (1, 1))
STRIDES = ((2, 1), (2, 1), (1, 1), (1, 1), (1, 1))
CHANNELS = (1, 12, 16, 32, 32, 3)
WINDOW = (21, 31)
"""Rows and columns of a window; the last rows of a line are not read."""

INSIDE, BETWEEN, NOTHING = range(3)

STRETCH = 4 / 3
"""How many columns a line has here for each that a picture with its aspect kept would have."""

STEP = 128
"""Lines are filled up with ground to a multiple of so many columns, and few programs compiled."""

_INSIDE = 0.62
"""How sure a column inside of a character must be; below, touching letters part more often."""

_LEAST = 2


class Cell(NamedTuple):
    """A character's columns in a line, and whether a space comes before it."""

    start: float
    stop: float
    spaced: bool


def wide(picture: np.ndarray) -> np.ndarray:
    """Return a line cut out of a picture as both networks take it, float32 (HEIGHT, columns).

    It is `data.normalised`, with more columns: in their direction characters part.

    Args:
      picture: grey, uint8 (rows, columns).
    """
    from PIL import Image

    rows, columns = picture.shape
    size = (max(1, round(STRETCH * columns)), rows)
    image = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    return data.normalised(np.asarray(image))


def init(key: jax.Array) -> Any:
    """Return the parameters before training."""
    return fcn.init(key, KERNELS, CHANNELS)


def loss_and_gradients(params: Any, lines: jax.Array, labels: jax.Array) -> tuple[Any, Any]:
    """Return the loss of a batch of windows of lines and its gradient, written by hand.

    Args:
      params: of the network.
      lines: uint8 (batch, HEIGHT, columns), as `stored` returns them.
      labels: uint8 (batch, columns'): INSIDE, BETWEEN or NOTHING.
    """
    loss, gradients, _ = fcn.loss_gradients_and_deltas(
        params,
        restored(lines)[..., None],
        labels[:, None].astype(jnp.int32),
        strides=STRIDES,
        loss=manual_bp.softmax_cross_entropy,
        decay=1e-5,
    )
    return loss, gradients


def stored(line: np.ndarray) -> np.ndarray:
    """Return a line as uint8: −0.5 … 1.5 as 0 … 240."""
    return np.round(120 * (line + 0.5)).astype(np.uint8)


def restored(lines: jax.Array) -> jax.Array:
    """Return lines stored as uint8 in float32."""
    return lines.astype(jnp.float32) / 120 - 0.5


def labels(boxes: Sequence[Box], columns: int) -> np.ndarray:
    """Return what the network should say of every column of a line, uint8 (columns,).

    Args:
      boxes: of the characters in pixels of the line, with spaces of at least `space` between words.
      columns: of the line.
    """
    said = np.full(columns, NOTHING, np.uint8)
    edges = [(round(left), round(right)) for left, _, right, _ in boxes]
    for left, right in edges:
        said[max(left, 0) : max(right, 0)] = INSIDE
    return said


def parted(said: np.ndarray, left: float, right: float) -> None:
    """Write where two characters of a word part: the columns between them, two at least."""
    middle = round((left + right) / 2)
    start, stop = min(round(left), middle - 1), max(round(right), middle + 1)
    said[max(start, 0) : max(stop, 0)] = BETWEEN


@jax.jit
def _probabilities(params: Any, lines: jax.Array) -> jax.Array:
    logits, _ = fcn.forward(params, lines, strides=STRIDES)
    return manual_bp.softmax.forward(logits)[0]


def column_map(params: Any, line: np.ndarray) -> np.ndarray:
    """Return the probability of each answer at every column of a line, float32 (columns, 3).

    Args:
      params: of the network.
      line: float32 (HEIGHT, columns), as `wide` returns it.
    """
    columns, side = line.shape[1], WINDOW[1] // 2
    rest = -columns % STEP
    padded = np.pad(line, ((0, 0), (side, side + rest)))[None, ..., None]
    return np.asarray(_probabilities(params, jnp.asarray(padded)))[0, 0, :columns]


def cells(said: np.ndarray) -> list[Cell]:
    """Return the characters of a line from the probabilities of its columns."""
    inside = said[:, INSIDE] > _INSIDE
    nothing = ~inside & (said[:, NOTHING] > said[:, BETWEEN])
    edges = np.flatnonzero(np.diff(np.pad(inside.astype(int), 1)))
    runs = [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= _LEAST]
    found: list[Cell] = []
    for place, (start, stop) in enumerate(runs):
        before = runs[place - 1][1] if place else start
        after = runs[place + 1][0] if place + 1 < len(runs) else stop
        spaced = place > 0 and bool(nothing[before:start].any())
        # What lies between neighbours belongs half to each.
        left = start - min(2.0, (start - before) / 2)
        right = stop + min(2.0, (after - stop) / 2)
        found.append(Cell(left, right, spaced))
    return found
