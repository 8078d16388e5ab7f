"""Cross-entropy of a softmax, on logits.

Shapes   logits u: (*batch, v)   labels k: (*batch,) integers, or t: (*batch, v)   ℓ: (*batch,)
Forward  ℓ = −Σ sⱼ ln pⱼ,   p = softmax(u);   an integer label k is t = one-hot(k)
           sⱼ = wⱼ [(1−ε) tⱼ + ε/v],   with the class weights w and the smoothing ε
         By default s = t, and then ℓ = −ln p_k for an integer label.
Derive   ln p = log_softmax(u), whose rule is du = dy − p Σ dy; here dy = −s, so
           ∂ℓ/∂u = −s + p Σ s,   ∂ℓ/∂t = −w (1−ε) ln p
         and where s sums to 1, as a one-hot or soft label does, ∂ℓ/∂u = p − s.
  (1) du = dℓ (p Σs − s)
  (2) dt = −dℓ w (1−ε) ln p;   None for integer labels
         Where p is near 1, p Σs − s would cancel, and there
  (3) p Σs − s = expm1(ln p) Σs + (Σs − s);   at an integer label k, du_k = dℓ expm1(ln p_k)
         As u is the largest there, ln p is −ln Σ e^c, c = u − max u, one number a sample. That is
         near 0, and for an integer label it is had from the sum over the other classes,
  (4) ln Σ e^c = log1p(Σ_{j≠k} e^(cⱼ) + expm1(c_k))               at an integer label k
         which keeps every digit where c_k = 0, and where c_k < 0 a sum over others of 1 or more.
Saved    u, labels, and of each sample max u and ln Σ e^(u − max u), of which ln p is had again.
Kinks    none.
Extremes ℓ and du are finite and correct for u = ±1e4. Of a class with p = 0 and label 0 dt is dℓ
         times the largest number. Half precision is computed in float32 and rounded once.
Labels   An integer label outside 0 … v−1 is an error; under `jit`, where values cannot be read, it
         makes that sample's loss and gradient NaN. A sample with `ignored_label`, which may be
         outside, has loss and gradient 0 and does not count in a mean, which is 0 if none counts.
Weights  They are settings: no gradient is taken. A mean divides by the number of samples; that of
         PyTorch divides by the sum of their labels' weights.
Source   Bridle 1990; smoothing: Szegedy et al. 2016, arXiv:1512.00567
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import op
from manual_bp.dense.log_softmax import normaliser
from manual_bp.losses import labels as labelling
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "softmax_cross_entropy"


@op.residual
class Residual:
    """The logits, their maxima m and ln Σ e^(u − m), and the labels."""

    logits: Float[Array, "*batch v"]
    maximum: Float[Array, "*batch 1"]
    log_total: Float[Array, "*batch 1"]
    labels: Integer[Array, "*batch"] | Float[Array, "*batch v"]
    class_weights: tuple[float, ...] | None = op.static()
    label_smoothing: float = op.static()
    ignored_label: int | None = op.static()
    reduction: Reduction = op.static()


def expect_settings(
    name: str, classes: int, class_weights: tuple[float, ...] | None, label_smoothing: float
) -> None:
    """Raise a ValueError unless there is a weight for each class, and ε is from 0 to 1."""
    if class_weights is not None and len(class_weights) != classes:
        expected = f"{classes} numbers, one for each class"
        raise ValueError(op.complaint(name, "class_weights", expected, class_weights))
    if not 0 <= label_smoothing <= 1:
        expected = "a number from 0 to 1"
        raise ValueError(op.complaint(name, "label_smoothing", expected, label_smoothing))


def _weighted(x: jax.Array, class_weights: tuple[float, ...] | None) -> jax.Array:
    """Return w ⊙ x."""
    if class_weights is None:
        return x
    return x * jnp.broadcast_to(jnp.asarray(class_weights, x.dtype), x.shape)


def _log_p(residual: Residual, logits: jax.Array) -> jax.Array:
    """Return ln p of the logits, or of one of each sample."""
    return (op.wide(logits) - residual.maximum) - residual.log_total


def _bounded_log_p(residual: Residual, s: jax.Array) -> jax.Array:
    """Return ln p, where s = 0 the least number for −∞, so that s ln p is 0: one for all uses."""
    log_p = _log_p(residual, residual.logits)
    return jnp.where(s == 0, jnp.maximum(log_p, jnp.finfo(s.dtype).min), log_p)


def _log_p_of_label(residual: Residual) -> jax.Array:
    """Return ln p of the label of each sample, (*batch, 1), NaN for one that is no class."""
    return _log_p(residual, labelling.at_label(residual.logits, residual.labels)[..., None])


def _targets(residual: Residual) -> tuple[jax.Array, jax.Array | None]:
    """Return s, NaN for an integer that is no class, and which samples count; None for all."""
    labels, epsilon, classes = residual.labels, residual.label_smoothing, residual.logits.shape[-1]
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        t, counted = op.wide(labels), None
    else:
        at_label, known = labelling.one_hot(labels, classes)
        t = jnp.where(known[..., None], at_label.astype(residual.maximum.dtype), jnp.nan)
        counted = labelling.counted(labels, residual.ignored_label)
    even = jnp.full_like(t, epsilon) / classes
    s = _weighted((1 - epsilon) * t + even, residual.class_weights)
    return s if counted is None else jnp.where(counted[..., None], s, 0), counted


def _of_one_label(
    labels: jax.Array,
    class_weights: tuple[float, ...] | None,
    label_smoothing: float,
    ignored_label: int | None,
) -> bool:
    """Return whether s is 1 at an integer label and 0 elsewhere, so that no sum is needed."""
    integer = jnp.issubdtype(labels.dtype, jnp.integer)
    return integer and (class_weights, ignored_label) == (None, None) and not label_smoothing


def _around_label(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return max u and ln Σ e^(u − max u) of each sample, (*batch, 1), NaN without a label."""
    u = op.wide(logits)
    m = u.max(-1, keepdims=True, initial=-jnp.inf)
    at_label, _ = labelling.one_hot(labels, u.shape[-1])
    others = jnp.where(at_label, 0, jnp.exp(u - m)).sum(-1, keepdims=True)
    c_k = op.wide(labelling.at_label(logits, labels))[..., None] - m
    return m, jnp.log1p(others + jnp.expm1(c_k))  # (4)


