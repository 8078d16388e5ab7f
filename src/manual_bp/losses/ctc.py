"""Connectionist temporal classification: labels of a sequence without their times, on logits.

Shapes   logits u: (*batch, t, v)   labels: (*batch, s) integers   ℓ: (*batch,)
         logit_lengths T, label_lengths L: (*batch,) integers, None for t and s
Forward  Every step emits a class, by p = softmax(u); a path loses its repeats, then its blanks, and
         P is the probability of the paths of which the labels are left: ℓ = −ln P.
         With z = (blank, label₁, blank, …, label_L, blank), of 2L+1 places j, a path goes through z
         in order: from one step to the next it stays, moves on by 1, or by 2 where zⱼ is no blank
         and not zⱼ₋₂, as between equal labels the blank must be emitted. With α, β ≥ 0:
           α₋₁(j) = 1[j=0],   α_τ(j) = p_τ(zⱼ) [α_τ₋₁(j) + α_τ₋₁(j−1) + α_τ₋₁(j−2) where it may]
           P = α_T₋₁(2L) + α_T₋₁(2L−1)
         α_τ(j) is the probability of steps 0 … τ if they end at j. All of it is kept as logarithms,
         of each step relative to the largest, as those of long sequences have few digits left.
Derive   Let β_τ(j) be that of steps τ+1 … T−1 if they start behind j:
  (1) β_T₋₁(j) = 1[j=2L or j=2L−1]
  (2) β_τ₋₁(j) = Σ p_τ(zₖ) β_τ(k) over k = j, j+1, and j+2 where it may
         P is linear in the p_τ of one step: P = Σⱼ α_τ(j) β_τ(j), in which α_τ(j) has the factor
         p_τ(zⱼ). So ∂ℓ/∂ln p_τ(k) = −Σ α_τ(j) β_τ(j)/P over the j with zⱼ = k, the probability, the
         labels given, that step τ emits k:
  (3) γ_τ(k) = Σ α_τ(j) β_τ(j) / P over the j with zⱼ = k;   Σₖ γ_τ(k) = 1
         and P as the sum of α_τ β_τ cancels what the α and β of a step are relative to.
         Behind the log-softmax, as in `softmax_cross_entropy` with soft labels γ:
  (4) du_τ = dℓ (p_τ − γ_τ) for τ < T, 0 beyond
Saved    ln p, ln α, ℓ, the lengths, z and from where it may go by 2.      Kinks   none.
Lengths  Steps from T on and labels from L on are padding and may hold anything. T = 0 emits
         nothing: ℓ is 0 where L = 0, and else +∞.
Edges    Labels that T steps are too few for, at one a label and one between equal ones, have P = 0:
         ℓ = +∞ with gradient 0, so that such a sample does not spoil the others.
Labels   A label that is the blank or outside 0 … v−1, or a length outside 0 … t or 0 … s, is an
         error; under `jit`, where values cannot be read, it makes that sample's loss and gradient
         NaN.
Extremes ℓ and du are finite for u = ±1e4 where P > 0. Half precision is computed in float32 and
         rounded once.
Mean     Over the samples; PyTorch's divides by the number of labels of each before.
Source   Graves, Fernández, Gomez & Schmidhuber 2006, "Connectionist temporal classification"
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from manual_bp import op, setting
from manual_bp.dense.log_softmax import log_normalise
from manual_bp.indexing import numbers
from manual_bp.losses import labels as labelling
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "ctc"


@op.residual
class Residual:
    """Logarithms of p, and of α over its largest; the losses; what the paths go through.

    `ends` is 0 at the two last places of each sample and −∞ elsewhere; a path may go by 2 from
    where `onto` is true; `dtype` is the logits'.
    """

    log_p: Float[Array, "*batch t v"]
    log_alpha: Float[Array, "t *batch places"]
    losses: Float[Array, "*batch"]
    ends: Float[Array, "*batch places"]
    z: Integer[Array, "*batch places"]
    onto: Bool[Array, "*batch places"]
    steps: Integer[Array, "*batch"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def _checked_lengths(argument: str, lengths: Any, batch: tuple[int, ...], most: int) -> jax.Array:
    """Return the lengths as an array, `most` for None."""
    if lengths is None:
        return jnp.full(batch, most, jnp.int32)
    op.expect_shape(NAME, argument, jnp.asarray(lengths), batch, "of the batch")
    return numbers.checked(NAME, argument, lengths, most + 1)


def _checked_labels(labels: Any, counted: jax.Array, blank: int, classes: int) -> jax.Array:
    """Return the labels as an array; those that count and can be read are classes but the blank."""
    read = np.empty(0, jnp.result_type(labels))
    if not isinstance(labels, jax.core.Tracer) and not isinstance(counted, jax.core.Tracer):
        read = np.asarray(labels)[np.asarray(counted)]
    numbers.checked(NAME, "labels", read, classes)
    if (read == blank).any():
        raise ValueError(op.complaint(NAME, "labels", "labels other than the blank", blank))
    return labelling.held(jnp.asarray(labels))


def _along(n: int, like: jax.Array) -> jax.Array:
    """Return 0 … n−1 along the last axis, of the dtype of the lengths and one rank more."""
    return jax.lax.broadcasted_iota(like.dtype, (*(1,) * like.ndim, n), like.ndim)


def _moved(x: jax.Array, places: int, fill: Any = -np.inf) -> jax.Array:
    """Return x with every place moved on by as many places, back if they are negative."""
    around = [*[(0, 0, 0)] * (x.ndim - 1), (places, -places, 0)]
    return jax.lax.pad(x, jnp.asarray(fill, x.dtype), around)


def _finite(logs: jax.Array) -> jax.Array:
    """Return the least finite number for −∞, less which −∞ would become NaN."""
    return jnp.maximum(logs, jnp.finfo(logs.dtype).min)


def _either(ways: Sequence[jax.Array]) -> jax.Array:
    """Return the logarithm of the sum of what the ways are logarithms of; any may be −∞."""
    top = _finite(functools.reduce(jnp.maximum, ways))
    return top + jnp.log(functools.reduce(jnp.add, [jnp.exp(way - top) for way in ways]))


def _relative(logs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the logarithms less the largest of each sample, and that, which may be −∞."""
    top = logs.max(-1, keepdims=True)
    return logs - _finite(top), top.reshape(logs.shape[:-1])


