"""The three steps that read a page: each by itself, without what was learnt."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bp_lab.errors import InputError
from bp_lab.ocr import align, data, reading
from bp_lab.ocr.pipeline import (
    classifier,
    detector,
    find,
    samples,
    score,
    segmenter,
    training,
    weights,
)
from bp_lab.ocr.pipeline.band import Band, bands_of, cut
from bp_lab.ocr.pipeline.clutter import cluttered
from bp_lab.ocr.pipeline.flat import flattened
from bp_lab.ocr.pipeline.samples import boxes_of
from bp_lab.ocr.pipeline.segmenter import BETWEEN, INSIDE, NOTHING
from manual_bp import fcn, sigmoid


def page(number: int, **settings: Any) -> data.Page:
    return data.page(7, split="test", number=number, **settings)


# The first step


def test_the_map_of_a_page_is_what_the_network_says_of_its_windows_one_by_one() -> None:
    params = detector.init(jax.random.key(0))
    assert fcn.window(params, detector.STRIDES) == (detector.WINDOW, detector.APART)
    rng = np.random.default_rng(0)
    # Larger than a tile, so that windows lie across the edges of tiles.
    ink = rng.random((detector.TILE[0] + 21, detector.TILE[1] + 30), np.float32)
    found = detector.text_map(params, ink)
    assert found.shape == (-(-ink.shape[0] // 2), -(-ink.shape[1] // 4), 2)
    high, wide = detector.WINDOW
    around = np.pad(ink, ((high // 2, high), (wide // 2, wide)))
    places = [(0, 0), (138, 135), (60, 3), (127, 70), (128, 70), (60, 127), (60, 128)]
    seen = np.stack([around[2 * i : 2 * i + high, 4 * j : 4 * j + wide] for i, j in places])
    logits, _ = fcn.forward(params, jnp.asarray(seen[..., None]), strides=detector.STRIDES)
    alone = np.asarray(sigmoid.forward(logits)[0])[:, 0, 0]
    np.testing.assert_allclose([found[place] for place in places], alone, atol=1e-5)


@pytest.mark.parametrize("number", range(4))
def test_a_map_without_mistakes_gives_the_lines(number: int) -> None:
    one = page(number)
    factor = 18 / np.median([band.height for band in bands_of(one.lines)])
    one = samples.resized(one, float(factor))
    bands = bands_of(one.lines)
    lines = [(band, boxes_of(line)) for band, line in zip(bands, one.lines, strict=True)]
    wanted = detector.targets(one.image.shape, lines).astype(np.float32) / 255
    boxes = [f.band.box for f in find.bands_in(wanted)]
    inside = [line.box for line, band in zip(one.lines, bands, strict=True) if band.height < 28]
    assert len(score.matched(inside, boxes)) == len(inside)
    assert all(f.confidence > 0.5 for f in find.bands_in(wanted))


def test_a_line_ends_where_its_ink_does() -> None:
    ink = np.zeros((60, 200), np.float32)
    ink[20:30, 50:150] = 1
    assert find._trimmed(Band(44, 160, 18, 32, 0), ink) == Band(50, 150, 18, 32, 0)
    # By its height at most, and along its slope.
    assert find._trimmed(Band(30, 150, 18, 32, 0.1), ink) == Band(44, 150, 18.7, 32.7, 0.1)
    assert find._trimmed(Band(44, 160, 40, 50, 0), ink) == Band(44, 160, 40, 50, 0)


def test_the_surer_the_longer_and_the_lower_band_counts() -> None:
    line = find.Found(Band(0, 300, 0, 20, 0), 0.9)
    others = (
        line._replace(confidence=0.8),
        *(line._replace(band=band) for band in (Band(0, 120, 0, 20, 0), Band(0, 300, 0, 70, 0))),
    )
    assert all(find._rank(line) < find._rank(other) for other in others)


def test_the_ground_is_dark_and_ink_bright_on_light_and_dark_paper() -> None:
    light = np.linspace(120, 240, 200)[None].repeat(90, 0)
    picture = light.copy()
    picture[40:50, 20:180:5] *= 0.4
    for shown in (picture, 255 - picture):
        ink = flattened(shown.astype(np.uint8))
        assert ink[:30].max() < 0.2
        assert ink[40:50, 20:180:5].min() > 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (40, 2)])
@pytest.mark.parametrize("shade", [0, 255])
def test_a_picture_of_one_colour_has_no_ink(shape: tuple[int, int], shade: int) -> None:
    assert not flattened(np.full(shape, shade, np.uint8)).any()


# Bands


def test_a_band_is_set_straight_and_boxes_go_there_and_back() -> None:
    picture = np.zeros((80, 200), np.uint8)
    for column in range(20, 180):
        row = round(20 + 0.1 * (column - 100))
        picture[row : row + 20, column] = 255
    strip = cut(picture, Band(20, 180, 20, 40, 0.1))
    rows = np.flatnonzero((strip.image > 128).mean(1) > 0.7)
    assert (rows[0], rows[-1]) in {(2, 20), (2, 21), (1, 21), (2, 22)}
    box = (60.0, 16.0, 64.0, 36.0)
    np.testing.assert_allclose(strip.to_picture(strip.to_strip(box)), box)
    assert strip.to_strip(box)[1] == pytest.approx(2 - 0.2, abs=0.3)


def test_the_slope_of_a_page_is_that_of_its_lines() -> None:
    slopes = []
    for number in range(4):
        flat, steep = page(number, tilt=0), page(number, tilt=4)
        assert abs(bands_of(flat.lines)[0].slope) < 0.004
        bands = bands_of(steep.lines)
        slopes.append(abs(bands[0].slope))
        for band, line in zip(bands, steep.lines, strict=True):
            assert band.height <= line.box[3] - line.box[1] + 2
    assert max(slopes) > 0.02


# The second and the third step


def test_columns_say_where_characters_part() -> None:
    picture, line = page(0).image, page(0).lines[1]
    written = samples.written(picture, bands_of(page(0).lines)[1], line)
    said = samples.parts(written)
    assert said.shape == written.image.shape[1:]
    perfect = np.eye(3, dtype=np.float32)[said]
    cells = segmenter.cells(perfect)
    assert len(cells) == len(line.characters)
    assert sum(cell.spaced for cell in cells) == line.text.count(" ")
    for cell, (left, _, right, _) in zip(cells, written.boxes, strict=True):
        assert abs(cell.start - left) < 3
        assert abs(cell.stop - right) < 3


def test_a_run_between_and_a_run_of_nothing() -> None:
    said = (
        [NOTHING] * 3 + [INSIDE] * 5 + [BETWEEN] * 2 + [INSIDE] * 4 + [NOTHING] * 9 + [INSIDE] * 6
    )
    cells = segmenter.cells(np.eye(3, dtype=np.float32)[said])
    assert [(cell.start, cell.stop, cell.spaced) for cell in cells] == [
        (3, 9, False),
        (9, 16, False),
        (21, 29, True),
    ]
    assert segmenter.cells(np.eye(3, dtype=np.float32)[[NOTHING] * 9]) == []


def test_the_columns_are_what_the_network_says_of_windows_one_by_one() -> None:
    params = segmenter.init(jax.random.key(0))
    line = np.random.default_rng(0).random((data.HEIGHT, 50), np.float32)
    found = segmenter.column_map(params, line)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    side = segmenter.WINDOW[1] // 2
    padded = np.pad(line, ((0, 0), (side, side)))
    seen = np.stack([padded[:, place : place + 2 * side + 1] for place in range(50)])
    logits, _ = fcn.forward(params, jnp.asarray(seen[..., None]), strides=segmenter.STRIDES)
    assert logits.shape == (50, 1, 1, 3)
    np.testing.assert_allclose(jax.nn.softmax(logits[:, 0, 0]), found, atol=1e-5)


def test_a_piece_shows_the_character_alone_and_with_its_neighbours() -> None:
    line = np.zeros((data.HEIGHT, 60), np.float32)
    line[:, 20:24], line[:, 30:34] = 1, 1
    piece = classifier.piece(line, 20, 24)
    assert piece.shape == (*classifier.SHAPE, 2)
    alone, around = (piece[0, :, k] > 120 for k in (0, 1))
    assert (alone.sum(), around.sum()) == (4, 8)
    assert abs(np.flatnonzero(alone).mean() - 15.5) <= 1
    wide = classifier.piece(line, 5, 55)
    assert wide.shape == piece.shape
    assert classifier.piece(line, -3, 2).shape == piece.shape


# Samples and training


def test_clutter_leaves_the_text_as_it_is() -> None:
    plain = page(1)
    one = cluttered(np.random.default_rng(5), plain)
    for line, before in zip(one.lines, plain.lines, strict=True):
        left, top, right, bottom = map(int, line.box)
        start, up, *_ = map(int, before.box)
        seen = one.image[top:bottom, left:right]
        np.testing.assert_array_equal(
            seen, plain.image[up : up + bottom - top, start : start + right - left]
        )
    assert one.image.size > plain.image.size


def test_all_three_are_trained() -> None:
    said: list[str] = []
    plan = training.Plan(pages=1, steps=(1, 1, 2), batch=(1, 1, 8))
    found = training.fit(3, plan, said.append)
    assert jax.tree.map(lambda leaf: leaf.shape, found) == jax.tree.map(
        lambda leaf: leaf.shape, training.shapes()
    )
    assert [line.split(",")[0] for line in said[1::2]] == [
        "detector: step 1 of 1",
        "segmenter: step 1 of 1",
        "classifier: step 2 of 2",
    ]
    # Biases begin at 0, and every layer is taught.
    for network in found.values():
        assert all(np.isfinite(layer.W).all() for layer in network)
        assert all(np.abs(layer.b).max() > 0 for layer in network)


# Scores


def test_boxes_are_matched_once_and_counted() -> None:
    true = [(0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)]
    found = [(0.0, 0.0, 10.0, 9.0), (0.0, 0.0, 10.0, 10.0), (26.0, 0.0, 36.0, 10.0)]
    assert score.matched(true, found) == [(0, 1)]
    counted = score.count(true, found) + score.count(true[:1], found[:1])
    assert counted == score.Count(3, 4, 2)
    assert (counted.recall, counted.precision) == (2 / 3, 0.5)
    assert score.iou(true[0], found[0]) == pytest.approx(0.9)
    assert score.of_texts(["abc", ""], ["abd", "x"]) == score.Count(3, 4, 1)


# Order


def test_lines_are_in_the_order_of_reading() -> None:
    bands = {
        "first": Band(0, 50, 0, 20, 0),
        "beside": Band(60, 90, 4, 22, 0),
        "below": Band(0, 90, 30, 50, 0),
    }
    found = [find.Found(bands[name], 1.0) for name in ("below", "beside", "first")]
    assert [one.band for one in reading.in_order(found)] == list(bands.values())


# Weights


def test_weights_come_back(tmp_path: Path) -> None:
    params = {"detector": detector.init(jax.random.key(1))}
    weights.save(tmp_path / "w.npz", params)
    back = weights.load(tmp_path / "w.npz", {"detector": training.shapes()["detector"]})
    for one, other in zip(jax.tree.leaves(params), jax.tree.leaves(back), strict=True):
        assert other.dtype == jnp.float32
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7)


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    shapes = training.shapes()
    path = tmp_path / "w.npz"
    with pytest.raises(InputError, match="No such file"):
        weights.load(path, shapes)
    weights.save(path, {"detector": detector.init(jax.random.key(1))})
    with pytest.raises(InputError, match=r"weights: expected the parameter segmenter"):
        weights.load(path, shapes)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"w\.npz: file: expected an \.npz file"):
        weights.load(path, shapes)
    weights.save(path, {"detector": segmenter.init(jax.random.key(1))})
    with pytest.raises(InputError, match=r"expected finite numbers of shape \(5, 5, 1, 8\)"):
        weights.load(path, {"detector": shapes["detector"]})


# Where the characters of a line stand


def test_the_likeliest_path_gives_characters_their_steps() -> None:
    #        a  a  -  a  b  -  (the blank is 0)
    path = [1, 1, 0, 1, 2, 0]
    log_p = np.log(np.full((6, 3), 0.1) + 0.7 * np.eye(3)[path])
    assert align.steps(log_p, [1, 1, 2]) == [(0, 1), (3, 3), (4, 4)]
    assert align.steps(log_p[:2], [1]) == [(0, 1)]
    assert align.steps(log_p[:2], [1, 2]) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("off", [-4, 0, 3])
def test_characters_part_where_there_is_no_ink(off: int) -> None:
    line = np.zeros((data.HEIGHT, 60), np.float32)
    edges = [(3, 9), (11, 18), (27, 33), (34, 41), (44, 52)]
    for start, stop in edges:
        line[4:20, start:stop] = 1
    # The third character is a space.
    starts = [3, 10, 19, 26, 33.5, 42.5]
    (found,) = align.places([line], [[start + off for start in starts]])
    assert [span for place, span in enumerate(found) if place != 2] == edges
    assert (found[2][0], found[2][1]) >= (18, 20)
    assert found[2][1] <= 27


def test_no_line_and_no_character_have_no_place() -> None:
    assert align.places([], []) == []
    assert align.places([np.zeros((24, 9), np.float32)], [[]]) == [[]]
