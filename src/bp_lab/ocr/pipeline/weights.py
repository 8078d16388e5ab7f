"""Trained parameters in a file: an .npz archive of float16 arrays, read without ever unpickling."""

import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bp_lab.data.npz import names_in, read_npz
from bp_lab.errors import InputError
from bp_lab.files import write_bytes


def save(path: Path, networks: dict[str, Any]) -> None:
    """Write the parameters of networks, each under its name; the file is whole at every instant.

    Raises:
      InputError: the file cannot be written.
    """
    arrays: dict[str, Any] = {
        place: np.asarray(leaf, np.float16)
        for name, params in networks.items()
        for place, leaf in _leaves(name, params).items()
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def load(path: Path, like: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of networks, in float32.

    Args:
      path: what `save` wrote.
      like: for each network that is wanted, arrays or shapes in the structure of its parameters.

    Raises:
      InputError: the file is missing, damaged, or of other networks.
    """
    found = set(names_in(path))
    return {name: _loaded(path, name, shapes, found) for name, shapes in like.items()}


def _leaves(name: str, params: Any) -> dict[str, Any]:
    flat, _ = jax.tree_util.tree_flatten_with_path(params)
    return {name + jax.tree_util.keystr(place): leaf for place, leaf in flat}


def _loaded(path: Path, name: str, shapes: Any, found: set[str]) -> Any:
    leaves = []
    for place, leaf in _leaves(name, shapes).items():
        if place not in found:
            raise InputError(str(path), "weights", f"the parameter {place}", "none of this name")
        array = read_npz(path, place)
        if array.shape != leaf.shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            expected = f"finite numbers of shape {leaf.shape}"
            raise InputError(str(path), place, expected, f"{array.dtype} of shape {array.shape}")
        leaves.append(jnp.asarray(array, jnp.float32))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)
