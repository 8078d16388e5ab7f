"""Long short-term memory with layer normalisation of its pre-activations and of its cell.

Shapes   x: (batch, t, n)   h0, c0, h_T, c_T: (batch, h)   W: (n, 4h)   U: (h, 4h)   b: (4h,)
         scale_x, scale_h: (4h,)   scale_c, bias_c: (h,)   ys: (batch, t, h)
Forward  N(z) = (z − ⟨z⟩) r,  r = (⟨(z − ⟨z⟩)²⟩ + ε)^(−1/2), with ⟨·⟩ the mean over the features.
           u = N(xₛ W) ⊙ scale_x + N(hₛ₋₁ U) ⊙ scale_h + b
         cut into u_i, u_f, u_g, u_o as in `lstm`; all 4h features are normalised together.
           i, f, o = σ(u_i), σ(u_f), σ(u_o),   g = tanh u_g,   cₛ = f cₛ₋₁ + i g
           a = N(cₛ) ⊙ scale_c + bias_c,   hₛ = o tanh a = yₛ
         Beyond the length of a sample hₛ = hₛ₋₁, cₛ = cₛ₋₁ and yₛ = 0; h_T = hₜ, c_T = cₜ.
Derive   The way back through ẑ = N(z), by `layer_norm` (4):
  (1) N'(dẑ) = r (dẑ − ⟨dẑ⟩ − ẑ ⟨dẑ ⊙ ẑ⟩)
         Within the length, let dh = dyₛ + dhₛ, the cotangent of hₛ from its output and from the
         step behind it (dhₜ = dh_T), and dcₛ that of cₛ from the step behind it (dcₜ = dc_T). With
         δ the cotangents of u, and σ' = σ (1−σ), tanh' = 1 − tanh² taken of u and a, as σ and tanh
         round to ±1:
  (2) δ_o = dh tanh a ⊙ o',   da = dh o ⊙ tanh' a
  (3) dc = dcₛ + N'(da ⊙ scale_c)
  (4) δ_i = dc g ⊙ i',   δ_f = dc cₛ₋₁ ⊙ f',   δ_g = dc i ⊙ g',   dcₛ₋₁ = dc f
  (5) d(hₛ₋₁ U) = N'(δ ⊙ scale_h),   dhₛ₋₁ = d(hₛ₋₁ U) Uᵀ
         Beyond the length δ = da = 0, dcₛ₋₁ = dcₛ and dhₛ₋₁ = dhₛ. The scan ends with dc0 and dh0.
         The rest is done for all steps of a segment at once, sums over s and the batch by one
         product each, added up over the segments from the last to the first:
  (6) d(x W) = N'(δ ⊙ scale_x),   dx = d(x W) Wᵀ
  (7) dW = Σ xₛᵀ d(xₛ W),   dU = Σ hₛ₋₁ᵀ d(hₛ₋₁ U)
  (8) dscale_x = Σ δ ⊙ N(xₛ W),   dscale_h = Σ δ ⊙ N(hₛ₋₁ U),   db = Σ δ
  (9) dscale_c = Σ da ⊙ N(cₛ),   dbias_c = Σ da
Saved    x, h0, c0, the weights, c and y, of which in float32 it is the output itself that is kept.
         x W, h U and the moments are formed again, all steps of a segment at once, as the states
         are known, and with them u. Where δ = 0, beyond the length, yₛ and cₛ of another step do
         no harm.
Kinks    none.
Extremes Finite where all features of a product are equal: N is 0 there and r = ε^(−1/2). With h = 1
         N(c) = 0, so that c is seen by c_T alone. Half precision is computed in float32, what is
         saved by time is kept in float32, and every result is rounded once.
Lengths  A length outside 0 … t is an error; under `jit`, where values cannot be read, one below 0
         counts as 0 and one above t as t. What x and dy hold beyond it counts for nothing, be it
         NaN.
Source   Ba, Kiros & Hinton 2016, arXiv:1607.06450, supplement, its three biases of the gates as one
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import logistic, op, setting
from manual_bp.normalization import standardise as shared
from manual_bp.recurrence import sequence

NAME = "layer_norm_lstm"


@op.residual
class Residual:
    """Inputs and weights; the cells by time, and the outputs."""

    x: Float[Array, "batch t n"]
    h0: Float[Array, "batch h"]
    c0: Float[Array, "batch h"]
    W: Float[Array, "n h4"]
    U: Float[Array, "h h4"]
    scale_x: Float[Array, " h4"]
    scale_h: Float[Array, " h4"]
    b: Float[Array, " h4"]
    scale_c: Float[Array, " h"]
    bias_c: Float[Array, " h"]
    c: Float[Array, "t batch h"]
    y: Float[Array, "batch t h"]
    lengths: Integer[Array, " batch"] | None
    segment: int = op.static()
    epsilon: float = op.static()


def _normalise(z: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array]:
    """Return N(z) and r."""
    moments = shared.moments(z, (-1,), epsilon)
    return shared.standardise(z, moments), moments.rstd


def _back(dstandard: jax.Array, standard: jax.Array, r: jax.Array) -> jax.Array:
    """Return the cotangent of z for that of N(z)."""
    projection = standard * shared.mean(dstandard * standard, (-1,))
    return r * (dstandard - shared.mean(dstandard, (-1,)) - projection)  # (1)


def forward(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch h"],
    c0: Float[Array, "batch h"],
    W: Float[Array, "n h4"],
    U: Float[Array, "h h4"],
    scale_x: Float[Array, " h4"],
    scale_h: Float[Array, " h4"],
    b: Float[Array, " h4"],
    scale_c: Float[Array, " h"],
    bias_c: Float[Array, " h"],
    lengths: Integer[Array, " batch"] | None = None,
    *,
    epsilon: float = 1e-5,
    segment: int | None = None,
) -> tuple[
    tuple[Float[Array, "batch t h"], Float[Array, "batch h"], Float[Array, "batch h"]], Residual
]:
    """Return the outputs and the final states, (ys, h_T, c_T), and the residual.

    Args:
      x: inputs, (batch, t, n).
      h0: initial output, (batch, h), of the dtype of `x`, as are all weights.
      c0: initial cell, (batch, h).
      W: input weights, (n, 4h), gates in the order i, f, g, o.
      U: recurrent weights, (h, 4h), in the same order.
      scale_x: scale of the normalised product with the input, (4h,).
      scale_h: scale of the normalised product with the hidden state, (4h,).
      b: biases, (4h,).
      scale_c: scale of the normalised cell, (h,).
      bias_c: bias of the normalised cell, (h,).
      lengths: number of steps of each sample, (batch,) integers, or None for all t.
      epsilon: ε > 0, added to every variance.
      segment: steps that the backward takes together, at least 1; None for as many as the cache
        holds.

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or `lengths` are no integers.
      ValueError: the shapes do not fit, a length is out of range, `epsilon` is not positive, or
        `segment` is below 1.
    """
    x, h0, c0, W, U = op.floating(NAME, x=x, h0=h0, c0=c0, W=W, U=U)
    _, scale_x, scale_h, b, scale_c, bias_c = op.floating(
        NAME, x=x, scale_x=scale_x, scale_h=scale_h, b=b, scale_c=scale_c, bias_c=bias_c
    )
    sequence.expect_layer(NAME, x, h0)
    op.expect_shape(NAME, "c0", c0, h0.shape, f"for h0 of shape {h0.shape}")
    h = h0.shape[1]
    sequence.expect_weights(NAME, x, h, W, U, 4 * h)
    for argument, array in (("scale_x", scale_x), ("scale_h", scale_h), ("b", b)):
        op.expect_shape(NAME, argument, array, (4 * h,), f"for W of shape {W.shape}")
    for argument, array in (("scale_c", scale_c), ("bias_c", bias_c)):
        op.expect_shape(NAME, argument, array, (h,), f"for h0 of shape {h0.shape}")
    lengths = sequence.expect_lengths(NAME, lengths, x)
    segment = sequence.expect_segment(NAME, segment, x, W)
    x = sequence.without_padding(x, lengths)
    epsilon = setting.expect_epsilon(NAME, epsilon, x.dtype)
    W_wide, U_wide = op.wide(W), op.wide(U)

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        (h, c), (x, mask) = state, inputs
        (projected, _), (recurrent, _) = (_normalise(z, epsilon) for z in (x @ W_wide, h @ U_wide))
        u = shared.affine(projected, scale_x, b) + shared.affine(recurrent, scale_h, None)
        u_i, u_f, u_g, u_o = jnp.split(u, 4, 1)
        new_c = logistic.sigmoid(u_f) * c + logistic.sigmoid(u_i) * jnp.tanh(u_g)
        cell, _ = _normalise(new_c, epsilon)
        new_h = logistic.sigmoid(u_o) * jnp.tanh(shared.affine(cell, scale_c, bias_c))
        h, c = sequence.choose(mask, new_h, h), sequence.choose(mask, new_c, c)
        return (h, c), (c, sequence.choose(mask, new_h, 0.0))

    inputs = (sequence.by_time(x), sequence.active(lengths, x.shape[1]))
    (h_T, c_T), (c, y) = jax.lax.scan(step, (op.wide(h0), op.wide(c0)), inputs)
    ys = y.transpose(1, 0, 2)
    weights = (W, U, scale_x, scale_h, b, scale_c, bias_c)
    residual = Residual(x, h0, c0, *weights, c, ys, lengths, segment, epsilon)
    return (ys.astype(x.dtype), h_T.astype(x.dtype), c_T.astype(x.dtype)), residual


def backward(
    residual: Residual,
    dy: tuple[Float[Array, "batch t h"], Float[Array, "batch h"], Float[Array, "batch h"]],
) -> tuple[
    Float[Array, "batch t n"],
    Float[Array, "batch h"],
    Float[Array, "batch h"],
    Float[Array, "n h4"],
    Float[Array, "h h4"],
    Float[Array, " h4"],
    Float[Array, " h4"],
    Float[Array, " h4"],
    Float[Array, " h"],
    Float[Array, " h"],
    None,
]:
    """Return (dx, dh0, dc0, dW, dU, dscale_x, dscale_h, db, dscale_c, dbias_c, dlengths).

    dy = (dys, dh_T, dc_T). dlengths is None.
    """
    x, h0, c0, epsilon = residual.x, residual.h0, residual.c0, residual.epsilon
    shapes = {"ys": (*x.shape[:2], h0.shape[1]), "h_T": h0.shape, "c_T": c0.shape}
    dys, dh_T, dc_T = op.expect_cotangents(NAME, dy, shapes, x.dtype)
    W, U, segment = op.wide(residual.W), op.wide(residual.U), residual.segment
    U_T = U.T  # within the loop XLA would transpose in every step

    def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
        dh_next, dc_next = carry
        dy, (i, f, g, o), slopes, a, previous, (cell, r_c), (recurrent, r_h), mask = inputs
        i_slope, f_slope, g_slope, o_slope = slopes
        dh = sequence.choose(mask, dy + dh_next, 0.0)
        delta_o = dh * jnp.tanh(a) * o_slope  # (2)
        da = dh * o * logistic.tanh_slope(a)  # (2)
        dc = dc_next + _back(da * shared.over(residual.scale_c, da), cell, r_c)  # (3)
        delta_i = dc * g * i_slope  # (4)
        delta_f = dc * previous * f_slope  # (4)
        delta_g = dc * i * g_slope  # (4)
        delta = jnp.hstack([delta_i, delta_f, delta_g, delta_o])
        delta = sequence.choose(mask, delta, 0.0)
        dproduct = _back(delta * shared.over(residual.scale_h, delta), recurrent, r_h)  # (5)
        dh_before = dproduct @ U_T + sequence.choose(mask, jnp.zeros_like(dh), dh_next)  # (5)
        return (dh_before, sequence.choose(mask, dc * f, dc_next)), (delta, dproduct, da)  # (4)

    def stretch(carry: Any, steps: Any, starts: Any) -> tuple[Any, Any, Any]:
        x, y, c, dys, masks = steps
        previous_h, previous_c = map(sequence.before, starts, (y, c))
        projected, r_x = _normalise(x @ W, epsilon)
        recurrent, r_h = _normalise(previous_h @ U, epsilon)
        cells, r_c = _normalise(c, epsilon)
        u = shared.affine(projected, residual.scale_x, residual.b)
        u = u + shared.affine(recurrent, residual.scale_h, None)
        a = shared.affine(cells, residual.scale_c, residual.bias_c)
        gates, slopes = sequence.four_gates(jnp.split(u, 4, 2))
        inputs = (dys, gates, slopes, a, previous_c, (cells, r_c), (recurrent, r_h), masks)
        carry, (delta, dhU, da) = jax.lax.scan(step, carry, inputs, reverse=True)
        dxW = _back(delta * shared.over(residual.scale_x, delta), projected, r_x)  # (6)
        sums = (
            sequence.outer(x, dxW),  # (7)
            sequence.outer(previous_h, dhU),  # (7)
            (delta * projected).sum((0, 1)),  # (8)
            (delta * recurrent).sum((0, 1)),  # (8)
            delta.sum((0, 1)),  # (8)
            (da * cells).sum((0, 1)),  # (9)
            da.sum((0, 1)),  # (9)
        )
        return carry, dxW @ W.T, sums  # (6)

    y, c = sequence.by_time(residual.y), residual.c
    masks = sequence.active(residual.lengths, x.shape[1])
    steps = (sequence.by_time(x), y, c, sequence.by_time(dys), masks)
    starts = sequence.starts(h0, y, segment), sequence.starts(c0, c, segment)
    (dh0, dc0), dx, sums = sequence.in_segments(stretch, (dh_T, dc_T), steps, starts, segment)
    gradients = (dx.transpose(1, 0, 2), dh0, dc0, *sums)
    return (*jax.tree.map(lambda one: one.astype(x.dtype), gradients), None)
