"""What reads a picture: the detector, and behind it one of the two ways to read a line."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bp_lab.ocr import align, data, decoding, reader, reading
from bp_lab.ocr.pipeline import find, spell, training, weights
from bp_lab.ocr.reading import Span
from manual_bp import line_reader

PIPELINE = Path(__file__).parent / "pipeline" / "weights.npz"
"""The weights of the three steps that the package brings along."""

_DOUBTED = 0.6
"""A character that the reader of lines is less sure of must have ink; any, ink on its left."""

PageReader = Callable[[np.ndarray], list[reading.Line]]


def networks(path: Path | None = None) -> dict[str, Any]:
    """Return the parameters of the detector, the segmenter and the classifier.

    Raises:
      InputError: the file is missing, damaged, or of other networks.
    """
    return weights.load(path or PIPELINE, training.shapes())


def load(
    path: Path | None = None, *, pipeline: bool = False, line_weights: Path | None = None
) -> PageReader:
    """Return what reads a picture, grey uint8 (rows, columns).

    Args:
      path: weights of the three steps, None for those of the package.
      pipeline: whether lines are read by the second and the third step.
      line_weights: of the reader of lines, None for those of the package.

    Raises:
      InputError: a file is missing, damaged, or of other networks.
    """
    found = networks(path)
    detector = partial(find.find, found["detector"])
    return partial(
        reading.read,
        find=detector,
        reader=by_pipeline(found) if pipeline else by_lines(reader.load(line_weights)),
    )


def by_pipeline(networks: dict[str, Any]) -> reading.LineReader:
    """Return what cuts lines into characters and names each."""
    return partial(spell.read, networks["segmenter"], networks["classifier"])


def by_lines(network: reader.Reader, beam: int | None = 4) -> reading.LineReader:
    """Return what reads lines as a whole, and then looks where the characters stand.

    Args:
      network: the reader of lines.
      beam: texts that are followed at a time; None for greedy search.
    """
    decode = decoding.greedy if beam is None else partial(decoding.beam_search, width=beam)

    def read(pictures: Sequence[np.ndarray]) -> list[list[Span]]:
        lines = [data.normalised(picture) for picture in pictures]
        scores = network.log_probabilities(lines)
        said = [decode(log_p) for log_p in scores]
        marks = [_marks(log_p, one.text) for log_p, one in zip(scores, said, strict=True)]
        found = align.places(lines, marks)
        return [_spans(*one) for one in zip(pictures, lines, said, found, strict=True)]

    return read


def _marks(log_p: np.ndarray, text: str) -> list[float]:
    """Return the column in the middle of the steps of each character."""
    if not text:
        return []
    labels = [data.ALPHABET.index(character) + 1 for character in text]
    width = math.prod(columns for _, columns in line_reader.POOLS)
    steps = align.steps(log_p, labels, decoding.BLANK)
    return [width * (first + last + 1) / 2 for first, last in steps]


def _spans(
    picture: np.ndarray,
    line: np.ndarray,
    said: decoding.Reading,
    places: Sequence[tuple[float, float]],
) -> list[Span]:
    scale = picture.shape[1] / line.shape[1]
    every = zip(said.text, places, said.confidence, strict=True)
    # A first letter is now and then read twice, once in the margin.
    return [
        Span(character, scale * start, scale * stop, sure)
        for character, (start, stop), sure in every
        if character == " "
        or align.has_ink(line, start, stop)
        or (sure >= _DOUBTED and align.has_ink(line, 0, stop))
    ]
