"""A softmax followed by half the squared error, on logits.

Shapes   logits u, target t: (*batch, v)   ℓ: (*batch,)
Forward  s = softmax(u),   e = s − t,   ℓ = ½ Σ eⱼ²                               Σ over v
Derive   ∂ℓ/∂s = e, and the rule of the softmax is du = s ⊙ (ds − ⟨s, ds⟩); t enters as −s does
  (1) du = dℓ s ⊙ (e − ⟨s, e⟩)
  (2) dt = −dℓ e
Saved    s, t; s in float32 for half precision, where it is computed so and rounded once.
Kinks    none.
Extremes Finite for u = ±1e4; there s is one-hot and du is 0 though e need not be: this loss stops
         learning where `softmax_cross_entropy` does not.
Source   Bridle 1990; Golik, Doetsch & Ney 2013, "Cross-entropy vs. squared error training"
"""

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.dense.softmax import normalise, pull_back
from manual_bp.losses import reduction as reductions
from manual_bp.losses.reduction import Reduction

NAME = "softmax_squared_error"


@op.residual
class Residual:
    """The softmax, in the dtype of sums, and the target."""

    s: Float[Array, "*batch v"]
    target: Float[Array, "*batch v"]
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
    losses = ((s - op.wide(target)) ** 2).sum(-1) / 2
    return reductions.reduce(losses, reduction, logits.dtype), Residual(s, target, reduction)


def backward(
    residual: Residual, dy: Float[Array, "*reduced"]
) -> tuple[Float[Array, "*batch v"], Float[Array, "*batch v"]]:
    """Return (dlogits, dtarget)."""
    dtype, batch = residual.target.dtype, residual.target.shape[:-1]
    dl = reductions.per_sample(NAME, dy, residual.reduction, batch, dtype)
    # Of one error for the loss and both gradients XLA's CPU code would write out an array.
    s, t = op.again((residual.s, residual.target))
    dlogits = dl * pull_back(s, s - op.wide(t), -1)  # (1)
    s, t = op.again((s, t))
    dtarget = dl * (op.wide(t) - s)  # (2)
    return dlogits.astype(dtype), dtarget.astype(dtype)
