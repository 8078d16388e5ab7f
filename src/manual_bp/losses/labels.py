"""Integer labels: their range, and where they stand among the classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from manual_bp import op
from manual_bp.indexing import numbers


def held(labels: jax.Array) -> Integer[Array, "..."]:
    """Return the labels in a dtype that can hold the number of classes."""
    return labels.astype(jnp.int32) if labels.dtype.itemsize < 4 else labels


def checked(
    name: str, labels: Any, batch: tuple[int, ...], classes: int, ignored: int | None = None
) -> Integer[Array, "*batch"]:
    """Return the labels as an array that can hold the number of classes.

    Raises:
      TypeError: they are not integers.
      ValueError: they are not one a sample, or one that can be read is outside 0 … classes−1 and
        not the ignored one.
    """
    op.expect_shape(name, "labels", jnp.asarray(labels), batch, "for integer labels")
    if ignored is None or isinstance(labels, jax.core.Tracer):
        return numbers.checked(name, "labels", labels, classes)
    values = np.asarray(labels)
    numbers.checked(name, "labels", values[values != ignored], classes)
    return held(jnp.asarray(labels))


def counted(labels: Integer[Array, "*batch"], ignored: int | None) -> Bool[Array, "*batch"] | None:
    """Return which labels are not the ignored one; None for all."""
    # A negative number wraps round in an unsigned dtype, to one that is no class either.
    return None if ignored is None else labels != np.asarray(ignored).astype(labels.dtype)


def known(labels: Integer[Array, "*batch"], classes: int) -> Bool[Array, "*batch"]:
    """Return where a label is a class."""
    return (labels >= 0) & (labels < classes)


def at_label(
    x: Float[Array, "*batch v"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Return the entry of each sample at its label, NaN for a label that is no class."""
    # A negative index would count from the end.
    *_, classes = x.shape
    places = jnp.where(known(labels, classes), labels, classes)[..., None]
    return jnp.take_along_axis(x, places, -1, mode="fill").squeeze(-1)


def with_label(
    x: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"],
    of_label: Float[Array, "*batch 1"],
) -> Float[Array, "*batch v"]:
    """Return x with the entry of each sample at its label another; of labels that are classes.

    By a scatter: a comparison with every class would make XLA's CPU code write x out before.
    """
    places = labels[..., None]
    return jnp.put_along_axis(x, places, of_label, -1, inplace=False, mode="drop")


def one_hot(
    labels: Integer[Array, "*batch"], classes: int
) -> tuple[Bool[Array, "*batch v"], Bool[Array, "*batch"]]:
    """Return where a class is the label, (*batch, v), and where a label is a class, (*batch,)."""
    each = jnp.arange(classes, dtype=labels.dtype).reshape(*(1,) * labels.ndim, -1)
    return labels[..., None] == each, known(labels, classes)
