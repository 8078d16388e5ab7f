"""Wrong convolutions, pools and paddings: a flipped kernel, a stride, a border, a window."""

import jax.numpy as jnp
import numpy as np
from entry import normals, wrong
from ops_convolution import (
    average_pool,
    conv,
    conv_1d_dkernel,
    conv_2d,
    counts,
    every_other,
    interleave,
    max_pool,
    max_pool_dx,
    pad,
    padded_average,
    padded_dx,
    smooth,
    spread,
    strided_conv,
    three_wide_sum,
    upsample,
    valid_conv,
)

from jax_ref.verdict import Kind

SQUARE = conv.at(normals((2, 6, 3), (3, 3, 3)))
# Every largest entry of a window is there twice.
TIED = max_pool.at(lambda rng: (np.array([[2.0, 2, 0, 1, 1, 1, 3, 3, 0], [1, 1, 1] * 3]),))
# The largest entry of the middle lies in two windows.
SHARED = max_pool.at(lambda rng: (np.array([[0.5, 1, 4, 2, 3.5, 1, 5, 0, 1]]),))


def _blocked(length):
    """Return whether an index lies in the last, partial block of 4."""
    return lambda i: i[1] >= length - length % 4


def _first_of_window(r, dy):
    dx = jnp.zeros_like(r[0])
    return dx.at[:, : 2 * dy.shape[1] : 2].set(dy)


def _every_tie(r, dy):
    x, count = r[0], dy.shape[1]
    dx = jnp.zeros_like(x)
    for k in range(3):
        at = slice(k, k + 2 * (count - 1) + 1, 2)
        largest = max_pool.primal(x)
        dx = dx.at[:, at].add(jnp.where(x[:, at] == largest, dy, 0))
    return dx


