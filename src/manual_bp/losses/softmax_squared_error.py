"""A softmax followed by half the squared error, on logits.

Shapes   logits u, target t: (*batch, v)   ℓ: (*batch,)
Forward  s = softmax(u),   e = s − t,   ℓ = ½ Σ eⱼ²                               Σ over v
Derive   ∂ℓ/∂s = e, and the rule of the softmax is du = s ⊙ (ds − ⟨s, ds⟩); t enters as −s does
  (1) du = dℓ s ⊙ (e − ⟨s, e⟩)
  (2) dt = −dℓ e
Saved    s, e; in float32 for half precision, where it is computed so and rounded once.
Kinks    none.
Extremes Finite for u = ±1e4; there s is one-hot and du is 0 though e need not be: this loss stops
         learning where `softmax_cross_entropy` does not.
Source   Bridle 1990; Golik, Doetsch & Ney 2013, "Cross-entropy vs. squared error training"
"""

from typing import Any

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.dense.softmax import normalise, pull_back
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "softmax_squared_error"


@op.residual
class Residual:
    """The softmax and the error; `dtype` is that of the logits."""

    s: Float[Array, "*batch v"]
    error: Float[Array, "*batch v"]
    dtype: Any = op.static()
    reduction: Reduction = op.static()


def forward(
    logits: Float[Array, "*batch v"],
    target: Float[Array, "*batch v"],
    *,
    reduction: Reduction = "mean",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return ½‖softmax(logits) − target‖² per sample, reduced over the batch, and the residual.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes differ, or `reduction` is unknown or a mean over no samples.
    """
    logits, target = op.floating(NAME, logits=logits, target=target)
    reductions.expect_pair(NAME, "logits", "target", logits, target, reduction)
    s = normalise(op.wide(logits), -1)
    error = s - op.wide(target)
    loss = reductions.reduce((error**2).sum(-1) / 2, reduction, logits.dtype)
    return loss, Residual(s, error, logits.dtype, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch v"], Float[Array, "*batch v"]]:
    """Return (dlogits, dtarget)."""
    s, e, dtype = residual.s, residual.error, residual.dtype
    dl = reductions.per_sample(NAME, dy, residual.reduction, s.shape[:-1], dtype)
    dlogits = dl * pull_back(s, e, -1)  # (1)
    dtarget = -dl * e  # (2)
    return dlogits.astype(dtype), dtarget.astype(dtype)
