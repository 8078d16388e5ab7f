"""Integer labels: their range, and where they stand among the classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer

from manual_bp import op


def expect_range(name: str, labels: Any, classes: int) -> None:
    """Raise a ValueError for a label outside 0 … classes − 1; traced labels cannot be read."""
    if isinstance(labels, jax.core.Tracer) or not np.size(labels):
        return
    values = np.asarray(labels)
    for extreme in (values.min(), values.max()):
        if not 0 <= extreme < classes:
            raise ValueError(op.complaint(name, "labels", f"0 … {classes - 1}", extreme))


def one_hot(labels: Integer[Array, "*batch"], classes: int) -> tuple[jax.Array, jax.Array]:
    """Return where a class is the label, (*batch, v), and where a label is a class, (*batch,)."""
    # A narrow dtype may not hold the number of classes.
    labels = labels.astype(jnp.int32) if labels.dtype.itemsize < 4 else labels
    numbers = jnp.arange(classes, dtype=labels.dtype).reshape(*(1,) * labels.ndim, -1)
    return labels[..., None] == numbers, (labels >= 0) & (labels < classes)
