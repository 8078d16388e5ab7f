"""Wrong softmaxes and normalisations: a term, a factor, the axis or the count of a mean."""

import jax.numpy as jnp
import numpy as np
from entry import DTYPES, exactly, normal, normals, written, wrong
from ops_normalization import (
    along,
    average,
    batch_norm,
    deviation,
    group_norm,
    group_norm_dx,
    layer_norm,
    layer_norm_dx,
    layer_norm_rank_3,
    log_softmax,
    logsumexp,
    masked_mean,
    mean,
    narrow_layer_norm,
    norm,
    rms_norm,
    softmax,
    square_softmax,
    total,
    unit,
    variance,
    weight_norm,
)

from jax_ref.verdict import Kind

LONG_ROWS = layer_norm.at(normals((3, 37), (37,), (37,)))
ZERO_ROW = norm.at(lambda rng: (normals((4, 3))(rng)[0] * np.array([[1], [1], [0], [1]]),))


def _without_epsilon(r, dx_hat):
    """Return dx with 1/σ taken anew from x and ε forgotten."""
    variance = mean((r["x"] - mean(r["x"])) ** 2)
    return layer_norm_dx({**r, "rstd": 1 / jnp.sqrt(variance)}, dx_hat)


def _unbiased(r, dx_hat):
    """Return dx with the mean of dx̂ x̂ taken over n − 1."""
    x_hat, n = r["x_hat"], dx_hat.shape[-1]
    inner = total(dx_hat * x_hat) / (n - 1)
    return r["rstd"] * (dx_hat - mean(dx_hat) - x_hat * inner)


