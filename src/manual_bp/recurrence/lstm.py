"""Long short-term memory, with optional peepholes and an optional projection of its output.

Shapes   x: (batch, t, n)   c0, c_T: (batch, h)   h0, h_T: (batch, p)   W: (n, 4h)   U: (p, 4h)
         b: (4h,)   peephole: (3, h)   projection P: (h, p)   ys: (batch, t, p)   p = h without P
Forward  u = xₛ W + hₛ₋₁ U + b, cut into u_i, u_f, u_g, u_o: input gate, forget gate, candidate,
         output gate, the order of PyTorch and cuDNN. With peepholes w_i, w_f, w_o,
           i = σ(u_i + w_i cₛ₋₁),   f = σ(u_f + w_f cₛ₋₁),   g = tanh u_g,   cₛ = f cₛ₋₁ + i g
           o = σ(u_o + w_o cₛ),   r = o tanh cₛ,   hₛ = r P = yₛ
         Beyond the length of a sample hₛ = hₛ₋₁, cₛ = cₛ₋₁ and yₛ = 0; h_T = hₜ, c_T = cₜ.
Derive   Within the length, let dh = dyₛ + dhₛ, the cotangent of hₛ from its output and from the
         step behind it (dhₜ = dh_T), and dcₛ that of cₛ from the step behind it (dcₜ = dc_T). With
         δ the cotangents of the arguments of σ and tanh, and σ' = σ (1−σ), tanh' = 1 − tanh² taken
         of those arguments, as σ and tanh round to ±1:
  (1) dr = dh Pᵀ,   δ_o = dr tanh cₛ ⊙ o'
  (2) dc = dcₛ + dr o (1 − tanh² cₛ) + δ_o w_o              cₛ is used by r, the peephole, step s+1
  (3) δ_i = dc g ⊙ i',   δ_f = dc cₛ₋₁ ⊙ f',   δ_g = dc i ⊙ g'
  (4) dcₛ₋₁ = dc f + δ_i w_i + δ_f w_f,   dhₛ₋₁ = δ Uᵀ
         Beyond the length δ = 0, dcₛ₋₁ = dcₛ and dhₛ₋₁ = dhₛ. The scan ends with dc0 and dh0. All
         else is a sum over s and the batch, one product each behind the scan:
  (5) dx = δ Wᵀ
  (6) dW = Σ xₛᵀ δ,   dU = Σ hₛ₋₁ᵀ δ,   db = Σ δ
  (7) dw_i = Σ δ_i cₛ₋₁,   dw_f = Σ δ_f cₛ₋₁,   dw_o = Σ δ_o cₛ
  (8) dP = Σ rᵀ dh
Saved    x, h0, c0, the weights, the arguments of σ and tanh, c and y. r = o tanh c is formed again.
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
    """Inputs and weights; the arguments of i, f, g, o, the cells and the outputs by time."""

    x: Float[Array, "batch t n"]
    h0: Float[Array, "batch p"]
    c0: Float[Array, "batch h"]
    W: Float[Array, "n h4"]
    U: Float[Array, "p h4"]
    peephole: Float[Array, "3 h"] | None
    projection: Float[Array, "h p"] | None
    u: tuple[Float[Array, "t batch h"], ...]
    c: Float[Array, "t batch h"]
    y: Float[Array, "t batch p"]
    lengths: Integer[Array, " batch"] | None
    biased: bool = op.static()


def _of_gates(peephole: jax.Array | None) -> jax.Array | None:
    """Return the weights of the three peepholes, a row for all samples, in the dtype of sums."""
    return None if peephole is None else op.wide(peephole)[:, None]


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

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or `lengths` are no integers.
      ValueError: the shapes do not fit, or a length is out of range.
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
    x = sequence.without_padding(x, lengths)
    U_wide, w = op.wide(U), _of_gates(peephole)

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        (h, c), (projected, mask) = state, inputs
        u_i, u_f, u_g, u_o = jnp.split(projected + h @ U_wide, 4, 1)
        if w is not None:
            u_i, u_f = u_i + w[0] * c, u_f + w[1] * c
        new_c = logistic.sigmoid(u_f) * c + logistic.sigmoid(u_i) * jnp.tanh(u_g)
        if w is not None:
            u_o = u_o + w[-1] * new_c
        r = logistic.sigmoid(u_o) * jnp.tanh(new_c)
        new_h = r if projection is None else r @ op.wide(projection)
        h, c = sequence.choose(mask, new_h, h), sequence.choose(mask, new_c, c)
        return (h, c), ((u_i, u_f, u_g, u_o), c, sequence.choose(mask, new_h, 0.0))

    projected = sequence.biased(sequence.by_time(x, W), b)
    inputs = (projected, sequence.active(lengths, x.shape[1]))
    (h_T, c_T), (u, c, y) = jax.lax.scan(step, (op.wide(h0), op.wide(c0)), inputs)
    ys = y.transpose(1, 0, 2).astype(x.dtype)
    residual = Residual(x, h0, c0, W, U, peephole, projection, u, c, y, lengths, b is not None)
    return (ys, h_T.astype(x.dtype), c_T.astype(x.dtype)), residual


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
    W, U = op.wide(residual.W), op.wide(residual.U)
    w, projection = _of_gates(residual.peephole), residual.projection
    previous = sequence.before(c0, residual.c)
    gates, slopes = sequence.four_gates(residual.u)
    of_c = jnp.tanh(residual.c), logistic.tanh_slope(residual.c)

    def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
        dh_next, dc_next = carry
        dy, (i, f, g, o), (i_slope, f_slope, g_slope, o_slope), of_c, previous, mask = inputs
        tanh_c, tanh_slope = of_c
        dh = sequence.choose(mask, dy + dh_next, 0.0)
        dr = dh if projection is None else dh @ op.wide(projection).T  # (1)
        delta_o = dr * tanh_c * o_slope  # (1)
        dc = dc_next + dr * o * tanh_slope  # (2)
        if w is not None:
            dc = dc + w[-1] * delta_o  # (2)
        delta_i = dc * g * i_slope  # (3)
        delta_f = dc * previous * f_slope  # (3)
        delta_g = dc * i * g_slope  # (3)
        delta = jnp.hstack([delta_i, delta_f, delta_g, delta_o])
        delta = sequence.choose(mask, delta, 0.0)
        back_c = dc * f  # (4)
        if w is not None:
            back_c = back_c + w[0] * delta_i + w[1] * delta_f  # (4)
        dh_before = delta @ U.T + sequence.choose(mask, jnp.zeros_like(dh), dh_next)  # (4)
        return (dh_before, sequence.choose(mask, back_c, dc_next)), (delta, dh)

    masks = sequence.active(residual.lengths, x.shape[1])
    inputs = (dys.transpose(1, 0, 2), gates, slopes, of_c, previous, masks)
    (dh0, dc0), (delta, dh) = jax.lax.scan(step, (dh_T, dc_T), inputs, reverse=True)
    dx = jnp.einsum("tbm,nm->btn", delta, W)  # (5)
    dW = sequence.outer(op.wide(x).transpose(1, 0, 2), delta)  # (6)
    dU = sequence.outer(sequence.before(h0, residual.y), delta)  # (6)
    db = delta.sum((0, 1)).astype(dtype) if residual.biased else None  # (6)
    dpeephole = dprojection = None
    if w is not None:
        delta_i, delta_f, _, delta_o = jnp.split(delta, 4, 2)
        products = delta_i * previous, delta_f * previous, delta_o * residual.c
        dpeephole = jnp.stack([one.sum((0, 1)) for one in products]).astype(dtype)  # (7)
    if projection is not None:
        dprojection = sequence.outer(gates[3] * of_c[0], dh).astype(dtype)  # (8)
    dx, dh0, dc0, dW, dU = (one.astype(dtype) for one in (dx, dh0, dc0, dW, dU))
    return dx, dh0, dc0, dW, dU, db, dpeephole, dprojection, None
