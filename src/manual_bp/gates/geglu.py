"""The linear unit gated by a gelu.

Shapes   x, dx: (*batch, 2n)   a, b, y, dy: (*batch, n), x being a and b side by side
Forward  y = a ⊙ f(b),   f(b) = gelu(b) = b Φ(b), Φ the normal distribution function, by erf. The
         second half is the gate, as in `glu`.
Derive   yᵢ depends on aᵢ and bᵢ alone: ∂yᵢ/∂aᵢ = f(bᵢ), ∂yᵢ/∂bᵢ = aᵢ f'(bᵢ), f' = Φ + b φ, so
  (1) da = dy ⊙ f(b)
  (2) db = dy ⊙ a ⊙ f'(b)
  (3) dx = da and db side by side
Saved    x; f(b) and f'(b) are had from it again.      Kinks   none.
Extremes Finite and correct for x = ±1e4 where their product is: beyond float16 y is ±∞. Half
         precision is computed in float32 and rounded once.
Source   Shazeer 2020, arXiv:2002.05202, with the halves in the order of `glu`
"""

from jaxtyping import Array, Float

from manual_bp import op
from manual_bp.activations import gelu
from manual_bp.gates import halves

NAME = "geglu"


@op.residual
class Residual:
    """The input."""

    x: Float[Array, "*batch m"]


def forward(x: Float[Array, "*batch m"]) -> tuple[Float[Array, "*batch n"], Residual]:
    """Return y = a ⊙ f(b), of half the last axis of `x` and its dtype, and the residual.

    Args:
      x: values a, then gates b, side by side, (*batch, 2n).

    Raises:
      TypeError: `x` is not floating.
      ValueError: `x` has rank 0, or an odd last axis.
    """
    (x,) = op.floating(NAME, x=x)
    a, b = halves.split(NAME, x)
    return (a * gelu.value(b)).astype(x.dtype), Residual(x)


def backward(residual: Residual, dy: Float[Array, "*batch n"]) -> tuple[Float[Array, "*batch m"]]:
    """Return (dx,)."""
    x = op.again(residual.x)
    a, b = halves.split(NAME, x)
    dy = op.wide(op.expect_cotangent(NAME, dy, a.shape, x.dtype))
    value = gelu.value(b)
    slope = gelu.slope(gelu.keep(b, value), b.dtype)
    da = dy * value  # (1)
    db = dy * (a * slope)  # (2)
    return (halves.joined(da, db).astype(x.dtype),)  # (3)