ENTRIES = (
    wrong(
        "softmax-term",
        "y dy without − y ⟨y, dy⟩",
        softmax,
        lambda r, dy, dx: (r["y"] * dy,),
        Kind.TERM,
        "x",
    ),
    wrong(
        "softmax-mean",
        "the mean of y dy in place of its sum",
        softmax,
        lambda r, dy, dx: (r["y"] * (dy - mean(r["y"] * dy)),),
        Kind.TERM,
        "x",
    ),
    wrong(
        "softmax-axis",
        "⟨y, dy⟩ over the batch, square",
        square_softmax,
        lambda r, dy, dx: (r["y"] * (dy - (r["y"] * dy).sum(0)[None]),),
        (Kind.TERM, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "softmax-diagonal",
        "y (1 − y) dy: the Jacobian's diagonal only",
        softmax,
        lambda r, dy, dx: (r["y"] * (1 - r["y"]) * dy,),
        (Kind.TERM, Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "softmax-factor",
        "dy − ⟨y, dy⟩ without the y in front",
        softmax,
        lambda r, dy, dx: (dy - total(r["y"] * dy),),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "log-softmax-term",
        "dy without − y Σ dy",
        log_softmax,
        lambda r, dy, dx: (dy,),
        Kind.TERM,
        "x",
    ),
    wrong(
        "log-softmax-exp",
        "log y for y in − y Σ dy",
        log_softmax,
        lambda r, dy, dx: (dy - r["y"] * total(dy),),
        (Kind.TERM, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "logsumexp-unnormalised",
        "eˣ in place of softmax x",
        logsumexp,
        lambda r, dy, dx: (dy[..., None] * jnp.exp(r["x"]),),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "logsumexp-upstream",
        "softmax x whatever dy",
        logsumexp,
        lambda r, dy, dx: (jnp.exp(r["x"] - r["y"][..., None]),),
        Kind.UPSTREAM,
        "x",
    ),
    wrong(
        "logsumexp-as-max",
        "all of dy to the largest entry",
        logsumexp,
        lambda r, dy, dx: (
            dy[..., None] * (r["x"] == r["x"].max(-1, keepdims=True)).astype(dy.dtype),
        ),
        (Kind.PART_ZERO, Kind.MISSING_FACTOR, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "layer-norm-mean-term",
        "− ⟨dx̂⟩ forgotten",
        layer_norm,
        lambda r, dy, dx, ds, db: (
            r["rstd"]
            * (
                dy * along(r["scale"], dy)
                - r["x_hat"] * mean(dy * along(r["scale"], dy) * r["x_hat"])
            ),
            ds,
            db,
        ),
        Kind.TERM,
        "x",
    ),
    wrong(
        "layer-norm-variance-term",
        "− x̂ ⟨dx̂ x̂⟩ forgotten: the variance taken for a constant",
        layer_norm,
        lambda r, dy, dx, ds, db: (
            r["rstd"] * (dy * along(r["scale"], dy) - mean(dy * along(r["scale"], dy))),
            ds,
            db,
        ),
        Kind.TERM,
        "x",
    ),
    wrong(
        "layer-norm-both-terms",
        "both terms forgotten: mean and variance taken for constants",
        layer_norm,
        lambda r, dy, dx, ds, db: (r["rstd"] * dy * along(r["scale"], dy), ds, db),
        Kind.TERM,
        "x",
    ),
    wrong(
        "layer-norm-rstd",
        "dx without 1/σ",
        layer_norm,
        lambda r, dy, dx, ds, db: (dx / r["rstd"], ds, db),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "layer-norm-rstd-squared",
        "dx with 1/σ²",
        layer_norm,
        lambda r, dy, dx, ds, db: (dx * r["rstd"], ds, db),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "layer-norm-scale",
        "dx of dy in place of dy ⊙ scale",
        layer_norm,
        lambda r, dy, dx, ds, db: (layer_norm_dx(r, dy), ds, db),
        (Kind.MISSING_FACTOR, Kind.TERM, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "layer-norm-scale-after",
        "the scale multiplied in after the projection",
        layer_norm,
        lambda r, dy, dx, ds, db: (layer_norm_dx(r, dy) * along(r["scale"], dy), ds, db),
        (Kind.TERM, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "layer-norm-dscale-of-x",
        "dscale with x in place of x̂",
        layer_norm,
        lambda r, dy, dx, ds, db: (dx, (dy * r["x"]).sum(0), db),
        (Kind.TERM, Kind.MISSING_FACTOR),
        "scale",
    ),
    wrong(
        "layer-norm-dscale-as-dbias",
        "Σ dy for dscale",
        layer_norm,
        lambda r, dy, dx, ds, db: (dx, db, db),
        (Kind.MISSING_FACTOR, Kind.SWAPPED, Kind.UNKNOWN),
        "scale",
    ),
    wrong(
        "layer-norm-dscale-averaged",
        "the mean over the batch for dscale",
        layer_norm,
        lambda r, dy, dx, ds, db: (dx, ds / 5, db),
        (Kind.BATCH_SUM, Kind.FACTOR),
        "scale",
    ),
    wrong(
        "layer-norm-parameters-swapped",
        "dbias before dscale",
        layer_norm,
        lambda r, dy, dx, ds, db: (dx, db, ds),
        Kind.SWAPPED,
        ("scale", "bias"),
    ),
    wrong(
        "layer-norm-rank-3",
        "dscale summed over the first axis of two: right for rank 2",
        layer_norm_rank_3,
        lambda r, dy, dx, ds, db: (dx, (dy * r["x_hat"]).sum(0), db),
        (Kind.SHAPE, Kind.BATCH_SUM),
        "scale",
    ),
    wrong(
        "layer-norm-rank-3-time-averaged",
        "dbias summed over the batch and averaged over time",
        layer_norm_rank_3,
        lambda r, dy, dx, ds, db: (dx, ds, dy.sum(0).mean(0)),
        (Kind.BATCH_SUM, Kind.FACTOR),
        "bias",
    ),
    wrong(
        "layer-norm-epsilon",
        "ε forgotten where 1/σ is taken anew, small variance",
        narrow_layer_norm,
        lambda r, dy, dx, ds, db: (_without_epsilon(r, dy * along(r["scale"], dy)), ds, db),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "layer-norm-unbiased",
        "n − 1 in place of n in the mean of dx̂ x̂",
        layer_norm,
        lambda r, dy, dx, ds, db: (_unbiased(r, dy * along(r["scale"], dy)), ds, db),
        Kind.TERM,
        "x",
    ),
    wrong(
        "layer-norm-last-block",
        "37 features in blocks of 16: the last, partial one left at 0",
        LONG_ROWS,
        lambda r, dy, dx, ds, db: (dx.at[:, 32:].set(0), ds, db),
        Kind.PART_ZERO,
        "x",
        where=lambda i: i[1] >= 32,
    ),
    wrong(
        "rms-norm-term",
        "− x̂ ⟨dx̂ x̂⟩ forgotten, rank 3",
        rms_norm,
        lambda r, dy, dx, ds: (r["rrms"] * dy * along(r["scale"], dy), ds),
        Kind.TERM,
        "x",
    ),
    wrong(
        "rms-norm-sum",
        "the sum of dx̂ x̂ in place of its mean",
        rms_norm,
        lambda r, dy, dx, ds: (
            r["rrms"]
            * (
                dy * along(r["scale"], dy)
                - r["x_hat"] * total(dy * along(r["scale"], dy) * r["x_hat"])
            ),
            ds,
        ),
        Kind.TERM,
        "x",
    ),
    wrong(
        "rms-norm-centred",
        "layer norm's backward: − ⟨dx̂⟩ as well",
        rms_norm,
        lambda r, dy, dx, ds: (dx - r["rrms"] * mean(dy * along(r["scale"], dy)), ds),
        Kind.TERM,
        "x",
    ),
    wrong(
        "batch-norm-as-at-inference",
        "running statistics' backward in training: mean and variance constant",
        batch_norm,
        lambda r, dy, dx, ds, db: (dy * (r["scale"] * r["rstd"])[None], ds, db),
        Kind.TERM,
        "x",
    ),
    wrong(
        "batch-norm-variance-term",
        "− x̂ ⟨dx̂ x̂⟩ forgotten",
        batch_norm,
        lambda r, dy, dx, ds, db: (
            (dy - dy.mean(0)[None]) * (r["scale"] * r["rstd"])[None],
            ds,
            db,
        ),
        Kind.TERM,
        "x",
    ),
    wrong(
        "batch-norm-axis",
        "the means over the features in place of the batch, square",
        batch_norm.at(normals((5, 5), (5,), (5,))),
        lambda r, dy, dx, ds, db: (
            r["rstd"][None]
            * (
                dy * r["scale"][None]
                - mean(dy * r["scale"][None])
                - r["x_hat"] * mean(dy * r["scale"][None] * r["x_hat"])
            ),
            ds,
            db,
        ),
        (Kind.TERM, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "batch-norm-scale",
        "dx without the scale",
        batch_norm,
        lambda r, dy, dx, ds, db: (dx / r["scale"][None], ds, db),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "batch-norm-dscale-rstd",
        "dscale of x − ⟨x⟩ in place of x̂",
        batch_norm,
        lambda r, dy, dx, ds, db: (dx, ds / r["rstd"], db),
        Kind.MISSING_FACTOR,
        "scale",
    ),
    wrong(
        "group-norm-axes",
        "the means over all channels in place of the group's, rank 4",
        group_norm,
        lambda r, dy, dx: (group_norm_dx(r, dy, (1, 2, 3, 4)),),
        (Kind.TERM, Kind.UNKNOWN),
        "x",
    ),
    wrong(
        "group-norm-rstd",
        "dx without 1/σ, rank 4",
        group_norm,
        lambda r, dy, dx: ((dx.reshape(r["x_hat"].shape) / r["rstd"]).reshape(dx.shape),),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "unit-term",
        "− y ⟨y, dy⟩ forgotten",
        unit,
        lambda r, dy, dx: (r["rnorm"] * dy,),
        Kind.TERM,
        "x",
    ),
    wrong(
        "unit-factor",
        "dx without 1/‖x‖",
        unit,
        lambda r, dy, dx: (dx / r["rnorm"],),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "weight-norm-term",
        "dv without the projection",
        weight_norm,
        lambda r, dW, dv, dg: ((r["g"] * r["rnorm"])[None] * dW, dg),
        Kind.TERM,
        "v",
    ),
    wrong(
        "weight-norm-gain",
        "dv without g",
        weight_norm,
        lambda r, dW, dv, dg: (dv / r["g"][None], dg),
        Kind.MISSING_FACTOR,
        "v",
    ),
    wrong(
        "weight-norm-length",
        "dg with v in place of v/‖v‖",
        weight_norm,
        lambda r, dW, dv, dg: (dv, dg / r["rnorm"]),
        Kind.MISSING_FACTOR,
        "g",
    ),
    wrong(
        "variance-unbiased",
        "n − 1 in place of n",
        variance,
        lambda r, dy, dx: (dx * (7 / 6),),
        Kind.FACTOR,
        "x",
    ),
    wrong(
        "variance-two",
        "x − ⟨x⟩ without 2",
        variance,
        lambda r, dy, dx: (dx / 2,),
        Kind.FACTOR,
        "x",
    ),
    written(
        "variance-far-from-zero",
        "mean 1000, deviation 1: x − ⟨x⟩ saved with the error of ⟨x⟩ in it",
        variance.at(lambda rng: (1000 + normal(rng, 3, 7),)),
        Kind.PRECISION,
        "x",
        dtypes=DTYPES[1:],
    ),
    written(
        "logsumexp-far-from-zero",
        "exp(x − y) at x = 1e4, where y has no digits left behind the point",
        logsumexp.at(exactly([1e4, -1e4, 9992.0, 9999.0])),
        Kind.PRECISION,
        "x",
        dtypes=("float32",),  # 1e4 and 9999 are one number in bfloat16
    ),
    wrong(
        "deviation-of-variance",
        "the variance's backward for the deviation: 1/2σ forgotten",
        deviation,
        lambda r, dy, dx: (2 * dx * r["y"][..., None],),
        Kind.MISSING_FACTOR,
        "x",
    ),
    wrong(
        "average-as-sum",
        "1/n forgotten",
        average,
        lambda r, dy, dx: (15 * dx,),
        Kind.FACTOR,
        "x",
    ),
    wrong(
        "average-one-axis",
        "1/n of one axis of two",
        average,
        lambda r, dy, dx: (3 * dx,),
        Kind.FACTOR,
        "x",
    ),
    wrong(
        "masked-mean-count",
        "divided by the length in place of the number kept",
        masked_mean,
        lambda r, dy, dx, _: (r[1].astype(dy.dtype) * dy[:, None] / 6, None),
        Kind.MISSING_FACTOR,
        "x",
        where=lambda i: i[0] != 1 and bool(masked_mean.drawn(1)[i]),
    ),
    wrong(
        "masked-mean-mask",
        "the mask forgotten: padding gets a gradient",
        masked_mean,
        lambda r, dy, dx, _: (
            jnp.broadcast_to((dy / r[1].sum(1).astype(dy.dtype))[:, None], dx.shape),
            None,
        ),
        Kind.MISSING_FACTOR,
        "x",
        where=lambda i: not masked_mean.drawn(1)[i],
    ),
    wrong(
        "norm-of-zeros",
        "x/‖x‖ at a row of zeros: 0/0",
        ZERO_ROW,
        lambda r, dy, dx: (r["x"] * (dy / r["y"])[:, None],),
        Kind.NAN,
        "x",
        where=lambda i: i[0] == 2,
    ),
    wrong(
        "norm-squared",
        "2 x for ‖x‖, as of ‖x‖²",
        norm,
        lambda r, dy, dx: (2 * r["x"] * dy[:, None],),
        Kind.MISSING_FACTOR,
        "x",
    ),
)
