"""Wrong losses: the batch, the labels, the padding, a region, a term."""

import jax
import jax.numpy as jnp
from entry import normal, wrong
from ops_elementwise import logistic
from ops_losses import (
    binary,
    cosine_similarity,
    cross_entropy,
    divergence,
    each_cross_entropy,
    hinge,
    huber,
    one_hot,
    padded_cross_entropy,
    smoothed_cross_entropy,
    squared,
    squared_sigmoid,
    weighted_cross_entropy,
    z_cross_entropy,
)

from jax_ref.verdict import Kind

CONFIDENT = cross_entropy.at(lambda rng: (4 * normal(rng, 5, 4), rng.integers(0, 4, 5)))


def _residuals():
    y, target = (huber.drawn(i) for i in (0, 1))
    return y - target


def _margins():
    return hinge.drawn(0) * hinge.drawn(1)


ENTRIES = (
    wrong(
        "cross-entropy-batch",
        "p − t without 1/b",
        cross_entropy,
        lambda r, dloss, dlogits, _: (5 * dlogits, None),
        (Kind.FACTOR, Kind.BATCH_SUM),
        "logits",
    ),
    wrong(
        "cross-entropy-classes",
        "divided by the number of classes in place of the batch",
        cross_entropy,
        lambda r, dloss, dlogits, _: (dlogits * (5 / 4), None),
        Kind.FACTOR,
        "logits",
    ),
    wrong(
        "cross-entropy-sign",
        "t − p",
        cross_entropy,
        lambda r, dloss, dlogits, _: (-dlogits, None),
        Kind.SIGN,
        "logits",
    ),
    wrong(
        "cross-entropy-upstream",
        "dloss taken for 1",
        cross_entropy,
        lambda r, dloss, dlogits, _: ((jax.nn.softmax(r[0]) - one_hot(r[1], r[0])) / 5, None),
        Kind.UPSTREAM,
        "logits",
    ),
    wrong(
        "cross-entropy-label-off-by-one",
        "labels counted from 1 in the backward",
        CONFIDENT,
        lambda r, dloss, dlogits, _: (
            dloss * (jax.nn.softmax(r[0]) - one_hot((r[1] + 1) % 4, r[0])) / 5,
            None,
        ),
        (Kind.TERM, Kind.UNKNOWN),
        "logits",
        where=lambda i: i[1] in {int(CONFIDENT.drawn(1)[i[0]]), (CONFIDENT.drawn(1)[i[0]] + 1) % 4},
    ),
    wrong(
        "cross-entropy-no-target",
        "p without − t",
        cross_entropy,
        lambda r, dloss, dlogits, _: (dloss * jax.nn.softmax(r[0]) / 5, None),
        Kind.TERM,
        "logits",
        where=lambda i: i[1] == cross_entropy.drawn(1)[i[0]],
    ),
    wrong(
        "cross-entropy-target-only",
        "− t/b without p: the loss of log p alone",
        cross_entropy,
        lambda r, dloss, dlogits, _: (-dloss * one_hot(r[1], r[0]) / 5, None),
        (Kind.TERM, Kind.PART_ZERO),
        "logits",
    ),
    wrong(
        "cross-entropy-each-summed",
        "a cotangent for each sample, their mean used for all",
        each_cross_entropy,
        lambda r, dy, dlogits, _: (
            dy.mean() * (jax.nn.softmax(r[0]) - one_hot(r[1], r[0])),
            None,
        ),
        (Kind.UPSTREAM, Kind.MISSING_FACTOR),
        "logits",
    ),
    wrong(
        "label-smoothing",
        "one-hot targets in the backward of a smoothed loss",
        smoothed_cross_entropy,
        lambda r, dloss, dlogits, _: (
            dloss * (jax.nn.softmax(r[0]) - one_hot(r[1], r[0])) / 5,
            None,
        ),
        Kind.TERM,
        "logits",
    ),
    wrong(
        "padding-counted",
        "padded tokens get a gradient",
        padded_cross_entropy,
        lambda r, dloss, dlogits, _: (
            dloss * (jax.nn.softmax(r[0]) - one_hot(r[1], r[0])) / 3,
            None,
        ),
        Kind.MISSING_FACTOR,
        "logits",
        where=lambda i: i[0] in {1, 4},
    ),
    wrong(
        "padding-in-the-count",
        "divided by all tokens in place of those kept",
        padded_cross_entropy,
        lambda r, dloss, dlogits, _: (dlogits * (3 / 5), None),
        Kind.FACTOR,
        "logits",
    ),
    wrong(
        "class-weights",
        "the weights of the classes forgotten",
        weighted_cross_entropy,
        lambda r, dloss, dlogits, _, dw: (dlogits / r[2][r[1]][:, None], None, dw),
        Kind.MISSING_FACTOR,
        "logits",
    ),
    wrong(
        "class-weights-overwritten",
        "dweights assigned by label: of samples of one class only the last counts",
        weighted_cross_entropy,
        lambda r, dloss, dlogits, _, dw: (
            dlogits,
            None,
            jnp.zeros_like(dw).at[r[1]].set(dloss * each_cross_entropy.primal(r[0], r[1]) / 5),
        ),
        (Kind.PART_ZERO, Kind.FEW, Kind.TERM),
        "weights",
        where=lambda i: (weighted_cross_entropy.drawn(1) == i[0]).sum() > 1,
    ),
    wrong(
        "z-loss",
        "the term 0.2 z p of a z-loss forgotten",
        z_cross_entropy,
        lambda r, dloss, dlogits, _: (
            dloss * (jax.nn.softmax(r[0]) - one_hot(r[1], r[0])) / 5,
            None,
        ),
        Kind.TERM,
        "logits",
    ),
    wrong(
        "binary-no-sigmoid",
        "u − t in place of σ(u) − t",
        binary,
        lambda r, dloss, du, dt: (dloss * (r[0] - r[1]) / 18, dt),
        (Kind.TERM, Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "logits",
    ),
    wrong(
        "binary-half-the-axes",
        "the mean over the batch only",
        binary,
        lambda r, dloss, du, dt: (du * 3, dt),
        Kind.FACTOR,
        "logits",
    ),
    wrong(
        "binary-target",
        "+ u/n for the target",
        binary,
        lambda r, dloss, du, dt: (du, -dt),
        Kind.SIGN,
        "targets",
    ),
    wrong(
        "squared-error-sigmoid-slope",
        "δ = a − t for a squared error, which needs ⊙ σ'",
        squared_sigmoid,
        lambda r, dloss, du, dt: (dloss * (logistic(r[0]) - r[1]), dt),
        (Kind.MISSING_FACTOR, Kind.SWAPPED),
        "u",
    ),
    wrong(
        "squared-error-half",
        "½ in the loss, 2 in the gradient",
        squared,
        lambda r, dloss, dy, dt: (2 * dy, dt),
        Kind.FACTOR,
        "y",
    ),
    wrong(
        "squared-error-target",
        "the same sign for target and prediction",
        squared,
        lambda r, dloss, dy, dt: (dy, dy),
        (Kind.SIGN, Kind.SWAPPED),
        "target",
    ),
    wrong(
        "huber-unclipped",
        "the error, not clipped to ±1",
        huber,
        lambda r, dy, dx, dt: (dy * (r[0] - r[1]), dt),
        (Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "y",
        where=lambda i: bool(abs(_residuals()[i]) > 1),
    ),
    wrong(
        "huber-dead",
        "0 beyond ±1",
        huber,
        lambda r, dy, dx, dt: (jnp.where(jnp.abs(r[0] - r[1]) < 1, dx, 0), dt),
        Kind.PART_ZERO,
        "y",
        where=lambda i: bool(abs(_residuals()[i]) > 1),
    ),
    wrong(
        "divergence-one",
        "log p − log q without + 1",
        divergence,
        lambda r, dy, dp, dq: (dp - dy[:, None], dq),
        Kind.TERM,
        "p",
    ),
    wrong(
        "divergence-as-softmax",
        "q − p in place of − p: as if log q were logits",
        divergence,
        lambda r, dy, dp, dq: (dp, dq + dy[:, None] * jax.nn.softmax(r[1])),
        (Kind.TERM, Kind.UNKNOWN),
        "log_q",
    ),
    wrong(
        "hinge-margin",
        "0 in place of 1 for the margin",
        hinge,
        lambda r, dloss, ds, dt: (-dloss * r[1] * (r[1] * r[0] < 0).astype(dloss.dtype), dt),
        Kind.PART_ZERO,
        "scores",
        where=lambda i: bool(0 <= _margins()[i] < 1),
    ),
    wrong(
        "cosine-term",
        "− y â forgotten",
        cosine_similarity,
        lambda r, dy, da, db: (dy[:, None] * r["ra"] * r["b"], db),
        Kind.TERM,
        "a",
    ),
    wrong(
        "cosine-length",
        "1/‖a‖ forgotten",
        cosine_similarity,
        lambda r, dy, da, db: (da / r["ra"], db),
        Kind.MISSING_FACTOR,
        "a",
    ),
    wrong(
        "cosine-swapped",
        "db for da",
        cosine_similarity,
        lambda r, dy, da, db: (db, da),
        Kind.SWAPPED,
        ("a", "b"),
    ),
)
