import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from data_files import FLIPS, FUZZ, complaint_of, damaged, expect_sound, small, try_source
from hypothesis import given
from hypothesis import strategies as st

from bp_lab.data import load


def npz_bytes(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def keras(**changes):
    x, y = small(shape=(2, 3))
    arrays = {"x_train": x, "y_train": y, "x_test": x[:5], "y_test": y[:5]} | changes
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return write


# Cuts


def test_digits_are_cut_by_class_and_always_alike():
    digits, again = load("digits"), load("digits")
    expect_sound(digits)
    assert (digits.name, digits.classes, digits.image_shape) == ("digits", 10, (8, 8))
    assert [len(s.y) for s in (digits.train, digits.validation, digits.test)] == [1258, 269, 270]
    assert digits.train.x.min() == 0
    assert digits.train.x.max() == 1
    total = np.bincount(np.concatenate([digits.train.y, digits.validation.y, digits.test.y]))
    for split, share in ((digits.validation, 0.15), (digits.test, 0.15), (digits.train, 0.7)):
        assert np.abs(np.bincount(split.y) - share * total).max() <= 1.5
    np.testing.assert_array_equal(digits.test.x, again.test.x)


def test_digits_parts_hold_every_scan_once():
    from sklearn.datasets import load_digits

    digits = load("digits")
    parts = [digits.train, digits.validation, digits.test]
    ours = np.concatenate([np.column_stack([part.x * 16, part.y]) for part in parts])
    bundle = load_digits()
    theirs = np.column_stack([bundle.data, bundle.target])
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))


@pytest.mark.parametrize("n", [4, 5, 7, 50])
def test_one_collection_is_cut_in_three_without_loss(npz, n):
    x = np.arange(n, dtype=np.float32)[:, None]
    # Each class has one sample, which is no obstacle.
    dataset = load(npz(x=x, y=np.arange(n)))
    expect_sound(dataset)
    kept = np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])
    np.testing.assert_array_equal(np.sort(kept, axis=0), x)


def test_classes_of_unlike_sizes_keep_their_shares(npz):
    y = np.repeat([0, 1, 2], [400, 40, 20])
    dataset = load(npz(x=np.eye(460), y=y))
    np.testing.assert_array_equal(np.bincount(dataset.train.y), [280, 28, 14])
    np.testing.assert_array_equal(np.bincount(dataset.test.y), [60, 6, 3])


# Layouts and scales


def test_keras_layout_gives_a_validation_part_from_training(npz):
    dataset = load(npz(**keras()))
    expect_sound(dataset)
    assert (dataset.name, dataset.classes, dataset.image_shape) == ("data", 3, (2, 3))
    assert [len(s.y) for s in (dataset.train, dataset.validation, dataset.test)] == [18, 2, 5]
    x, y = small(shape=(2, 3))
    np.testing.assert_allclose(dataset.test.x, x[:5].reshape(5, 6) / 255, rtol=1e-6)
    np.testing.assert_array_equal(dataset.test.y, y[:5])


@pytest.mark.parametrize("part", ["validation", "valid", "val"])
def test_a_given_validation_part_is_used(npz, part):
    x, y = small(shape=(2, 3))
    dataset = load(npz(**keras(**{f"x_{part}": x[5:9], f"y_{part}": y[5:9]})))
    assert [len(s.y) for s in (dataset.train, dataset.validation, dataset.test)] == [20, 4, 5]
    np.testing.assert_array_equal(dataset.validation.y, y[5:9])


@pytest.mark.parametrize(
    ("shape", "image_shape"), [((4,), None), ((4, 2), (4, 2)), ((4, 2, 1), (4, 2))]
)
def test_rank_tells_images_from_features(npz, shape, image_shape):
    x, y = small(shape=shape)
    dataset = load(npz(x=x, y=y))
    expect_sound(dataset)
    assert dataset.image_shape == image_shape


@pytest.mark.parametrize(
    ("dtype", "values", "scaled"),
    [
        ("bool", [0, 1, 1], [0, 1, 1]),
        ("uint8", [0, 51, 204], [0, 0.2, 0.8]),
        ("uint16", [0, 13107, 52428], [0, 0.2, 0.8]),
        (">u2", [0, 13107, 52428], [0, 0.2, 0.8]),
        ("int64", [0, 4, 16], [0, 0.25, 1]),
        ("uint64", [0, 4, 16], [0, 0.25, 1]),
        ("int8", [0, 0, 0], [0, 0, 0]),
        ("float16", [-3, 0.5, 7], [-3, 0.5, 7]),
        ("float64", [-3, 0.5, 7], [-3, 0.5, 7]),
    ],
)
def test_scale_follows_the_dtype(npz, dtype, values, scaled):
    x = np.array(values * 4).reshape(-1, 1).astype(dtype)
    y = np.arange(12) // 6
    dataset = load(npz(x_train=x, y_train=y, x_test=x, y_test=y))
    np.testing.assert_allclose(dataset.test.x[:3, 0], scaled, rtol=1e-6)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_order_and_compression_of_arrays_do_not_matter(tmp_path, save):
    x, y = small(shape=(2, 3))
    save(tmp_path / "a.npz", x=np.asfortranarray(x), y=y.astype(">i8"))
    np.savez(tmp_path / "b.npz", x=x, y=y.astype(np.float32))
    a, b = load(tmp_path / "a.npz"), load(str(tmp_path / "b.npz"))
    np.testing.assert_array_equal(a.train.x, b.train.x)
    np.testing.assert_array_equal(a.train.y, b.train.y)


# Malformed sources


