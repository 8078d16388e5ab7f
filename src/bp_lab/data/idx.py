"""The IDX format of MNIST, plain or compressed by gzip.

Two zero bytes, a type code, the rank, one big-endian 32-bit size for each axis, then the values,
big-endian, in row-major order. Source: LeCun, Cortes & Burges, "The MNIST database".
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from bp_lab.data.stream import DEEPEST, read_array
from bp_lab.errors import InputError

ELEMENTS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The dtype of a value, by its type code."""

_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path) -> np.ndarray:
    """Return the array of one IDX file, in the machine's byte order.

    Compression is told by content, since downloads often keep the suffix `.gz` after unpacking.

    Raises:
      InputError: the file cannot be opened, is empty, no IDX file, truncated or too long, or its
        compression is damaged.
    """
    try:
        with path.open("rb") as file:
            start = file.read(2)
            file.seek(0)
            if start != _GZIP_MAGIC:
                return _parse(file, path)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _parse(cast("IO[bytes]", unpacked), path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(str(path), "file", "an intact gzip file", error) from None
    except OSError as error:
        raise InputError(str(path), "file", "a readable file", error.strerror or error) from None


def _parse(stream: IO[bytes], path: Path) -> np.ndarray:
    place = str(path)
    magic = stream.read(4)
    if not magic:
        raise InputError(place, "file", "an IDX file", "an empty file")
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in ELEMENTS:
        codes = ", ".join(f"{code:02x}" for code in ELEMENTS)
        expected = f"an IDX file (bytes 00 00, a type of {codes}, the rank)"
        raise InputError(place, "file", expected, f"the bytes {magic.hex(' ')}")
    rank = magic[3]
    if not 1 <= rank <= DEEPEST:
        raise InputError(place, "rank", f"1 to {DEEPEST}", rank)
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise InputError(place, "sizes", f"{rank} sizes of 4 bytes", f"{len(sizes)} bytes")
    dtype = np.dtype(ELEMENTS[magic[2]])
    return read_array(stream, dtype, struct.unpack(f">{rank}I", sizes), place, "values")
