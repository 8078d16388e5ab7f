"""Dropout: each entry is kept with probability 1 − p, and 0 otherwise.

Shapes   x, y: any, the same   key: one random key   mask: as x, with size 1 on `shared_axes`
Forward  With independent uᵢ uniform in [0, 1) and keep probability k = 1 − p,
           mask = 1[u < k],   y = a mask ⊙ x in training,   y = e x in evaluation
         scaling      a     e
         inverted     1/k   1     the expectation of y is x while training, and evaluation is free
         evaluation   1     k     the signal is left as it is, and shrunk to its expectation later
Derive   yᵢ = a maskᵢ xᵢ and ∂yᵢ/∂xᵢ = a maskᵢ; the mask does not depend on x:
  (1) dx = a mask ⊙ dy in training,   dx = e dy in evaluation
         The same linear map, so that forward and backward share its code.
Mask     `jax.random.bernoulli(key, float32(1 − p), shape)`, in every dtype: that is
         `jax.random.uniform(key, shape, float32) < 1 − p`. Along `shared_axes` one draw serves all
         entries: with the spatial axes, whole channels are dropped.
Saved    the key, from which the mask is drawn again: no array. Without a mask, nothing.
Keys     from `jax.random.key`, or those of `jax.random.PRNGKey`, (2,) of uint32. A key has no
         cotangent: its slot is None. With p = 0, and in evaluation, it is not used.
Kinks    none.      Half precision is computed in float32.
Source   Srivastava et al. 2014, JMLR 15 (scaling at evaluation); Tompson et al. 2015,
         arXiv:1411.4280 (shared axes)
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

from manual_bp import op, setting

NAME = "dropout"
Scaling = Literal["inverted", "evaluation"]


@op.residual
class Residual:
    """The key, or None where nothing is dropped, and the settings."""

    key: Any
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    rate: float = op.static()
    factor: float = op.static()
    shared_axes: tuple[int, ...] = op.static()


def _as_key(key: Any) -> jax.Array:
    """Return the key as an array, or raise unless it is a single one."""
    key = jnp.asarray(key)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        op.expect_shape(NAME, "key", key, (), "of a single key")
    elif key.dtype == jnp.uint32:
        op.expect_shape(NAME, "key", key, (2,), "of a single key in uint32")
    else:
        expected = "a key from jax.random.key, or uint32"
        raise TypeError(op.complaint(NAME, "key", expected, key.dtype))
    return key


def _apply(residual: Residual, x: jax.Array) -> jax.Array:
    """Return the linear map that both passes are, of an array like `x`."""
    scaled = op.wide(x) * residual.factor
    if residual.key is not None:
        drawn = tuple(
            1 if axis in residual.shared_axes else size for axis, size in enumerate(residual.shape)
        )
        mask = jax.random.bernoulli(residual.key, jnp.float32(1 - residual.rate), drawn)
        scaled = jnp.where(jnp.broadcast_to(mask, residual.shape), scaled, 0)
    return scaled.astype(residual.dtype)


def forward(
    x: Float[Array, "*shape"],
    key: Key[Array, ""] | UInt32[Array, "2"],
    *,
    rate: float,
    scaling: Scaling = "inverted",
    training: bool = True,
    shared_axes: tuple[int, ...] = (),
) -> tuple[Float[Array, "*shape"], Residual]:
    """Return y, of the shape and dtype of `x`, and the residual.

    Args:
      x: any shape.
      key: one key from `jax.random.key`, or one of `jax.random.PRNGKey`, (2,) of uint32.
      rate: p in [0, 1), the probability that an entry is dropped.
      scaling: "inverted" divides by 1 − p in training, "evaluation" multiplies by it in evaluation.
      training: whether to drop.
      shared_axes: axes along which entries are dropped together; of images, (1, 2) drops channels.

    Raises:
      TypeError: `x` is not floating, or `key` is no key.
      ValueError: `rate` is outside [0, 1), `scaling` is unknown, `x` has no such axis, or `key` is
        not a single key.
    """
    (x,) = op.floating(NAME, x=x)
    key = _as_key(key)
    rate = setting.expect_number(
        NAME, "rate", rate, "a number in [0, 1)", lambda rate: 0 <= rate < 1
    )
    setting.expect_choice(NAME, "scaling", scaling, ("inverted", "evaluation"))
    expected = f"axes of shape {x.shape}"
    shared_axes = setting.expect_wholes(NAME, "shared_axes", shared_axes, None, expected)
    if not all(-x.ndim <= axis < x.ndim for axis in shared_axes):
        raise ValueError(op.complaint(NAME, "shared_axes", expected, shared_axes))
    keep = 1 - rate
    in_training, in_evaluation = (1 / keep, 1.0) if scaling == "inverted" else (1.0, keep)
    positive = tuple(sorted({axis % x.ndim for axis in shared_axes}))
    factor, dropping = in_training if training else in_evaluation, training and rate > 0
    residual = Residual(key if dropping else None, x.shape, x.dtype, rate, factor, positive)
    return _apply(residual, x), residual


def backward(residual: Residual, dy: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], None]:
    """Return (dx, dkey); dkey is None."""
    dy = op.expect_cotangent(NAME, dy, residual.shape, residual.dtype)
    return _apply(residual, dy), None  # (1)
