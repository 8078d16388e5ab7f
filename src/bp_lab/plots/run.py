"""The pictures in a run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bp_lab.data import Dataset, Split
from bp_lab.plots.figure import epochs_across, picture

MOST_CLASSES = 40  # beyond this the numbers in a confusion matrix cannot be read
MISREAD = 24
NAMED = 10  # layers, beyond which colours would come twice


def draw_run(
    out: Path,
    epochs: Sequence[dict[str, Any]],
    test: Split,
    predicted: np.ndarray,
    confidence: np.ndarray,
    dataset: Dataset,
) -> None:
    """Write every picture of a run into its folder.

    Args:
      out: the run folder.
      epochs: what was recorded of each epoch.
      test: the test part.
      predicted: class predicted for each test sample.
      confidence: probability given to that class.
      dataset: for its name and the shape of its images.
    """
    curves(out / "curves.png", epochs)
    delta_norms(out / "delta_norms.png", epochs)
    if dataset.classes <= MOST_CLASSES:
        confusion(out / "confusion.png", test.y, predicted, dataset.classes)
    if dataset.image_shape is not None:
        misread(out / "misread.png", test, predicted, confidence, dataset.image_shape)


def curves(path: Path, epochs: Sequence[dict[str, Any]]) -> None:
    """Draw training and validation loss, and validation accuracy, over the epochs."""
    number = [epoch["number"] for epoch in epochs]
    marker = "o" if len(epochs) < 3 else None
    with picture(path, ncols=2, figsize=(9.6, 3.8)) as (_, (left, right)):
        left.plot(number, [e["loss"] for e in epochs], marker=marker, label="training")
        left.plot(number, [e["validation_loss"] for e in epochs], marker=marker, label="validation")
        left.set(ylabel="loss", title="Loss")
        if min(min(e["loss"], e["validation_loss"]) for e in epochs) > 0:
            left.set_yscale("log")
        left.legend()
        accuracy = [100 * e["validation_accuracy"] for e in epochs]
        right.plot(number, accuracy, marker=marker, color="C2")
        right.set(ylabel="accuracy [%]", title="Accuracy on the validation part")
        for axes in (left, right):
            epochs_across(axes)


def delta_norms(path: Path, epochs: Sequence[dict[str, Any]]) -> None:
    """Draw the size of every layer's δ over the epochs."""
    number = [epoch["number"] for epoch in epochs]
    norms = np.asarray([epoch["delta_norms"] for epoch in epochs])
    marker, layers = "o" if len(epochs) < 3 else None, norms.shape[1]
    with picture(path) as (figure, axes):
        lines = [
            axes.plot(number, norm, marker=marker, label=f"$\\delta^{{{layer}}}$")[0]
            for layer, norm in enumerate(norms.T, start=1)
        ]
        epochs_across(axes)
        axes.set(
            ylabel=r"$\|\delta^l\|$",
            title="Sensitivity of the loss to each layer's pre-activations",
        )
        if (norms > 0).all():
            axes.set_yscale("log")
        if layers <= NAMED:
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            _color_by_layer(figure, axes, lines)


def _color_by_layer(figure: Any, axes: Any, lines: Sequence[Any]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    scale = ScalarMappable(Normalize(1, len(lines)), "viridis")
    colors = scale.to_rgba(np.arange(1, len(lines) + 1))
    for line, color in zip(lines, colors, strict=True):
        line.set_color(color)
    figure.colorbar(scale, ax=axes, label="layer $l$", ticks=MaxNLocator(integer=True))


def confusion(path: Path, truth: np.ndarray, predicted: np.ndarray, classes: int) -> None:
    """Draw how many samples of each class were read as which."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (truth, predicted), 1)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(12.0, 2.0 + 0.4 * classes)
    with picture(path, figsize=(side, side)) as (_, axes):
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.grid(visible=False)
        for i, j in zip(*np.nonzero(counts), strict=True):
            color = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", color=color, fontsize=9)
        ticks = range(classes)
        axes.set(xlabel="read as", ylabel="is", title="Test samples", xticks=ticks, yticks=ticks)


def misread(
    path: Path,
    test: Split,
    predicted: np.ndarray,
    confidence: np.ndarray,
    image_shape: tuple[int, int],
) -> None:
    """Draw the misread test samples, the most confident mistakes first."""
    wrong = np.flatnonzero(predicted != test.y)
    shown = wrong[np.argsort(-confidence[wrong])][:MISREAD]
    columns = min(8, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    size = (max(4.0, 1.3 * columns), 1.6 * rows + 0.5)
    with picture(path, nrows=rows, ncols=columns, squeeze=False, figsize=size) as (figure, grid):
        for axes in grid.flat:
            axes.axis("off")
        for axes, sample in zip(grid.flat, shown, strict=False):
            axes.imshow(test.x[sample].reshape(image_shape), cmap="gray_r")
            axes.set_title(
                f"{test.y[sample]} read as {predicted[sample]}\n{100 * confidence[sample]:.0f} %",
                fontsize=8,
            )
        figure.suptitle(f"{len(wrong)} of {len(test.y)} test samples misread")
