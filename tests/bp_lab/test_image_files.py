import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from bp_lab.data import load, read_images
from bp_lab.errors import InputError

FUZZ = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def scans():
    return load("digits").test.x[:40]


def stroke(ink=0, ground=255, size=(90, 120)):
    """A drawing without symmetry: an upright bar with a foot to the right."""
    image = Image.new("L", size, ground)
    ImageDraw.Draw(image).rectangle((30, 20, 39, 99), fill=ink)
    ImageDraw.Draw(image).rectangle((30, 90, 59, 99), fill=ink)
    return image


@pytest.fixture
def expected(tmp_path):
    stroke().save(tmp_path / "expected.png")
    return read_images([tmp_path / "expected.png"], (8, 8))[0]


def read(image, tmp_path, shape=(8, 8), name="image.png", **options):
    image.save(tmp_path / name, **options)
    (sample,) = read_images([tmp_path / name], shape)
    assert sample.dtype == np.float32
    assert sample.shape == (shape[0] * shape[1],)
    assert sample.min() >= 0
    assert sample.max() == 1
    return sample


def complaint_of(path):
    with pytest.raises(InputError) as caught:
        read_images([path], (8, 8))
    message = str(caught.value)
    assert message.startswith(f"{path}: image: expected ")
    return message


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


# Likeness to the training data


@pytest.mark.parametrize("dark", [True, False], ids=["dark on light", "light on dark"])
@pytest.mark.parametrize("factor", [10, 25, 40])
@pytest.mark.parametrize("filter_name", ["NEAREST", "BICUBIC"])
def test_enlarged_scans_come_back(tmp_path, scans, filter_name, factor, dark):
    noise = np.random.default_rng(factor)
    paths = []
    for index, scan in enumerate(scans):
        small = Image.fromarray((scan.reshape(8, 8) * 255).astype(np.uint8))
        big = small.resize((8 * factor, 8 * factor), Image.Resampling[filter_name])
        page = Image.new("L", (8 * factor + 70, 8 * factor + 40))
        page.paste(big, (15, 22))
        grey = np.asarray(page, float) * 0.8 + 20 + noise.normal(0, 3, page.size[::-1])
        grey = 255 - grey if dark else grey
        path = tmp_path / f"{index}.{'png' if index % 2 else 'jpg'}"
        Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(path)
        paths.append(path)
    samples = read_images(paths, (8, 8))
    likeness = [correlation(*pair) for pair in zip(samples, scans, strict=True)]
    assert np.mean(likeness) >= 0.9
    # Each is more like its own scan than like the others, on the whole.
    across = np.corrcoef(samples, scans)[: len(scans), len(scans) :]
    assert np.mean(across.argmax(1) == np.arange(len(scans))) >= 0.8


@pytest.mark.parametrize("digit", range(10))
def test_printed_digits_fill_the_height_as_training_does(tmp_path, digit):
    import matplotlib as mpl

    font = ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), 100)
    page = Image.new("RGB", (140, 160), "white")
    ImageDraw.Draw(page).text((35, 20), str(digit), font=font, fill=(20, 20, 90))
    sample = read(page, tmp_path).reshape(8, 8)
    assert sample[0].max() > 0.3
    assert sample[-1].max() > 0.3
    columns = np.flatnonzero(sample.max(0) > 0.1)
    assert abs(columns.mean() - 3.5) <= 0.5
    assert 2 <= len(columns) <= 7


def test_a_large_sample_is_boxed_and_centred_by_mass(tmp_path):
    sample = read(stroke(), tmp_path, (28, 28)).reshape(28, 28)
    rows = np.flatnonzero(sample.max(1) > 0.1)
    assert 20 <= len(rows) <= 21
    at = np.arange(28) + 0.5
    assert abs(sample.sum(1) @ at / sample.sum() - 14) < 0.2
    assert abs(sample.sum(0) @ at / sample.sum() - 14) < 0.2


@pytest.mark.parametrize("shape", [(8, 8), (16, 16), (17, 17), (28, 28), (32, 20), (5, 40), (1, 1)])
def test_any_shape_of_sample(tmp_path, shape):
    read(stroke(), tmp_path, shape)


@pytest.mark.parametrize("box", [(0, 50, 89, 50), (45, 0, 45, 119), (40, 40, 40, 40)])
def test_ink_a_pixel_wide(tmp_path, box):
    image = Image.new("L", (90, 120), 255)
    ImageDraw.Draw(image).rectangle(box, fill=0)
    for shape in ((8, 8), (28, 28)):
        read(image, tmp_path, shape)


def test_order_is_that_of_the_paths(tmp_path, expected):
    stroke(255, 0).save(tmp_path / "a.png")
    stroke().rotate(180).save(tmp_path / "b.png")
    a, b = read_images([tmp_path / "a.png", tmp_path / "b.png"], (8, 8))
    np.testing.assert_allclose(a, expected, atol=1e-6)
    assert correlation(b, expected) < 0.9
    assert read_images([], (8, 8)).shape == (0, 64)


# Kinds of image


def transparent(colour, mode="RGBA"):
    image = Image.new("RGBA", (90, 120), (*colour, 0))
    image.paste((*colour, 255), (0, 0), Image.eval(stroke(), lambda value: 255 - value))
    return image.convert(mode)


def card():
    """White paper with rounded corners that show through."""
    image = stroke().convert("RGBA")
    for corner in ((0, 0), (89, 0), (0, 119), (89, 119)):
        image.putpixel(corner, (0, 0, 0, 0))
    return image