def forward(
    logits: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch v"],
    *,
    class_weights: tuple[float, ...] | None = None,
    label_smoothing: float = 0.0,
    ignored_label: int | None = None,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return −Σ s ln softmax(logits) per sample, reduced over the batch, and the residual.

    Args:
      logits: (*batch, v).
      labels: class numbers, (*batch,) integers; or one-hot or soft labels, (*batch, v), of the
        dtype of `logits`. Soft labels need not sum to 1.
      class_weights: w, v numbers; None for 1 each.
      label_smoothing: ε from 0 to 1, the part of a label that is spread over all classes.
      ignored_label: the integer label of samples that do not count; None for none.
      reduction: "mean", "sum" or "none" over the batch.

    Raises:
      TypeError: `logits` is not floating, or soft labels have another dtype.
      ValueError: shapes do not fit, a label or a setting is out of range, `ignored_label` comes
        with soft labels, or `reduction` is unknown or a mean over no samples.
    """
    (logits,) = op.floating(NAME, logits=logits)
    op.expect_rank(NAME, "logits", logits, 1, None)
    *batch, classes = logits.shape
    expect_settings(NAME, classes, class_weights, label_smoothing)
    if jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        labels = labelling.checked(NAME, labels, tuple(batch), classes, ignored_label)
        reductions.check(NAME, labels.shape, reduction)
    else:
        _, labels = op.floating(NAME, logits=logits, labels=labels)
        if ignored_label is not None:
            expected = "None for labels that are not integers"
            raise ValueError(op.complaint(NAME, "ignored_label", expected, ignored_label))
        reductions.expect_pair(NAME, "logits", "labels", logits, labels, reduction)
    one_label = _of_one_label(labels, class_weights, label_smoothing, ignored_label)
    m, log_total = _around_label(logits, labels) if one_label else normaliser(op.wide(logits), -1)
    residual = Residual(
        logits, m, log_total, labels, class_weights, label_smoothing, ignored_label, reduction
    )
    counted = None
    if one_label:
        losses = -_log_p_of_label(residual).squeeze(-1)
    else:
        s, counted = _targets(residual)
        losses = -(s * _bounded_log_p(residual, s)).sum(-1)
    return reductions.reduce(losses, reduction, logits.dtype, counted), residual


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch v"], Float[Array, "*batch v"] | None]:
    """Return (dlogits, dlabels); dlabels is None for integer labels."""
    logits, labels = residual.logits, residual.labels
    dtype, batch = logits.dtype, logits.shape[:-1]
    settings = residual.class_weights, residual.label_smoothing, residual.ignored_label
    if _of_one_label(labels, *settings):
        dl = reductions.per_sample(NAME, dy, residual.reduction, batch, dtype)
        of_label = dl * jnp.expm1(_log_p_of_label(residual))  # (3)
        each = dl * jnp.exp(_log_p(residual, logits))
        return labelling.with_label(each, labels, of_label).astype(dtype), None
    s, counted = _targets(residual)
    dl = reductions.per_sample(NAME, dy, residual.reduction, batch, dtype, counted)
    log_p = _bounded_log_p(residual, s)
    total = jnp.broadcast_to(s.sum(-1, keepdims=True), s.shape)
    near_one = jnp.expm1(-residual.log_total) * total + (total - s)  # (3)
    dlogits = dl * jnp.where(log_p > -0.25, near_one, jnp.exp(log_p) * total - s)  # (1)
    if jnp.issubdtype(labels.dtype, jnp.integer):
        return dlogits.astype(dtype), None
    by_t = (1 - residual.label_smoothing) * log_p
    dlabels = -dl * _weighted(by_t, residual.class_weights)  # (2)
    return dlogits.astype(dtype), dlabels.astype(dtype)