ENTRIES = (
    wrong(
        "conv-dx-kernel-unflipped",
        "dy convolved with the kernel as it is: right for a symmetric kernel",
        conv,
        lambda r, dy, dx, dk: (padded_dx(dy, r[0], r[1][::-1], 1, 1)[:, 1:-1], dk),
        (Kind.FLIPPED, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "conv-dkernel-flipped",
        "dkernel back to front",
        conv,
        lambda r, dy, dx, dk: (dx, dk[::-1]),
        Kind.FLIPPED,
        "kernel",
        where=lambda i: i[0] != 1,
    ),
    wrong(
        "conv-dkernel-channels",
        "input and output channels exchanged, square",
        SQUARE,
        lambda r, dy, dx, dk: (dx, jnp.einsum("kcd->kdc", dk)),
        Kind.PERMUTED,
        "kernel",
    ),
    wrong(
        "conv-dkernel-off-by-one",
        "dkernel read one step later: the padding forgotten on one side",
        conv,
        lambda r, dy, dx, dk: (
            dx,
            conv_1d_dkernel(dy, jnp.pad(r[0][:, 1:], ((0, 0), (0, 1), (0, 0))), r[1], 1, 1),
        ),
        (Kind.PART_ZERO, Kind.UNKNOWN),
        "kernel",
    ),
    wrong(
        "conv-padding-not-cropped",
        "dx with the padding's cotangent on it",
        conv,
        lambda r, dy, dx, dk: (padded_dx(dy, *r, 1, 1), dk),
        Kind.SHAPE,
        "x",
    ),
    wrong(
        "conv-padding-cropped-at-one-end",
        "dx shifted by the padding",
        conv,
        lambda r, dy, dx, dk: (padded_dx(dy, *r, 1, 1)[:, 2:], dk),
        Kind.UNKNOWN,
        "x",
    ),
    wrong(
        "conv-border",
        "the taps that reach into the padding left out: right inside",
        conv,
        lambda r, dy, dx, dk: (
            dx.at[:, :1].set(0).at[:, -1:].set(0),
            dk,
        ),
        Kind.PART_ZERO,
        "x",
        where=lambda i: i[1] in {0, 6},
    ),
    wrong(
        "conv-stride-ignored",
        "dx laid at stride 1",
        strided_conv,
        lambda r, dy, dx, dk: (
            padded_dx(jnp.pad(dy, ((0, 0), (0, 3), (0, 0))), *r, 1, 1)[:, 1:-1],
            dk,
        ),
        Kind.UNKNOWN,
        "x",
    ),
    wrong(
        "conv-stride-in-dkernel",
        "dkernel read at stride 1",
        strided_conv,
        lambda r, dy, dx, dk: (dx, conv_1d_dkernel(dy, *r, 1, 1)),
        Kind.UNKNOWN,
        "kernel",
    ),
    wrong(
        "conv-stride-remainder",
        "stride 2, even length: the last position left at 0",
        strided_conv.at(normals((2, 8, 3), (3, 3, 4))),
        lambda r, dy, dx, dk: (dx.at[:, -1].set(0), dk),
        Kind.PART_ZERO,
        "x",
        where=lambda i: i[1] == 7,
    ),
    wrong(
        "conv-last-block",
        "time in blocks of 4: the last, partial block left out of dx",
        valid_conv,
        lambda r, dy, dx, dk: (dx.at[:, 4:].set(0), dk),
        Kind.PART_ZERO,
        "x",
        where=_blocked(7),
    ),
    wrong(
        "conv-batch",
        "dkernel of the first sample",
        conv,
        lambda r, dy, dx, dk: (dx, conv_1d_dkernel(dy[:1], r[0][:1], r[1], 1, 1)),
        (Kind.BATCH_SUM, Kind.TERM),
        "kernel",
    ),
    wrong(
        "conv-2d-dkernel-flipped",
        "dkernel turned by 180°",
        conv_2d,
        lambda r, dy, dx, dk, db: (dx, dk[::-1, ::-1], db),
        Kind.FLIPPED,
        "kernel",
        where=lambda i: i[:2] != (1, 1),
    ),
    wrong(
        "conv-2d-dkernel-one-axis",
        "dkernel flipped along its width",
        conv_2d,
        lambda r, dy, dx, dk, db: (dx, dk[:, ::-1], db),
        Kind.FLIPPED,
        "kernel",
        where=lambda i: i[1] != 1,
    ),
    wrong(
        "conv-2d-dkernel-transposed",
        "height and width of dkernel exchanged, square",
        conv_2d,
        lambda r, dy, dx, dk, db: (dx, jnp.einsum("ijcd->jicd", dk), db),
        Kind.PERMUTED,
        "kernel",
        where=lambda i: i[0] != i[1],
    ),
    wrong(
        "conv-2d-channels",
        "the kernel's channels exchanged in dx, square",
        conv_2d,
        lambda r, dy, dx, dk, db: (
            conv_2d.backward((r[0], jnp.einsum("ijcd->ijdc", r[1]), r[2]), dy)[0],
            dk,
            db,
        ),
        (Kind.PERMUTED, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "conv-2d-bias-averaged",
        "dbias averaged over the pixels",
        conv_2d,
        lambda r, dy, dx, dk, db: (dx, dk, dy.mean((1, 2)).sum(0)),
        (Kind.BATCH_SUM, Kind.FACTOR),
        "bias",
    ),
    wrong(
        "conv-2d-bias-batch",
        "dbias summed over the batch only",
        conv_2d,
        lambda r, dy, dx, dk, db: (dx, dk, dy[:, 0, 0].sum(0)),
        Kind.BATCH_SUM,
        "bias",
    ),
    wrong(
        "average-pool-one-side",
        "1/n for a window of n × n",
        average_pool,
        lambda r, dy, dx: (spread(dy) / 2,),
        Kind.FACTOR,
        "x",
    ),
    wrong(
        "average-pool-one-pixel",
        "all of dy to the window's first pixel",
        average_pool,
        lambda r, dy, dx: (jnp.zeros_like(dx).at[:, ::2, ::2].set(dy),),
        (Kind.PART_ZERO, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "padded-average-count",
        "1/3 at the borders, where a window holds 2",
        padded_average,
        lambda r, dy, dx: (three_wide_sum(dy) / 3,),
        (Kind.FEW, Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "x",
        where=lambda i: i[1] in {0, 1, 5, 6},
    ),
    wrong(
        "padded-average-count-of-input",
        "divided by the count of the input's window in place of the output's",
        padded_average,
        lambda r, dy, dx: (three_wide_sum(dy) / counts(7).astype(dy.dtype)[None],),
        (Kind.FEW, Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "x",
        where=lambda i: i[1] in {0, 1, 5, 6},
    ),
    wrong(
        "max-pool-first",
        "dy to the first entry of the window in place of the largest",
        max_pool,
        lambda r, dy, dx: (_first_of_window(r, dy),),
        Kind.UNKNOWN,
        "x",
    ),
    wrong(
        "max-pool-overlap",
        "assigned where two windows share their largest entry",
        SHARED,
        lambda r, dy, dx: (max_pool_dx(r[0], dy, add=False),),
        (Kind.PART_ZERO, Kind.FEW, Kind.TERM),
        "x",
        where=lambda i: i[1] in {2, 6},
    ),
    wrong(
        "max-pool-ties",
        "all of dy to every tied entry",
        TIED,
        lambda r, dy, dx: (_every_tie(r, dy),),
        (Kind.FACTOR, Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "pad-cropped",
        "cropped by (2, 1) for a padding of (1, 2)",
        pad,
        lambda r, dy, dx: (dy[:, 2:-1],),
        Kind.UNKNOWN,
        "x",
    ),
    wrong(
        "upsample-one-copy",
        "one of the four copies in place of their sum",
        upsample,
        lambda r, dy, dx: (dy[:, ::2, ::2],),
        (Kind.BATCH_SUM, Kind.TERM, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "upsample-averaged",
        "the mean of the four copies",
        upsample,
        lambda r, dy, dx: (dx / 4,),
        (Kind.FACTOR, Kind.BATCH_SUM),
        "x",
    ),
    wrong(
        "interleave-odd-length",
        "the last entry of an odd length left at 0",
        every_other,
        lambda r, dy, dx: (interleave(dy[0], dy[1]).at[-1].set(0),),
        Kind.PART_ZERO,
        "x",
        where=lambda i: i[0] == 6,
    ),
    wrong(
        "interleave-exchanged",
        "odd entries before even ones",
        every_other.at(normals((6, 2))),
        lambda r, dy, dx: (interleave(dy[1], dy[0]),),
        (Kind.UPSTREAM, Kind.SWAPPED, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "smooth-one-tap-short",
        "a window of 2 for a window of 3",
        smooth,
        lambda r, dy, dx: (dx - jnp.pad(dy, (2, 0)),),
        (Kind.TERM, Kind.UNKNOWN),
        "x",
        where=lambda i: i[0] >= 2,
    ),
)
