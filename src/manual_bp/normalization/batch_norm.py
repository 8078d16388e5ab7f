"""Batch normalisation of each feature, with running statistics that go in and come out.

Shapes   x, y, x̂: (*batch, n)   scale, bias: (n,) or None   μ, v, r, running statistics: (n,)
Forward  In training, over the N samples of the batch (for images these are all places of all
         images), with ⟨·⟩ their mean, c = x − μ, M = max(N − 1, 1) and q the momentum:
           μ = ⟨x⟩,  v = ⟨c²⟩,  r = (v + ε)^(−1/2),  x̂ = r c,  y = x̂ ⊙ scale + bias
           mean' = (1−q) mean + q μ,   var' = (1−q) var + q (1/M) Σ c²
         The batch is normalised by its biased variance; the running one is unbiased.
         In evaluation x̂ = r (x − mean), r = (var + ε)^(−1/2), mean' = mean, var' = var.
Derive   The cotangents of all three outputs count. As dx̂ = dy ⊙ scale, and the scale is the same
         in all samples, it comes out of the sums over them.
  (1) dbias  = Σ dy
  (2) dscale = Σ dy ⊙ x̂
         In training, for one feature, y alone gives
           dcᵢ = scale (r dyᵢ − ½ r³ (2cᵢ/N) Σⱼ dyⱼ cⱼ) = scale r (dyᵢ − x̂ᵢ ⟨dy ⊙ x̂⟩),
           dx = dc − ⟨dc⟩, where ⟨x̂⟩ = 0; and with (1) and (2), ⟨dy⟩ = dbias/N and so on:
  (3) dx = scale r (dy − dbias/N − x̂ dscale/N)
         whose sum is 0. What dbias/N was rounded by is the same in every sample, and adds up in the
         gradient of a bias below: so the mean of the bracket is taken off once more.
         μ has ∂μ/∂xᵢ = 1/N, and s = (1/M) Σ c² has ∂s/∂xᵢ = (2/M) (cᵢ − ⟨c⟩) = 2cᵢ/M, so that to
         (3) comes
  (4) q dmean'/N + q dvar' 2c/M
         and of the statistics that went in
  (5) dmean = (1−q) dmean',   dvar = (1−q) dvar'
         In evaluation the statistics are constants of the batch; ∂r/∂var = −½ r³:
  (6) dx    = scale r dy
  (7) dmean = dmean' − scale r Σ dy
  (8) dvar  = dvar' − ½ scale r² Σ dy ⊙ x̂
         Training as it is usually done ignores the new statistics: then dmean' = dvar' = 0.
Momentum q is the share of the new batch, 0.1 by default; Keras and Flax call 1 − q the momentum.
One      A batch of one sample has v = 0, so y = bias and (3) is 0; it adds 0 to the running
         variance, as M = 1. A batch of none has no mean: an error in training.
Saved    x, the mean in two parts, r, scale; x̂ is had from them again.      Kinks   none.
Extremes Finite where a feature is constant: y is the bias and r = ε^(−1/2). The digits of
         deviations far smaller than the mean are kept. With N = 2, (3) cancels but for a term of
         order ε. Half precision is computed in float32; the running statistics may be wider than x,
         as the small shares of new batches are lost in few digits. How far deviations may go before
         their squares overflow stands in `standardise`.
Source   Ioffe & Szegedy 2015, arXiv:1502.03167
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.normalization import standardise as shared

NAME = "batch_norm"
# The first of so many parts of the batch gives the m by which x is centred at first.
PARTS = 16


@op.residual
class Residual:
    """The input, the moments that it was normalised by, of shape (n,), and the scale.

    `statistics` is the dtype of the running statistics.
    """

    x: Float[Array, "*batch n"]
    moments: shared.Moments
    scale: Float[Array, " n"] | None
    statistics: Any = op.static()
    biased: bool = op.static()
    training: bool = op.static()
    momentum: float = op.static()


def forward(
    x: Float[Array, "*batch n"],
    scale: Float[Array, " n"] | None,
    bias: Float[Array, " n"] | None,
    running_mean: Float[Array, " n"],
    running_var: Float[Array, " n"],
    *,
    training: bool = True,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[tuple[Float[Array, "*batch n"], Float[Array, " n"], Float[Array, " n"]], Residual]:
    """Return (y, new_running_mean, new_running_var), and the residual.

    Args:
      x: (*batch, n).
      scale: (n,), of the dtype of `x`, or None for 1.
      bias: (n,), of the dtype of `x`, or None for 0.
      running_mean: (n,), of the dtype of `x` or of a wider one; 0 at first.
      running_var: (n,), of the dtype of `running_mean`, not negative; 1 at first.
      training: whether to normalise by the batch and renew the running statistics, or to normalise
        by those and hand them back.
      momentum: q in [0, 1], the share of the batch in the new statistics.
      epsilon: ε > 0, added to the variance.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes do not fit, the batch is empty in training, `momentum` is outside
        [0, 1], or `epsilon` is not positive.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 1, None)
    scale, bias = shared.features(NAME, x, scale=scale, bias=bias)
    old, statistics = _statistics(x, running_mean=running_mean, running_var=running_var)
    momentum = setting.expect_number(
        NAME, "momentum", momentum, "a number in [0, 1]", lambda momentum: 0 <= momentum <= 1
    )
    epsilon = setting.expect_epsilon(NAME, epsilon, x.dtype)
    if training:
        moments, new = _batch(op.wide(x), old, momentum, epsilon)
    else:
        mean, var = (statistic.reshape(*(1,) * (x.ndim - 1), -1) for statistic in old)
        moments, new = shared.Moments(mean, jnp.zeros_like(mean), 1 / jnp.sqrt(var + epsilon)), old
    y = shared.affine(shared.standardise(x, moments), scale, bias)
    new_mean, new_var = (statistic.astype(statistics) for statistic in new)
    residual = Residual(x, moments, scale, statistics, bias is not None, training, momentum)
    return (y.astype(x.dtype), new_mean, new_var), residual


