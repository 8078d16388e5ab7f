"""Mixed precision: a model in half precision, its parameters and their update in float32.

Forward  With θ the master parameters, of float32 or wider, and r(·) rounding to half precision,
           y = model(r(θ), r(x)),   E = L(y, targets)         E in the dtype of θ
Derive   r is the identity but for rounding, and its slope is taken to be 1, so that with ∂E/∂r(θ)
         what the model's backward returns,
  (1) dθ = ∂E/∂r(θ)         widened to the dtype of θ, before anything is added to it
         An update smaller than half an ulp of r(θ) is kept by θ, and adds up.
Scale    Float16 has no number between 0 and 6e-8 and none above 65504; cotangents averaged over a
         batch are often below. Every line of a backward is linear in the cotangents, so that dE = s
         makes all of them s times as large (`models.objective`), and in the dtype of θ
  (2) g = dθ / s
         which is exact, as s is a power of two. Where s is too large an entry overflows, dθ is not
         finite, and no use can be made of it. So s is found by trial: with n good steps behind it,
  (3) s' = s/2,  n' = 0        where dθ is not finite: that update is left out
      s' = 2s,   n' = 0        at the Nth good step in a row
      s' = s,    n' = n + 1    else
         s stays between 2⁻²⁴ and 2²⁴. Bfloat16 has float32's exponents and needs no scale.
Source   Micikevicius et al. 2018, arXiv:1710.03740
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from manual_bp import op

LEAST, MOST = 2.0**-24, 2.0**24


class LossScale(NamedTuple):
    """The scale s, the good steps behind it, and N, after how many of them it is doubled."""

    value: Float[Array, ""]
    good: Int[Array, ""]
    interval: Int[Array, ""]


def loss_scale(value: float = 2.0**15, *, interval: int = 2000) -> LossScale:
    """Return the scale before the first step, for `train.init(…, scale=…)`.

    Args:
      value: s, a power of two from 2⁻²⁴ to 2²⁴.
      interval: N, at least 1.

    Raises:
      ValueError: `value` is no such power, or `interval` is below 1.
    """
    if not LEAST <= value <= MOST or math.frexp(value)[0] != 0.5:
        expected = "a power of two from 2⁻²⁴ to 2²⁴"
        raise ValueError(op.complaint("loss_scale", "value", expected, value))
    if interval < 1:
        raise ValueError(op.complaint("loss_scale", "interval", "at least 1", interval))
    counts = (jnp.asarray(count, jnp.int32) for count in (0, interval))
    return LossScale(jnp.asarray(value, jnp.float32), *counts)


def unscaled(gradients: Any, scale: LossScale) -> Any:
    """Return the gradients of the loss from those of s times it.

    In float32 at least, as a large s is infinite in float16.
    """

    def of_loss(g: jax.Array) -> jax.Array:
        wide = op.wide(g)
        return (wide / scale.value.astype(wide.dtype)).astype(g.dtype)

    return jax.tree.map(of_loss, gradients)  # (2)


def all_finite(gradients: Any) -> Bool[Array, ""]:
    """Return whether every entry is finite."""
    return jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(gradients)]).all()


def renewed(scale: LossScale, finite: Bool[Array, ""]) -> LossScale:
    """Return the scale after a step whose gradients were finite, or were not."""
    good = jnp.where(finite, scale.good + 1, 0)
    grows = good == scale.interval
    factor = jnp.where(finite, jnp.where(grows, 2.0, 1.0), 0.5).astype(jnp.float32)
    value = jnp.clip(scale.value * factor, LEAST, MOST)  # (3)
    return LossScale(value, jnp.where(grows, 0, good), scale.interval)


def mixed(
    loss_and_gradients: Callable[..., tuple[Any, ...]], dtype: Any, *, stateful: bool = False
) -> Callable[..., tuple[Any, ...]]:
    """Return `loss_and_gradients` with the model in `dtype`, and all that is given back as before.

    The loss and the gradients come in the dtype of the parameters, and so does what a model
    carries, as running statistics, which is handed through as it is.

    Args:
      loss_and_gradients: `(params, *inputs, targets, dloss=…) -> (loss, gradients)`, or, with
        `stateful`, `(params, model, *inputs, targets, dloss=…) -> (loss, gradients, new_model)`.
        `dloss` is the cotangent of the loss, and the loss is computed in its dtype, as by those of
        our models (`models.objective`).
      dtype: of the parameters and the inputs where the model reads them; the targets stay.
      stateful: whether the model carries something besides its parameters.

    Returns:
      A function of the same arguments; without `dloss`, it is 1.

    Raises:
      TypeError: `dtype` is not floating; when called, the parameters are of a narrower dtype.
    """
    place, dtype = "mixed", jnp.dtype(dtype)
    if dtype not in op.FLOATS:
        raise TypeError(op.complaint(place, "dtype", "a floating dtype", dtype))

    def rounded(params: Any, *given: Any, dloss: Any = None) -> tuple[Any, ...]:
        master = jnp.result_type(*jax.tree.leaves(params))
        if master != dtype and jnp.finfo(master).bits <= jnp.finfo(dtype).bits:
            expected = f"a dtype narrower than {master}, that of the parameters"
            raise TypeError(op.complaint(place, "dtype", expected, dtype))
        carried, batch = (given[:1], given[1:]) if stateful else ((), given)
        *inputs, targets = batch
        read, *inputs = op.in_dtype((params, *inputs), dtype)
        dloss = jnp.ones((), master) if dloss is None else dloss.astype(master)
        loss, gradients, *new = loss_and_gradients(read, *carried, *inputs, targets, dloss=dloss)
        gradients = jax.tree.map(lambda g, leaf: g.astype(leaf.dtype), gradients, params)  # (1)
        return loss, gradients, *new

    return rounded
