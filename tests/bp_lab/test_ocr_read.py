"""`manual-bp ocr read`: pictures of every kind, what is written of them, and what is refused."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bp_lab.commands import ocr_pipeline
from bp_lab.errors import InputError
from bp_lab.ocr import annotate, data, image_files, reader, readers, reading
from bp_lab.ocr.pipeline import score
from bp_lab.ocr.reading import Character, Line


@pytest.fixture(scope="module")
def page() -> data.Page:
    return data.page(11, split="test", number=2, columns=420, count=(3, 4))


@pytest.fixture(scope="module")
def by_pipeline() -> readers.PageReader:
    return readers.load(pipeline=True)


@pytest.fixture(scope="module")
def by_lines() -> readers.PageReader:
    return readers.load()


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


# Pictures


def clear_with(text: Image.Image, shade: int) -> Image.Image:
    """Return the dark parts of a picture in one shade on nothing."""
    image = Image.new("RGBA", text.size, (shade, shade, shade, 0))
    image.putalpha(Image.eval(text, lambda value: 255 - value))
    return image


def stripes() -> Image.Image:
    picture = np.full((60, 90), 250, np.uint8)
    picture[20:40, 15:75:6] = 10
    return Image.fromarray(picture)


KINDS: dict[str, Callable[[], tuple[Image.Image, str, dict[str, Any]]]] = {
    "colour": lambda: (stripes().convert("RGB"), "a.png", {}),
    "four inks": lambda: (stripes().convert("CMYK"), "a.jpg", {"quality": 95}),
    "sixteen bits": lambda: (
        Image.fromarray(np.asarray(stripes()).astype(np.uint16) * 200),
        "a.png",
        {},
    ),
    "black on nothing": lambda: (clear_with(stripes(), 0), "a.png", {}),
    "animated": lambda: (
        stripes(),
        "a.gif",
        {"save_all": True, "append_images": [Image.new("L", (90, 60), 128)]},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_shows_the_same(tmp_path: Path, kind: str) -> None:
    image, name, options = KINDS[kind]()
    seen = image_files.read(saved(image, tmp_path / name, **options))
    assert seen.block == 1
    assert seen.image.dtype == np.uint8
    wanted = np.asarray(stripes(), float)
    assert np.corrcoef(seen.image.reshape(-1), wanted.reshape(-1))[0, 1] > 0.98
    assert seen.image[0, 0] > 230


def test_white_on_nothing_is_seen(tmp_path: Path) -> None:
    seen = image_files.read(saved(clear_with(stripes(), 255), tmp_path / "a.png"))
    assert seen.image[30, 15] > 200
    assert seen.image[0, 0] < 20


def test_large_pictures_shrink_by_whole_blocks(tmp_path: Path) -> None:
    path = saved(Image.new("L", (6200, 90), 200), tmp_path / "a.png")
    seen = image_files.read(path)
    assert seen.block == 3
    assert seen.image.shape == (30, 2067)


def test_folders_are_their_images_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = list(image_files.files([tmp_path, tmp_path / "notes.txt"]))
    assert [path.name for path in found] == ["a.jpg", "b.PNG", "notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"ocr: .*empty: expected images .*, got none"):
        list(image_files.files([tmp_path / "empty"]))


# Reading


@pytest.mark.parametrize("way", ["by_pipeline", "by_lines"])
def test_a_page_is_read_and_everything_lies_where_it_is(
    page: data.Page, way: str, request: pytest.FixtureRequest
) -> None:
    lines = request.getfixturevalue(way)(page.image)
    assert len(lines) == len(page.lines)
    boxes = [line.box for line in lines]
    assert len(score.matched([line.box for line in page.lines], boxes)) == len(lines)
    counted = score.of_texts([line.text for line in page.lines], [line.text for line in lines])
    assert counted.recall > 0.7
    near = 0
    for line, true in zip(lines, page.lines, strict=True):
        assert line.text.replace(" ", "") == "".join(one.text for one in line.characters)
        assert all(0 <= one.confidence <= 1 for one in line.characters)
        places = [one.box for one in line.characters]
        near += len(score.matched([one.box for one in true.characters], places))
    assert near > 0.6 * sum(len(line.characters) for line in page.lines)


def test_light_on_dark_reads_alike(page: data.Page, by_lines: readers.PageReader) -> None:
    images = page.image, 255 - page.image
    one, other = ([line.text for line in by_lines(image)] for image in images)
    assert score.of_texts(one, other).recall > 0.95


def test_each_step_and_the_whole_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = ocr_pipeline.ceiling(reader.load(), 2, ("test",))
    steps, whole = found["steps"], found["whole"]
    assert steps["detection"]["right"] >= 0.95 * steps["detection"]["true"] > 0
    for step in ("segmentation", "classification"):
        assert steps[step]["right"] > 0.85 * steps[step]["true"] > 0
    assert [count["right"] for count in whole.values()][-1] == whole["the pipeline"]["true"]
    assert whole["the pipeline"]["right"] > 0.6 * whole["the pipeline"]["true"]
    by_lines = found["readers"]["the reader of lines"]
    assert by_lines["on true lines"]["right"] > 0.8 * by_lines["on true lines"]["true"]
    shown = capsys.readouterr().out
    assert "and segmentation" in shown
    assert "the reader of lines" in shown


def test_the_picture_shows_what_was_read() -> None:
    character = Character("x", (30.0, 20.0, 40.0, 40.0), 1.0)
    doubtful = Character("y", (45.0, 20.0, 55.0, 40.0), 0.2)
    line = Line("xy", (30.0, 20.0, 55.0, 40.0), 0.9, (character, doubtful))
    shown = annotate.annotated(np.full((80, 300), 255, np.uint8), [line])
    factor = shown.width // 300
    red, green, _ = shown.getpixel((factor * 35, factor * 40))  # type: ignore[misc]
    assert green > red
    red, green, _ = shown.getpixel((factor * 50, factor * 40))  # type: ignore[misc]
    assert red > green


# The command


def test_text_json_and_pictures_are_written(
    tmp_path: Path, page: data.Page, manual_bp_command: Callable[..., Any]
) -> None:
    first, second = tmp_path / "one.png", tmp_path / "two"
    Image.fromarray(page.image).save(first)
    second.mkdir()
    Image.fromarray(page.image).save(second / "one.jpg", quality=95)
    out, content = tmp_path / "out", tmp_path / "read.json"
    done = manual_bp_command(*("ocr", "read", first, second), *("--out", out, "--json", content))
    assert (done.status, done.err) == (0, "")
    found = json.loads(content.read_text())
    assert [one["file"] for one in found] == [str(first), str(second / "one.jpg")]
    texts = [line["text"] for line in found[0]["lines"]]
    assert done.out.splitlines()[: len(texts) + 1] == [f"{first}:", *texts]
    assert (found[0]["rows"], found[0]["columns"]) == page.image.shape
    assert set(found[0]["lines"][0]["characters"][0]) == {"text", "box", "confidence"}
    assert sorted(path.name for path in out.iterdir()) == ["one-2.read.png", "one.read.png"]
    with Image.open(out / "one.read.png") as shown:
        assert shown.mode == "RGB"


def png_claiming(side: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_every_bad_file_has_its_line_and_the_good_are_read(
    tmp_path: Path, page: data.Page, manual_bp_command: Callable[..., Any]
) -> None:
    good = saved(Image.fromarray(page.image), tmp_path / "good.png")
    (tmp_path / "huge.png").write_bytes(png_claiming(20_000))
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:3000])
    (tmp_path / "empty").mkdir()
    bad = ["huge.png", "text.png", "cut.png", "absent.png", "empty"]
    done = manual_bp_command("ocr", "read", "--pipeline", good, *(tmp_path / name for name in bad))
    assert done.status == 2
    lines = done.err.splitlines()
    assert len(lines) == len(bad)
    assert all(sum(name in line for line in lines) == 1 for name in bad)
    assert "Traceback" not in done.err
    assert len(done.out.splitlines()) > 1


@pytest.mark.parametrize(("size", "shade"), [((1, 1), 0), ((300, 200), 128)])
def test_no_text_is_an_answer(
    tmp_path: Path, manual_bp_command: Callable[..., Any], size: tuple[int, int], shade: int
) -> None:
    path = saved(Image.new("L", size, shade), tmp_path / "blank.png")
    done = manual_bp_command("ocr", "read", path, "--pipeline")
    assert (done.status, done.out) == (0, "")
    assert done.err == f"{path}: no text found\n"


def test_bad_weights_and_folders_are_refused(
    tmp_path: Path, manual_bp_command: Callable[..., Any]
) -> None:
    path = saved(Image.new("L", (30, 30), 128), tmp_path / "a.png")
    done = manual_bp_command("ocr", "read", path, "--page-weights", tmp_path / "absent.npz")
    assert done.status == 2
    assert "No such file" in done.err
    done = manual_bp_command("ocr", "read", path, "--page-weights", path)
    assert done.status == 2
    assert "expected an .npz file" in done.err
    done = manual_bp_command("ocr", "read", path, "--pipeline", "--out", path)
    assert done.status == 2
    assert "ocr: --out: expected a folder that can be made" in done.err
    done = manual_bp_command("ocr", "read", path, "--json", tmp_path / "absent" / "a.json")
    assert done.status == 2
    assert "ocr: --json: expected a file in an existing folder" in done.err


def test_lines_side_by_side_are_one_line_of_text() -> None:
    boxes = {"Bread": (0, 0, 50, 20), "2.95": (90, 1, 120, 19), "Milk": (0, 30, 40, 50)}
    lines = [Line(text, box, 1.0, ()) for text, box in boxes.items()]
    assert reading.text_of(lines) == "Bread  2.95\nMilk"
    assert reading.text_of(lines[1:]) == "2.95\nMilk"
    assert reading.text_of([]) == ""


def test_boxes_are_in_pixels_of_the_file() -> None:
    line = Line("a", (1.0, 2.0, 3.0, 4.0), 0.5, (Character("a", (1.0, 2.0, 3.0, 4.0), 0.25),))
    (found,) = reading.as_json([line], 3)
    assert found["box"] == found["characters"][0]["box"] == [3, 6, 9, 12]
