"""What the normalisations share: centring, unit variance, and a scale and bias for each feature.

Shapes   x, x̂: any   m, δ, r: as x, with size 1 on the axes   scale, bias: (n,), the last axis of x
Forward  m = ⟨x⟩,  δ = ⟨x − m⟩,  c = x − m − δ,  v = ⟨c²⟩ = ⟨(x − m)²⟩ − δ²,  r = (v + ε)^(−1/2),
         x̂ = r c
                                                                ⟨·⟩ = mean over the axes
Means    In exact arithmetic δ = 0. The rounding of m is an error of the size of the mean; x − m is
         nearly exact, so that subtracting its mean δ leaves an error of the size of the deviations.
         That takes one and the same m in x − m and in δ. A compiler may fuse the product that ends
         a mean with a difference, in one place and not in the other, and so skip a rounding; of a
         number that is rounded on its own, a bit shorter, it cannot.
         The variance is taken in the pass of δ, never as ⟨x²⟩ − m², which would cancel: δ is no
         more than a rounding of m, and where all x are equal v may come out as a rounding of δ²
         below 0, which counts as 0.
Range    Squares overflow from √(Σ (x − m)²) = 1.8e19 in float32 and in half precision, 1.3e154 in
         float64, on: just beyond it r is 0, and with it x̂ and dx, and far beyond it NaN.
Part     m may be the mean of a part of x, which spares a pass over the rest. Of a share f of x it
         lies within √(1/f − 1) deviations of ⟨x⟩, and so v keeps all but log₂(1/f) of its bits.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op

# Bits of the exponent and, less one, of the mantissa.
SHORTER = {
    jnp.dtype(dtype): (jnp.finfo(dtype).nexp, jnp.finfo(dtype).nmant - 1)
    for dtype in (jnp.float32, jnp.float64)
}


@op.residual
class Moments:
    """The mean in two parts, m and δ, and r = 1/√(variance + ε)."""

    mean: Float[Array, "*reduced"]
    correction: Float[Array, "*reduced"]
    rstd: Float[Array, "*reduced"]


def features(name: str, x: jax.Array, **arrays: Any) -> tuple[jax.Array | None, ...]:
    """Return arrays of one number for each feature of `x`; one that is None stays None.

    Raises:
      TypeError: an array has another dtype than `x`.
      ValueError: an array has another shape than the last axis of `x`.
    """
    checked: list[jax.Array | None] = []
    for argument, array in arrays.items():
        if array is not None:
            _, array = op.floating(name, x=x, **{argument: array})
            op.expect_shape(name, argument, array, x.shape[-1:], f"for x of shape {x.shape}")
        checked.append(array)
    return tuple(checked)


def over(feature: Float[Array, " n"], like: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Return one number for each feature, in the dtype of sums, for every sample."""
    return jnp.broadcast_to(op.wide(feature), like.shape)


def mean(x: Float[Array, "*shape"], axes: Sequence[int]) -> Float[Array, "*reduced"]:
    """Return ⟨x⟩, with size 1 on the axes."""
    return x.mean(tuple(axes), keepdims=True)


def row_mean(x: Float[Array, "*batch n"]) -> Float[Array, "*batch 1"]:
    """Return ⟨x⟩ over the last axis."""
    return row_sums(x, None) / x.shape[-1]


def row_sums(
    x: Float[Array, "*batch n"], weights: Float[Array, " n"] | None
) -> Float[Array, "*batch 1"]:
    """Return Σⱼ wⱼ xⱼ over the last axis, with w = 1 for None.

    As a product with a vector: with sums the norms took twice the time (docs/FORMS.md).
    """
    w = jnp.ones(x.shape[-1:], x.dtype) if weights is None else op.wide(weights)
    return jnp.matmul(x, w[:, None], precision=jax.lax.Precision.HIGHEST)


def moments(x: Float[Array, "*shape"], axes: Sequence[int], epsilon: float) -> Moments:
    """Return the moments of `x`, which is not in half precision, over the axes."""
    return moments_by(lambda of: mean(of, axes), x, epsilon)


def moments_by(
    mean: Callable[[jax.Array], jax.Array], x: Float[Array, "*shape"], epsilon: float
) -> Moments:
    """Return the moments of `x` with a function for ⟨x⟩, which can be broadcast to x."""
    m, correction, var = mean_and_variance(mean, x, x)
    return Moments(m, correction, 1 / jnp.sqrt(var + epsilon))


def mean_and_variance(
    mean: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    part: Float[Array, "*part"],
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return m, δ and v, m being the mean of a part of x, or of all of it."""
    m = jax.lax.reduce_precision(mean(part), *SHORTER[x.dtype])
    d = x - m
    correction = mean(d)
    return m, correction, jnp.maximum(mean(d * d) - correction * correction, 0)


def centred(x: Float[Array, "*shape"], moments: Moments) -> Float[Array, "*shape"]:
    """Return c, in the dtype of the moments."""
    return op.wide(x) - moments.mean - moments.correction


def standardise(x: Float[Array, "*shape"], moments: Moments) -> Float[Array, "*shape"]:
    """Return x̂, in the dtype of the moments."""
    return centred(x, moments) * moments.rstd


def affine(
    standard: Float[Array, "*batch n"],
    scale: Float[Array, " n"] | None,
    bias: Float[Array, " n"] | None,
) -> Float[Array, "*batch n"]:
    """Return x̂ ⊙ scale + bias; without a scale, or a bias, that is left out."""
    y = standard if scale is None else standard * over(scale, standard)
    return y if bias is None else y + over(bias, y)
