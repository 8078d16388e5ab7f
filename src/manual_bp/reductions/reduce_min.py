"""The minimum over one axis, several or all.

Shapes   x, dx: (*shape)   y, dy: shape without the axes, or with them of size 1 (`keepdims`)
Forward  yⱼ = minₖ xⱼₖ = −maxₖ(−xⱼₖ)                    k runs over the axes, j over all others
Derive   With z = −x and m = maxₖ zⱼₖ, y = −m: dm = −dy, which goes to the largest entry k* of z,
         the smallest of x, and dx = −dz. The two signs cancel:
           ∂L/∂xᵢₖ = −dzᵢₖ = −dmᵢ 1[k=k*] = dyᵢ 1[k=k*]
  (1) dx = dy at the smallest entry, 0 elsewhere; where c entries tie, dy at one or dy/c at each
Saved    the places of the chosen entries, int32, one for each y; for "split" a mask of x's shape.
Kinks    where entries tie: `ties="first"`, the default, gives all to the first of them in
         row-major order, as PyTorch's `min` over one axis does; `ties="split"` shares equally, as
         `jnp.min` does. Either is a subgradient and sums to dy.
Extremes An infinite entry is an entry like any other; a NaN is the minimum, and its place the one
         that is chosen.
Source   Goodfellow et al. 2013, "Maxout networks", arXiv:1302.4389
"""

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.reductions import extremum
from manual_bp.reductions.axes import Axis
from manual_bp.reductions.extremum import Residual, Ties

NAME = "reduce_min"


def forward(
    x: Float[Array, "*shape"],
    *,
    axis: Axis = None,
    keepdims: bool = False,
    ties: Ties = "first",
) -> tuple[Float[Array, "*reduced"], Residual]:
    """Return the minimum of x over the axes and the residual.

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
    m, residual = extremum.largest(NAME, -x, axis, ties, keepdims=keepdims)
    return -m, residual


def backward(residual: Residual, dy: Float[Array, "*reduced"]) -> tuple[Float[Array, "*shape"]]:
    """Return (dx,)."""
    return (extremum.pull_back(NAME, residual, dy),)  # (1)
