"""The maximum over one axis, several or all.

Shapes   x, dx: (*shape)   y, dy: shape without the axes, or with them of size 1 (`keepdims`)
Forward  yⱼ = maxₖ xⱼₖ                                   k runs over the axes, j over all others
Derive   Where one entry k* is the largest, y is that entry in a neighbourhood and
         ∂yⱼ/∂xᵢₖ = 1[i=j] 1[k=k*]:
           ∂L/∂xᵢₖ = Σⱼ dyⱼ 1[i=j] 1[k=k*] = dyᵢ 1[k=k*]
  (1) dx = dy at the largest entry, 0 elsewhere; where c entries tie, dy at one or dy/c at each
Saved    the places of the chosen entries, int32, one for each y; for "split" a mask of x's shape.
Kinks    where entries tie: `ties="first"`, the default, gives all to the first of them in
         row-major order, as PyTorch's `max` over one axis does; `ties="split"` shares equally, as
         `jnp.max` does. Either is a subgradient and sums to dy.
Extremes An infinite entry is an entry like any other; a NaN is the maximum, and its place the one
         that is chosen.
Source   Goodfellow et al. 2013, "Maxout networks", arXiv:1302.4389
"""

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions import extremum
from manual_bp.reductions.axes import Axis
from manual_bp.reductions.extremum import Residual, Ties

NAME = "reduce_max"


def forward(
    x: Float[Array, "*shape"],
    *,
    axis: Axis = None,
    keepdims: bool = False,
    ties: Ties = "first",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the maximum of x over the axes and the residual.

    Args:
      x: any shape.
      axis: one axis, a tuple of them, or None for all.
      keepdims: whether the axes stay, of size 1.
      ties: which of equal entries gets the gradient, "first" or "split".

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has no such axis or nothing along it, one is named twice, or `ties` is
        unknown.
    """
    (x,) = op.floating(NAME, x=x)
    return extremum.largest(NAME, x, axis, ties, keepdims=keepdims)


def backward(residual: Residual, dy: Float[Array, "*reduced"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    return (extremum.pull_back(NAME, residual, dy),)  # (1)
