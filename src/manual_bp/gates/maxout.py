"""Maxout: the largest of k pieces.

Shapes   x, dx: (*batch, n k)   y, dy: (*batch, n)
Forward  yⱼ = max_p x_{jk+p} for p = 0 … k−1: the k pieces of one unit stand together.
Derive   x laid out as (*batch, n, k) has yⱼ = max_p xⱼₚ, the maximum over the last axis; where one
         piece p* is the largest ∂yⱼ/∂xᵢₚ = 1[i=j] 1[p=p*], and
  (1) dxⱼₚ = dyⱼ at the largest piece, 0 elsewhere; where c tie, dyⱼ at one or dyⱼ/c at each
Saved    the places of the chosen pieces, one for each y, up to four pieces one byte; for "split" a
         mask of x's shape.
Kinks    where pieces tie: `ties="first"`, the default, gives all to the first of them; "split"
         shares equally. Either is a subgradient and sums to dy.
Source   Goodfellow et al. 2013, "Maxout networks", arXiv:1302.4389
"""

from jaxtyping import Array, Float

from manual_bp import op, setting
from manual_bp.reductions import extremum
from manual_bp.reductions.extremum import Residual, Ties

NAME = "maxout"


def forward(
    x: Float[Array, "*batch m"], *, pieces: int, ties: Ties = "first"
) -> tuple[Float[Array, "*batch n"], Residual]:
    """Return the largest of each `pieces` neighbours along the last axis, and the residual.

    Args:
      x: (*batch, n k).
      pieces: k.
      ties: which of equal pieces gets the gradient, "first" or "split".

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has rank 0, `pieces` is below 1 or does not divide the last axis, or `ties` is
        unknown.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 1, None)
    pieces = setting.expect_whole(NAME, "pieces", pieces, 1)
    if x.shape[-1] % pieces:
        wanted = f"a last axis in multiples of pieces = {pieces}"
        raise ValueError(op.complaint(NAME, "x", wanted, f"shape {x.shape}"))
    units = x.reshape(*x.shape[:-1], x.shape[-1] // pieces, pieces)
    return extremum.largest(NAME, units, -1, ties, keepdims=False)


def backward(residual: Residual, dy: Float[Array, "*batch n"]) -> tuple[Float[Array, "*batch m"]]:
    """Return (dx,)."""
    *batch, n, pieces = residual.shape
    return (extremum.pull_back(NAME, residual, dy).reshape(*batch, n * pieces),)  # (1)
