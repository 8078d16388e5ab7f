"""The .npz format: a zip archive of .npy arrays, read without ever unpickling.

The headers are parsed here: NumPy's own reader allocates what a header claims before it looks at
the file's length. Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from bp_lab.data.stream import read_array
from bp_lab.errors import InputError

_NPY_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
_DESCR = re.compile(rb"'descr'\s*:\s*'([^']{1,16})'")
_ORDER = re.compile(rb"'fortran_order'\s*:\s*(True|False)")
_SHAPE = re.compile(rb"'shape'\s*:\s*\(((?:\s*\d{1,18}L?\s*,?)*)\s*\)")

# What zipfile raises on malformed archives; RuntimeError stands for encryption.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def names_in(path: Path) -> list[str]:
    """Return the names of the arrays in an .npz file.

    Raises:
      InputError: the file cannot be opened, is empty, or is no .npz file.
    """
    with _opened(path) as archive:
        members = archive.namelist()
    names = [member.removesuffix(".npy") for member in members if member.endswith(".npy")]
    if not names:
        expected = "an .npz file (a zip archive of .npy arrays)"
        raise InputError(str(path), "file", expected, f"an archive of {len(members)} other files")
    return names


def read_npz(path: Path, name: str) -> np.ndarray:
    """Return one array of an .npz file, in the machine's byte order.

    Args:
      path: the file.
      name: one of `names_in(path)`.

    Returns:
      A boolean, integer or real floating array.

    Raises:
      InputError: the array is truncated or damaged, holds pickled objects, or is of another kind.
    """
    place = str(path)
    with _opened(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        # Deflate unpacks to 1,032 times its size at most; the other methods know no such bound.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            expected = "stored or deflated content, as NumPy writes it"
            raise InputError(place, name, expected, f"zip method {member.compress_type}")
        with archive.open(member) as stream:
            dtype, fortran, shape = _header(stream, place, name)
            if fortran:
                return read_array(stream, dtype, shape[::-1], place, name).T
            return read_array(stream, dtype, shape, place, name)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    place, expected = str(path), "an .npz file (a zip archive of .npy arrays)"
    try:
        with path.open("rb") as file:
            start = file.read(len(_NPY_MAGIC))
            if not start:
                raise InputError(place, "file", expected, "an empty file")
            if start == _NPY_MAGIC:
                raise InputError(place, "file", expected, "a single .npy array, without labels")
            if start[:1] == b"\x80":
                came = "what may be a pickle; pickled content is never loaded"
                raise InputError(place, "file", expected, came)
            with zipfile.ZipFile(file) as archive:
                yield archive
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(place, "file", expected, f"a damaged or other file: {error}") from None
    except OSError as error:
        raise InputError(place, "file", "a readable file", error.strerror or error) from None


def _header(stream: IO[bytes], place: str, name: str) -> tuple[np.dtype, bool, tuple[int, ...]]:
    start = stream.read(8)
    if len(start) < 8 or start[:6] != _NPY_MAGIC or start[6] not in (1, 2):
        expected = "an array in .npy format 1 or 2"
        raise InputError(place, name, expected, f"the bytes {start.hex(' ')}")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST_HEADER:
        raise InputError(place, name, f"a header of {_LONGEST_HEADER} bytes at most", length)
    header = stream.read(length)
    if len(header) < length:
        raise InputError(place, name, f"a header of {length} bytes", f"{len(header)} bytes")
    descr, order, shape = (pattern.search(header) for pattern in (_DESCR, _ORDER, _SHAPE))
    if descr and descr[1].lstrip(b"<>|=").startswith(b"O"):
        came = "pickled objects; pickled content is never loaded"
        raise InputError(place, name, "an array of numbers", came)
    if not (descr and order and shape):
        expected = "a header with a plain 'descr', 'fortran_order' and 'shape'"
        raise InputError(place, name, expected, ascii(header[:80].decode("latin-1")))
    dtype = _number(descr[1].decode("latin-1"))
    if dtype is None:
        came = f"dtype {descr[1].decode('latin-1')!a}"
        raise InputError(place, name, "booleans, integers or real floating numbers", came)
    sizes = tuple(int(size) for size in re.findall(rb"\d+", shape[1]))
    return dtype, order[1] == b"True", sizes


def _number(descr: str) -> np.dtype | None:
    if not re.fullmatch(r"[<>|=]?[biuf]\d{1,2}", descr):
        return None
    try:
        return np.dtype(descr)
    except TypeError:
        return None
