"""The third step: a convolutional network that names the character in a piece of a line.

It sees a part of the line, as high as the line, twice: the piece alone, and with what is beside
it, which tells how large letters are here. The network is `manual_bp.cnn`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from bp_lab.ocr.data import ALPHABET, HEIGHT
from bp_lab.ocr.pipeline.segmenter import restored, stored
from manual_bp import cnn

CLASSES = ALPHABET[1:]
"""All characters but the space."""

CHANNELS, HIDDEN = (2, 16, 32), 128
SHAPE = (HEIGHT, 32)
"""Rows and columns of a piece."""

BATCH = 256

_MARGIN = 1.0


def init(key: jax.Array) -> Any:
    """Return the parameters before training."""
    return cnn.init(key, SHAPE, CHANNELS, (HIDDEN, len(CLASSES)))


def loss_and_gradients(params: Any, pieces: jax.Array, labels: jax.Array) -> tuple[Any, Any]:
    """Return the loss of a batch of pieces and its gradient, written by hand.

    Args:
      params: of the network.
      pieces: uint8 (batch, *SHAPE, 2), as `piece` returns them.
      labels: int32 (batch,), places in `CLASSES`.
    """
    loss, gradients, _ = cnn.loss_gradients_and_deltas(
        params,
        restored(pieces),
        labels,
        loss=manual_bp.softmax_cross_entropy,
        decay=1e-5,
    )
    return loss, gradients


def piece(line: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Return a character of a line as the network sees it, uint8 (*SHAPE, 2).

    Args:
      line: float32 (HEIGHT, columns), as `segmenter.wide` returns it.
      start: the character's first column.
      stop: behind its last column. What is wider than the piece is squeezed.
    """
    from PIL import Image

    width = max(float(SHAPE[1]), stop - start + 2 * _MARGIN)
    first = round((start + stop - width) / 2)
    columns = first + np.arange(round(width))
    inside = (columns >= 0) & (columns < line.shape[1])
    around = np.where(inside, line[:, columns.clip(0, line.shape[1] - 1)], 0)
    own = (columns >= start - _MARGIN) & (columns < stop + _MARGIN)
    both = [np.where(own, around, 0), around]
    if len(columns) != SHAPE[1]:
        size = SHAPE[::-1]
        both = [np.asarray(Image.fromarray(one).resize(size)) for one in both]
    return stored(np.stack(both, -1))


@jax.jit
def _probabilities(params: Any, pieces: jax.Array) -> jax.Array:
    logits, _ = cnn.forward(params, restored(pieces))
    return manual_bp.softmax.forward(logits)[0]


def probabilities(params: Any, pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Return the probability of every class for every piece, float32 (n, classes)."""
    found = np.empty((len(pieces), len(CLASSES)), np.float32)
    for start in range(0, len(pieces), BATCH):
        batch = np.stack(pieces[start : start + BATCH])
        rest = BATCH - len(batch)
        padded = jnp.asarray(np.pad(batch, ((0, rest), (0, 0), (0, 0), (0, 0))))
        found[start : start + BATCH] = np.asarray(_probabilities(params, padded))[: len(batch)]
    return found
