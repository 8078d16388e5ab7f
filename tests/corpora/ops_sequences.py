"""Attention, rotations and recurrences with their backward passes, right."""

import jax
import jax.numpy as jnp
from entry import Op, normal, normals, saving
from jax import lax
from ops_elementwise import logistic


def masked(scores, causal):
    """Return the scores with −∞ above the diagonal where `causal`."""
    t = scores.shape[-1]
    seen = jnp.broadcast_to(jnp.tril(jnp.ones((t, t), bool)), scores.shape)
    return jnp.where(seen, scores, -jnp.inf) if causal else scores


def attention_of(causal):
    """Return attention over (batch, time, width)."""

    def probabilities(q, k):
        scores = jnp.einsum("btd,bsd->bts", q, k) / q.shape[-1] ** 0.5
        return jax.nn.softmax(masked(scores, causal), axis=-1)

    def primal(q, k, v):
        return probabilities(q, k) @ v

    def forward(q, k, v):
        p = probabilities(q, k)
        return p @ v, {"q": q, "k": k, "v": v, "p": p}

    return Op(primal, forward, _attention_backward, normals(*[(2, 5, 4)] * 3))


def attention_dscores(r, dy):
    """Return the cotangent of the scores."""
    dp = jnp.einsum("btd,bsd->bts", dy, r["v"])
    return r["p"] * (dp - (r["p"] * dp).sum(-1, keepdims=True))


def attention_of_dscores(r, dy, ds):
    """Return (dq, dk, dv) of the cotangent of the scores."""
    root = r["q"].shape[-1] ** 0.5
    dq = jnp.einsum("bts,bsd->btd", ds, r["k"]) / root
    dk = jnp.einsum("bts,btd->bsd", ds, r["q"]) / root
    return dq, dk, jnp.einsum("bts,btd->bsd", r["p"], dy)


def _attention_backward(r, dy):
    return attention_of_dscores(r, dy, attention_dscores(r, dy))


attention = attention_of(causal=False)
causal_attention = attention_of(causal=True)
long_attention = attention.at(normals(*[(1, 7, 2)] * 3))


def angles(x):
    """Return cosine and sine of each position's rotation, for x (time, 2 n)."""
    time, width = x.shape
    rate = 10.0 ** -jnp.arange(width // 2).astype(x.dtype)
    turned = jnp.arange(time).astype(x.dtype)[:, None] * rate[None]
    return jnp.cos(turned), jnp.sin(turned)


def rotated(x, cosine, sine):
    """Return the two halves of x turned against each other."""
    a, b = jnp.split(x, 2, axis=1)
    return jnp.concatenate([a * cosine - b * sine, a * sine + b * cosine], 1)


def _rotate(x):
    return rotated(x, *angles(x))


def _rotate_backward(residual, dy):
    cosine, sine = residual
    return (rotated(dy, cosine, -sine),)


rotate = Op(_rotate, saving(_rotate, lambda y, x: angles(x)), _rotate_backward, normals((5, 6)))


def _step(W, h, x):
    return jnp.tanh(x + h @ W)


def _rnn(x, W, h0):
    def step(h, x):
        h = _step(W, h, x)
        return h, h

    last, ys = lax.scan(step, h0, x)
    return ys, last


def _rnn_forward(x, W, h0):
    ys, last = _rnn(x, W, h0)
    return (ys, last), {"W": W, "ys": ys, "before": jnp.concatenate([h0[None], ys[:-1]])}


def rnn_deltas(r, dys, dlast, carry=1):
    """Return δ of every step and dh0; `carry` = 0 cuts the path through time."""

    def step(dh, at):
        y, dy = at
        delta = (dy + dh) * (1 - y**2)
        return carry * (delta @ r["W"].T), delta

    dh0, deltas = lax.scan(step, dlast, (r["ys"], dys), reverse=True)
    return deltas, dh0


def _rnn_backward(r, dy):
    deltas, dh0 = rnn_deltas(r, *dy)
    return deltas, jnp.einsum("tbi,tbj->ij", r["before"], deltas), dh0


rnn = Op(_rnn, _rnn_forward, _rnn_backward, normals((4, 2, 3), (3, 3), (2, 3)))


def _lstm(gates, c):
    i, f, g, o = jnp.split(gates, 4, axis=1)
    c = logistic(f) * c + logistic(i) * jnp.tanh(g)
    return logistic(o) * jnp.tanh(c), c


def _lstm_forward(gates, c):
    i, f, g, o = jnp.split(gates, 4, axis=1)
    i, f, g, o = logistic(i), logistic(f), jnp.tanh(g), logistic(o)
    new = f * c + i * g
    t = jnp.tanh(new)
    return (o * t, new), {"i": i, "f": f, "g": g, "o": o, "t": t, "c": c}


def lstm_backward(r, dy, path=1):
    """Return (dgates, dc); `path` = 0 cuts the path from h to the cell."""
    dh, dnew = dy
    i, f, g, o, t, c = (r[name] for name in ("i", "f", "g", "o", "t", "c"))
    d = dnew + path * dh * o * (1 - t**2)
    gates = (d * g * i * (1 - i), d * c * f * (1 - f), d * i * (1 - g**2), dh * t * o * (1 - o))
    return jnp.concatenate(gates, 1), d * f


lstm = Op(_lstm, _lstm_forward, lstm_backward, normals((3, 12), (3, 3)))


def _gru(gates, candidate, h):
    z, r = jnp.split(gates, 2, axis=1)
    n = jnp.tanh(candidate + logistic(r) * h)
    return (1 - logistic(z)) * n + logistic(z) * h


def _gru_forward(gates, candidate, h):
    z, r = (logistic(gate) for gate in jnp.split(gates, 2, axis=1))
    n = jnp.tanh(candidate + r * h)
    return (1 - z) * n + z * h, {"z": z, "r": r, "n": n, "h": h}


def _gru_backward(saved, dy):
    z, r, n, h = (saved[name] for name in ("z", "r", "n", "h"))
    dn = dy * (1 - z) * (1 - n**2)
    gates = jnp.concatenate([dy * (h - n) * z * (1 - z), dn * h * r * (1 - r)], 1)
    return gates, dn, dy * z + dn * r


gru = Op(_gru, _gru_forward, _gru_backward, normals((4, 6), (4, 3), (4, 3)))


def _recurrence(a, x):
    def step(h, at):
        a, x = at
        h = a * h + x
        return h, h

    return lax.scan(step, jnp.zeros_like(x[0]), (a, x))[1]


def adjoint(decay, dy):
    """Return the reverse scan g_t = dy_t + decay_t g_(t+1)."""

    def step(g, at):
        decay, dy = at
        g = dy + decay * g
        return g, g

    return lax.scan(step, jnp.zeros_like(dy[0]), (decay, dy), reverse=True)[1]


def later(a):
    """Return a_(t+1), 0 at the end."""
    return jnp.concatenate([a[1:], jnp.zeros_like(a[:1])])


def earlier(h):
    """Return h_(t−1), 0 at the start."""
    return jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])


def _recurrence_backward(residual, dy):
    a, h = residual
    g = adjoint(later(a), dy)
    return g * earlier(h), g


def _decays(rng):
    return rng.integers(1, 9, (6, 2)) / 8, normal(rng, 6, 2)


recurrence = Op(
    _recurrence, saving(_recurrence, lambda y, a, x: (a, y)), _recurrence_backward, _decays
)
