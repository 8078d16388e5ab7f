"""Softmax and the normalisations with their backward passes, right."""

import jax
import jax.numpy as jnp
import numpy as np
from entry import Op, normal, normals, saving


def mean(x):
    """Return the mean over the last axis, which stays."""
    return x.mean(-1, keepdims=True)


def total(x):
    """Return the sum over the last axis, which stays."""
    return x.sum(-1, keepdims=True)


def along(vector, x):
    """Return a vector laid along the last axis of x."""
    return jnp.broadcast_to(vector, x.shape)


def _softmax(x):
    e = jnp.exp(x - x.max(-1, keepdims=True))
    return e / total(e)


softmax = Op(
    _softmax,
    saving(_softmax, lambda y, x: {"y": y}),
    lambda r, dy: (r["y"] * (dy - total(r["y"] * dy)),),
    normals((4, 5)),
)
square_softmax = softmax.at(normals((5, 5)))


def _log_softmax(x):
    return x - jax.scipy.special.logsumexp(x, axis=-1, keepdims=True)


log_softmax = Op(
    _log_softmax,
    saving(_log_softmax, lambda y, x: {"y": y}),
    lambda r, dy: (dy - jnp.exp(r["y"]) * total(dy),),
    normals((3, 4)),
)


def _logsumexp(x):
    return jax.scipy.special.logsumexp(x, axis=-1)


logsumexp = Op(
    _logsumexp,
    saving(_logsumexp, lambda y, x: {"x": x, "y": y}),
    lambda r, dy: (dy[..., None] * jnp.exp(r["x"] - r["y"][..., None]),),
    normals((2, 3, 5)),
)


def _standardise(x, eps):
    c = x - mean(x)
    rstd = 1 / jnp.sqrt(mean(c**2) + eps)
    return c * rstd, rstd


def layer_norm_of(eps):
    """Return layer normalisation over the last axis with this ε."""

    def primal(x, scale, bias):
        x_hat = _standardise(x, eps)[0]
        return x_hat * along(scale, x) + along(bias, x)

    def forward(x, scale, bias):
        x_hat, rstd = _standardise(x, eps)
        y = x_hat * along(scale, x) + along(bias, x)
        return y, {"x": x, "x_hat": x_hat, "rstd": rstd, "scale": scale}

    return Op(primal, forward, _layer_norm_backward, normals((5, 7), (7,), (7,)))


def layer_norm_dx(r, dx_hat):
    """Return dx of the cotangent of x̂."""
    x_hat = r["x_hat"]
    return r["rstd"] * (dx_hat - mean(dx_hat) - x_hat * mean(dx_hat * x_hat))


def _layer_norm_backward(r, dy):
    batch = tuple(range(dy.ndim - 1))
    dx = layer_norm_dx(r, dy * along(r["scale"], dy))
    return dx, (dy * r["x_hat"]).sum(batch), dy.sum(batch)


layer_norm = layer_norm_of(1e-5)
layer_norm_rank_3 = layer_norm.at(normals((2, 3, 7), (7,), (7,)))


def _narrow(rng):
    x, scale, bias = normals((5, 7), (7,), (7,))(rng)
    return x / 64, scale, bias


# ε is far from small beside a variance of 2⁻¹².
narrow_layer_norm = layer_norm_of(1e-3).at(_narrow)


def _rms_norm(x, scale):
    return x / jnp.sqrt(mean(x**2) + 1e-6) * along(scale, x)


def _rms_norm_forward(x, scale):
    rrms = 1 / jnp.sqrt(mean(x**2) + 1e-6)
    return x * rrms * along(scale, x), {"x": x, "x_hat": x * rrms, "rrms": rrms, "scale": scale}


def _rms_norm_backward(r, dy):
    dx_hat = dy * along(r["scale"], dy)
    dx = r["rrms"] * (dx_hat - r["x_hat"] * mean(dx_hat * r["x_hat"]))
    return dx, (dy * r["x_hat"]).sum(tuple(range(dy.ndim - 1)))


rms_norm = Op(_rms_norm, _rms_norm_forward, _rms_norm_backward, normals((3, 2, 5), (5,)))


def _batch_norm(x, scale, bias):
    c = x - x.mean(0)[None]
    x_hat = c / jnp.sqrt((c**2).mean(0) + 1e-5)[None]
    return x_hat * scale[None] + bias[None]


def _batch_norm_forward(x, scale, bias):
    c = x - x.mean(0)[None]
    rstd = 1 / jnp.sqrt((c**2).mean(0) + 1e-5)
    x_hat = c * rstd[None]
    r = {"x": x, "x_hat": x_hat, "rstd": rstd, "scale": scale}
    return x_hat * scale[None] + bias[None], r


