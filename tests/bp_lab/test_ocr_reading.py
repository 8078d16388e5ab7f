"""From scores to texts, from files to readers, and how misreadings are counted."""

import itertools
from pathlib import Path

import jax
import numpy as np
import pytest

from bp_lab.errors import InputError
from bp_lab.ocr import batches, data, decoding, evaluation, reader
from manual_bp import line_reader

A, B = data.ALPHABET[0], data.ALPHABET[1]
HIDDEN, CHANNELS = 2, (1, 1, 2, 1, 2)


def _scores(*rows: tuple[float, ...]) -> np.ndarray:
    return np.log(np.asarray(rows) / np.sum(rows, axis=1, keepdims=True))


def _collapsed(path: tuple[int, ...]) -> str:
    kept = [c for place, c in enumerate(path) if place == 0 or c != path[place - 1]]
    return "".join(data.ALPHABET[c - 1] for c in kept if c)


def test_greedy_search_takes_out_repeats_and_then_blanks() -> None:
    low = 0.05
    rows = [(low, 0.9, low), (low, 0.8, low), (0.9, low, low), (low, 0.6, low), (low, low, 0.7)]
    reading = decoding.greedy(_scores(*rows))
    assert reading.text == A + A + B
    np.testing.assert_allclose(reading.confidence, [0.9, 0.6 / 0.7, 0.7 / 0.8])
    assert decoding.greedy(np.zeros((0, 3))) == ("", ())


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_likeliest_text_of_all(seed: int) -> None:
    scores = _scores(*np.random.default_rng(seed).dirichlet([0.7] * 3, 5))
    texts: dict[str, float] = {}
    for path in itertools.product(range(3), repeat=5):
        text = _collapsed(path)
        texts[text] = texts.get(text, 0) + np.exp(
            sum(row[c] for row, c in zip(scores, path, strict=True))
        )
    reading = decoding.beam_search(scores, width=100)
    assert reading.text == max(texts, key=lambda text: texts[text])
    assert len(reading.confidence) == len(reading.text)
    assert all(0 < sure <= 1 for sure in reading.confidence)


def test_a_beam_adds_up_what_greedy_search_takes_apart() -> None:
    # The blank is likeliest at both steps, but three of the four other paths say A.
    scores = _scores((0.55, 0.45), (0.55, 0.45))
    assert decoding.greedy(scores).text == ""
    assert decoding.beam_search(scores).text == A


def test_the_distance_counts_what_must_change() -> None:
    assert evaluation.distance("kitten", "sitting") == 3
    assert evaluation.distance("", "abc") == evaluation.distance("abc", "") == 3
    assert evaluation.distance("same", "same") == 0
    assert evaluation.error_rate(["ab", "xyz"], ["ab", "xy"]) == 1 / 4


def test_a_batch_holds_lines_and_what_they_say() -> None:
    lines = [data.LineImage(np.ones((data.HEIGHT, w), np.float32), text)
             for w, text in ((40, "ab"), (60, "~ !"))]  # fmt: skip
    x, widths, labels, lengths = batches.batch(lines, 64, 4)
    assert x.shape == (2, data.HEIGHT, 64, 1)
    assert x.sum((1, 2, 3)).tolist() == [40 * data.HEIGHT, 60 * data.HEIGHT]
    assert widths.tolist() == [40, 60]
    assert lengths.tolist() == [2, 3]
    assert labels.tolist() == [[66, 67, 0, 0], [95, 1, 2, 0]]


def test_batches_are_whole_and_of_few_shapes() -> None:
    lines = data.lines(0, 40, split="train")
    made = batches.batches(lines, 4, 24, np.random.default_rng(0))
    assert {batch.x.shape for batch in made} <= {
        (4, data.HEIGHT, columns, 1) for columns in batches.BUCKETS
    }
    assert 25 < sum(len(batch.widths) for batch in made) <= 40
    assert batches.columns_of(1) == batches.BUCKETS[0]
    assert batches.columns_of(batches.BUCKETS[-1] + 1) == 2 * batches.BUCKETS[-1]


def _small() -> reader.Reader:
    params = line_reader.init(
        jax.random.key(0), data.HEIGHT, CHANNELS, HIDDEN, batches.CLASSES, dtype="float32"
    )
    return reader.Reader(params)


def test_a_reader_is_the_same_after_a_file(tmp_path: Path) -> None:
    before = _small()
    before.save(tmp_path / "reader.npz")
    after = reader.load(tmp_path / "reader.npz")
    for one, other in zip(*map(jax.tree.leaves, (before.params, after.params)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"V": None}, "expected the weights of a reader of lines, got no array V"),
        ({"W3": None}, "expected a reader of lines with 4 convolutions, got 3"),
        ({"c": np.ones(3)}, "c: expected finite numbers of shape (96,), got float64 (3,)"),
        ({"c": np.full(96, np.nan)}, "c: expected finite numbers of shape (96,)"),
        ({"c": np.ones(96, np.int32)}, "c: expected finite numbers of shape (96,), got int32"),
    ],
)
def test_a_file_that_holds_no_reader(change: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reader.npz"
    _small().save(path)
    arrays = {**np.load(path), **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError) as refused:
        reader.load(path)
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_the_shipped_reader_reads_lines_it_never_saw() -> None:
    shipped = reader.load()
    size = sum(leaf.size for leaf in jax.tree.leaves(shipped.params))
    assert 2 * size < 3e6
    splits: tuple[data.Split, ...] = ("test", "unseen family", "digits")
    for split in splits:
        lines = [one for one in data.lines(7, 32, split=split) if one.image.shape[1] <= 176]
        read = [one.text for one in shipped.read([line.image for line in lines], beam=None)]
        rate = evaluation.error_rate(read, [line.text for line in lines])
        assert rate < 0.05, split
