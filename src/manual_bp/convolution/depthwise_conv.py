"""The depthwise convolution: each channel has kernels of its own.

Shapes   x: (b, *size, c)   W: (*kernel, c, q)   b: (c q,) or None   u, δ: (b, *count, c q)
         q is the multiplier, the kernels of a channel; u holds the q outputs of a channel together.
         count = ⌊(size + padding − d (kernel − 1) − 1)/s⌋ + 1 for each of any number of axes
Forward  u_{i,kl} = b_{kl} + Σₒ x_{si+do−p, k} W_{o,kl}                k of c channels, l of q
         i is an output's place, o a tap of the kernel; s is the stride, d the dilation, p the
         padding before; x is 0 outside of its places. It is `conv` with a group for each channel.
Derive   With x⁽ᵒ⁾ᵢ = x_{si+do−p}, what tap o reads, and δ = ∂L/∂u
           ∂L/∂W_{o,kl} = Σᵢ x⁽ᵒ⁾_{ik} δ_{i,kl},   ∂L/∂x⁽ᵒ⁾_{ik} = Σₗ δ_{i,kl} W_{o,kl}
         and every x⁽ᵒ⁾ᵢ goes back to the place that it was read from; `spread` does that.
  (1) dx_k      = Σₒ spreadₒ(Σₗ δ_{kl} W_{o,kl})
  (2) dW_{o,kl} = Σ x⁽ᵒ⁾_k δ_{kl}                                   over b and all places
  (3) db        = Σ δ
Saved    x, W.      Kinks   none.      Half precision accumulates in float32.
Source   Sifre 2014, "Rigid-motion scattering for image classification"; Chollet 2017,
         arXiv:1610.02357
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op, windows
from manual_bp.convolution import kernels
from manual_bp.windows import Numbers, Padding, Windows

NAME = "depthwise_conv"


@op.residual
class Residual:
    """The input and the kernels."""

    x: Float[Array, "b *size c"]
    W: Float[Array, "*kernel c q"]
    windows: Windows = op.static()
    biased: bool = op.static()


def forward(
    x: Float[Array, "b *size c"],
    W: Float[Array, "*kernel c q"],
    b: Float[Array, " m"] | None = None,
    *,
    strides: Numbers = 1,
    padding: Padding = "SAME",
    dilation: Numbers = 1,
) -> tuple[Float[Array, "b *count m"], Residual]:
    """Return u = b + Σₒ x⁽ᵒ⁾ ⊙ Wₒ and the residual.

    Args:
      x: inputs, (b, *size, c).
      W: kernels, (*kernel, c, q), of the dtype of `x`.
      b: biases, (c q,), or None for none.
      strides: places from one window to the next; one number, or one for each axis.
      padding: zeros around `x`: "SAME", "VALID", one number, or a pair for each axis.
      dilation: places from one tap to the next; one number, or one for each axis.

    Raises:
      TypeError: an argument is not floating, or the dtypes differ.
      ValueError: the shapes or settings do not fit, or the window is larger than the padded `x`.
    """
    x, W = op.floating(NAME, x=x, W=W)
    op.expect_rank(NAME, "x", x, 3, None)
    shape = (*(None,) * (x.ndim - 2), x.shape[-1], None)
    op.expect_shape(NAME, "W", W, shape, f"for x of shape {x.shape}")
    kernels.expect_taps(NAME, W)
    over = windows.over(
        NAME, x.shape[1:-1], W.shape[:-2], strides=strides, padding=padding, dilation=dilation
    )
    W_wide = op.wide(W)
    u = windows.total(_times(read, W_wide[o]) for o, read in over.reads(op.wide(x)))
    u = u.reshape(*u.shape[:-2], u.shape[-2] * u.shape[-1])
    u = kernels.add_bias(NAME, u, x, b)
    return u, Residual(x, W, over, b is not None)


def backward(
    residual: Residual, dy: Float[Array, "b *count m"]
) -> tuple[Float[Array, "b *size c"], Float[Array, "*kernel c q"], Float[Array, " m"] | None]:
    """Return (dx, dW, db); db is None where there was no bias."""
    x, W, over = residual.x, residual.W, residual.windows
    c, q = W.shape[-2:]
    dy = op.expect_cotangent(NAME, dy, (x.shape[0], *over.count, c * q), x.dtype)
    delta, W_wide = op.wide(dy.reshape(*dy.shape[:-1], c, q)), op.wide(W)
    dx = over.put_back(lambda o: (delta * jnp.broadcast_to(W_wide[o], delta.shape)).sum(-1))  # (1)

    def add_sample(sums: jax.Array, sample: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        x, delta = sample
        reads = (read.reshape(delta.shape[:-1]) for _, read in over.reads(x[None]))
        taps = [
            _over_first(jnp.broadcast_to(read[..., None], delta.shape) * delta) for read in reads
        ]  # (2)
        return sums + jnp.stack(taps), None

    # Sample by sample, what the taps read stays in the cache.
    zeros = jnp.zeros((len(over.taps), *delta.shape[2:]), delta.dtype)
    sums, _ = jax.lax.scan(add_sample, zeros, (op.wide(x), delta))
    dW = sums.sum(tuple(range(1, x.ndim - 2))).reshape(W.shape)  # (2)
    db = kernels.sum_places(dy) if residual.biased else None  # (3)
    return dx.astype(x.dtype), dW.astype(W.dtype), db


def _over_first(x: Float[Array, "n ..."]) -> Float[Array, "..."]:
    """Return the sum over the first axis, as a product, which is faster (docs/FORMS.md)."""
    ones = jnp.ones((1, len(x)), x.dtype)
    total = jnp.matmul(ones, x.reshape(len(x), -1), precision=jax.lax.Precision.HIGHEST)
    return total.reshape(x.shape[1:])


def _times(read: jax.Array, w: jax.Array) -> jax.Array:
    """Return the read of each channel times each of its q weights, (…, c, q)."""
    of_each = jnp.broadcast_to(read[..., None], (*read.shape, w.shape[-1]))
    return of_each * jnp.broadcast_to(w, of_each.shape)
