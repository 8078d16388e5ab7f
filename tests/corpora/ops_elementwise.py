"""Elementwise ops with their backward passes, right."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from entry import Draw, Op, normals, saving, uniform


def elementwise(f: Callable[..., Any], slope: Callable[..., Any], draw: Draw) -> Op:
    """Return the op y = f(u) with du = dy slope(u, y)."""

    def primal(u):
        return f(u)

    forward = saving(primal, lambda y, u: (u, y))
    return Op(primal, forward, lambda r, dy: (dy * slope(*r),), draw)


def decay(u):
    """Return e^(−|u|), which never overflows."""
    return jnp.exp(-jnp.abs(u))


def logistic(u):
    """Return σ(u) in a form whose derivative by JAX keeps its digits in both tails."""
    return jnp.where(u >= 0, 1 / (1 + decay(u)), decay(u) / (1 + decay(u)))


def logistic_slope(u, _y=None):
    """Return σ'(u)."""
    return decay(u) / (1 + decay(u)) ** 2


def hyperbolic(u):
    """Return tanh u in a form whose derivative by JAX keeps its digits in both tails."""
    e = jnp.exp(-2 * jnp.abs(u))
    return jnp.sign(u) * (1 - e) / (1 + e)


def below(u):
    """Return Φ(u), with the digits of its lower tail."""
    return jax.scipy.special.erfc(-u / 2**0.5) / 2


def density(u):
    """Return φ(u)."""
    return jnp.exp(-(u**2) / 2) / (2 * jnp.pi) ** 0.5


DRAW = normals((3, 5))

cosine = elementwise(jnp.cos, lambda u, y: -jnp.sin(u), DRAW)
cube = elementwise(lambda u: u**3, lambda u, y: 3 * u**2, normals((7,)))
reciprocal = elementwise(lambda u: 1 / u, lambda u, y: -(y**2), uniform(0.5, 2, 2, 3, 2))
exponential = elementwise(jnp.exp, lambda u, y: y, DRAW)
sine_of_degrees = elementwise(
    lambda u: jnp.sin(u * (jnp.pi / 180)),
    lambda u, y: jnp.cos(u * (jnp.pi / 180)) * (jnp.pi / 180),
    uniform(-80, 80, 4, 3),
)
sigmoid = elementwise(logistic, logistic_slope, DRAW)
tanh = elementwise(hyperbolic, lambda u, y: 4 * logistic_slope(2 * u), DRAW)
softplus = elementwise(lambda u: jnp.logaddexp(u, 0.0), lambda u, y: -jnp.expm1(-y), DRAW)
log_sigmoid = elementwise(lambda u: -jnp.logaddexp(-u, 0.0), lambda u, y: -jnp.expm1(y), DRAW)
swish = elementwise(
    lambda u: u * logistic(u),
    lambda u, y: logistic(u) + u * logistic_slope(u),
    normals((2, 3, 2, 2)),
)
gelu = elementwise(lambda u: u * below(u), lambda u, y: below(u) + u * density(u), DRAW)
relu = elementwise(lambda u: jnp.maximum(u, 0), lambda u, y: (u > 0).astype(u.dtype), DRAW)
leaky_relu = elementwise(
    lambda u: jnp.where(u > 0, u, u / 8),
    lambda u, y: jnp.where(u > 0, 1, 0.125).astype(u.dtype),
    DRAW,
)
absolute = elementwise(jnp.abs, lambda u, y: jnp.sign(u), normals((4, 3)))
clip = elementwise(
    lambda u: jnp.clip(u, -1, 1),
    lambda u, y: (jnp.abs(u) <= 1).astype(u.dtype),
    uniform(-3, 3, 5, 4),
)
hyperbolic_cosine = elementwise(
    lambda u: jnp.cosh(u), lambda u, y: (jnp.expm1(u) - jnp.expm1(-u)) / 2, DRAW
)


def _masked_log(x, keep):
    return jnp.where(keep, jnp.log(jnp.where(keep, x, 1)), 0)


def _some_zeros(rng):
    x = rng.integers(1, 9, (4, 3)) / 4
    keep = rng.random((4, 3)) < 0.6
    return x * keep, keep


masked_log = Op(
    _masked_log,
    saving(_masked_log),
    lambda r, dy: (jnp.where(r[1], dy / jnp.where(r[1], r[0], 1), 0), None),
    _some_zeros,
)


def _choose(condition, a, b):
    return jnp.where(condition, a, b)


choose = Op(
    _choose,
    saving(_choose),
    lambda r, dy: (None, jnp.where(r[0], dy, 0), jnp.where(r[0], 0, dy)),
    lambda rng: (rng.random((4, 3)) < 0.5, *normals((4, 3), (4, 3))(rng)),
)


def _dropout(x, key):
    return jnp.where(jax.random.bernoulli(key, 0.75, x.shape), x / 0.75, 0)


def _dropout_backward(residual, dy):
    x, key = residual
    return jnp.where(jax.random.bernoulli(key, 0.75, x.shape), dy / 0.75, 0), None


dropout = Op(
    _dropout,
    saving(_dropout),
    _dropout_backward,
    lambda rng: (*normals((5, 7))(rng), jax.random.key(3)),
)
