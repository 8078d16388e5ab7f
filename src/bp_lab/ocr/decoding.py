"""From the logits of every step to a text, with the confidence in each character.

A path names a class for every step; its text is what is left when repeats, then blanks, are taken
out. Greedy search follows the likeliest path. Many paths have one text, and the likeliest text need
not be that of the likeliest path: beam search follows texts, and adds up the paths of each.

Source: Graves et al. 2006, "Connectionist temporal classification"; the beam: Graves & Jaitly 2014,
"Towards end-to-end speech recognition with recurrent neural networks"
"""

from typing import NamedTuple

import numpy as np

from bp_lab.ocr.data import ALPHABET

BLANK = 0
_FAINTEST, _MOST = -9.0, 8
"""Classes of a lower log-probability at a step are not tried, and no more than so many."""


class Reading(NamedTuple):
    """A text, and for each character the largest probability it had at a step it was read at."""

    text: str
    confidence: tuple[float, ...]


class _Beam(NamedTuple):
    """The log-probability of a text's paths that end in the blank, and of those that do not."""

    blank: float
    other: float
    confidence: tuple[float, ...]

    @property
    def total(self) -> float:
        return float(np.logaddexp(self.blank, self.other))


def greedy(log_p: np.ndarray) -> Reading:
    """Return the text of the likeliest path; `log_p` is (t, classes), the blank first."""
    path, best = log_p.argmax(-1), np.exp(log_p.max(-1))
    text, before = "", BLANK
    confidence: list[float] = []
    for number, sure in zip(path.tolist(), best.tolist(), strict=True):
        if number == BLANK:
            pass
        elif number == before:
            confidence[-1] = max(confidence[-1], sure)
        else:
            text += ALPHABET[number - 1]
            confidence.append(sure)
        before = number
    return Reading(text, tuple(confidence))


def beam_search(log_p: np.ndarray, width: int = 8) -> Reading:
    """Return the likeliest text among those that a beam of so many texts keeps."""
    beams: dict[tuple[int, ...], _Beam] = {(): _Beam(0.0, -np.inf, ())}
    for row in log_p:
        best = np.argsort(-row)[:_MOST].tolist()
        likely = [number for number in best if number != BLANK and row[number] > _FAINTEST]
        grown: dict[tuple[int, ...], _Beam] = {}
        for text, beam in beams.items():
            _extend(grown, text, beam, row, likely)
        ranked = sorted(grown.items(), key=lambda item: -item[1].total)
        beams = dict(ranked[:width])
    text, beam = max(beams.items(), key=lambda item: item[1].total)
    return Reading("".join(ALPHABET[number - 1] for number in text), beam.confidence)


def _extend(
    grown: dict[tuple[int, ...], _Beam],
    text: tuple[int, ...],
    beam: _Beam,
    row: np.ndarray,
    likely: list[int],
) -> None:
    """Add to the texts of the next step what one text becomes there."""
    last = text[-1] if text else BLANK
    stays, sure = -np.inf, beam.confidence
    if text:
        stays = beam.other + float(row[last])
        sure = (*sure[:-1], max(sure[-1], float(np.exp(row[last]))))
    _add(grown, text, _Beam(beam.total + float(row[BLANK]), stays, sure))
    for number in likely:
        before = beam.blank if number == last else beam.total
        new = (*beam.confidence, float(np.exp(row[number])))
        _add(grown, (*text, number), _Beam(-np.inf, before + float(row[number]), new))


def _add(grown: dict[tuple[int, ...], _Beam], text: tuple[int, ...], beam: _Beam) -> None:
    """Add paths to those of a text; the confidence is that of the likelier ones."""
    there = grown.get(text)
    if there is None:
        grown[text] = beam
        return
    blank = float(np.logaddexp(there.blank, beam.blank))
    other = float(np.logaddexp(there.other, beam.other))
    sure = (there if there.total >= beam.total else beam).confidence
    grown[text] = _Beam(blank, other, sure)
