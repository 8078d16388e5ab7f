"""Long short-term memory, with optional peepholes and an optional projection of its output.

Shapes   x: (batch, t, n)   c0, c_T: (batch, h)   h0, h_T: (batch, p)   W: (n, 4h)   U: (p, 4h)
         b: (4h,)   peephole: (3, h)   projection P: (h, p)   ys: (batch, t, p)   p = h without P
Forward  u = xₛ W + hₛ₋₁ U + b, cut into u_i, u_f, u_g, u_o: input gate, forget gate, candidate,
         output gate, the order of PyTorch and cuDNN. With peepholes w_i, w_f, w_o,
           i = σ(u_i + w_i cₛ₋₁),   f = σ(u_f + w_f cₛ₋₁),   g = tanh u_g,   cₛ = f cₛ₋₁ + i g
           o = σ(u_o + w_o cₛ),   r = o tanh cₛ,   hₛ = r P = yₛ
         Beyond the length of a sample hₛ = hₛ₋₁, cₛ = cₛ₋₁ and yₛ = 0; h_T = hₜ, c_T = cₜ.
Derive   Gates and slopes need u. Where it was not kept it is formed again, and no step waits for
         another, as the states are known: of all steps of a segment by one product for each weight,
  (1) u = x W + h₋₁ U + b,   h₋₁ the states that the steps started from
         Within the length, let dh = dyₛ + dhₛ, the cotangent of hₛ from its output and from the
         step behind it (dhₜ = dh_T), and dcₛ that of cₛ from the step behind it (dcₜ = dc_T). With
         δ the cotangents of the arguments of σ and tanh, and σ' = σ (1−σ), tanh' = 1 − tanh² taken
         of those arguments, as σ and tanh round to ±1:
  (2) dr = dh Pᵀ,   δ_o = dr tanh cₛ ⊙ o'
  (3) dc = dcₛ + dr o (1 − tanh² cₛ) + δ_o w_o              cₛ is used by r, the peephole, step s+1
  (4) δ_i = dc g ⊙ i',   δ_f = dc cₛ₋₁ ⊙ f',   δ_g = dc i ⊙ g'
  (5) dcₛ₋₁ = dc f + δ_i w_i + δ_f w_f,   dhₛ₋₁ = δ Uᵀ
         Beyond the length δ = 0, dcₛ₋₁ = dcₛ and dhₛ₋₁ = dhₛ. The scan ends with dc0 and dh0. All
         else is a sum over s and the batch, one product each behind the scan over a segment, added
         up over the segments from the last to the first:
  (6) dx = δ Wᵀ
  (7) dW = Σ xₛᵀ δ,   dU = Σ hₛ₋₁ᵀ δ,   db = Σ δ
  (8) dw_i = Σ δ_i cₛ₋₁,   dw_f = Σ δ_f cₛ₋₁,   dw_o = Σ δ_o cₛ
  (9) dP = Σ rᵀ dh
Saved    x, h0, c0, the weights, c and y, and u, but not with `recompute`. Of y in float32 it is the
         output itself that is kept. Gates, slopes and r = o tanh c are there for one segment alone.
         Where δ and dh are 0, beyond the length, yₛ and cₛ of another step do no harm.
Kinks    none.
Extremes The gates and their slopes are finite for every u. Half precision is computed in float32,
         what is saved by time is kept in float32, and every result is rounded once.
Lengths  A length outside 0 … t is an error; under `jit`, where values cannot be read, one below 0
         counts as 0 and one above t as t. What x and dy hold beyond it counts for nothing, be it
         NaN.
Source   Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 (forget gate), Gers,
         Schraudolph & Schmidhuber 2002 (peepholes); Sak, Senior & Beaufays 2014, arXiv:1402.1128
         (projection); Graves 2013, arXiv:1308.0850
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import logistic, op
from manual_bp.recurrence import sequence

NAME = "lstm"


@op.residual
class Residual:
    """Inputs and weights; u and the cells by time, u None where it is formed again; the outputs."""

    x: Float[Array, "batch t n"]
    h0: Float[Array, "batch p"]
    c0: Float[Array, "batch h"]
    W: Float[Array, "n h4"]
    U: Float[Array, "p h4"]
    b: Float[Array, " h4"] | None
    peephole: Float[Array, "3 h"] | None
    projection: Float[Array, "h p"] | None
    u: Float[Array, "t batch h4"] | None
    c: Float[Array, "t batch h"]
    y: Float[Array, "batch t p"]
    lengths: Integer[Array, " batch"] | None
    segment: int = op.static()


def _stacked(W: Float[Array, "n h4"], U: Float[Array, "p h4"]) -> Float[Array, "_ h4"]:
    """Return W over U in the dtype of sums, with which x W + h U is one product."""
    return jnp.concatenate([op.wide(W), op.wide(U)])


def _wide(weights: jax.Array | None) -> jax.Array | None:
    """Return the weights, or None, in the dtype of sums."""
    return None if weights is None else op.wide(weights)


def _through(weights: jax.Array, c: Float[Array, "*batch h"]) -> Float[Array, "*batch h"]:
    """Return w ⊙ c, of one step or of several."""
    return jnp.broadcast_to(weights, c.shape) * c


def forward(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch p"],
    c0: Float[Array, "batch h"],
    W: Float[Array, "n h4"],
    U: Float[Array, "p h4"],
    b: Float[Array, " h4"] | None = None,
    peephole: Float[Array, "3 h"] | None = None,
    projection: Float[Array, "h p"] | None = None,
    lengths: Integer[Array, " batch"] | None = None,
    *,
    recompute: bool = False,
    segment: int | None = None,
) -> tuple[
    tuple[Float[Array, "batch t p"], Float[Array, "batch p"], Float[Array, "batch h"]], Residual
]:
    """Return the outputs and the final states, (ys, h_T, c_T), and the residual.

    Args:
      x: inputs, (batch, t, n).
      h0: initial output, (batch, p), of the dtype of `x`, as are all weights.
      c0: initial cell, (batch, h); h = p without a projection.
      W: input weights, (n, 4h), gates in the order i, f, g, o.
      U: recurrent weights, (p, 4h), in the same order.
      b: biases, (4h,), in the same order, or None for none.
      peephole: weights from the cell to the gates i, f, o, (3, h), or None for none.
      projection: weights from the cell's output to y, (h, p), or None for none.
      lengths: number of steps of each sample, (batch,) integers, or None for all t.
      recompute: whether the backward forms u again, and none is kept.
      segment: steps that the backward takes together, at least 1; None for as many as the cache
        holds.

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or `lengths` are no integers.
      ValueError: the shapes do not fit, a length is out of range, or `segment` is below 1.
    """
    x, h0, c0, W, U = op.floating(NAME, x=x, h0=h0, c0=c0, W=W, U=U)
    sequence.expect_layer(NAME, x, h0)
    outputs = h0.shape[1]
    h = None if projection is not None else outputs
    op.expect_shape(NAME, "c0", c0, (x.shape[0], h), f"for h0 of shape {h0.shape}")
    h = c0.shape[1]
    sequence.expect_weights(NAME, x, outputs, W, U, 4 * h)
    b = sequence.optional(NAME, "b", b, x, (4 * h,), f"for W of shape {W.shape}")
    why = f"for c0 of shape {c0.shape}"
    peephole = sequence.optional(NAME, "peephole", peephole, x, (3, h), why)
    projection = sequence.optional(NAME, "projection", projection, x, (h, outputs), why)
    lengths = sequence.expect_lengths(NAME, lengths, x)
    segment = sequence.expect_segment(NAME, segment, x, W)
    x = sequence.without_padding(x, lengths)
    weights, w, P = _stacked(W, U), _wide(peephole), _wide(projection)

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        (h, c), (x, mask) = state, inputs
        u = sequence.biased(jnp.hstack([x, h]) @ weights, b)
        u_i, u_f, u_g, u_o = jnp.split(u, 4, 1)
        if w is not None:
            u_i, u_f = u_i + _through(w[0], c), u_f + _through(w[1], c)
        new_c = logistic.sigmoid(u_f) * c + logistic.sigmoid(u_i) * jnp.tanh(u_g)
        if w is not None:
            u_o = u_o + _through(w[-1], new_c)
        r = logistic.sigmoid(u_o) * jnp.tanh(new_c)
        new_h = r if P is None else r @ P
        h, c = sequence.choose(mask, new_h, h), sequence.choose(mask, new_c, c)
        return (h, c), (None if recompute else u, c, sequence.choose(mask, new_h, 0.0))

    inputs = (sequence.by_time(x), sequence.active(lengths, x.shape[1]))
    (h_T, c_T), (u, c, y) = jax.lax.scan(step, (op.wide(h0), op.wide(c0)), inputs)
    ys = y.transpose(1, 0, 2)
    residual = Residual(x, h0, c0, W, U, b, peephole, projection, u, c, ys, lengths, segment)
    return (ys.astype(x.dtype), h_T.astype(x.dtype), c_T.astype(x.dtype)), residual


def backward(
    residual: Residual,
    dy: tuple[Float[Array, "batch t p"], Float[Array, "batch p"], Float[Array, "batch h"]],
) -> tuple[
    Float[Array, "batch t n"],
    Float[Array, "batch p"],
    Float[Array, "batch h"],
    Float[Array, "n h4"],
    Float[Array, "p h4"],
    Float[Array, " h4"] | None,
    Float[Array, "3 h"] | None,
    Float[Array, "h p"] | None,
    None,
]:
    """Return (dx, dh0, dc0, dW, dU, db, dpeephole, dprojection, dlengths).

    dy = (dys, dh_T, dc_T). dlengths is None, and the cotangent of an optional
    argument that was None.
    """
    x, h0, c0, dtype = residual.x, residual.h0, residual.c0, residual.x.dtype
    shapes = {"ys": (*x.shape[:2], h0.shape[1]), "h_T": h0.shape, "c_T": c0.shape}
    dys, dh_T, dc_T = op.expect_cotangents(NAME, dy, shapes, dtype)
    weights = _stacked(residual.W, residual.U)
    W, U = jnp.split(weights, x.shape[2:])
    U_T = U.T  # within the loop XLA would transpose in every step
    w, P = _wide(residual.peephole), _wide(residual.projection)

    def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
        dh_next, dc_next = carry
        dy, (i, f, g, o), (i_slope, f_slope, g_slope, o_slope), of_c, previous, mask = inputs
        tanh_c, tanh_slope = of_c
        dh = sequence.choose(mask, dy + dh_next, 0.0)
        dr = dh if P is None else dh @ P.T  # (2)
        delta_o = dr * tanh_c * o_slope  # (2)
        dc = dc_next + dr * o * tanh_slope  # (3)
        if w is not None:
            dc = dc + _through(w[-1], delta_o)  # (3)
        delta_i = dc * g * i_slope  # (4)
        delta_f = dc * previous * f_slope  # (4)
        delta_g = dc * i * g_slope  # (4)
        delta = jnp.hstack([delta_i, delta_f, delta_g, delta_o])
        delta = sequence.choose(mask, delta, 0.0)
        back_c = dc * f  # (5)
        if w is not None:
            back_c = back_c + _through(w[0], delta_i) + _through(w[1], delta_f)  # (5)
        dh_before = delta @ U_T + sequence.choose(mask, jnp.zeros_like(dh), dh_next)  # (5)
        return (dh_before, sequence.choose(mask, back_c, dc_next)), (delta, dh)

    def stretch(carry: Any, steps: Any, starts: Any) -> tuple[Any, Any, Any]:
        x, u, y, c, dys, masks = steps
        previous_h, previous_c = map(sequence.before, starts, (y, c))
        inputs = jnp.dstack([x, previous_h])
        if u is None:
            u = sequence.biased(inputs @ weights, residual.b)  # (1)
        u_i, u_f, u_g, u_o = jnp.split(u, 4, 2)
        if w is not None:
            u_i, u_f = u_i + _through(w[0], previous_c), u_f + _through(w[1], previous_c)
            u_o = u_o + _through(w[-1], c)
        gates, slopes = sequence.four_gates([u_i, u_f, u_g, u_o])
        of_c = jnp.tanh(c), logistic.tanh_slope(c)
        by_step = (dys, gates, slopes, of_c, previous_c, masks)
        carry, (delta, dh) = jax.lax.scan(step, carry, by_step, reverse=True)
        dx = delta @ W.T  # (6)
        dWU = sequence.outer(inputs, delta)  # (7)
        db = None if residual.b is None else delta.sum((0, 1))  # (7)
        dpeephole = dprojection = None
        if w is not None:
            delta_i, delta_f, _, delta_o = jnp.split(delta, 4, 2)
            products = delta_i * previous_c, delta_f * previous_c, delta_o * c
            dpeephole = jnp.stack([one.sum((0, 1)) for one in products])  # (8)
        if P is not None:
            dprojection = sequence.outer(gates[3] * of_c[0], dh)  # (9)
        return carry, dx, (dWU, db, dpeephole, dprojection)

    y, c, segment = sequence.by_time(residual.y), residual.c, residual.segment
    masks = sequence.active(residual.lengths, x.shape[1])
    steps = (sequence.by_time(x), residual.u, y, c, sequence.by_time(dys), masks)
    starts = sequence.starts(h0, y, segment), sequence.starts(c0, c, segment)
    (dh0, dc0), dx, sums = sequence.in_segments(stretch, (dh_T, dc_T), steps, starts, segment)
    dWU, *others = sums
    gradients = (dx.transpose(1, 0, 2), dh0, dc0, *jnp.split(dWU, x.shape[2:]), *others)
    return (*jax.tree.map(lambda one: one.astype(dtype), gradients), None)
