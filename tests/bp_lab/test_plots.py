"""Pictures that can be read, whatever they show."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from bp_lab.plots import figure, run


def _epochs(number: int, layers: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    fields = ("loss", "validation_loss", "validation_accuracy")
    return [
        {"number": n + 1, "delta_norms": list(rng.random(layers)), **dict.fromkeys(fields, 0.5)}
        for n in range(number)
    ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures of the pictures that a test draws."""
    figures: list[Figure] = []

    @contextlib.contextmanager
    def kept(*args: Any, **options: Any) -> Iterator[Any]:
        with figure.picture(*args, **options) as made:
            yield made
        figures.append(made[0])

    monkeypatch.setattr(run, "picture", kept)
    return figures


@pytest.mark.parametrize("layers", [run.NAMED, 28])
def test_every_layer_can_be_told_from_the_others(
    layers: int, tmp_path: Path, drawn: list[Figure]
) -> None:
    run.delta_norms(tmp_path / "delta_norms.png", _epochs(4, layers))
    axes = drawn[0].axes[0]
    assert len({str(line.get_color()) for line in axes.get_lines()}) == layers
    legend = axes.get_legend()
    assert (legend is None) == (len(drawn[0].axes) == 2) == (layers > run.NAMED)
    if legend is not None:
        box = legend.get_window_extent()
        assert not box.overlaps(axes.get_window_extent())
        assert drawn[0].bbox.contains(*box.min)
        assert drawn[0].bbox.contains(*box.max)


@pytest.mark.parametrize("number", [1, 4])
def test_epochs_are_whole_numbers(number: int, tmp_path: Path, drawn: list[Figure]) -> None:
    run.curves(tmp_path / "curves.png", _epochs(number, 2))
    run.delta_norms(tmp_path / "delta_norms.png", _epochs(number, 2))
    every = [axes for one in drawn for axes in one.axes]
    assert len(every) == 3
    for axes in every:
        assert all(float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("ends", [(12, 17), (2, 80), (0.05, 300), (1e-4, 1e6)])
def test_the_ticks_of_a_logarithmic_axis_do_not_overlap(ends: tuple[float, float]) -> None:
    drawn = Figure(figsize=(4, 3), layout="constrained")
    axes = drawn.subplots()
    axes.plot(ends, ends)
    axes.set(xscale="log", yscale="log")
    figure.few_log_ticks(axes.xaxis)
    drawn.draw_without_rendering()
    assert not axes.get_xticklabels(minor=True)
    low, high = axes.get_xlim()
    labels = [
        label.get_window_extent()
        for label, tick in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
        if low <= tick <= high
    ]
    assert len(labels) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(labels))
