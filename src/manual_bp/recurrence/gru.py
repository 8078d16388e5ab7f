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
Derive   Within the length, let dh = dyₛ + dhₛ, the cotangent of hₛ from its output and from the
         step behind it (dhₜ = dh_T). With δ the cotangents of the arguments of σ and tanh,
         and σ' = σ (1−σ), tanh' = 1 − tanh² and 1−z = σ(−u_z) taken of those arguments, as σ and
         tanh round to ±1:
  (1) δ_n = dh (1−z) ⊙ n',   δ_z = dh (hₛ₋₁ − n) ⊙ z'
  (2) after:  dq = δ_n r,   dr = δ_n q,      and hₛ₋₁ gets dq U_nᵀ
  (3) before: d(r h) = δ_n U_nᵀ,   dr = d(r h) ⊙ hₛ₋₁,      and hₛ₋₁ gets d(r h) ⊙ r
  (4) δ_r = dr ⊙ r'
  (5) dhₛ₋₁ = dh z + δ_r U_rᵀ + δ_z U_zᵀ + what (2) or (3) adds
         Beyond the length δ = 0 and dhₛ₋₁ = dhₛ. The scan ends with dh0. Behind it, one product
         each, sums over s and the batch:
  (6) dx = δ Wᵀ
  (7) dW = Σ xₛᵀ δ,   db = Σ δ
  (8) dU_r, dU_z = Σ hₛ₋₁ᵀ (δ_r, δ_z),   dU_n = Σ hₛ₋₁ᵀ dq after, Σ (r hₛ₋₁)ᵀ δ_n before
  (9) db_n = Σ dq
Saved    x, h0, the weights, the arguments of σ and tanh, and y; q is formed again, by one product
         for all steps. Where δ = 0, beyond the length, yₛ of another step does no harm.
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

from manual_bp import logistic, op
from manual_bp.recurrence import sequence

NAME = "gru"
Reset = Literal["after", "before"]


@op.residual
class Residual:
    """Inputs and weights; the arguments of r, z, n and the outputs by time."""

    x: Float[Array, "batch t n"]
    h0: Float[Array, "batch h"]
    W: Float[Array, "n h3"]
    U: Float[Array, "h h3"]
    b_n: Float[Array, " h"] | None
    u: tuple[Float[Array, "t batch h"], ...]
    y: Float[Array, "t batch h"]
    lengths: Integer[Array, " batch"] | None
    biased: bool = op.static()
    reset: Reset = op.static()


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

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or `lengths` are no integers.
      ValueError: the shapes do not fit, a length is out of range, `reset` is unknown, or `b_n` is
        given with reset="before".
    """
    x, h0, W, U = op.floating(NAME, x=x, h0=h0, W=W, U=U)
    op.expect_choice(NAME, "reset", reset, ("after", "before"))
    sequence.expect_layer(NAME, x, h0)
    h = h0.shape[1]
    sequence.expect_weights(NAME, x, h, W, U, 3 * h)
    b = sequence.optional(NAME, "b", b, x, (3 * h,), f"for W of shape {W.shape}")
    b_n = sequence.optional(NAME, "b_n", b_n, x, (h,), f"for h0 of shape {h0.shape}")
    if reset == "before" and b_n is not None:
        raise ValueError(op.complaint(NAME, "b_n", "None for reset='before'", b_n.shape))
    lengths = sequence.expect_lengths(NAME, lengths, x)
    x = sequence.without_padding(x, lengths)
    U_rz, U_n = jnp.split(op.wide(U), [2 * h], 1)

    def step(h: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
        (v_rz, v_n), mask = inputs
        u_r, u_z = jnp.split(v_rz + h @ U_rz, 2, 1)
        r, z = logistic.sigmoid(u_r), logistic.sigmoid(u_z)
        recurrent = r * sequence.biased(h @ U_n, b_n) if reset == "after" else (r * h) @ U_n
        u_n = v_n + recurrent
        new = (1 - z) * jnp.tanh(u_n) + z * h
        return sequence.choose(mask, new, h), ((u_r, u_z, u_n), sequence.choose(mask, new, 0.0))

    v = sequence.biased(sequence.by_time(x, W), b)
    inputs = (tuple(jnp.split(v, [2 * h], 2)), sequence.active(lengths, x.shape[1]))
    h_T, (u, y) = jax.lax.scan(step, op.wide(h0), inputs)
    residual = Residual(x, h0, W, U, b_n, u, y, lengths, b is not None, reset)
    return (y.transpose(1, 0, 2).astype(x.dtype), h_T.astype(x.dtype)), residual


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
    x, h0, dtype, h = residual.x, residual.h0, residual.x.dtype, residual.h0.shape[1]
    shapes = {"ys": (*x.shape[:2], h), "h_T": h0.shape}
    dys, dh_T = op.expect_cotangents(NAME, dy, shapes, dtype)
    U = op.wide(residual.U)
    U_rz, U_n = U[:, : 2 * h], U[:, 2 * h :]
    after = residual.reset == "after"
    u_r, u_z, u_n = residual.u
    r = logistic.sigmoid(u_r)
    gates = r, logistic.sigmoid(u_z), logistic.sigmoid(-u_z), jnp.tanh(u_n)
    slopes = (
        logistic.sigmoid_slope(u_r),
        logistic.sigmoid_slope(u_z),
        logistic.tanh_slope(u_n),
    )
    previous = sequence.before(h0, residual.y)
    # What r multiplies.
    reset = sequence.biased(previous @ U_n, residual.b_n) if after else previous

    def step(dh_next: jax.Array, inputs: Any) -> tuple[jax.Array, Any]:
        dy, (r, z, not_z, n), (r_slope, z_slope, n_slope), previous, reset, mask = inputs
        dh = dy + dh_next
        delta_n = dh * not_z * n_slope  # (1)
        delta_z = dh * (previous - n) * z_slope  # (1)
        if after:
            dr = delta_n * reset  # (2)
            added = (delta_n * r) @ U_n.T  # (2)
        else:
            dreset = delta_n @ U_n.T  # (3)
            dr, added = dreset * reset, dreset * r  # (3)
        delta_rz = jnp.hstack([dr * r_slope, delta_z])  # (4)
        dh_before = dh * z + delta_rz @ U_rz.T + added  # (5)
        delta = sequence.choose(mask, jnp.hstack([delta_rz, delta_n]), 0.0)
        return sequence.choose(mask, dh_before, dh_next), delta

    masks = sequence.active(residual.lengths, x.shape[1])
    inputs = (dys.transpose(1, 0, 2), gates, slopes, previous, reset, masks)
    dh0, delta = jax.lax.scan(step, dh_T, inputs, reverse=True)
    delta_rz, delta_n = jnp.split(delta, [2 * h], 2)
    dx = jnp.einsum("tbm,nm->btn", delta, op.wide(residual.W)).astype(dtype)  # (6)
    dW = sequence.outer(op.wide(x).transpose(1, 0, 2), delta).astype(dtype)  # (7)
    db = delta.sum((0, 1)).astype(dtype) if residual.biased else None  # (7)
    dq = delta_n * r if after else delta_n  # (2)
    dU_rz = sequence.outer(previous, delta_rz)  # (8)
    dU_n = sequence.outer(previous if after else previous * r, dq)  # (8)
    dU = jnp.hstack([dU_rz, dU_n]).astype(dtype)
    db_n = None if residual.b_n is None else dq.sum((0, 1)).astype(dtype)  # (9)
    return dx, dh0.astype(dtype), dW, dU, db, db_n, None
