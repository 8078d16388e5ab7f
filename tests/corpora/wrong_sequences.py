"""Wrong attention and recurrences: a scale, a mask, a path through time, a gate's slope."""

import jax.numpy as jnp
from entry import wrong
from ops_sequences import (
    adjoint,
    attention,
    attention_dscores,
    attention_of_dscores,
    causal_attention,
    earlier,
    gru,
    long_attention,
    lstm,
    lstm_backward,
    recurrence,
    rnn,
    rnn_deltas,
    rotate,
    rotated,
)

from jax_ref.verdict import Kind


def _cut(residual, dy):
    """Return the backward of the recurrent net with the path through time cut."""
    deltas, _ = rnn_deltas(residual, *dy, carry=0)
    return deltas, jnp.einsum("tbi,tbj->ij", residual["before"], deltas)


def _ignoring_last(residual, dy):
    return rnn.backward(residual, (dy[0], jnp.zeros_like(dy[1])))


def _gate(cotangent, at, mended):
    """Return the cotangent of the gates with one of three columns replaced."""
    return cotangent.at[:, 3 * at : 3 * at + 3].set(mended)


ENTRIES = (
    wrong(
        "attention-scale",
        "dq without 1/√d",
        attention,
        lambda r, dy, dq, dk, dv: (2 * dq, dk, dv),
        Kind.FACTOR,
        "q",
    ),
    wrong(
        "attention-scale-twice",
        "1/√d in dk twice",
        attention,
        lambda r, dy, dq, dk, dv: (dq, dk / 2, dv),
        Kind.FACTOR,
        "k",
    ),
    wrong(
        "attention-term",
        "the softmax's − p ⟨p, dp⟩ forgotten",
        attention,
        lambda r, dy, dq, dk, dv: attention_of_dscores(
            r, dy, r["p"] * jnp.einsum("btd,bsd->bts", dy, r["v"])
        ),
        (Kind.TERM, Kind.UNKNOWN),
        ("q", "k"),
    ),
    wrong(
        "attention-dv-transposed",
        "p dy for pᵀ dy: square in time",
        attention,
        lambda r, dy, dq, dk, dv: (dq, dk, r["p"] @ dy),
        (Kind.PERMUTED, Kind.TERM),
        "v",
    ),
    wrong(
        "attention-dk-transposed",
        "dk of the scores' cotangent transposed",
        attention,
        lambda r, dy, dq, dk, dv: (dq, attention_dscores(r, dy) @ r["q"] / 2, dv),
        (Kind.PERMUTED, Kind.TERM),
        "k",
    ),
    wrong(
        "attention-swapped",
        "dk before dq",
        attention,
        lambda r, dy, dq, dk, dv: (dk, dq, dv),
        Kind.SWAPPED,
        ("q", "k"),
    ),
    wrong(
        "attention-rotated-cotangents",
        "(dv, dq, dk) for (dq, dk, dv)",
        attention,
        lambda r, dy, dq, dk, dv: (dv, dq, dk),
        Kind.SWAPPED,
        ("q", "k", "v"),
    ),
    wrong(
        "attention-last-block",
        "7 keys in blocks of 4: the last, partial block left out",
        long_attention,
        lambda r, dy, dq, dk, dv: (dq, dk.at[:, 4:].set(0), dv),
        Kind.PART_ZERO,
        "k",
        where=lambda i: i[1] >= 4,
    ),
    wrong(
        "causal-attention-dv-unmasked",
        "dv as if every query saw every key equally",
        causal_attention,
        lambda r, dy, dq, dk, dv: (dq, dk, jnp.broadcast_to(dy.mean(1)[:, None], dv.shape)),
        (Kind.TERM, Kind.UNKNOWN),
        "v",
    ),
    wrong(
        "causal-attention-future",
        "the mask's −∞ met with − ∞ in dq: NaN",
        causal_attention,
        lambda r, dy, dq, dk, dv: (dq + 0 * jnp.log(r["p"]).sum((1, 2))[:, None, None], dk, dv),
        Kind.NAN,
        "q",
    ),
    wrong(
        "causal-attention-off-by-one",
        "the diagonal masked in the backward as well",
        causal_attention,
        lambda r, dy, dq, dk, dv: (
            dq,
            dk,
            dv - jnp.einsum("btt->bt", r["p"])[..., None] * dy,
        ),
        (Kind.TERM, Kind.UNKNOWN),
        "v",
    ),
    wrong(
        "rotation-sine",
        "+ sin for − sin: turned forwards",
        rotate,
        lambda r, dy, dx: (rotated(dy, *r),),
        Kind.UNKNOWN,
        "x",
        where=lambda i: i[0] > 0,
    ),
    wrong(
        "rotation-not-turned",
        "dy as it is",
        rotate,
        lambda r, dy, dx: (dy,),
        (Kind.TERM, Kind.UNKNOWN),
        "x",
        where=lambda i: i[0] > 0,
    ),
    wrong(
        "rnn-final-state",
        "the final state's cotangent ignored",
        rnn,
        lambda r, dy, *right: _ignoring_last(r, dy),
        (Kind.UPSTREAM, Kind.TERM),
        ("x", "W", "h0"),
    ),
    wrong(
        "rnn-outputs",
        "the outputs' cotangents ignored but for the last",
        rnn,
        lambda r, dy, *right: rnn.backward(r, (dy[0].at[:-1].set(0), dy[1])),
        (Kind.BATCH_SUM, Kind.UPSTREAM, Kind.TERM),
        ("x", "W", "h0"),
    ),
    wrong(
        "rnn-cut",
        "one step of time: the path through the state cut",
        rnn,
        lambda r, dy, dx, dW, dh0: (*_cut(r, dy), dh0),
        (Kind.TERM, Kind.UNKNOWN),
        ("x", "W"),
        where=lambda i: len(i) == 2 or i[0] < 3,
    ),
    wrong(
        "rnn-initial-state",
        "zeros for dh0",
        rnn,
        lambda r, dy, dx, dW, dh0: (dx, dW, jnp.zeros_like(dh0)),
        Kind.PART_ZERO,
        "h0",
    ),
    wrong(
        "rnn-state-after",
        "h_t in place of h_(t−1) in dW",
        rnn,
        lambda r, dy, dx, dW, dh0: (dx, jnp.einsum("tbi,tbj->ij", r["ys"], dx), dh0),
        Kind.UNKNOWN,
        "W",
    ),
    wrong(
        "rnn-untransposed",
        "δ W in place of δ Wᵀ through time",
        rnn,
        lambda r, dy, dx, dW, dh0: (rnn_deltas({**r, "W": r["W"].T}, *dy)[0], dW, dh0),
        (Kind.PERMUTED, Kind.UNKNOWN),
        "x",
        where=lambda i: i[0] < 3,
    ),
    wrong(
        "rnn-last-step-only",
        "dW of the last step",
        rnn,
        lambda r, dy, dx, dW, dh0: (dx, r["before"][-1].T @ dx[-1], dh0),
        (Kind.TERM, Kind.BATCH_SUM),
        "W",
    ),
    wrong(
        "lstm-gate-slope",
        "tanh' in place of σ' for the input gate",
        lstm,
        lambda r, dy, dgates, dc: (
            _gate(dgates, 0, dgates[:, :3] * (1 + r["i"]) / r["i"]),
            dc,
        ),
        (Kind.MISSING_FACTOR, Kind.FEW),
        "gates",
        where=lambda i: i[1] < 3,
    ),
    wrong(
        "lstm-cell-path",
        "the path from h to the cell cut",
        lstm,
        lambda r, dy, dgates, dc: (dgates, lstm_backward(r, dy, path=0)[1]),
        (Kind.UPSTREAM, Kind.TERM),
        "c",
    ),
    wrong(
        "lstm-cell-output",
        "the new cell's cotangent ignored",
        lstm,
        lambda r, dy, *right: lstm_backward(r, (dy[0], jnp.zeros_like(dy[1]))),
        (Kind.UPSTREAM, Kind.TERM),
        ("gates", "c"),
        where=lambda i: i[1] < 9,
    ),
    wrong(
        "lstm-gate-order",
        "i f o g for i f g o",
        lstm,
        lambda r, dy, dgates, dc: (
            jnp.concatenate([dgates[:, :6], dgates[:, 9:], dgates[:, 6:9]], 1),
            dc,
        ),
        Kind.FLIPPED,
        "gates",
        where=lambda i: i[1] >= 6,
    ),
    wrong(
        "lstm-stale-cell",
        "the new cell in place of the old in the forget gate",
        lstm,
        lambda r, dy, dgates, dc: (
            _gate(
                dgates,
                1,
                dgates[:, 3:6] / r["c"] * (r["f"] * r["c"] + r["i"] * r["g"]),
            ),
            dc,
        ),
        (Kind.MISSING_FACTOR, Kind.FEW),
        "gates",
        where=lambda i: 3 <= i[1] < 6,
    ),
    wrong(
        "gru-gate-slope",
        "z without (1 − z)",
        gru,
        lambda r, dy, dgates, dn, dh: (
            _gate(dgates, 0, dgates[:, :3] / (1 - r["z"])),
            dn,
            dh,
        ),
        (Kind.MISSING_FACTOR, Kind.FEW),
        "gates",
        where=lambda i: i[1] < 3,
    ),
    wrong(
        "gru-reset-path",
        "the path of h through the reset gate forgotten",
        gru,
        lambda r, dy, dgates, dn, dh: (dgates, dn, dy * r["z"]),
        (Kind.TERM, Kind.MISSING_FACTOR),
        "h",
    ),
    wrong(
        "gru-update-sign",
        "n − h in place of h − n",
        gru,
        lambda r, dy, dgates, dn, dh: (_gate(dgates, 0, -dgates[:, :3]), dn, dh),
        (Kind.SIGN, Kind.MISSING_FACTOR),
        "gates",
        where=lambda i: i[1] < 3,
    ),
    wrong(
        "recurrence-decay",
        "a_t in place of a_(t+1) in the reverse scan",
        recurrence,
        lambda r, dy, da, dx: (da, adjoint(r[0], dy)),
        Kind.UNKNOWN,
        "x",
        where=lambda i: i[0] < 5,
    ),
    wrong(
        "recurrence-state",
        "h_t in place of h_(t−1) in da",
        recurrence,
        lambda r, dy, da, dx: (dx * r[1], dx),
        (Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "a",
    ),
    wrong(
        "recurrence-forwards",
        "scanned forwards",
        recurrence,
        lambda r, dy, da, dx: (da, recurrence.primal(r[0], dy)),
        (Kind.FLIPPED, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "recurrence-shifted",
        "da shifted by a step",
        recurrence,
        lambda r, dy, da, dx: (earlier(da), dx),
        Kind.UNKNOWN,
        "a",
    ),
)
