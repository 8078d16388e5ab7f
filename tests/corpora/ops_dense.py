"""Products of matrices with their backward passes, right."""

import jax.numpy as jnp
from entry import Op, normals, saving


def _linear(x, W, b):
    return x @ W + b[None]


def _linear_backward(residual, dy):
    x, W, _ = residual
    return dy @ W.T, x.T @ dy, dy.sum(0)


linear = Op(_linear, saving(_linear), _linear_backward, normals((5, 3), (3, 4), (4,)))
square_linear = linear.at(normals((4, 4), (4, 4), (4,)))


def _matmul(A, B):
    return A @ B


matmul = Op(
    _matmul,
    saving(_matmul),
    lambda r, dy: (dy @ r[1].T, r[0].T @ dy),
    normals((4, 4), (4, 4)),
)


def _batched(x, W):
    return jnp.einsum("bij,jk->bik", x, W)


def _batched_backward(residual, dy):
    x, W = residual
    return jnp.einsum("bik,jk->bij", dy, W), jnp.einsum("bij,bik->jk", x, dy)


batched = Op(_batched, saving(_batched), _batched_backward, normals((3, 2, 4), (4, 5)))


def _scores(q, k):
    return jnp.einsum("bthd,bshd->bhts", q, k)


def _scores_backward(residual, dy):
    q, k = residual
    return jnp.einsum("bhts,bshd->bthd", dy, k), jnp.einsum("bhts,bthd->bshd", dy, q)


scores = Op(_scores, saving(_scores), _scores_backward, normals((2, 3, 2, 5), (2, 3, 2, 5)))


def _shared_scores(q, k):
    return jnp.einsum("bthd,bsd->bhts", q, k)


def _shared_scores_backward(residual, dy):
    q, k = residual
    return jnp.einsum("bhts,bsd->bthd", dy, k), jnp.einsum("bhts,bthd->bsd", dy, q)


shared_scores = Op(
    _shared_scores,
    saving(_shared_scores),
    _shared_scores_backward,
    normals((2, 3, 4, 5), (2, 3, 5)),
)


def _heads(x):
    return jnp.transpose(x, (2, 0, 1))


heads = Op(
    _heads,
    saving(_heads, lambda y, x: ()),
    lambda r, dy: (jnp.transpose(dy, (1, 2, 0)),),
    normals((3, 3, 3)),
)


def _swap_middle(x):
    return jnp.transpose(x, (0, 2, 3, 1))


swap_middle = Op(
    _swap_middle,
    saving(_swap_middle, lambda y, x: ()),
    lambda r, dy: (jnp.transpose(dy, (0, 3, 1, 2)),),
    normals((2, 4, 4, 4)),
)


def _inner(x, w):
    return jnp.dot(x, w)


inner = Op(_inner, saving(_inner), lambda r, dy: (dy * r[1], dy * r[0]), normals((7,), (7,)))


def _gain(x, g):
    return x * g


def _gain_backward(residual, dy):
    x, g = residual
    return dy * g, (dy * x).sum(0, keepdims=True)


gain = Op(_gain, saving(_gain), _gain_backward, normals((5, 3), (1, 3)))


def _bilinear(x, A, z):
    return x @ A @ z


bilinear = Op(
    _bilinear,
    saving(_bilinear),
    lambda r, dy: (dy * (r[1] @ r[2]), dy * jnp.outer(r[0], r[2]), dy * (r[0] @ r[1])),
    normals((4,), (4, 4), (4,)),
)


def _tied(x, W):
    return jnp.tanh(x @ W) @ W


def _tied_forward(x, W):
    h = jnp.tanh(x @ W)
    return h @ W, {"x": x, "W": W, "h": h}


def _tied_backward(residual, dy):
    x, W, h = residual["x"], residual["W"], residual["h"]
    du = (dy @ W.T) * (1 - h**2)
    return du @ W.T, x.T @ du + h.T @ dy


tied = Op(_tied, _tied_forward, _tied_backward, normals((5, 4), (4, 4)))


def _mlp(params, x):
    h = jnp.tanh(x @ params["in"]["W"] + params["in"]["b"][None])
    return h @ params["out"]["W"] + params["out"]["b"][None]


def _mlp_forward(params, x):
    h = jnp.tanh(x @ params["in"]["W"] + params["in"]["b"][None])
    y = h @ params["out"]["W"] + params["out"]["b"][None]
    return y, {"params": params, "x": x, "h": h}


def _mlp_backward(residual, dy):
    params, x, h = residual["params"], residual["x"], residual["h"]
    du = (dy @ params["out"]["W"].T) * (1 - h**2)
    dparams = {
        "in": {"W": x.T @ du, "b": du.sum(0)},
        "out": {"W": h.T @ dy, "b": dy.sum(0)},
    }
    return dparams, du @ params["in"]["W"].T


def _mlp_draw(rng):
    W1, b1, W2, b2, x = normals((4, 4), (4,), (4, 4), (4,), (6, 4))(rng)
    return {"in": {"W": W1, "b": b1}, "out": {"W": W2, "b": b2}}, x


mlp = Op(_mlp, _mlp_forward, _mlp_backward, _mlp_draw)


def _two(x):
    return jnp.sin(x), x**2


two_outputs = Op(
    _two,
    saving(_two),
    lambda r, dy: (dy[0] * jnp.cos(r[0]) + 2 * dy[1] * r[0],),
    normals((2, 3)),
)


def _polar(x, y):
    return {"r": jnp.hypot(x, y), "angle": jnp.arctan2(y, x)}


def _polar_backward(residual, dy):
    x, y = residual
    r2 = x**2 + y**2
    r = jnp.sqrt(r2)
    return (
        dy["r"] * x / r - dy["angle"] * y / r2,
        dy["r"] * y / r + dy["angle"] * x / r2,
    )


polar = Op(_polar, saving(_polar), _polar_backward, normals((5,), (5,)))


def _penalised(x, W):
    return jnp.sum((x @ W) ** 2) / 2 + jnp.sum(W**2)


def _penalised_backward(residual, dy):
    x, W = residual
    u = x @ W
    return dy * (u @ W.T), dy * (x.T @ u + 2 * W)


penalised = Op(_penalised, saving(_penalised), _penalised_backward, normals((4, 3), (3, 2)))


def _decay(W):
    return jnp.sum(W**2)


decay = Op(_decay, saving(_decay), lambda r, dy: (2 * dy * r[0],), normals((3, 4)))
