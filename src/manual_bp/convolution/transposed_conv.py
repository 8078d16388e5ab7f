"""The transposed convolution: each place of the input adds a kernel to the output.

Shapes   x: (b, *count, c)   W: (*kernel, c/groups, m)   b: (m,) or None   u, δ: (b, *size, m)
         size = (count − 1) s − padding + d (kernel − 1) + 1 + output_padding for each of any number
         of axes, as PyTorch's ConvTranspose has it; `padding` is the sum of before and after.
Forward  uⱼ = b + Σₒ Σᵢ 1[si + do − p = j] xᵢ Wₒ
         s is the stride, d the dilation, p the padding before, o a tap of the kernel. What would
         fall outside of the places of u is dropped, so padding makes u smaller; `output_padding`
         adds places after it. With groups, block γ of the c channels is multiplied by block γ of
         the m columns.
Derive   It is the rule of `conv` for its input, taken as a map of its own: with spreadₒ that puts
         row i at place si + do − p,
           u = b + Σₒ spreadₒ(x Wₒ)
         The adjoint of spreadₒ is to read: (readₒ δ)ᵢ = δ_{si+do−p}, 0 outside of the places. So
           ∂L/∂(x Wₒ) = readₒ δ,   ∂L/∂x = Σₒ (readₒ δ) Wₒᵀ,   ∂L/∂Wₒ = xᵀ (readₒ δ)
         and b is added at every place of u, those that no x reaches included. With the channels of
         the kernel exchanged, Vₒ = Wₒᵀ in each group, these are the products of `conv` with their
         roles exchanged: u is its dx, dx its u, and dV its dW with δ for x and x for δ.
  (1) dx  = Σₒ δ⁽ᵒ⁾ Wₒᵀ,   δ⁽ᵒ⁾ᵢ = δ_{si+do−p}
  (2) dWₒ = xᵀ δ⁽ᵒ⁾
  (3) db  = Σ δ                                                     over b and all places
Saved    x, W.      Kinks   none.      Half precision accumulates in float32.
Source   Zeiler, Krishnan, Taylor & Fergus 2010, "Deconvolutional networks"; the arithmetic:
         Dumoulin & Visin 2016, arXiv:1603.07285
"""

from jaxtyping import Array, Float

from manual_bp import op, windows
from manual_bp.convolution import kernels
from manual_bp.windows import Numbers, Pairs, Windows

NAME = "transposed_conv"


@op.residual
class Residual:
    """The input and the kernel; the windows are over the output."""

    x: Float[Array, "b *count c"]
    W: Float[Array, "*kernel n m"]
    windows: Windows = op.static()
    groups: int = op.static()
    biased: bool = op.static()


def _over(
    count: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    strides: Numbers,
    padding: Pairs,
    output_padding: Numbers,
    dilation: Numbers,
) -> Windows:
    axes = len(count)
    strides = windows.whole_numbers(NAME, "strides", strides, axes)
    dilation = windows.whole_numbers(NAME, "dilation", dilation, axes)
    both = windows.pairs(NAME, padding, axes)
    more = windows.whole_numbers(NAME, "output_padding", output_padding, axes, least=0)
    if any(extra >= s for extra, s in zip(more, strides, strict=True)):
        wanted = f"less than the strides, {strides}"
        raise ValueError(op.complaint(NAME, "output_padding", wanted, more))
    if 0 in count:
        raise ValueError(op.complaint(NAME, "x", "one place or more", f"spatial shape {count}"))
    spans = windows.extents(kernel, dilation)
    size = tuple(
        (n - 1) * s - sum(pair) + span + extra
        for n, s, pair, span, extra in zip(count, strides, both, spans, more, strict=True)
    )
    if any(n < 1 for n in size):
        wanted = "less than would leave no place of y"
        raise ValueError(op.complaint(NAME, "padding", wanted, f"{both} and y of {size}"))
    return Windows(size, count, kernel, strides, dilation, both)


def forward(
    x: Float[Array, "b *count c"],
    W: Float[Array, "*kernel n m"],
    b: Float[Array, " m"] | None = None,
    *,
    strides: Numbers = 1,
    padding: Pairs = 0,
    output_padding: Numbers = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> tuple[Float[Array, "b *size m"], Residual]:
    """Return u = b + Σₒ spreadₒ(x Wₒ) and the residual.

    Args:
      x: inputs, (b, *count, c).
      W: kernel, (*kernel, c / groups, m), of the dtype of `x`.
      b: biases, (m,), or None for none.
      strides: places of `u` from one place of `x` to the next; one number, or one for each axis.
      padding: places cut off before and after; one number, or a pair for each axis.
      output_padding: places added after, less than the stride; one number, or one for each axis.
      dilation: places from one tap to the next; one number, or one for each axis.
      groups: into how many blocks the channels are divided; a divisor of c and of m.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes or settings do not fit, or `padding` leaves nothing.
    """
    x, W = op.floating(NAME, x=x, W=W)
    groups = kernels.expect_kernel(NAME, x, W, groups)
    over = _over(
        x.shape[1:-1],
        W.shape[:-2],
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    )
    u = kernels.pull_back(x, kernels.turned(W, groups), over, groups)
    u = kernels.add_bias(NAME, u, x, b)
    return u, Residual(x, W, over, groups, b is not None)


def backward(
    residual: Residual, dy: Float[Array, "b *size m"]
) -> tuple[Float[Array, "b *count c"], Float[Array, "*kernel n m"], Float[Array, " m"] | None]:
    """Return (dx, dW, db); db is None where there was no bias."""
    x, W, over, groups = residual.x, residual.W, residual.windows, residual.groups
    dy = op.expect_cotangent(NAME, dy, (x.shape[0], *over.size, W.shape[-1]), x.dtype)
    V = kernels.turned(W, groups)
    dx = kernels.convolved(dy, V, over, groups)  # (1)
    dW = kernels.turned(kernels.of_kernel(dy, x, V, over, groups), groups)  # (2)
    db = kernels.sum_places(dy) if residual.biased else None  # (3)
    return dx.astype(x.dtype), dW, db
