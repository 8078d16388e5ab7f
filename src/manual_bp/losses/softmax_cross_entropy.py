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
Saved    labels; u, and of each sample max u and ln Σ e^c, of which ln p is had again. If s is 1 at
         an integer label and 0 elsewhere, of each sample Σ e^c and ln p_k, and e^c of the other
         classes; in half precision, where that would take twice the memory, u and max u.
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

from manual_bp import op, setting
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


@op.residual
class OneLabel:
    """e^(u − m) but for the label's, or in half precision u; m, Σ e^(u − m), ln p_k and k."""

    kept: Float[Array, "*batch v"]
    maximum: Float[Array, "*batch 1"]
    total: Float[Array, "*batch 1"]
    log_p: Float[Array, "*batch 1"]
    labels: Integer[Array, "*batch"]
    reduction: Reduction = op.static()


def expect_settings(
    name: str,
    classes: int,
    class_weights: tuple[float, ...] | None,
    label_smoothing: float,
    ignored_label: int | None,
) -> tuple[tuple[float, ...] | None, float, int | None]:
    """Return the settings.

    Raises:
      ValueError: there is not a weight for each class, ε is not from 0 to 1, or the ignored label
        is no whole number.
    """
    if class_weights is not None:
        expected = f"{classes} numbers, one for each class"
        class_weights = setting.expect_numbers(
            name, "class_weights", class_weights, classes, expected
        )
    label_smoothing = setting.expect_number(
        name, "label_smoothing", label_smoothing, "a number from 0 to 1", lambda e: 0 <= e <= 1
    )
    if ignored_label is not None:
        ignored_label = setting.expect_whole(
            name, "ignored_label", ignored_label, None, "a whole number or None"
        )
    return class_weights, label_smoothing, ignored_label


def _weighted(x: jax.Array, class_weights: tuple[float, ...] | None) -> jax.Array:
    """Return w ⊙ x."""
    if class_weights is None:
        return x
    return x * jnp.broadcast_to(jnp.asarray(class_weights, x.dtype), x.shape)


def _bounded_log_p(residual: Residual, s: jax.Array) -> jax.Array:
    """Return ln p, where s = 0 the least number for −∞, so that s ln p is 0: one for all uses."""
    log_p = (op.wide(residual.logits) - residual.maximum) - residual.log_total
    return jnp.where(s == 0, jnp.maximum(log_p, jnp.finfo(s.dtype).min), log_p)


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


def forward(
    logits: Float[Array, "*batch v"],
    labels: Integer[Array, "*batch"] | Float[Array, "*batch v"],
    *,
    class_weights: tuple[float, ...] | None = None,
    label_smoothing: float = 0.0,
    ignored_label: int | None = None,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual | OneLabel]:
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
    class_weights, label_smoothing, ignored_label = expect_settings(
        NAME, classes, class_weights, label_smoothing, ignored_label
    )
    if jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        labels = labelling.checked(NAME, labels, tuple(batch), classes, ignored_label)
        reductions.check(NAME, labels.shape, reduction)
        if (counted := labelling.counted(labels, ignored_label)) is not None:
            # What does not count may be anything, as the −∞ or NaN of what only fills up.
            logits = jnp.where(counted[..., None], logits, 0)
    else:
        _, labels = op.floating(NAME, logits=logits, labels=labels)
        if ignored_label is not None:
            expected = "None for labels that are not integers"
            raise ValueError(op.complaint(NAME, "ignored_label", expected, ignored_label))
        reductions.expect_pair(NAME, "logits", "labels", logits, labels, reduction)
    if _of_one_label(labels, class_weights, label_smoothing, ignored_label):
        return _at_one_label(logits, labels, reduction)
    m, log_total = _around_maximum(op.wide(logits))
    residual = Residual(
        logits, m, log_total, labels, class_weights, label_smoothing, ignored_label, reduction
    )
    s, counted = _targets(residual)
    losses = -(s * _bounded_log_p(residual, s)).sum(-1)
    return reductions.reduce(losses, reduction, logits.dtype, counted), residual


def _around_maximum(
    u: Float[Array, "*batch v"],
) -> tuple[Float[Array, "*batch 1"], Float[Array, "*batch 1"]]:
    """Return m = max u and ln Σ e^(u − m) of each sample.

    With t = 1 at a maximum and 0 elsewhere the sum is 1 + Σ (e^c − t) + (Σ t − 1). The two t are
    written in different words, of which XLA's CPU code takes each sum without writing out its
    terms (docs/FORMS.md).
    """
    m = u.max(-1, keepdims=True, initial=-jnp.inf)
    c = u - m
    below = (jnp.exp(c) - (1 + jnp.floor(jnp.maximum(c, -1)))).sum(-1, keepdims=True)
    maxima = u.shape[-1] + jnp.sign(c).sum(-1, keepdims=True)
    return m, jnp.log1p(below + (maxima - 1))


def _at_one_label(
    logits: jax.Array, labels: jax.Array, reduction: Reduction
) -> tuple[jax.Array, OneLabel]:
    """Return what `forward` does, where s is 1 at an integer label and 0 elsewhere."""
    u = op.wide(logits)
    m = u.max(-1, keepdims=True, initial=-jnp.inf)
    at_label, _ = labelling.one_hot(labels, u.shape[-1])
    others = jnp.where(at_label, 0, jnp.exp(u - m))
    rest = others.sum(-1, keepdims=True)
    c_k = op.wide(labelling.at_label(logits, labels))[..., None] - m
    log_p = c_k - jnp.log1p(rest + jnp.expm1(c_k))  # (4)
    kept = others if others.dtype == logits.dtype else logits
    residual = OneLabel(kept, m, rest + jnp.exp(c_k), log_p, labels, reduction)
    return reductions.reduce(-log_p.squeeze(-1), reduction, logits.dtype), residual


def backward(
    residual: Residual | OneLabel, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch v"], Float[Array, "*batch v"] | None]:
    """Return (dlogits, dlabels); dlabels is None for integer labels."""
    if isinstance(residual, OneLabel):
        return _pull_to_one_label(residual, dy), None
    logits, labels = residual.logits, residual.labels
    dtype, batch = logits.dtype, logits.shape[:-1]
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


def _pull_to_one_label(residual: OneLabel, dy: jax.Array) -> jax.Array:
    """Return dlogits of `_at_one_label`."""
    kept, dtype = residual.kept, residual.kept.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, kept.shape[:-1], dtype)
    others = kept if dl.dtype == dtype else jnp.exp(op.wide(op.again(kept)) - residual.maximum)
    each = others * (dl / residual.total)  # (1)
    of_label = dl * jnp.expm1(residual.log_p)  # (3)
    return labelling.with_label(each, residual.labels, of_label).astype(dtype)
