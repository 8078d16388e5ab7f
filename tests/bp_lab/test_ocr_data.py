"""The pictures of text, and what is said of them."""

import numpy as np
import pytest

from bp_lab.errors import InputError
from bp_lab.ocr import data
from bp_lab.ocr.data import fonts, layout, paper, scans, text
from bp_lab.ocr.data.bend import Bend


@pytest.mark.parametrize("split", data.SPLITS)
def test_lines_are_the_same_for_a_seed_and_all_of_one_height(split: data.Split) -> None:
    once, more = data.lines(3, 4, split=split), data.lines(3, 6, split=split)
    for one, other in zip(once, more, strict=False):
        assert one.text == other.text
        np.testing.assert_array_equal(one.image, other.image)
    for image, said in more:
        assert image.dtype == np.float32
        assert image.shape[0] == data.HEIGHT
        assert set(said) <= set(data.ALPHABET)
        assert said == " ".join(said.split())
    assert [one.text for one in data.lines(4, 6, split=split)] != [one.text for one in more]


def test_ink_is_bright_whatever_the_light() -> None:
    drawn = [one.image for one in data.lines(0, 40, split="test")]
    assert np.mean([np.median(np.abs(image)) for image in drawn]) < 0.1
    assert min(np.percentile(image, 99) for image in drawn) > 0.5


def test_dark_on_light_reads_as_light_on_dark() -> None:
    picture = np.full((20, 90), 200, np.uint8)
    picture[5:15, 10:80:7] = 40
    dark, light = data.normalised(picture), data.normalised(255 - picture)
    np.testing.assert_allclose(dark, light, atol=1e-3)


def test_uneven_light_is_taken_off() -> None:
    light = np.linspace(90, 250, 120)[None].repeat(data.HEIGHT, 0)
    picture = light.copy()
    picture[8:16, 10:110:8] *= 0.5
    line = data.normalised(picture.astype(np.uint8))
    assert np.abs(line[:4]).max() < 0.1
    assert line[8:16, 10:110:8].min() > 0.3


def test_the_training_never_sees_what_is_held_out() -> None:
    rng = np.random.default_rng(0)
    seen = {layout.family(rng, "train") for _ in range(300)}
    assert seen == {*fonts.TRAINED, ""}
    assert {layout.family(rng, "unseen family") for _ in range(9)} == {fonts.UNSEEN}
    assert fonts.UNSEEN not in seen
    assert paper.UNSEEN_NOISE[0] > paper.NOISE
    kept, all_words = text.words(held_out=False), text.words(held_out=True)
    assert 0.85 < len(kept) / len(all_words) < 0.95
    trained, tested = (
        {scan.tobytes() for of_digit in scans.of_part(part) for scan in of_digit}
        for part in ("train", "test")
    )
    assert not trained & tested


def test_every_font_has_the_characters_it_is_said_to_have() -> None:
    for family in fonts.FAMILIES.values():
        for name in family:
            drawn = {
                fonts.glyph(fonts.Face(name, 24), character).ink.tobytes()
                for character in fonts.characters(name)
            }
            # A missing glyph is drawn as a box; no two characters may look alike.
            assert len(drawn) == len(fonts.characters(name))


def test_boxes_hold_the_ink_of_their_characters() -> None:
    rng = np.random.default_rng(1)
    laid = layout.line(rng, "test", "DejaVu Sans", 30, 12)
    for number, character in enumerate(laid.text, start=1):
        assert (laid.owner == number).any() == (character != " ")
    assert (laid.owner[laid.ink >= 128] > 0).all()


def test_a_page_says_where_everything_is() -> None:
    for number in range(3):
        page = data.page(5, split="test", number=number)
        assert page.image.dtype == np.uint8
        rows, columns = page.image.shape
        assert 3 <= len(page.lines) < 9
        for line in page.lines:
            assert "".join(one.text for one in line.characters) == line.text.replace(" ", "")
            assert min(one.box[0] for one in line.characters) == line.box[0]
            for left, top, right, bottom in (line.box, *(one.box for one in line.characters)):
                assert 0 <= left < right <= columns
                assert 0 <= top < bottom <= rows
        tops = [line.box[1] for line in page.lines]
        assert tops == sorted(tops)
    again = data.page(5, split="test", number=2)
    np.testing.assert_array_equal(page.image, again.image)
    assert page.lines == again.lines


def test_the_boxes_of_a_page_show_its_ink() -> None:
    page = data.page(0, split="test", number=4, tilt=0)
    ground = np.median(page.image)
    off = np.abs(page.image - ground)
    for line in page.lines:
        for _, (left, top, right, bottom) in line.characters:
            assert off[top:bottom, left:right].mean() > off.mean()


def test_a_bend_keeps_what_a_picture_shows() -> None:
    picture = np.zeros((20, 60), np.uint8)
    picture[5:15, 10:50] = 255
    bend = Bend(picture.shape, degrees=7, shear=0.3)
    assert bend.smooth(picture).sum() == pytest.approx(picture.sum(), rel=0.02)
    numbers = np.where(picture > 0, 300, 0).astype(np.int32)
    assert set(np.unique(bend.nearest(numbers))) == {0, 300}


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="split: expected one of train, test"):
        data.lines(0, 1, split="other")  # type: ignore[arg-type]