def palette_transparent():
    image = stroke().point(lambda value: int(value > 0)).convert("L").convert("P")
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.info["transparency"] = b"\xff\x00"
    return image


def deep(low, high):
    return Image.fromarray((np.asarray(stroke()) > 0).astype(np.uint16) * (high - low) + low)


VARIANTS = {
    "light on dark": (lambda: stroke(255, 0), ".png"),
    "grey on grey": (lambda: stroke(90, 160), ".png"),
    "bilevel": (lambda: stroke().convert("1"), ".png"),
    "palette": (lambda: stroke().convert("P"), ".gif"),
    "colour": (lambda: stroke().convert("RGB"), ".webp"),
    "jpeg": (lambda: stroke().convert("RGB"), ".jpg"),
    "four inks": (lambda: stroke().convert("CMYK"), ".tif"),
    "lab": (lambda: Image.merge("LAB", [stroke(), *[Image.new("L", (90, 120), 128)] * 2]), ".tif"),
    "16 bits": (lambda: deep(1000, 60000), ".png"),
    "16 bits, faint": (lambda: deep(20000, 30000), ".tif"),
    "32 bits": (lambda: Image.fromarray(np.array(deep(1000, 60000), np.int32)), ".tif"),
    "16 bits, big-endian": (lambda: Image.fromarray(np.asarray(deep(0, 60000), ">u2")), ".tif"),
    "float": (lambda: stroke().convert("F").point(lambda value: value * (1 / 255) + 0), ".tif"),
    "black on nothing": (lambda: transparent((0, 0, 0)), ".png"),
    "white on nothing": (lambda: transparent((255, 255, 255)), ".png"),
    "grey with alpha": (lambda: transparent((40, 40, 40), "LA"), ".png"),
    "palette with alpha": (palette_transparent, ".png"),
    "card": (card, ".png"),
    "wide margin": (lambda: stroke(size=(900, 700)), ".png"),
    "large": (lambda: stroke().resize((90 * 40, 120 * 40), Image.Resampling.NEAREST), ".png"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_image_gives_the_same_sample(tmp_path, expected, variant):
    make, suffix = VARIANTS[variant]
    sample = read(make(), tmp_path, name="image" + suffix)
    np.testing.assert_allclose(sample, expected, atol=0.05)


def test_specks_and_noise_do_not_count(tmp_path, expected):
    grey = np.asarray(stroke(40, 210), float)
    grey[3, 4] = grey[110, 80] = grey[5, 85] = 40
    grey += np.random.default_rng(0).normal(0, 6, grey.shape)
    sample = read(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)), tmp_path)
    assert correlation(sample, expected) > 0.95


def test_the_orientation_that_a_camera_noted_is_obeyed(tmp_path, expected):
    turned = stroke().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    sample = read(turned.convert("RGB"), tmp_path, name="image.jpg", exif=exif, quality=95)
    np.testing.assert_allclose(sample, expected, atol=0.05)


# Files that cannot be used


def png_claiming(width, height):
    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [8193, 10_000, 20_000, 2**31 - 1])
def test_images_too_large_are_refused_by_their_header(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(side, side))
    assert "pixels" in complaint_of(path)


def test_missing_files_and_folders(tmp_path):
    assert "No such file" in complaint_of(tmp_path / "absent.png")
    assert "directory" in complaint_of(tmp_path)


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"", "an empty file"), (b"text", "PNG"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PNG")],
)
def test_files_that_are_no_image(tmp_path, content, part):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert part in complaint_of(path)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_one_colour_shows_no_ink(tmp_path, shade):
    path = tmp_path / "image.png"
    Image.new("L", (30, 30), shade).save(path)
    assert "ink" in complaint_of(path)
    Image.new("RGBA", (30, 30), (shade, shade, shade, 0)).save(path)
    assert "ink" in complaint_of(path)


def test_pixels_must_be_finite(tmp_path):
    path = tmp_path / "image.tif"
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(path)
    assert "finite" in complaint_of(path)


# Fuzz: only an InputError or a sound sample comes out


def try_image(path):
    try:
        samples = read_images([path], (8, 8))
    except InputError:
        return
    assert np.isfinite(samples).all()
    assert samples.min() >= 0
    assert samples.max() == 1


def encoded(folder, suffix):
    path = folder / f"whole{suffix}"
    stroke().resize((45, 60)).convert("RGB").save(path)
    return path.read_bytes()


SUFFIXES = st.sampled_from([".png", ".jpg", ".gif", ".bmp", ".tif", ".webp", ".ppm"])


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_images(tmp_path, suffix):
    whole = encoded(tmp_path, suffix)
    path = tmp_path / f"cut{suffix}"
    for length in range(0, len(whole), 17):
        path.write_bytes(whole[:length])
        try_image(path)
    path.write_bytes(whole[: len(whole) // 2])
    complaint_of(path)


@FUZZ
@given(
    suffix=SUFFIXES,
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_flips_in_an_image(tmp_path, suffix, flips):
    data = bytearray(encoded(tmp_path, suffix))
    for position, value in flips:
        data[position % len(data)] = value
    path = tmp_path / f"flipped{suffix}"
    path.write_bytes(data)
    try_image(path)


@FUZZ
@given(pixels=st.lists(st.integers(0, 255), min_size=1, max_size=30), width=st.integers(1, 6))
def test_any_small_image(tmp_path, pixels, width):
    rows = -(-len(pixels) // width)
    grid = np.resize(np.array(pixels, np.uint8), (rows, width))
    path = tmp_path / "small.png"
    Image.fromarray(grid).save(path)
    try_image(path)
