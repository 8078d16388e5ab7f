"""The causal convolution over time: an output reads the present and the past only.

Shapes   x: (b, t, c)   W: (k, c/groups, m)   b: (m,) or None   u, δ: (b, t, m)
Forward  uᵢ = b + Σₒ x_{i−d(k−1−o)} Wₒ
         i is a time, o a tap, d the dilation; the last tap reads the present, and x is 0 before
         time 0. It is `conv` at stride 1 with p = d (k − 1) places of padding before and none
         after: i + do − p = i − d(k−1−o). With groups, block γ of the c channels is multiplied by
         block γ of the m columns.
Derive   x at time j is read by tap o at the time i = j + d(k−1−o) ≥ j, if that is before t. So with
         δ = ∂L/∂u, 0 from t on, and x 0 before time 0
  (1) dxⱼ = Σₒ δ_{j+d(k−1−o)} Wₒᵀ            the adjoint of a causal map is anticausal
  (2) dWₒ = Σᵢ xᵀ_{i−d(k−1−o)} δᵢ            also over b
  (3) db  = Σᵢ δᵢ
         which are the equations of `conv` for that padding.
Saved    x, W.      Kinks   none.      Half precision accumulates in float32.
Source   van den Oord et al. 2016, "WaveNet", arXiv:1609.03499
"""

from jaxtyping import Array, Float

from manual_bp import op, windows
from manual_bp.convolution import conv, kernels
from manual_bp.convolution.conv import Residual

NAME = "causal_conv_1d"


def forward(
    x: Float[Array, "b t c"],
    W: Float[Array, "k n m"],
    b: Float[Array, " m"] | None = None,
    *,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Float[Array, "b t m"], Residual]:
    """Return uᵢ = b + Σₒ x_{i−d(k−1−o)} Wₒ and the residual.

    Args:
      x: inputs, (b, t, c).
      W: kernel, (k, c / groups, m), of the dtype of `x`; its last tap reads the present.
      b: biases, (m,), or None for none.
      dilation: times from one tap to the next.
      groups: into how many blocks the channels are divided; a divisor of c and of m.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes or settings do not fit, or there is no time.
    """
    x, W = op.floating(NAME, x=x, W=W)
    op.expect_rank(NAME, "x", x, 3, 3)
    groups = kernels.expect_kernel(NAME, x, W, groups)
    (apart,) = windows.whole_numbers(NAME, "dilation", dilation, 1)
    if x.shape[1] == 0:
        raise ValueError(op.complaint(NAME, "x", "one time or more", f"shape {x.shape}"))
    before = apart * (len(W) - 1)
    over = windows.over(
        NAME, x.shape[1:2], W.shape[:1], strides=1, padding=((before, 0),), dilation=apart
    )
    u = kernels.add_bias(NAME, kernels.convolved(x, W, over, groups), x, b)
    return u, Residual(x, W, over, groups, b is not None)


def backward(
    residual: Residual, dy: Float[Array, "b t m"]
) -> tuple[Float[Array, "b t c"], Float[Array, "k n m"], Float[Array, " m"] | None]:
    """Return (dx, dW, db); db is None where there was no bias."""
    x, W = residual.x, residual.W
    dy = op.expect_cotangent(NAME, dy, (*x.shape[:2], W.shape[-1]), x.dtype)
    return conv.backward(residual, dy)  # (1)–(3)