def _statistics(x: jax.Array, **running: Any) -> tuple[tuple[jax.Array, jax.Array], Any]:
    """Return the running statistics in the dtype of sums, and the dtype that they came in."""
    dtype = jnp.result_type(running["running_mean"])
    wider = dtype in op.FLOATS and jnp.finfo(dtype).bits > jnp.finfo(x.dtype).bits
    like = x.astype(dtype) if wider else x
    _, mean, var = op.floating(NAME, x=like, **running)
    shared.features(NAME, like, running_mean=mean, running_var=var)
    in_sums = op.wide_dtype(x.dtype)
    return (mean.astype(in_sums), var.astype(in_sums)), mean.dtype


def _freedom(samples: int) -> int:
    """Return M, one less than the number of samples, but 1 of a single one."""
    return samples - (samples > 1)


def _batch(
    x: jax.Array, old: tuple[jax.Array, jax.Array], momentum: float, epsilon: float
) -> tuple[shared.Moments, tuple[jax.Array, jax.Array]]:
    """Return the moments of the batch and the new running statistics."""
    samples, batch = math.prod(x.shape[:-1]), tuple(range(x.ndim - 1))
    if not samples:
        expected = "at least one sample for training=True"
        raise ValueError(op.complaint(NAME, "x", expected, f"shape {x.shape}"))
    part = x[: math.ceil(len(x) / PARTS)] if batch else x
    m, correction, v = shared.mean_and_variance(lambda of: shared.mean(of, batch), x, part)
    moments = shared.Moments(m, correction, 1 / jnp.sqrt(v + epsilon))
    mean = (m + correction).reshape(x.shape[-1:])
    var = v.reshape(x.shape[-1:]) * (samples / _freedom(samples))
    old_mean, old_var = old
    keep = 1 - momentum
    return moments, (keep * old_mean + momentum * mean, keep * old_var + momentum * var)


def backward(
    residual: Residual,
    dy: tuple[Float[Array, "*batch n"], Float[Array, " n"], Float[Array, " n"]],
) -> tuple[
    Float[Array, "*batch n"],
    Float[Array, " n"] | None,
    Float[Array, " n"] | None,
    Float[Array, " n"],
    Float[Array, " n"],
]:
    """Return (dx, dscale, dbias, drunning_mean, drunning_var).

    `dy` holds the cotangents of the three outputs. None for a scale or bias that was None.
    """
    x, kept = residual.x, (residual.x.shape[-1:], residual.statistics)
    owed = {"y": (x.shape, x.dtype), "new_running_mean": kept, "new_running_var": kept}
    in_sums = (
        op.expect_cotangent(NAME, part, *owed[output], output).astype(op.wide_dtype(x.dtype))
        for output, part in zip(owed, op.expect_parts(NAME, dy, owed), strict=True)
    )
    return _pull(residual, *in_sums)


def _pull(
    residual: Residual, dy: jax.Array, dnew_mean: jax.Array, dnew_var: jax.Array
) -> tuple[jax.Array, jax.Array | None, jax.Array | None, jax.Array, jax.Array]:
    """Return what `backward` does, of cotangents in the dtype of sums."""
    x, moments, q = residual.x, residual.moments, residual.momentum
    samples, batch = math.prod(x.shape[:-1]), tuple(range(x.ndim - 1))
    standard = shared.standardise(x, moments)
    total, product = dy.sum(batch), (dy * standard).sum(batch)
    dbias = total.astype(x.dtype) if residual.biased else None  # (1)
    dscale = None if residual.scale is None else product.astype(x.dtype)  # (2)
    r = moments.rstd.reshape(x.shape[-1:])
    factor = r if residual.scale is None else op.wide(residual.scale) * r
    if residual.training:
        means = shared.over(total / samples, dy) + standard * shared.over(product / samples, dy)
        deviation = dy - means
        deviation = deviation - shared.over(deviation.sum(batch) / samples, dy)
        dx = shared.over(factor, dy) * deviation  # (3)
        share, spread = q / samples * dnew_mean, 2 * q / _freedom(samples) * dnew_var
        c = shared.centred(x, moments)
        dx = dx + shared.over(share, dy) + shared.over(spread, dy) * c  # (4)
        dmean, dvar = (1 - q) * dnew_mean, (1 - q) * dnew_var  # (5)
    else:
        dx = shared.over(factor, dy) * dy  # (6)
        dmean = dnew_mean - factor * total  # (7)
        dvar = dnew_var - factor * r * product / 2  # (8)
    dmean, dvar = dmean.astype(residual.statistics), dvar.astype(residual.statistics)
    return dx.astype(x.dtype), dscale, dbias, dmean, dvar