def _emitted(log_p: jax.Array, z: jax.Array) -> jax.Array:
    """Return ln p_τ(zⱼ), time first."""
    z = jnp.broadcast_to(z[..., None, :], (*log_p.shape[:-1], z.shape[-1]))
    return jnp.moveaxis(jnp.take_along_axis(log_p, z, axis=-1), -2, 0)


def forward(
    logits: Float[Array, "*batch t v"],
    labels: Integer[Array, "*batch s"],
    logit_lengths: Integer[Array, "*batch"] | None = None,
    label_lengths: Integer[Array, "*batch"] | None = None,
    *,
    blank: int = 0,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return −ln P(labels) per sample, reduced over the batch, and the residual.

    Args:
      logits: (*batch, t, v), the blank among the v classes.
      labels: class numbers, (*batch, s) integers, padded at the end.
      logit_lengths: the steps that count, (*batch,) integers from 0 to t; None for t.
      label_lengths: the labels that count, (*batch,) integers from 0 to s; None for s.
      blank: the class that stands for no label.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: `logits` is not floating, or labels or lengths are not integers.
      ValueError: shapes do not fit, a label, a length or `blank` is out of range, or `reduction` is
        unknown or a mean over no samples.
    """
    (logits,) = op.floating(NAME, logits=logits)
    op.expect_rank(NAME, "logits", logits, 2, None)
    *leading, time, classes = logits.shape
    batch = tuple(leading)
    blank = setting.expect_below(NAME, "blank", blank, classes)
    shape = jnp.asarray(labels).shape
    op.expect_shape(
        NAME, "labels", jnp.asarray(labels), (*batch, None), f"for logits of shape {logits.shape}"
    )
    most = shape[-1]
    steps = _checked_lengths("logit_lengths", logit_lengths, batch, time)
    lengths = _checked_lengths("label_lengths", label_lengths, batch, most)
    counted = _along(most, lengths) < lengths[..., None]
    labels = _checked_labels(labels, counted, blank, classes)
    reductions.check(NAME, batch, reduction)

    known = (labels >= 0) & (labels < classes) & (labels != blank)
    sound = (known | ~counted).all(-1)
    for length, bound in ((steps, time), (lengths, most)):
        sound = sound & (length >= 0) & (length <= bound)
    z = jnp.full((*batch, 2 * most + 1), blank, labels.dtype)
    z = z.at[..., 1::2].set(jnp.where(known & counted, labels, blank))
    behind, beyond = _moved(z, 2, blank), _moved(z, -2, blank)
    skips, onto = (z != blank) & (z != behind), (beyond != blank) & (beyond != z)
    place = _along(2 * most + 1, lengths)
    from_end = 2 * lengths[..., None] - place
    log_p = log_normalise(op.wide(logits), -1)
    ends = jnp.where((from_end == 0) | (from_end == 1), 0.0, -jnp.inf).astype(log_p.dtype)

    def step(
        carry: tuple[jax.Array, jax.Array], now: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        (log_alpha, scale), (number, emitted) = carry, now
        by_two = jnp.where(skips, _moved(log_alpha, 2), -jnp.inf)
        either = _either((log_alpha, _moved(log_alpha, 1), by_two))
        moved, top = _relative(emitted + either)
        log_alpha = jnp.where((number < steps)[..., None], moved, log_alpha)
        return (log_alpha, jnp.where(number < steps, scale + top, scale)), log_alpha

    start = jnp.broadcast_to(jnp.where(place == 0, 0.0, -jnp.inf).astype(log_p.dtype), z.shape)
    numbered = jax.lax.iota(steps.dtype, time), _emitted(log_p, z)
    start_scale = jnp.zeros(batch, log_p.dtype)
    (last, scale), log_alpha = jax.lax.scan(step, (start, start_scale), numbered)
    at_end, top = _relative(last + ends)
    log_end = scale + top + jnp.log(jnp.exp(at_end).sum(-1))
    losses = jnp.where(sound, -log_end, jnp.nan)
    loss = reductions.reduce(losses, reduction, logits.dtype)
    return loss, Residual(log_p, log_alpha, losses, ends, z, onto, steps, logits.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch t v"], None, None, None]:
    """Return (dlogits, dlabels, dlogit_lengths, dlabel_lengths); all but the first are None."""
    log_p, z, losses, dtype = residual.log_p, residual.z, residual.losses, residual.dtype
    *batch, time, classes = log_p.shape
    dl = reductions.per_sample(NAME, dy, residual.reduction, tuple(batch), dtype)

    # The carry is ln p β of the step behind: XLA's CPU code moves what it has faster than what it
    # has yet to compute.
    def step(ahead: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        number, emitted = now
        by_two = jnp.where(residual.onto, _moved(ahead, -2), -jnp.inf)
        before, _ = _relative(_either((ahead, _moved(ahead, -1), by_two)))  # (2)
        last = (number + 1 >= residual.steps)[..., None]
        log_beta = jnp.where(last, residual.ends, before)  # (1)
        return emitted + log_beta, log_beta

    numbered = jax.lax.iota(residual.steps.dtype, time), _emitted(log_p, z)
    _, log_beta = jax.lax.scan(step, residual.ends, numbered, reverse=True)
    joint, _ = _relative(residual.log_alpha + log_beta)
    posterior = jnp.exp(joint - jnp.log(jnp.exp(joint).sum(-1, keepdims=True)))
    at_class = (z[..., None] == _along(classes, z)).astype(log_p.dtype)
    gamma = jnp.einsum("t...j,...jv->...tv", posterior, at_class)  # (3)
    within = _along(time, residual.steps) < residual.steps[..., None]
    counts = within & (losses != jnp.inf)[..., None]
    dlogits = jnp.where(counts[..., None], dl[..., None] * (jnp.exp(log_p) - gamma), 0)  # (4)
    unsound = jnp.isnan(losses)[..., None, None]
    return jnp.where(unsound, jnp.nan, dlogits).astype(dtype), None, None, None
