"""The pictures in the folder of a training of the reader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bp_lab.ocr import data
from bp_lab.ocr.evaluation import HELD_OUT, SEED
from bp_lab.ocr.reader import Reader
from bp_lab.plots.figure import epochs_across, picture

_SHOWN = 4


def draw(out: Path, epochs: Sequence[dict[str, Any]], reader: Reader) -> None:
    """Write the curves of the epochs, and lines that the training never saw with what was read."""
    curves(out / "curves.png", epochs)
    samples(out / "samples.png", reader)


def curves(path: Path, epochs: Sequence[dict[str, Any]]) -> None:
    """Draw the loss and the error rate over the epochs."""
    number = [epoch["number"] for epoch in epochs]
    marker = "o" if len(epochs) < 3 else None
    with picture(path, ncols=2, figsize=(9.6, 3.8)) as (_, (left, right)):
        left.plot(number, [epoch["loss"] for epoch in epochs], marker=marker)
        left.set(ylabel="loss a character [nats]", yscale="log", title="Loss")
        rates = [100 * epoch["error_rate"] for epoch in epochs]
        right.plot(number, rates, marker=marker, color="C2")
        right.set(ylabel="characters misread [%]", title="Lines never seen")
        right.set_ylim(0)
        for axes in (left, right):
            epochs_across(axes)


def samples(path: Path, reader: Reader) -> None:
    """Draw a few lines of every held-out split, each under what was read."""
    shown = [line for split in HELD_OUT for line in data.lines(SEED, _SHOWN, split=split)]
    readings = reader.read([line.image for line in shown])
    columns, size = len(HELD_OUT), (4.0 * len(HELD_OUT), 0.9 * _SHOWN + 0.6)
    with picture(path, nrows=_SHOWN, ncols=columns, squeeze=False, figsize=size) as (_, grid):
        for place, (line, reading) in enumerate(zip(shown, readings, strict=True)):
            axes = grid[place % _SHOWN, place // _SHOWN]
            axes.axis("off")
            axes.imshow(np.clip(line.image, 0, 1), cmap="gray_r")
            right = reading.text == line.text
            above = HELD_OUT[place // _SHOWN] if place % _SHOWN == 0 else ""
            text = f"{above}\n{reading.text}".strip().replace("$", r"\$")
            axes.set_title(text, fontsize=8, color="black" if right else "C3")