def test_a_path_where_nothing_is(tmp_path):
    assert "source" in complaint_of(tmp_path / "absent.npz")
    complaint_of("x" * 5000)
    complaint_of("nul\0byte")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "an empty file"),
        (b"text", "an .npz file"),
        (pickle.dumps([1, 2]), "never loaded"),
        (npz_bytes(x=np.zeros(3))[:-10], "an .npz file"),
        (npz_bytes(), "0 other files"),
        (b"\x93NUMPY\x01\x00", "single .npy array"),
    ],
    ids=["empty", "text", "pickle", "truncated", "no arrays", "npy"],
)
def test_files_that_are_no_npz(tmp_path, content, part):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    message = complaint_of(path)
    assert str(path) in message
    assert part in message


X, Y = small(shape=(2, 3))


@pytest.mark.parametrize(
    ("changes", "argument", "part"),
    [
        ({"y_train": None}, "y_train", "array of that name"),
        ({"x_test": None}, "x_test", "array of that name"),
        ({"x_val": X}, "y_val", "array of that name"),
        ({"x_train": X[:-1]}, "y_train", "expected 19 labels"),
        ({"y_test": np.array([], int)}, "y_test", "1 to "),
        ({"x_test": X[:0]}, "x_test", "1 to "),
        ({"x_test": X[:5, :, :0]}, "x_test", "1 to "),
        ({"x_test": X[:5, :, :2]}, "x_test", "(2, 3) as in x_train"),
        ({"x_test": X[:5].astype(float)}, "x_test", "uint8 as in x_train"),
        ({"x_train": np.float32(0)}, "x_train", "(n, features)"),
        ({"x_train": np.zeros((2, 2, 2, 3))}, "x_train", "(n, features)"),
        ({"x_train": np.zeros((2, 2, 2, 1, 1))}, "x_train", "rank 4 or less"),
        ({"x_train": X - np.int16(1)}, "x_train", "pixels of 0 or more"),
        ({"x_train": X.astype(complex)}, "x_train", "real floating"),
        ({"x_train": X.astype(str)}, "x_train", "real floating"),
        ({"x_train": np.zeros(20, "i4,f4")}, "x_train", "plain 'descr'"),
        ({"x_train": X.astype(object)}, "x_train", "never loaded"),
        ({"y_train": Y.astype(object)}, "y_train", "never loaded"),
        ({"y_train": Y[:, None]}, "y_train", "rank 1"),
        ({"y_train": Y + 0.5}, "y_train", "whole numbers"),
        ({"y_train": Y * np.nan}, "y_train", "whole numbers"),
        ({"y_train": Y + np.inf}, "y_train", "labels from 0"),
        ({"y_train": Y - 1}, "y_train", "labels from 0"),
        ({"y_train": Y + 2**40}, "y_train", "labels from 0"),
        ({"y_train": Y.astype(str)}, "y_train", "real floating"),
        ({"y_train": Y * 0}, "y_train", "two classes"),
        ({"x_train": X[:1], "y_train": Y[:1]}, "x_train", "2 samples"),
    ],
)
def test_arrays_that_cannot_be_used(npz, changes, argument, part):
    path = npz(**keras(**changes))
    message = complaint_of(path)
    assert message.startswith(f"{path}: {argument}: ")
    assert part in message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_samples_must_be_finite(npz, bad):
    x = np.zeros((20, 4))
    x[7, 2] = bad
    message = complaint_of(npz(x=x, y=Y))
    assert "finite" in message
    assert "sample 7" in message


def test_a_collection_too_small_to_cut(npz):
    assert "4 samples" in complaint_of(npz(x=np.eye(3), y=np.arange(3)))
    assert "array of that name" in complaint_of(npz(x=np.eye(2)))
    assert "array of that name" in complaint_of(npz(images=np.eye(2)))


def npy(header, values=b""):
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + values


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000,), }", b"x" * 80),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999), }"),
        npy("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", b"123"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", b"x" * 9),
        npy("(" * 9000),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"\x93NUMPY\x03\x00\x01\x00\x00\x00 ",
        b"\x93NUMPY\x01\x00\xff\x00{",
        b"",
    ],
)
def test_headers_of_arrays_are_not_trusted(tmp_path, content):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", content)
    assert f"{path}: x: " in complaint_of(path)


def test_zip_methods_without_a_bound_are_refused(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", b"")
        archive.writestr("y.npy", b"")
    assert "zip method" in complaint_of(path)


# Fuzz: only an InputError or a sound data set comes out


def try_npz(folder, content):
    path = folder / "fuzz.npz"
    path.write_bytes(content)
    try_source(path)


SMALL_NPZ = npz_bytes(x=small(n=6)[0], y=small(n=6)[1])


def test_every_truncation_of_an_npz_file(tmp_path):
    for length in range(len(SMALL_NPZ)):
        try_npz(tmp_path, SMALL_NPZ[:length])


def test_every_byte_of_an_npz_file_damaged(tmp_path):
    for position in range(len(SMALL_NPZ)):
        for value in (0, SMALL_NPZ[position] ^ 1, 255):
            try_npz(tmp_path, damaged(SMALL_NPZ, [(position, value)]))


@FUZZ
@given(flips=FLIPS)
def test_flips_in_an_npz_file(tmp_path, flips):
    try_npz(tmp_path, damaged(SMALL_NPZ, flips))


@FUZZ
@given(flips=FLIPS, name=st.sampled_from("xy"))
def test_flips_in_an_array_behind_an_intact_checksum(tmp_path, flips, name):
    with zipfile.ZipFile(io.BytesIO(SMALL_NPZ)) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[f"{name}.npy"] = damaged(members[f"{name}.npy"], flips)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    try_npz(tmp_path, buffer.getvalue())


@FUZZ
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\3\4", b"PK\5\6"]))
def test_random_bytes_as_npz(tmp_path, content, start):
    try_npz(tmp_path, start + content)
