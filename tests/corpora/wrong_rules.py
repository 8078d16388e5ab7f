"""Wrong `jax.custom_vjp` and `jax.custom_jvp` functions, with their primal and alone."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from entry import Op, Wrong, normals, saving, uniform, written, wrong
from ops_convolution import conv, max_pool, max_pool_dx
from ops_dense import linear, matmul, mlp, two_outputs
from ops_elementwise import cosine, logistic, relu, softplus, tanh
from ops_indexing import embedding
from ops_normalization import layer_norm, softmax

from jax_ref.verdict import Kind


def _as_rule(entry: Wrong, *, alone: bool = False) -> Wrong:
    return replace(entry, rule=entry.op.rule(), alone=alone)


def _ruled(*entries: Wrong) -> list[Wrong]:
    """Return each as a custom_vjp function beside its primal, and alone."""
    alone = [replace(entry, name=f"{entry.name}-alone") for entry in entries]
    return [*map(_as_rule, entries), *(_as_rule(entry, alone=True) for entry in alone)]


def _of_primal(primal, draw):
    """Return an op without a pair: its rule has the derivative."""
    return Op(primal, saving(primal), lambda r, dy: (), draw)


def _softplus(u):
    return jnp.logaddexp(u, 0.0)


@jax.custom_jvp
def falling_softplus(u):
    return jnp.logaddexp(u, 0.0)


@falling_softplus.defjvp
def _(primals, tangents):
    (u,), (du,) = primals, tangents
    return falling_softplus(u), -du * logistic(-u)


@jax.custom_jvp
def half_a_product(a, b):
    return a * b


@half_a_product.defjvp
def _(primals, tangents):
    (a, b), (da, _) = primals, tangents
    return a * b, da * b


@jax.custom_jvp
def untransposed(A, B):
    return A @ B


@untransposed.defjvp
def _(primals, tangents):
    (A, B), (dA, dB) = primals, tangents
    return A @ B, dA @ B + A @ dB.T


@jax.custom_jvp
def unprojected(x):
    return x / jnp.sqrt((x**2).sum())


@unprojected.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return unprojected(x), dx / jnp.sqrt((x**2).sum())


def _unit(x):
    return x / jnp.sqrt((x**2).sum())


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def power(x, n):
    return x**n


def _power_backward(n, x, dy):
    return (dy * n * x**n,)


power.defvjp(lambda x, n: (x**n, x), _power_backward)


def _power(x, n):
    return x**n


def _cube_draw(rng):
    return (*uniform(0.5, 2, 2, 3)(rng), 3)


ENTRIES = (
    *_ruled(
        wrong("rule-cosine", "sin u", cosine, lambda r, dy, du: (-du,), Kind.SIGN, "u"),
        wrong(
            "rule-linear",
            "dW transposed, square",
            linear.at(normals((3, 3), (3, 3), (3,))),
            lambda r, dy, dx, dW, db: (dx, dW.T, db),
            Kind.PERMUTED,
            "W",
        ),
        wrong(
            "rule-layer-norm",
            "dscale averaged over the batch",
            layer_norm,
            lambda r, dy, dx, ds, db: (dx, ds / 5, db),
            (Kind.BATCH_SUM, Kind.FACTOR),
            "scale",
        ),
        wrong(
            "rule-embedding",
            "a repeated row assigned",
            embedding,
            lambda r, dy, dt, _: (
                jnp.zeros_like(dt).at[r[1].ravel()].set(dy.reshape(6, 3)),
                None,
            ),
            (Kind.PART_ZERO, Kind.FEW, Kind.TERM),
            "table",
            where=lambda i: i[0] in {0, 2},
        ),
    ),
    _as_rule(
        wrong(
            "rule-softmax",
            "y dy",
            softmax,
            lambda r, dy, dx: (r["y"] * dy,),
            Kind.TERM,
            "x",
        )
    ),
    _as_rule(
        wrong(
            "rule-relu-guided",
            "dy > 0 as well",
            relu,
            lambda r, dy, du: (jnp.where(dy > 0, du, 0),),
            Kind.NONLINEAR,
            "u",
        ),
        alone=True,
    ),
    _as_rule(
        wrong(
            "rule-softplus-upstream",
            "σ(u) whatever dy",
            softplus,
            lambda r, dy, du: (logistic(r[0]),),
            Kind.UPSTREAM,
            "u",
        ),
        alone=True,
    ),
    _as_rule(
        wrong(
            "rule-matmul-swapped",
            "dB before dA",
            matmul,
            lambda r, dy, dA, dB: (dB, dA),
            Kind.SWAPPED,
            ("A", "B"),
        ),
        alone=True,
    ),
    _as_rule(
        wrong(
            "rule-second-output",
            "the second output's cotangent ignored",
            two_outputs,
            lambda r, dy, dx: (dy[0] * jnp.cos(r[0]),),
            (Kind.UPSTREAM, Kind.TERM),
            "x",
        ),
        alone=True,
    ),
    _as_rule(
        wrong(
            "rule-leaf-zero",
            "one leaf of the tree returned as zeros",
            mlp,
            lambda r, dy, dp, dx: ({**dp, "in": {**dp["in"], "b": 0 * dp["in"]["b"]}}, dx),
            Kind.PART_ZERO,
            "params['in']['b']",
        ),
    ),
    _as_rule(
        wrong(
            "rule-conv-flipped",
            "dkernel back to front",
            conv,
            lambda r, dy, dx, dk: (dx, dk[::-1]),
            Kind.FLIPPED,
            "kernel",
            where=lambda i: i[0] != 1,
        ),
        alone=True,
    ),
    _as_rule(
        wrong(
            "rule-max-pool",
            "half of dy",
            max_pool,
            lambda r, dy, dx: (max_pool_dx(r[0], dy) / 2,),
            Kind.FACTOR,
            "x",
        )
    ),
    _as_rule(
        wrong(
            "rule-tanh-one-entry",
            "1.5 × in one entry",
            tanh.at(normals((61, 40))),
            lambda r, dy, du: (du.at[17, 33].multiply(1.5),),
            (Kind.FEW, Kind.FACTOR),
            "u",
            where=lambda i: i == (17, 33),
        )
    ),
    written(
        "jvp-softplus",
        "− σ(−u) for σ(u): a custom_jvp",
        _of_primal(_softplus, normals((4, 3))),
        (Kind.TERM, Kind.MISSING_FACTOR),
        "u",
        rule=falling_softplus,
    ),
    written(
        "jvp-softplus-alone",
        "the same without its primal",
        _of_primal(_softplus, normals((4, 3))),
        (Kind.TERM, Kind.MISSING_FACTOR),
        "u",
        rule=falling_softplus,
        alone=True,
    ),
    written(
        "jvp-one-tangent",
        "the second argument's tangent ignored: a custom_jvp",
        _of_primal(lambda a, b: a * b, normals((5,), (5,))),
        Kind.PART_ZERO,
        "b",
        rule=half_a_product,
    ),
    written(
        "jvp-transposed",
        "a tangent transposed, square: a custom_jvp",
        _of_primal(lambda A, B: A @ B, normals((3, 3), (3, 3))),
        Kind.PERMUTED,
        "B",
        rule=untransposed,
    ),
    written(
        "jvp-unit-alone",
        "the projection forgotten: a custom_jvp without its primal",
        _of_primal(_unit, normals((6,))),
        Kind.TERM,
        "x",
        rule=unprojected,
        alone=True,
    ),
    written(
        "rule-power-exponent",
        "n xⁿ for n xⁿ⁻¹, n among nondiff_argnums",
        _of_primal(_power, _cube_draw),
        Kind.MISSING_FACTOR,
        "x",
        rule=power,
    ),
)
