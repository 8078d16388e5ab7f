"""The first step: a network that says of every window of a page whether text is in its middle.

The network slides over the page as one convolution a layer (`manual_bp.fcn`), every 2 rows and 4
columns, and gives two logits: whether the middle of the window lies in the core of a line, the
band half as high as its letters, in which lines never touch; and whether it lies in the line at
all. It knows letters of some 8 to 28 pixels; larger ones it meets in the halved page.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from manual_bp import fcn

KERNELS = ((5, 5), (3, 5), (5, 5), (5, 5), (5, 5), (1, 1))
STRIDES = ((2, 2), (1, 2), (1, 1), (1, 1), (1, 1), (1, 1))
CHANNELS = (1, 8, 16, 16, 16, 24, 2)
WINDOW, APART = (33, 61), (2, 4)
"""Sides of a window in pixels, and how far neighbouring windows are apart."""

SMALLEST, LARGEST = 8.0, 28.0
"""Heights of the lines that the network finds, in pixels."""

TILE = (256, 512)


def init(key: jax.Array) -> Any:
    """Return the parameters before training."""
    return fcn.init(key, KERNELS, CHANNELS)


def loss_and_gradients(params: Any, ink: jax.Array, targets: jax.Array) -> tuple[Any, Any]:
    """Return the loss of a batch of tiles and its gradient, written by hand.

    Args:
      params: of the network.
      ink: uint8 (batch, rows, columns), 170 where `flattened` is 1.
      targets: uint8 (batch, rows', columns', 2), 255 where both answers are yes.
    """
    x = ink[..., None].astype(jnp.float32) / 170
    wanted = targets.astype(jnp.float32) / 255
    loss, gradients, _ = fcn.loss_gradients_and_deltas(
        params, x, wanted, strides=STRIDES, loss=manual_bp.binary_cross_entropy, decay=1e-5
    )
    return loss, gradients


@jax.jit
def _scores(params: Any, tiles: jax.Array) -> jax.Array:
    logits, _ = fcn.forward(params, tiles, strides=STRIDES)
    return manual_bp.sigmoid.forward(logits)[0]


def text_map(params: Any, ink: np.ndarray) -> np.ndarray:
    """Return the probability of both answers at every window, float32 (rows', columns', 2).

    Entry (i, j) is of the window whose middle is the pixel (2 i, 4 j). Outside of the page is
    ground. The page is cut into tiles of one size that overlap by a window, so that the program is
    compiled once and takes the same memory for any page; the map is that of the page in one piece.

    Args:
      params: of the network.
      ink: float32 (rows, columns) as `flattened` returns it.
    """
    size = tuple(-(-side // apart) for side, apart in zip(ink.shape, APART, strict=True))
    cells = tuple(tile // apart for tile, apart in zip(TILE, APART, strict=True))
    tall, wide = (-(-of_page // of_tile) for of_page, of_tile in zip(size, cells, strict=True))
    shape = (tall * TILE[0], wide * TILE[1])
    padded = np.zeros((shape[0] + WINDOW[0] - 1, shape[1] + WINDOW[1] - 1), np.float32)
    top, left = WINDOW[0] // 2, WINDOW[1] // 2
    padded[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    found = np.empty((tall * cells[0], wide * cells[1], 2), np.float32)
    for row, column in np.ndindex(tall, wide):
        start, first = row * TILE[0], column * TILE[1]
        seen = padded[start:, first:][: TILE[0] + WINDOW[0] - 1, : TILE[1] + WINDOW[1] - 1]
        # Of what the last window leaves, APART − 1 pixels, nothing is read.
        scores = np.asarray(_scores(params, jnp.asarray(seen[None, ..., None])))[0]
        place = np.s_[row * cells[0] : (row + 1) * cells[0]]
        found[place, column * cells[1] : (column + 1) * cells[1]] = scores
    return found[: size[0], : size[1]]


@functools.cache
def _middles(count: int, apart: int) -> np.ndarray:
    return apart * np.arange(count, dtype=np.float32)


def targets(shape: tuple[int, int], lines: Any) -> np.ndarray:
    """Return what the map of a page should be, uint8 (rows', columns', 2).

    Args:
      shape: rows and columns of the page.
      lines: for each line its band, and the boxes of its characters.
    """
    rows, columns = (-(-side // apart) for side, apart in zip(shape, APART, strict=True))
    wanted = np.zeros((rows, columns, 2), np.float32)
    y, x = _middles(rows, APART[0])[:, None], _middles(columns, APART[1])
    for band, boxes in lines:
        counts = np.interp(
            band.height, (SMALLEST - 3, SMALLEST, LARGEST, LARGEST + 6), (0, 1, 1, 0)
        )
        if counts == 0:
            continue
        lefts, tops, rights, bottoms = np.array(boxes, np.float32).T
        fall = band.slope * ((lefts + rights) / 2 - band.middle)
        here = np.flatnonzero((x > band.left - 2) & (x < band.right + 2))
        if not here.size:
            continue
        # What the line's edges are where a window sees them: those of the characters nearby.
        near = (
            np.abs((lefts + rights) / 2 - x[here, None]) < (rights - lefts) / 2 + 1.2 * band.height
        )
        near |= ~near.any(1, keepdims=True)
        falls = band.slope * (x[here] - band.middle)
        top = np.where(near, tops - fall, np.inf).min(1) + falls
        bottom = np.where(near, bottoms - fall, -np.inf).max(1) + falls
        centre, high = (top + bottom) / 2, np.maximum(bottom - top, 0.6 * band.height)
        off = np.abs(y - centre)
        core = ((0.25 * high + 1 - off) / 2).clip(0, 1)
        whole = ((0.5 * high + 1 - off) / 2).clip(0, 1)
        block = wanted[:, here]
        block[..., 0] = np.maximum(block[..., 0], counts * core)
        block[..., 1] = np.maximum(block[..., 1], counts * whole)
        wanted[:, here] = block
    return np.round(255 * wanted).astype(np.uint8)
