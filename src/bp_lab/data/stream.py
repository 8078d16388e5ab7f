"""Arrays from byte streams whose headers are not trusted.

A header may claim any size. Memory is taken only as the bytes arrive, so that a file of a few bytes
never costs more than a few bytes, and a claim beyond `LARGEST` values is refused outright.
"""

import math
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from bp_lab.errors import InputError

LARGEST = 2**30
"""The most values that one array may hold; as float32 they take 4 GiB."""

DEEPEST = 4
"""The highest rank of an array that can be used: (n, rows, columns, 1)."""

_CHUNK = 2**20


def read_array(
    stream: IO[bytes], dtype: np.dtype[Any], shape: Sequence[int], place: str, argument: str
) -> np.ndarray:
    """Return the rest of a stream as one array in row-major order.

    Args:
      stream: stands at the first byte of the first value.
      dtype: of one value, byte order included.
      shape: as the header claims it.
      place: the file, for the message.
      argument: the array's name, for the message.

    Returns:
      An array of `shape`, in the machine's byte order.

    Raises:
      InputError: the rank exceeds `DEEPEST`, an axis is empty, there are more than `LARGEST`
        values, or the stream holds fewer or more bytes than the header claims.
    """
    if len(shape) > DEEPEST:
        raise InputError(place, argument, f"rank {DEEPEST} or less", f"rank {len(shape)}")
    count = math.prod(shape)
    if not 0 < count <= LARGEST:
        came = f"shape {tuple(shape)}"
        raise InputError(place, argument, f"1 to {LARGEST} values", came)
    wanted = count * dtype.itemsize
    data = bytearray()
    # One byte more than wanted shows surplus bytes, and lets a gzip or zip stream reach its
    # end, where it verifies its checksum.
    while len(data) <= wanted:
        chunk = stream.read(min(_CHUNK, wanted + 1 - len(data)))
        if not chunk:
            break
        data += chunk
    if len(data) != wanted:
        came = "more" if len(data) > wanted else f"{len(data)} bytes"
        expected = f"{wanted} bytes after the header for {dtype.name} of shape {tuple(shape)}"
        raise InputError(place, argument, expected, came)
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)
