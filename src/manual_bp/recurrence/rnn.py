"""A simple recurrent layer, Elman's, with tanh or relu.

Shapes   x: (batch, t, n)   h0, h_T: (batch, h)   W: (n, h)   U: (h, h)   b: (h,)
         ys: (batch, t, h)   lengths: (batch,) integers
Forward  uₛ = xₛ W + hₛ₋₁ U + b,   h̃ₛ = f(uₛ),   s = 1 … t
         hₛ = mₛ h̃ₛ + (1−mₛ) hₛ₋₁,   yₛ = mₛ h̃ₛ,   h_T = hₜ
         mₛ = 1 within the length of the sample, 0 beyond it: the state is carried, the output 0.
         x W is one product for all steps before the scan.
Derive   L depends on hₛ through the step behind it, or as h_T. Let dhₛ be the cotangent of hₛ, with
         dhₜ = dh_T. h̃ₛ is yₛ and hₛ within the length, and is used by nothing beyond it, so
         ∂L/∂h̃ₛ = mₛ (dyₛ + dhₛ), and with δₛ = ∂L/∂uₛ:
  (1) δₛ    = mₛ (dyₛ + dhₛ) ⊙ f'(uₛ)
  (2) dhₛ₋₁ = δₛ Uᵀ + (1−mₛ) dhₛ;   dh0 = dh₀, the last of them
         uₛ is linear in xₛ, hₛ₋₁, W, U and b, and the parameters are shared by all steps:
  (3) dx = δ Wᵀ
  (4) dW = Σ xₛᵀ δₛ                                                Σ over s and the batch
  (5) dU = Σ hₛ₋₁ᵀ δₛ
  (6) db = Σ δₛ
         Only (1) and (2) need the reverse scan. It emits δ, and (3)–(6) are one product each behind
         it. Beyond the length δ = 0, so there yₛ may stand for hₛ in (5).
  (7) tanh' u = 1 − tanh² u = 4 σ'(2u),   σ' = σ (1−σ),  taken of u, not of h̃, which rounds to ±1
Saved    x, h0, W, U, u and the lengths; h̃ = f(u) is had from u again.
Kinks    relu at u = 0: `slope_at_zero`, 1 by default; 0 is PyTorch's.
Extremes tanh and its slope are finite for every u. Half precision is computed in float32, the state
         and u are kept in float32, and every result is rounded once.
Lengths  A length outside 0 … t is an error; under `jit`, where values cannot be read, one below 0
         counts as 0 and one above t as t. What x and dy hold beyond it counts for nothing, be it
         NaN.
Source   Elman 1990, Cognitive Science 14; Werbos 1990, "Backpropagation through time"
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import logistic, op
from manual_bp.recurrence import sequence

NAME = "rnn"
Activation = Literal["tanh", "relu"]


@op.residual
class Residual:
    """Inputs and weights; the pre-activations by time."""

    x: Float[Array, "batch t n"]
    h0: Float[Array, "batch h"]
    W: Float[Array, "n h"]
    U: Float[Array, "h h"]
    u: Float[Array, "t batch h"]
    lengths: Integer[Array, " batch"] | None
    biased: bool = op.static()
    activation: Activation = op.static()
    slope_at_zero: float = op.static()


def _activate(u: jax.Array, activation: Activation) -> jax.Array:
    return jnp.tanh(u) if activation == "tanh" else jnp.maximum(u, 0)


def forward(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch h"],
    W: Float[Array, "n h"],
    U: Float[Array, "h h"],
    b: Float[Array, " h"] | None = None,
    lengths: Integer[Array, " batch"] | None = None,
    *,
    activation: Activation = "tanh",
    slope_at_zero: float = 1.0,
) -> tuple[tuple[Float[Array, "batch t h"], Float[Array, "batch h"]], Residual]:
    """Return the outputs and the final state, (ys, h_T), and the residual.

    Args:
      x: inputs, (batch, t, n).
      h0: initial state, (batch, h), of the dtype of `x`, as are all weights.
      W: input weights, (n, h).
      U: recurrent weights, (h, h).
      b: biases, (h,), or None for none.
      lengths: number of steps of each sample, (batch,) integers, or None for all t.
      activation: "tanh" or "relu".
      slope_at_zero: the derivative of relu at 0.

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or `lengths` are no integers.
      ValueError: the shapes do not fit, a length is out of range, or `activation` is unknown.
    """
    x, h0, W, U = op.floating(NAME, x=x, h0=h0, W=W, U=U)
    op.expect_choice(NAME, "activation", activation, ("tanh", "relu"))
    sequence.expect_layer(NAME, x, h0)
    hidden = h0.shape[1]
    sequence.expect_weights(NAME, x, hidden, W, U, hidden)
    b = sequence.optional(NAME, "b", b, x, (hidden,), f"for W of shape {W.shape}")
    lengths = sequence.expect_lengths(NAME, lengths, x)
    x = sequence.without_padding(x, lengths)
    U_wide = op.wide(U)

    def step(h: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
        projected, mask = inputs
        u = projected + h @ U_wide
        new = _activate(u, activation)
        return sequence.choose(mask, new, h), (sequence.choose(mask, new, 0.0), u)

    projected = sequence.biased(sequence.by_time(x, W), b)
    masks = sequence.active(lengths, x.shape[1])
    h_T, (y, u) = jax.lax.scan(step, op.wide(h0), (projected, masks))
    residual = Residual(x, h0, W, U, u, lengths, b is not None, activation, slope_at_zero)
    return (y.transpose(1, 0, 2).astype(x.dtype), h_T.astype(x.dtype)), residual


def backward(
    residual: Residual, dy: tuple[Float[Array, "batch t h"], Float[Array, "batch h"]]
) -> tuple[
    Float[Array, "batch t n"],
    Float[Array, "batch h"],
    Float[Array, "n h"],
    Float[Array, "h h"],
    Float[Array, " h"] | None,
    None,
]:
    """Return (dx, dh0, dW, dU, db, dlengths) for dy = (dys, dh_T).

    dlengths is None, and db where there was no bias.
    """
    x, h0, u, dtype = residual.x, residual.h0, residual.u, residual.x.dtype
    shapes = {"ys": (*x.shape[:2], h0.shape[1]), "h_T": h0.shape}
    dys, dh_T = op.expect_cotangents(NAME, dy, shapes, dtype)
    W, U = op.wide(residual.W), op.wide(residual.U)
    if residual.activation == "tanh":
        slope = logistic.tanh_slope(u)  # (7)
    else:
        slope = jnp.heaviside(u, residual.slope_at_zero)

    def step(dh: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
        dy, slope, mask = inputs
        delta = sequence.choose(mask, (dy + dh) * slope, 0.0)  # (1)
        return delta @ U.T + sequence.choose(mask, jnp.zeros_like(dh), dh), delta  # (2)

    masks = sequence.active(residual.lengths, x.shape[1])
    inputs = (dys.transpose(1, 0, 2), slope, masks)
    dh0, delta = jax.lax.scan(step, dh_T, inputs, reverse=True)
    dx = jnp.einsum("tbm,nm->btn", delta, W)  # (3)
    dW = sequence.outer(op.wide(x).transpose(1, 0, 2), delta)  # (4)
    # Beyond the lengths δ is 0.
    y = _activate(u, residual.activation)
    dU = sequence.outer(sequence.before(h0, y), delta)  # (5)
    db = delta.sum((0, 1)).astype(dtype) if residual.biased else None  # (6)
    return dx.astype(dtype), dh0.astype(dtype), dW.astype(dtype), dU.astype(dtype), db, None
