"""The trained reader of lines: its weights in a file, and reading with them."""

import io
from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bp_lab.data.npz import names_in, read_npz
from bp_lab.errors import InputError
from bp_lab.files import write_bytes
from bp_lab.ocr import decoding
from bp_lab.ocr.batches import CLASSES, columns_of
from bp_lab.ocr.data import HEIGHT
from bp_lab.ocr.decoding import Reading
from manual_bp import line_reader, log_softmax
from manual_bp.models.line_reader import Cell, Params
from manual_bp.models.mlp import Layer

SHIPPED = "reader.npz"
"""The weights that come with the package, in its folder `ocr/weights`."""

_TOGETHER = 32


class Reader:
    """A network that reads lines."""

    def __init__(self, params: Params) -> None:
        """Take the parameters of a `line_reader`."""
        self.params = params

    def read(self, lines: Sequence[np.ndarray], *, beam: int | None = 8) -> list[Reading]:
        """Return what lines say, in their order.

        Args:
          lines: as of `data.normalised`, float32 (HEIGHT, columns).
          beam: texts that are followed at a time; None for greedy search.
        """
        decode = decoding.greedy if beam is None else partial(decoding.beam_search, width=beam)
        return [decode(scores) for scores in self.log_probabilities(lines)]

    def log_probabilities(self, lines: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return for each line the log-probability of every class at each step, (t, classes)."""
        found: list[np.ndarray] = [np.zeros((0, CLASSES), np.float32)] * len(lines)
        order = sorted(range(len(lines)), key=lambda place: lines[place].shape[1])
        for start in range(0, len(order), _TOGETHER):
            places = order[start : start + _TOGETHER]
            columns = columns_of(max(lines[place].shape[1] for place in places))
            x = np.zeros((_TOGETHER, HEIGHT, columns, 1), np.float32)
            widths = np.zeros(_TOGETHER, np.int32)
            for row, place in enumerate(places):
                widths[row] = lines[place].shape[1]
                x[row, :, : widths[row], 0] = lines[place]
            scores = np.asarray(_log_probabilities(self.params, x, widths))
            for row, place in enumerate(places):
                found[place] = scores[row, : line_reader.steps(int(widths[row]))]
        return found

    def save(self, path: Path) -> None:
        """Write the weights as an .npz file, in float16.

        Raises:
          InputError: the file cannot be written.
        """
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {
            name: np.asarray(array, np.float16) for name, array in _named(self.params).items()
        }
        np.savez_compressed(buffer, **arrays)
        write_bytes(path, buffer.getvalue())


def load(path: Path | None = None) -> Reader:
    """Return the reader of a file, or the one that comes with the package.

    Raises:
      InputError: the file cannot be read, or holds no reader.
    """
    if path is not None:
        return Reader(_params(path))
    shipped = resources.files("bp_lab.ocr").joinpath("weights", SHIPPED)
    with resources.as_file(shipped) as file:
        return Reader(_params(file))


@jax.jit
def _log_probabilities(params: Params, x: jax.Array, widths: jax.Array) -> jax.Array:
    logits, _ = line_reader.forward(params, x, widths)
    return log_softmax.forward(logits)[0]


def _named(params: Params) -> dict[str, Any]:
    """Return the arrays of the parameters by the names they have in a file."""
    arrays: dict[str, Any] = {}
    for number, layer in enumerate(params.convolutions):
        arrays |= {f"W{number}": layer.W, f"b{number}": layer.b}
    for direction, cell in (("onward", params.onward), ("reverse", params.reverse)):
        arrays |= {f"{direction}.{name}": array for name, array in cell._asdict().items()}
    return arrays | {"V": params.V, "c": params.c}


def _params(path: Path) -> Params:
    present = set(names_in(path))
    depth = sum(name[0] == "W" for name in present)

    def array(name: str, *shape: int | None) -> jax.Array:
        if name not in present:
            expected = "the weights of a reader of lines"
            raise InputError(str(path), "file", expected, f"no array {name}")
        found = read_npz(path, name)
        fits = found.ndim == len(shape) and all(
            want in (None, side) for want, side in zip(shape, found.shape, strict=True)
        )
        if not fits or found.dtype.kind != "f" or not np.isfinite(found).all():
            expected = f"finite numbers of shape {tuple(side or '_' for side in shape)}"
            raise InputError(str(path), name, expected, f"{found.dtype} {found.shape}")
        return jnp.asarray(found.astype(np.float32))

    def cell(direction: str, n: int) -> Cell:
        U = array(f"{direction}.U", None, None)
        gates = (n, 4 * U.shape[0])
        return Cell(array(f"{direction}.W", *gates), U, array(f"{direction}.b", gates[1]))

    if depth != len(line_reader.POOLS):
        expected = f"a reader of lines with {len(line_reader.POOLS)} convolutions"
        raise InputError(str(path), "file", expected, depth)
    layers, channels = [], 1
    for number in range(depth):
        W = array(f"W{number}", line_reader.KERNEL, line_reader.KERNEL, channels, None)
        channels = W.shape[-1]
        layers.append(Layer(W, array(f"b{number}", channels)))
    onward, reverse = cell("onward", channels), cell("reverse", channels)
    V = array("V", 2 * onward.U.shape[0], CLASSES)
    return Params(tuple(layers), onward, reverse, V, array("c", CLASSES))