def _batch_norm_backward(r, dy):
    x_hat, dx_hat = r["x_hat"], dy * r["scale"][None]
    projected = dx_hat - dx_hat.mean(0)[None] - x_hat * (dx_hat * x_hat).mean(0)[None]
    return projected * r["rstd"][None], (dy * x_hat).sum(0), dy.sum(0)


batch_norm = Op(_batch_norm, _batch_norm_forward, _batch_norm_backward, normals((9, 3), (3,), (3,)))

GROUPED = (1, 2, 4)


def _group_norm(x):
    g = x.reshape(*x.shape[:3], 2, 3)
    c = g - g.mean(GROUPED, keepdims=True)
    return (c / jnp.sqrt((c**2).mean(GROUPED, keepdims=True) + 1e-5)).reshape(x.shape)


def _group_norm_forward(x):
    g = x.reshape(*x.shape[:3], 2, 3)
    c = g - g.mean(GROUPED, keepdims=True)
    rstd = 1 / jnp.sqrt((c**2).mean(GROUPED, keepdims=True) + 1e-5)
    return (c * rstd).reshape(x.shape), {"x_hat": c * rstd, "rstd": rstd}


def group_norm_dx(r, dy, axes):
    """Return dx with the means taken over these axes of (b, h, w, group, channel)."""
    x_hat, rstd = r["x_hat"], r["rstd"]
    d = dy.reshape(x_hat.shape)
    inner = (d * x_hat).mean(axes, keepdims=True)
    return (rstd * (d - d.mean(axes, keepdims=True) - x_hat * inner)).reshape(dy.shape)


group_norm = Op(
    _group_norm,
    _group_norm_forward,
    lambda r, dy: (group_norm_dx(r, dy, GROUPED),),
    normals((2, 3, 2, 6)),
)


def _unit(x):
    return x / jnp.sqrt(total(x**2))


def _unit_forward(x):
    rnorm = 1 / jnp.sqrt(total(x**2))
    return x * rnorm, {"y": x * rnorm, "rnorm": rnorm}


unit = Op(
    _unit,
    _unit_forward,
    lambda r, dy: (r["rnorm"] * (dy - r["y"] * total(r["y"] * dy)),),
    normals((4, 3)),
)


def _weight_norm(v, g):
    return v / jnp.sqrt((v**2).sum(0))[None] * g[None]


def _weight_norm_forward(v, g):
    rnorm = 1 / jnp.sqrt((v**2).sum(0))
    n = v * rnorm[None]
    return n * g[None], {"n": n, "rnorm": rnorm, "g": g}


def _weight_norm_backward(r, dW):
    n, rnorm, g = r["n"], r["rnorm"], r["g"]
    dg = (dW * n).sum(0)
    return (g * rnorm)[None] * (dW - n * dg[None]), dg


weight_norm = Op(_weight_norm, _weight_norm_forward, _weight_norm_backward, normals((5, 3), (3,)))


def _variance(x):
    return ((x - mean(x)) ** 2).mean(-1)


variance = Op(
    _variance,
    saving(_variance, lambda y, x: {"c": x - mean(x)}),
    lambda r, dy: (2 * dy[..., None] * r["c"] / r["c"].shape[-1],),
    normals((3, 7)),
)


def _deviation(x):
    return jnp.sqrt(_variance(x))


deviation = Op(
    _deviation,
    saving(_deviation, lambda y, x: {"c": x - mean(x), "y": y}),
    lambda r, dy: (dy[..., None] * r["c"] / (r["c"].shape[-1] * r["y"][..., None]),),
    normals((3, 7)),
)


def _average(x):
    return x.mean((1, 2))


average = Op(
    _average,
    saving(_average),
    lambda r, dy: (jnp.broadcast_to(dy[:, None, None], r[0].shape) / 15,),
    normals((2, 3, 5)),
)


def _masked_mean(x, keep):
    kept = keep.astype(x.dtype)
    return (x * kept).sum(1) / kept.sum(1)


def _masked_mean_backward(residual, dy):
    x, keep = residual
    kept = keep.astype(x.dtype)
    return kept * (dy / kept.sum(1))[:, None], None


masked_mean = Op(
    _masked_mean,
    saving(_masked_mean),
    _masked_mean_backward,
    lambda rng: (normal(rng, 3, 6), np.arange(6)[None] < np.array([[2], [6], [3]])),
)


def _norm(x):
    square = total(x**2)[..., 0]
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _norm_backward(r, dy):
    x, y = r["x"], r["y"]
    return (x * jnp.where(y > 0, dy / jnp.where(y > 0, y, 1), 0)[..., None],)


norm = Op(_norm, saving(_norm, lambda y, x: {"x": x, "y": y}), _norm_backward, normals((4, 3)))
