import gzip
import struct

import numpy as np
import pytest
from data_files import FLIPS, FUZZ, complaint_of, damaged, expect_sound, small, try_source
from hypothesis import given
from hypothesis import strategies as st

from bp_lab.data import load
from bp_lab.data.idx import ELEMENTS, read_idx

IDX_NAMES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "t10k-images": "t10k-images-idx3-ubyte",
    "t10k-labels": "t10k-labels-idx1-ubyte",
}


X, Y = small(shape=(2, 3))


def idx_bytes(array, code=0x08):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(ELEMENTS[code]).tobytes()


def write_idx(folder, *, rename=str, pack=bytes, **changes):
    x, y = small(shape=(2, 3))
    content = {
        "train-images": idx_bytes(x),
        "train-labels": idx_bytes(y),
        "t10k-images": idx_bytes(x[:5]),
        "t10k-labels": idx_bytes(y[:5]),
    }
    content |= {name.replace("_", "-"): data for name, data in changes.items()}
    for name, data in content.items():
        if data is not None:
            (folder / rename(IDX_NAMES[name])).write_bytes(pack(data))
    return folder


@pytest.mark.parametrize(
    ("rename", "pack"),
    [
        (str, bytes),
        (lambda name: name + ".gz", gzip.compress),
        (lambda name: name.replace("-idx", ".idx"), bytes),
        (lambda name: name.replace("-idx", ".idx") + ".gz", gzip.compress),
        (lambda name: name + ".gz", bytes),
    ],
    ids=["plain", "gzip", "dotted", "dotted gzip", "unpacked but named gz"],
)
def test_idx_folder(tmp_path, rename, pack):
    dataset = load(write_idx(tmp_path, rename=rename, pack=pack))
    expect_sound(dataset)
    assert (dataset.name, dataset.classes, dataset.image_shape) == (tmp_path.name, 3, (2, 3))
    x, _ = small(shape=(2, 3))
    np.testing.assert_allclose(dataset.test.x, x[:5].reshape(5, 6) / 255, rtol=1e-6)


@pytest.mark.parametrize("code", ELEMENTS)
def test_idx_reads_every_element_type(tmp_path, code):
    array = np.array([[0, 1, 2], [100, 4, 5]])
    path = tmp_path / "file"
    path.write_bytes(idx_bytes(array, code))
    read = read_idx(path)
    np.testing.assert_array_equal(read, array)
    assert read.dtype.isnative


# Malformed files


IMAGES = idx_bytes(X)


@pytest.mark.parametrize(
    ("changes", "name", "part"),
    [
        ({"train_images": None}, "train images", "train-images-idx3-ubyte"),
        ({"t10k_labels": None}, "t10k labels", "t10k-labels-idx1-ubyte"),
        ({"train_images": b""}, "train-images", "empty file"),
        ({"train_images": IMAGES[:3]}, "train-images", "an IDX file"),
        ({"train_images": IMAGES[:9]}, "train-images", "3 sizes"),
        ({"train_images": IMAGES[:-1]}, "train-images", "bytes after the header"),
        ({"train_images": IMAGES + b"0"}, "train-images", "got more"),
        ({"train_images": b"\1" + IMAGES[1:]}, "train-images", "an IDX file"),
        ({"train_images": b"\0\0\7" + IMAGES[3:]}, "train-images", "an IDX file"),
        ({"train_images": b"\0\0\x08\0"}, "train-images", "rank"),
        ({"train_images": b"\0\0\x08\xff" + bytes(1020)}, "train-images", "rank"),
        ({"train_images": b"\0\0\x08\3" + b"\xff" * 12}, "train-images", "1 to "),
        ({"train_images": b"\0\0\x08\3" + bytes(4) + b"\xff" * 8}, "train-images", "1 to "),
        ({"train_images": idx_bytes(Y)}, "train-images", "rank: expected 3, got 1"),
        ({"train_labels": IMAGES}, "train-labels", "rank: expected 1, got 3"),
        ({"train_labels": idx_bytes(Y[:-1])}, "train-labels", "expected 20 labels"),
        ({"train_images": gzip.compress(IMAGES)[:-9]}, "train-images", "intact gzip"),
        ({"train_images": gzip.compress(IMAGES)[:-8] + bytes(8)}, "train-images", "intact gzip"),
        ({"train_images": b"\x1f\x8b" + bytes(30)}, "train-images", "intact gzip"),
        ({"train_images": gzip.compress(IMAGES) + b"tail"}, "train-images", "intact gzip"),
    ],
)
def test_idx_folders_that_cannot_be_used(tmp_path, changes, name, part):
    message = complaint_of(write_idx(tmp_path, **changes))
    assert str(tmp_path) in message
    assert name in message
    assert part in message


def test_a_gzip_bomb_is_left_at_the_claimed_length(tmp_path):
    bomb = gzip.compress(idx_bytes(X) + bytes(50_000_000), compresslevel=1)
    assert "got more" in complaint_of(write_idx(tmp_path, train_images=bomb))


def test_a_folder_without_idx_files(tmp_path):
    assert "train images" in complaint_of(tmp_path)


# Fuzz: only an InputError or a sound data set comes out


SMALL_IDX = {"plain": IMAGES, "gzip": gzip.compress(IMAGES)}


def try_idx(folder, content):
    # Of the folder's four files one is hit; the reader is the same for all.
    try_source(write_idx(folder, train_images=content))


@pytest.mark.parametrize("form", SMALL_IDX)
def test_every_truncation_of_an_idx_file(tmp_path, form):
    for length in range(len(SMALL_IDX[form])):
        try_idx(tmp_path, SMALL_IDX[form][:length])


@FUZZ
@given(form=st.sampled_from(sorted(SMALL_IDX)), flips=FLIPS)
def test_flips_in_an_idx_file(tmp_path, form, flips):
    try_idx(tmp_path, damaged(SMALL_IDX[form], flips))


@FUZZ
@given(
    content=st.binary(max_size=300), start=st.sampled_from([b"", b"\0\0\x08\3", b"\x1f\x8b\x08"])
)
def test_random_bytes_as_idx(tmp_path, content, start):
    try_idx(tmp_path, start + content)
