"""A simple recurrent layer, Elman's, with tanh or relu.

Shapes   x: (batch, t, n)   h0, h_T: (batch, h)   W: (n, h)   U: (h, h)   b: (h,)
         ys: (batch, t, h)   lengths: (batch,) integers
Forward  uₛ = xₛ W + hₛ₋₁ U + b,   h̃ₛ = f(uₛ),   s = 1 … t
         hₛ = mₛ h̃ₛ + (1−mₛ) hₛ₋₁,   yₛ = mₛ h̃ₛ,   h_T = hₜ
         mₛ = 1 within the length of the sample, 0 beyond it: the state is carried, the output 0.
Derive   f' needs u. Where it was not kept it is formed again, and no step waits for another, as the
         states are known: of all steps of a segment by one product for each weight,
  (1) u = x W + h₋₁ U + b,   h₋₁ the states that the steps started from
         L depends on hₛ through the step behind it, or as h_T. Let dhₛ be the cotangent of hₛ, with
         dhₜ = dh_T. h̃ₛ is yₛ and hₛ within the length, and is used by nothing beyond it, so
         ∂L/∂h̃ₛ = mₛ (dyₛ + dhₛ), and with δₛ = ∂L/∂uₛ:
  (2) δₛ    = mₛ (dyₛ + dhₛ) ⊙ f'(uₛ)
  (3) dhₛ₋₁ = δₛ Uᵀ + (1−mₛ) dhₛ;   dh0 = dh₀, the last of them
         uₛ is linear in xₛ, hₛ₋₁, W, U and b, and the parameters are shared by all steps:
  (4) dx = δ Wᵀ
  (5) dW = Σ xₛᵀ δₛ                                                Σ over s and the batch
  (6) dU = Σ hₛ₋₁ᵀ δₛ
  (7) db = Σ δₛ
         Only (2) and (3) need the reverse scan. It emits the δ of a segment, and (4)–(7) are one
         product each behind it, the sums added up over the segments from the last to the first.
         Beyond the length δ = 0, so there yₛ may stand for hₛ in (1) and (6).
  (8) tanh' u = 1 − tanh² u = 4 σ'(2u),   σ' = σ (1−σ),  taken of u, not of h̃, which rounds to ±1
Saved    x, h0, W, U, b, the lengths and y; u, but not with `recompute`. Of y in float32 it is the
         output itself that is kept.
Kinks    relu at u = 0: `slope_at_zero`, 1 by default; 0 is PyTorch's.
Extremes tanh and its slope are finite for every u. Half precision is computed in float32, y and
         u are kept in float32, and every result is rounded once.
Lengths  A length outside 0 … t is an error; under `jit`, where values cannot be read, one below 0
         counts as 0 and one above t as t. What x and dy hold beyond it counts for nothing, be it
         NaN.
Source   Elman 1990, Cognitive Science 14; Werbos 1990, "Backpropagation through time"
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import logistic, op, setting
from manual_bp.recurrence import sequence

NAME = "rnn"
Activation = Literal["tanh", "relu"]

# Below as many multiplications with U in a step, several steps in an iteration take longer.
MUCH = 2**23
MOST_UNROLLED = 8


@op.residual
class Residual:
    """Inputs and weights; the pre-activations by time, or None; the outputs."""

    x: Float[Array, "batch t n"]
    h0: Float[Array, "batch h"]
    W: Float[Array, "n h"]
    U: Float[Array, "h h"]
    b: Float[Array, " h"] | None
    u: Float[Array, "t batch h"] | None
    y: Float[Array, "batch t h"]
    lengths: Integer[Array, " batch"] | None
    segment: int = op.static()
    activation: Activation = op.static()
    slope_at_zero: float = op.static()
    unroll: int = op.static()


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
    recompute: bool = False,
    segment: int | None = None,
    unroll: int | None = None,
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
      recompute: whether the backward forms the pre-activations again, and none is kept.
      segment: steps that the backward takes together, at least 1; None for as many as the cache
        holds.
      unroll: steps in one iteration of a loop, at least 1; None for a segment's, but at most 8,
        where a step has much to multiply, and 1 where it has not.

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or `lengths` are no integers.
      ValueError: the shapes do not fit, a length is out of range, `activation` is unknown, or
        `segment` or `unroll` is below 1.
    """
    x, h0, W, U = op.floating(NAME, x=x, h0=h0, W=W, U=U)
    setting.expect_choice(NAME, "activation", activation, ("tanh", "relu"))
    slope_at_zero = setting.expect_number(NAME, "slope_at_zero", slope_at_zero)
    sequence.expect_layer(NAME, x, h0)
    hidden = h0.shape[1]
    sequence.expect_weights(NAME, x, hidden, W, U, hidden)
    b = sequence.optional(NAME, "b", b, x, (hidden,), f"for W of shape {W.shape}")
    lengths = sequence.expect_lengths(NAME, lengths, x)
    segment = sequence.expect_segment(NAME, segment, x, W)
    unroll = _expect_unroll(unroll, h0, segment)
    x = sequence.without_padding(x, lengths)
    W_wide, U_wide = op.wide(W), op.wide(U)

    def step(h: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
        x, mask = inputs
        u = sequence.affine(x, W_wide, h, U_wide, b)
        new = jnp.tanh(u) if activation == "tanh" else jnp.maximum(u, 0)
        y = sequence.choose(mask, new, 0.0)
        return sequence.choose(mask, new, h), (None if recompute else u, y)

    inputs = (sequence.by_time(x), sequence.active(lengths, x.shape[1]))
    h_T, (u, y) = jax.lax.scan(step, op.wide(h0), inputs, unroll=unroll)
    ys = y.transpose(1, 0, 2)
    settings = (segment, activation, slope_at_zero, unroll)
    residual = Residual(x, h0, W, U, b, u, ys, lengths, *settings)
    return (ys.astype(x.dtype), h_T.astype(x.dtype)), residual


def _expect_unroll(unroll: int | None, h0: jax.Array, segment: int) -> int:
    if unroll is not None:
        return setting.expect_whole(NAME, "unroll", unroll, 1)
    batch, hidden = h0.shape
    return min(segment, MOST_UNROLLED) if batch * hidden**2 >= MUCH else 1


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
    x, h0, dtype, segment = residual.x, residual.h0, residual.x.dtype, residual.segment
    shapes = {"ys": (*x.shape[:2], h0.shape[1]), "h_T": h0.shape}
    dys, dh_T = op.expect_cotangents(NAME, dy, shapes, dtype)
    W, U = op.wide(residual.W), op.wide(residual.U)
    U_T = U.T  # within the loop XLA would transpose in every step

    def step(dh: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
        dy, slope, mask = inputs
        delta = sequence.choose(mask, (dy + dh) * slope, 0.0)  # (2)
        return delta @ U_T + sequence.choose(mask, jnp.zeros_like(dh), dh), delta  # (3)

    def stretch(dh: jax.Array, steps: Any, start: jax.Array) -> tuple[Any, Any, Any]:
        x, u, y, dys, masks = steps
        previous = sequence.before(start, y)
        if u is None:
            u = sequence.affine(x, W, previous, U, residual.b)  # (1)
        if residual.activation == "tanh":
            slope = logistic.tanh_slope(u)  # (8)
        else:
            slope = jnp.heaviside(u, residual.slope_at_zero)
        inputs = (dys, slope, masks)
        dh, delta = jax.lax.scan(step, dh, inputs, reverse=True, unroll=residual.unroll)
        dW = sequence.outer(x, delta)  # (5)
        # Beyond the lengths δ is 0.
        dU = sequence.outer(previous, delta)  # (6)
        db = None if residual.b is None else delta.sum((0, 1))  # (7)
        return dh, delta @ W.T, (dW, dU, db)  # (4)

    y, masks = sequence.by_time(residual.y), sequence.active(residual.lengths, x.shape[1])
    steps = (sequence.by_time(x), residual.u, y, sequence.by_time(dys), masks)
    starts = sequence.starts(h0, y, segment)
    dh0, dx, sums = sequence.in_segments(stretch, dh_T, steps, starts, segment)
    gradients = (dx.transpose(1, 0, 2), dh0, *sums)
    return (*jax.tree.map(lambda one: one.astype(dtype), gradients), None)
