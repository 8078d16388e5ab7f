"""The convolution of neural networks, a correlation, over any number of spatial axes.

Shapes   x: (b, *size, c)   W: (*kernel, c/groups, m)   b: (m,) or None   u, δ: (b, *count, m)
         size, kernel and count have one entry for each spatial axis: one is a signal, two an image
         (NHWC, kernel HWIO), three a volume. count = ⌊(size + padding − d (kernel − 1) − 1)/s⌋ + 1
Forward  uᵢ = b + Σₒ x_{si+do−p} Wₒ
         i is an output's place, o a tap of the kernel, each a vector with an entry for each axis;
         s is the stride, d the dilation, p the padding before; x is 0 outside of its places. x and
         u are rows of channels and Wₒ a matrix; with groups, block γ of the c channels is
         multiplied by block γ of the m columns.
Derive   Let x⁽ᵒ⁾ᵢ = x_{si+do−p} be what tap o reads. Then u = b + Σₒ x⁽ᵒ⁾ Wₒ is a sum of affine
         maps, and with δ = ∂L/∂u
           ∂L/∂Wₒ = Σᵢ (x⁽ᵒ⁾ᵢ)ᵀ δᵢ,   ∂L/∂x⁽ᵒ⁾ᵢ = δᵢ Wₒᵀ,   ∂L/∂b = Σᵢ δᵢ        also over b
         x at place j is read by every tap o in every window i with si + do − p = j, so
           ∂L/∂xⱼ = Σₒ Σᵢ 1[si + do − p = j] δᵢ Wₒᵀ
         For one tap o the places j lie s apart and begin at do − p: δ Wₒᵀ with s − 1 zeros between
         its rows, do − p before them, and what fell on padding cut off. `spread` does that.
  (1) dx  = Σₒ spreadₒ(δ Wₒᵀ)
  (2) dWₒ = (x⁽ᵒ⁾)ᵀ δ
  (3) db  = Σ δ                                                     over b and all places
Saved    x, W.      Kinks   none.      Half precision accumulates in float32.
Source   LeCun et al. 1989, Neural Computation 1; the arithmetic: Dumoulin & Visin 2016,
         arXiv:1603.07285
"""

from jaxtyping import Array, Float

from manual_bp import op, windows
from manual_bp.convolution import kernels
from manual_bp.windows import Numbers, Padding, Windows

NAME = "conv"


@op.residual
class Residual:
    """The input and the kernel."""

    x: Float[Array, "b *size c"]
    W: Float[Array, "*kernel n m"]
    windows: Windows = op.static()
    groups: int = op.static()
    biased: bool = op.static()


def forward(
    x: Float[Array, "b *size c"],
    W: Float[Array, "*kernel n m"],
    b: Float[Array, " m"] | None = None,
    *,
    strides: Numbers = 1,
    padding: Padding = "SAME",
    dilation: Numbers = 1,
    groups: int = 1,
) -> tuple[Float[Array, "b *count m"], Residual]:
    """Return u = b + Σₒ x⁽ᵒ⁾ Wₒ and the residual.

    Args:
      x: inputs, (b, *size, c).
      W: kernel, (*kernel, c / groups, m), of the dtype of `x`.
      b: biases, (m,), or None for none.
      strides: places from one window to the next; one number, or one for each axis.
      padding: zeros around `x`: "SAME", "VALID", one number, or a pair for each axis.
      dilation: places from one tap to the next; one number, or one for each axis.
      groups: into how many blocks the channels are divided; a divisor of c and of m.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes or settings do not fit, or the window is larger than the padded `x`.
    """
    x, W = op.floating(NAME, x=x, W=W)
    groups = kernels.expect_kernel(NAME, x, W, groups)
    over = windows.over(
        NAME, x.shape[1:-1], W.shape[:-2], strides=strides, padding=padding, dilation=dilation
    )
    u = kernels.add_bias(NAME, kernels.convolved(x, W, over, groups), x, b)
    return u, Residual(x, W, over, groups, b is not None)


def backward(
    residual: Residual, dy: Float[Array, "b *count m"]
) -> tuple[Float[Array, "b *size c"], Float[Array, "*kernel n m"], Float[Array, " m"] | None]:
    """Return (dx, dW, db); db is None where there was no bias."""
    x, W, over, groups = residual.x, residual.W, residual.windows, residual.groups
    dy = op.expect_cotangent(NAME, dy, (x.shape[0], *over.count, W.shape[-1]), x.dtype)
    dx = kernels.pull_back(dy, W, over, groups)  # (1)
    dW = kernels.of_kernel(x, dy, W, over, groups)  # (2)
    db = kernels.sum_places(dy) if residual.biased else None  # (3)
    return dx.astype(x.dtype), dW, db
