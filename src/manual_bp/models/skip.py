"""A skip connection: a signal, and what a sequence of ops makes of it, added up.

Shapes   x, y: one shape, which the ops keep   θ: the parameters of the ops
Forward  y = x + F(x; θ),   F a `chain` of ops
Derive   x is used twice, as it is and by F, and both terms of the sum have its cotangent dy:
  (1) dθ, dx_F = those of F for dy
  (2) dx = dy + dx_F
         However small the slope of F is, dy reaches x: no depth of such layers loses it.
Saved    what F saves.      Kinks   those of the ops.
Source   He, Zhang, Ren & Sun 2016, "Identity mappings in deep residual networks", arXiv:1603.05027
"""

from collections.abc import Sequence

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.models import chain
from manual_bp.models.chain import Parameters, Stage

NAME = "skip"


def forward(
    x: Float[Array, "..."], parameters: Sequence[Parameters], *, stages: Sequence[Stage]
) -> tuple[Float[Array, "..."], chain.Residual]:
    """Return x + F(x) and the residual.

    Args:
      x: the signal.
      parameters: for each stage of F the positional arguments behind the signal, () for none, as of
        `chain`.
      stages: the ops of F in order; its output is of the shape and dtype of `x`.

    Raises:
      TypeError: an op refuses a dtype, or F changes that of the signal.
      ValueError: there are not as many sets of parameters as stages, an op refuses a shape, or F
        changes that of the signal.
    """
    (x,) = op.floating(NAME, x=x)
    z, residual = chain.forward(parameters, x, stages=stages)
    chain.expect_kept(NAME, "stages", x, z)
    return x + z, residual


def backward(
    residual: chain.Residual, dy: Float[Array, "..."]
) -> tuple[Float[Array, "..."], tuple[Parameters, ...]]:
    """Return (dx, dparameters)."""
    dparameters, through = chain.backward(residual, dy)  # (1)
    return dy + through, dparameters  # (2)
