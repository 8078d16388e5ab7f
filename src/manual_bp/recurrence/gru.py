"""A gated recurrent unit, its reset gate after or before the recurrent product.

Shapes   x: (batch, t, n)   h0, h_T: (batch, h)   W: (n, 3h)   U: (h, 3h)   b: (3h,)   b_n: (h,)
         ys: (batch, t, h)   lengths: (batch,) integers
Forward  W, U and b hold the reset gate r, the update gate z and the candidate n, in PyTorch's
         order. With v = xₛ W + b and h = hₛ₋₁,
           r = σ(v_r + h U_r),   z = σ(v_z + h U_z)
           n = tanh(v_n + r q),   q = h U_n + b_n         reset="after", as in PyTorch and cuDNN
           n = tanh(v_n + (r h) U_n)                      reset="before", as in Cho et al.
           hₛ = (1−z) n + z h = yₛ
         Beyond the length of a sample hₛ = hₛ₋₁ and yₛ = 0; h_T = hₜ.
Derive   Gates and slopes need the arguments of σ and tanh, and r's slope what r multiplies: m = q,
         or m = hₛ₋₁ where the reset is before. Where they were not kept they are formed again, and
         no step waits for another, as the states are known: of all steps of a segment by one
         product for each weight,
  (1) v = x W + b,   u_r, u_z = v_r + h₋₁ U_r, v_z + h₋₁ U_z,   and u_n and q as above,
      h₋₁ the states that the steps started from
         Within the length, let dh = dyₛ + dhₛ, the cotangent of hₛ from its output and from the
         step behind it (dhₜ = dh_T). With δ the cotangents of the arguments of σ and tanh,
         and σ' = σ (1−σ), tanh' = 1 − tanh² and 1−z = σ(−u_z) taken of those arguments, as σ and
         tanh round to ±1:
  (2) δ_n = dh ⊙ (1−z) n',   δ_z = dh ⊙ (hₛ₋₁ − n) z'
  (3) after:  dq = δ_n r,   dr = δ_n m,      and hₛ₋₁ gets dq U_nᵀ
  (4) before: d(r h) = δ_n U_nᵀ,   dr = d(r h) ⊙ m,      and hₛ₋₁ gets d(r h) ⊙ r
  (5) δ_r = dr ⊙ r'
         The factors m r', (1−z) n' and (hₛ₋₁ − n) z' are formed for all steps of a segment at once.
  (6) dhₛ₋₁ = dh z + δ_r U_rᵀ + δ_z U_zᵀ + what (3) or (4) adds
         Beyond the length δ = 0 and dhₛ₋₁ = dhₛ. The scan ends with dh0. Behind the scan over a
         segment, one product each, sums over s and the batch, added up over the segments from the
         last to the first:
  (7) dx = δ Wᵀ,   dW = Σ xₛᵀ δ,   db = Σ δ
  (8) dU_r, dU_z = Σ hₛ₋₁ᵀ (δ_r, δ_z),   dU_n = Σ hₛ₋₁ᵀ dq after, Σ (r hₛ₋₁)ᵀ δ_n before
  (9) db_n = Σ dq
Saved    x, h0, the weights and y, and the arguments of σ and tanh, and q, but these not with
         `recompute`. Of y in float32 it is the output itself that is kept. Gates and slopes are
         there for one segment alone. Where δ = 0, beyond the length, yₛ of another step does no
         harm.
Kinks    none.
Extremes The gates and their slopes are finite for every u. Half precision is computed in float32,
         what is saved by time is kept in float32, and every result is rounded once.
Lengths  A length outside 0 … t is an error; under `jit`, where values cannot be read, one below 0
         counts as 0 and one above t as t. What x and dy hold beyond it counts for nothing, be it
         NaN.
Source   Cho et al. 2014, arXiv:1406.1078; the form with the reset after the product: cuDNN 5
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import logistic, op, setting
from manual_bp.recurrence import sequence

NAME = "gru"
Reset = Literal["after", "before"]


@op.residual
class Residual:
    """Inputs and weights; the arguments of r, z, n, and q, by time, or None; the outputs."""

    x: Float[Array, "batch t n"]
    h0: Float[Array, "batch h"]
    W: Float[Array, "n h3"]
    U: Float[Array, "h h3"]
    b: Float[Array, " h3"] | None
    b_n: Float[Array, " h"] | None
    u: tuple[Float[Array, "t batch h"], ...] | None
    y: Float[Array, "batch t h"]
    lengths: Integer[Array, " batch"] | None
    segment: int = op.static()
    reset: Reset = op.static()


def _arguments(
    x: Float[Array, "*batch n"], h: Float[Array, "*batch h"], weights: Any, reset: Reset
) -> tuple[Float[Array, "*batch h"], ...]:
    """Return the arguments of r, z and n, of one step or of several; for "after" q as well."""
    W, U, b, b_n = weights
    columns = [2 * h.shape[-1]]
    v_rz, v_n = jnp.split(sequence.biased(x @ W, b), columns, -1)  # (1)
    if reset == "after":
        of_rz, of_n = jnp.split(h @ U, columns, -1)
        u_r, u_z = jnp.split(v_rz + of_rz, 2, -1)  # (1)
        q = sequence.biased(of_n, b_n)
        return u_r, u_z, v_n + logistic.sigmoid(u_r) * q, q  # (1)
    U_rz, U_n = jnp.split(U, columns, 1)
    u_r, u_z = jnp.split(v_rz + h @ U_rz, 2, -1)  # (1)
    return u_r, u_z, v_n + (logistic.sigmoid(u_r) * h) @ U_n  # (1)


def forward(
    x: Float[Array, "batch t n"],
    h0: Float[Array, "batch h"],
    W: Float[Array, "n h3"],
    U: Float[Array, "h h3"],
    b: Float[Array, " h3"] | None = None,
    b_n: Float[Array, " h"] | None = None,
    lengths: Integer[Array, " batch"] | None = None,
    *,
    reset: Reset = "after",
    recompute: bool = False,
    segment: int | None = None,
) -> tuple[tuple[Float[Array, "batch t h"], Float[Array, "batch h"]], Residual]:
    """Return the outputs and the final state, (ys, h_T), and the residual.

    Args:
      x: inputs, (batch, t, n).
      h0: initial state, (batch, h), of the dtype of `x`, as are all weights.
      W: input weights, (n, 3h), gates in the order r, z, n.
      U: recurrent weights, (h, 3h), in the same order.
      b: biases, (3h,), in the same order, or None for none. PyTorch's two biases of r and of z
        are their sum.
      b_n: bias of the recurrent product of the candidate, (h,), or None for none; for
        reset="after" only, where the reset gate multiplies it.
      lengths: number of steps of each sample, (batch,) integers, or None for all t.
      reset: "after" or "before" the recurrent product of the candidate.
      recompute: whether the backward forms the arguments again, and none is kept.
      segment: steps that the backward takes together, at least 1; None for as many as the cache
        holds.

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or `lengths` are no integers.
      ValueError: the shapes do not fit, a length is out of range, `reset` is unknown, `b_n` is
        given with reset="before", or `segment` is below 1.
    """
    x, h0, W, U = op.floating(NAME, x=x, h0=h0, W=W, U=U)
    setting.expect_choice(NAME, "reset", reset, ("after", "before"))
    sequence.expect_layer(NAME, x, h0)
    h = h0.shape[1]
    sequence.expect_weights(NAME, x, h, W, U, 3 * h)
    b = sequence.optional(NAME, "b", b, x, (3 * h,), f"for W of shape {W.shape}")
    b_n = sequence.optional(NAME, "b_n", b_n, x, (h,), f"for h0 of shape {h0.shape}")
    if reset == "before" and b_n is not None:
        raise ValueError(op.complaint(NAME, "b_n", "None for reset='before'", b_n.shape))
    lengths = sequence.expect_lengths(NAME, lengths, x)
    segment = sequence.expect_segment(NAME, segment, x, W)
    x = sequence.without_padding(x, lengths)
    weights = op.wide(W), op.wide(U), b, b_n

    def step(h: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
        x, mask = inputs
        kept = _arguments(x, h, weights, reset)
        _, u_z, u_n, *_ = kept
        z = logistic.sigmoid(u_z)
        new = (1 - z) * jnp.tanh(u_n) + z * h
        y = sequence.choose(mask, new, 0.0)
        return sequence.choose(mask, new, h), (None if recompute else kept, y)

    inputs = (sequence.by_time(x), sequence.active(lengths, x.shape[1]))
    h_T, (u, y) = jax.lax.scan(step, op.wide(h0), inputs)
    ys = y.transpose(1, 0, 2)
    residual = Residual(x, h0, W, U, b, b_n, u, ys, lengths, segment, reset)
    return (ys.astype(x.dtype), h_T.astype(x.dtype)), residual


def backward(
    residual: Residual, dy: tuple[Float[Array, "batch t h"], Float[Array, "batch h"]]
) -> tuple[
    Float[Array, "batch t n"],
    Float[Array, "batch h"],
    Float[Array, "n h3"],
    Float[Array, "h h3"],
    Float[Array, " h3"] | None,
    Float[Array, " h"] | None,
    None,
]:
    """Return (dx, dh0, dW, dU, db, db_n, dlengths) for dy = (dys, dh_T).

    dlengths is None, and the cotangent of an optional argument that was None.
    """
    x, h0, dtype, segment = residual.x, residual.h0, residual.x.dtype, residual.segment
    shapes = {"ys": (*x.shape[:2], h0.shape[1]), "h_T": h0.shape}
    dys, dh_T = op.expect_cotangents(NAME, dy, shapes, dtype)
    W, U, b, b_n = op.wide(residual.W), op.wide(residual.U), residual.b, residual.b_n
    columns = [2 * h0.shape[1]]
    U_T = U.T  # within the loop XLA would transpose in every step
    U_rz_T, U_n_T = jnp.split(U_T, columns)
    after = residual.reset == "after"

    def step(dh_next: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
        dy, of_r, of_z, of_n, r, z, mask = inputs
        dh = dy + dh_next
        delta_n, delta_z = dh * of_n, dh * of_z  # (2)
        if after:
            delta_r = delta_n * of_r  # (3), (5)
            given = jnp.hstack([delta_r, delta_z, delta_n * r]) @ U_T  # (3), (6)
        else:
            dreset = delta_n @ U_n_T  # (4)
            delta_r = dreset * of_r  # (4), (5)
            given = jnp.hstack([delta_r, delta_z]) @ U_rz_T + dreset * r  # (4), (6)
        delta = jnp.hstack([delta_r, delta_z, delta_n])
        dh_before = dh * z + given  # (6)
        return sequence.choose(mask, dh_before, dh_next), sequence.choose(mask, delta, 0.0)

    def stretch(dh: jax.Array, steps: Any, start: jax.Array) -> tuple[Any, Any, Any]:
        x, kept, y, dys, masks = steps
        previous = sequence.before(start, y)
        if kept is None:
            kept = _arguments(x, previous, (W, U, b, b_n), residual.reset)
        u_r, u_z, u_n, *q = kept
        r, z = logistic.sigmoid(u_r), logistic.sigmoid(u_z)
        of_r = (q[0] if after else previous) * logistic.sigmoid_slope(u_r)  # (5)
        of_z = (previous - jnp.tanh(u_n)) * logistic.sigmoid_slope(u_z)  # (2)
        of_n = logistic.sigmoid(-u_z) * logistic.tanh_slope(u_n)  # (2)
        dh, delta = jax.lax.scan(step, dh, (dys, of_r, of_z, of_n, r, z, masks), reverse=True)
        dW = sequence.outer(x, delta)  # (7)
        db = None if b is None else delta.sum((0, 1))  # (7)
        delta_rz, delta_n = jnp.split(delta, columns, 2)
        if after:
            dq = delta_n * r  # (3)
            dU = sequence.outer(previous, jnp.dstack([delta_rz, dq]))  # (8)
        else:
            dU_rz = sequence.outer(previous, delta_rz)  # (8)
            dU = jnp.hstack([dU_rz, sequence.outer(previous * r, delta_n)])  # (8)
        db_n = None if b_n is None else dq.sum((0, 1))  # (9)
        return dh, delta @ W.T, (dW, dU, db, db_n)  # (7)

    y, masks = sequence.by_time(residual.y), sequence.active(residual.lengths, x.shape[1])
    steps = (sequence.by_time(x), residual.u, y, sequence.by_time(dys), masks)
    starts = sequence.starts(h0, y, segment)
    dh0, dx, sums = sequence.in_segments(stretch, dh_T, steps, starts, segment)
    gradients = (dx.transpose(1, 0, 2), dh0, *sums)
    return (*jax.tree.map(lambda one: one.astype(dtype), gradients), None)
