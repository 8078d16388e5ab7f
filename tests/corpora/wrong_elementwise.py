"""Elementwise rules that are wrong: a slope, a mask, a tail, a power."""

import jax
import jax.numpy as jnp
from entry import HALF, LONG, RANGE, exactly, normals, uniform, written, wrong
from ops_elementwise import (
    absolute,
    below,
    choose,
    clip,
    cosine,
    cube,
    density,
    dropout,
    elementwise,
    exponential,
    gelu,
    hyperbolic_cosine,
    leaky_relu,
    log_sigmoid,
    logistic,
    logistic_slope,
    masked_log,
    reciprocal,
    relu,
    sigmoid,
    sine_of_degrees,
    softplus,
    swish,
    tanh,
)

from jax_ref.verdict import Kind

SATURATED = uniform(40, 60, 3, 5)
LARGE = normals((317, 331))
ODD_ONE = (201, 77)
_OVERFLOWING = exactly([[-2.0, 800.0, 1.5], [0.5, -900.0, 1000.0]])


def _one_entry(factor):
    return lambda r, dy, du: (du.at[ODD_ONE].multiply(factor),)


def _dropout_without(r, dy, mended):
    kept = jax.random.bernoulli(r[1], 0.75, r[0].shape)
    return (mended(kept, dy), None)


ENTRIES = (
    wrong(
        "cosine-sign",
        "the minus of −sin u forgotten",
        cosine,
        lambda r, dy, du: (-du,),
        Kind.SIGN,
        "u",
    ),
    wrong(
        "reciprocal-sign",
        "y² in place of −y², rank 3",
        reciprocal,
        lambda r, dy, du: (dy * r[1] ** 2,),
        Kind.SIGN,
        "u",
    ),
    wrong(
        "power-exponent-kept",
        "n uⁿ in place of n uⁿ⁻¹",
        cube,
        lambda r, dy, du: (3 * dy * r[0] ** 3,),
        Kind.MISSING_FACTOR,
        "u",
    ),
    wrong(
        "power-factor-lost",
        "uⁿ⁻¹ in place of n uⁿ⁻¹",
        cube,
        lambda r, dy, du: (dy * r[0] ** 2,),
        Kind.FACTOR,
        "u",
    ),
    wrong(
        "degrees-as-radians",
        "π/180 forgotten in the derivative",
        sine_of_degrees,
        lambda r, dy, du: (dy * jnp.cos(r[0] * (jnp.pi / 180)),),
        Kind.FACTOR,
        "u",
    ),
    wrong(
        "sigmoid-one-factor",
        "y in place of y (1 − y)",
        sigmoid,
        lambda r, dy, du: (dy * r[1],),
        Kind.MISSING_FACTOR,
        "u",
    ),
    wrong(
        "sigmoid-stale",
        "u saved where y was meant: u (1 − u)",
        sigmoid,
        lambda r, dy, du: (dy * r[0] * (1 - r[0]),),
        Kind.MISSING_FACTOR,
        "u",
    ),
    wrong(
        "tanh-not-squared",
        "1 − y in place of 1 − y²",
        tanh,
        lambda r, dy, du: (dy * (1 - r[1]),),
        Kind.MISSING_FACTOR,
        "u",
    ),
    wrong(
        "tanh-slope-of-sigmoid",
        "y (1 − y) in place of 1 − y²",
        tanh,
        lambda r, dy, du: (dy * r[1] * (1 - r[1]),),
        Kind.MISSING_FACTOR,
        "u",
    ),
    wrong(
        "sigmoid-saturated",
        "y (1 − y) at u > 40, where y rounds to 1 and no digit is left",
        sigmoid.at(SATURATED),
        lambda r, dy, du: (dy * r[1] * (1 - r[1]),),
        (Kind.PRECISION, Kind.PART_ZERO),
        "u",
        dtypes=RANGE,  # e⁻⁴⁰ is 0 in float16
    ),
    wrong(
        "sigmoid-saturated-in-half",
        "the same at u = 9, where y rounds to 1 in half precision only",
        sigmoid.at(uniform(8.5, 9.5, 3, 5)),
        lambda r, dy, du: (dy * r[1] * (1 - r[1]),),
        (Kind.PRECISION, Kind.PART_ZERO),
        "u",
        dtypes=HALF,
    ),
    wrong(
        "tanh-saturated",
        "1 − y² at |u| = 12",
        tanh.at(uniform(11, 13, 4, 4)),
        lambda r, dy, du: (dy * (1 - r[1] ** 2),),
        (Kind.PRECISION, Kind.PART_ZERO),
        "u",
        dtypes=RANGE,  # e⁻²⁴ is 0 in float16
    ),
    wrong(
        "log-sigmoid-saturated",
        "1 − σ(u) at u > 40, which is 0",
        log_sigmoid.at(SATURATED),
        lambda r, dy, du: (dy * (1 - logistic(r[0])),),
        (Kind.PRECISION, Kind.PART_ZERO),
        "u",
        dtypes=RANGE,
    ),
    wrong(
        "softplus-overflow",
        "eᵘ/(1+eᵘ) where eᵘ overflows: ∞/∞",
        softplus.at(_OVERFLOWING),
        lambda r, dy, du: (dy * _growing_logistic(r[0]),),
        Kind.NAN,
        "u",
        where=lambda i: i in {(0, 1), (1, 2)},
    ),
    wrong(
        "swish-overflow",
        "σ(u) as eᵘ/(1+eᵘ): ∞/∞",
        swish.at(_OVERFLOWING),
        lambda r, dy, du: (dy * (_growing_logistic(r[0]) + r[0] * logistic_slope(r[0])),),
        Kind.NAN,
        "u",
        where=lambda i: i in {(0, 1), (1, 2)},
    ),
    wrong(
        "swish-term",
        "u σ' without σ, rank 4",
        swish,
        lambda r, dy, du: (dy * r[0] * logistic_slope(r[0]),),
        (Kind.TERM, Kind.MISSING_FACTOR),
        "u",
    ),
    wrong(
        "swish-stale",
        "y saved where u was meant",
        swish,
        lambda r, dy, du: (dy * (logistic(r[1]) + r[1] * logistic_slope(r[1])),),
        Kind.MISSING_FACTOR,
        "u",
    ),
    wrong(
        "gelu-term",
        "Φ without u φ",
        gelu,
        lambda r, dy, du: (dy * below(r[0]),),
        (Kind.TERM, Kind.MISSING_FACTOR),
        "u",
    ),
    wrong(
        "gelu-other-form",
        "the derivative of the tanh form for the erf form",
        gelu,
        lambda r, dy, du: (dy * _tanh_form_slope(r[0]),),
        (Kind.MISSING_FACTOR, Kind.PRECISION),
        "u",
        dtypes=LONG,  # the forms differ by 1e-3
    ),
    wrong(
        "gelu-tail",
        "Φ as (1 + erf)/2 at u < −9, which is 0",
        gelu.at(uniform(-11, -9, 3, 4)),
        lambda r, dy, du: (
            dy * ((1 + jax.scipy.special.erf(r[0] / 2**0.5)) / 2 + r[0] * density(r[0])),
        ),
        (Kind.PRECISION, Kind.TERM, Kind.MISSING_FACTOR),
        "u",
        dtypes=LONG,  # Φ is 1 % of the slope there
    ),
    wrong(
        "relu-guided",
        "the mask taken of u and of dy: not a gradient any more",
        relu,
        lambda r, dy, du: (jnp.where(dy > 0, du, 0),),
        Kind.NONLINEAR,
        "u",
    ),
    wrong(
        "relu-mask-of-dy",
        "dy > 0 in place of u > 0",
        relu,
        lambda r, dy, du: (jnp.maximum(dy, 0),),
        Kind.NONLINEAR,
        "u",
    ),
    wrong(
        "relu-clipped-upstream",
        "the cotangent clipped to ±0.9 on its way",
        relu,
        lambda r, dy, du: (jnp.clip(du, -0.9, 0.9),),
        Kind.NONLINEAR,
        "u",
    ),
    wrong(
        "exponential-squared-upstream",
        "dy² in place of dy",
        exponential,
        lambda r, dy, du: (dy * du,),
        (Kind.NONLINEAR, Kind.UPSTREAM),
        "u",
    ),
    wrong(
        "tanh-absolute-upstream",
        "|dy| in place of dy",
        tanh,
        lambda r, dy, du: (jnp.abs(du),),
        (Kind.NONLINEAR, Kind.UPSTREAM),
        "u",
    ),
    wrong(
        "exponential-offset",
        "a constant added to every cotangent",
        exponential.at(normals((9,))),
        lambda r, dy, du: (du + 0.125,),
        Kind.NONLINEAR,
        "u",
    ),
    wrong(
        "softplus-upstream",
        "dy left out",
        softplus,
        lambda r, dy, du: (logistic(r[0]),),
        Kind.UPSTREAM,
        "u",
    ),
    wrong(
        "leaky-relu-no-leak",
        "0 in place of α below 0",
        leaky_relu,
        lambda r, dy, du: (jnp.where(r[0] > 0, dy, 0),),
        Kind.PART_ZERO,
        "u",
        where=lambda i: bool(leaky_relu.drawn()[i] < 0),
    ),
    wrong(
        "leaky-relu-branches",
        "the branches exchanged",
        leaky_relu,
        lambda r, dy, du: (jnp.where(r[0] > 0, dy / 8, dy),),
        Kind.MISSING_FACTOR,
        "u",
    ),
    wrong(
        "absolute-sign",
        "dy in place of dy sign(u): wrong below 0",
        absolute,
        lambda r, dy, du: (dy,),
        (Kind.SIGN, Kind.MISSING_FACTOR),
        "u",
        where=lambda i: bool(absolute.drawn()[i] < 0),
    ),
    wrong(
        "clip-leak",
        "dy passed outside the bounds as well",
        clip,
        lambda r, dy, du: (dy,),
        Kind.MISSING_FACTOR,
        "u",
        where=lambda i: bool(abs(clip.drawn()[i]) > 1),
    ),
    wrong(
        "clip-one-bound",
        "only the upper bound stops dy",
        clip,
        lambda r, dy, du: (jnp.where(r[0] <= 1, dy, 0),),
        Kind.MISSING_FACTOR,
        "u",
        where=lambda i: bool(clip.drawn()[i] < -1),
    ),
    wrong(
        "cosh-cancellation",
        "(eᵘ − e⁻ᵘ)/2 at u = 1e-8: a difference of equal numbers",
        hyperbolic_cosine.at(lambda rng: (rng.integers(1, 40, (4, 3)) * 0.7e-9,)),
        lambda r, dy, du: (dy * (jnp.exp(r[0]) - jnp.exp(-r[0])) / 2,),
        (Kind.PRECISION, Kind.PART_ZERO),
        "u",
        dtypes=RANGE,  # 1e-8 is 0 in float16
    ),
    wrong(
        "masked-log-nan",
        "mask × dy / x with x = 0 behind the mask: 0/0",
        masked_log,
        lambda r, dy, dx, _: (r[1].astype(dy.dtype) * dy / r[0], None),
        Kind.NAN,
        "x",
        where=lambda i: not masked_log.drawn(1)[i],
    ),
    wrong(
        "where-branches",
        "da and db exchanged",
        choose,
        lambda r, dy, _, da, db: (None, db, da),
        Kind.SWAPPED,
        ("a", "b"),
    ),
    wrong(
        "where-no-mask",
        "db takes dy everywhere",
        choose,
        lambda r, dy, _, da, db: (None, da, dy),
        Kind.MISSING_FACTOR,
        "b",
        where=lambda i: bool(choose.drawn()[i]),
    ),
    wrong(
        "dropout-rescale",
        "the mask without 1/p",
        dropout,
        lambda r, dy, dx, _: _dropout_without(r, dy, lambda kept, dy: jnp.where(kept, dy, 0)),
        Kind.FACTOR,
        "x",
    ),
    wrong(
        "dropout-mask",
        "1/p without the mask",
        dropout,
        lambda r, dy, dx, _: _dropout_without(r, dy, lambda kept, dy: dy / 0.75),
        Kind.MISSING_FACTOR,
        "x",
        where=lambda i: not bool(_kept()[i]),
    ),
    wrong(
        "dropout-other-key",
        "a mask drawn anew in the backward",
        dropout,
        lambda r, dy, dx, _: (
            jnp.where(jax.random.bernoulli(jax.random.key(4), 0.75, dy.shape), dy / 0.75, 0),
            None,
        ),
        (Kind.PART_ZERO, Kind.MISSING_FACTOR),
        "x",
    ),
    wrong(
        "tiny-gradients",
        "2 × gradients of 1e-26",
        exponential.at(uniform(-62, -58, 3, 4)),
        lambda r, dy, du: (2 * du,),
        Kind.FACTOR,
        "u",
        dtypes=RANGE,
    ),
    wrong(
        "huge-gradients",
        "− gradients of 1e26",
        exponential.at(uniform(58, 62, 3, 4)),
        lambda r, dy, du: (-du,),
        Kind.SIGN,
        "u",
        dtypes=RANGE,
    ),
    wrong(
        "one-entry-of-a-hundred-thousand",
        "2 × in one entry of 104927",
        cosine.at(LARGE),
        _one_entry(2),
        (Kind.FEW, Kind.FACTOR),
        "u",
        where=lambda i: i == ODD_ONE,
    ),
    wrong(
        "one-entry-by-a-thousandth",
        "1.001 × in one entry of 104927",
        exponential.at(uniform(0, 0.5, 317, 331)),
        _one_entry(1.001),
        (Kind.FEW, Kind.FACTOR),
        "u",
        where=lambda i: i == ODD_ONE,
        dtypes=LONG,
    ),
    wrong(
        "rank-zero",
        "½ × of a scalar: one number tells little",
        exponential.at(exactly(0.75)),
        lambda r, dy, du: (du / 2,),
        (Kind.FACTOR, Kind.UNKNOWN),
        "u",
    ),
    wrong(
        "float32-inside",
        "computed in float32 whatever the input: half the digits of float64",
        cosine,
        lambda r, dy, du: (du.astype(jnp.float32).astype(dy.dtype),),
        Kind.PRECISION,
        "u",
        dtypes=("float64",),
    ),
    wrong(
        "bfloat16-inside",
        "the slope kept in bfloat16",
        tanh,
        lambda r, dy, du: (du.astype(jnp.bfloat16).astype(dy.dtype),),
        Kind.PRECISION,
        "u",
        dtypes=LONG,
    ),
    written(
        "forward-of-another",
        "log(1 + eᵘ) + 1/8 forward, softplus' backward",
        elementwise(
            lambda u: jnp.logaddexp(u, 0.0),
            lambda u, y: logistic(u),
            normals((3, 5)),
        ).with_forward(lambda u: (jnp.logaddexp(u, 0.0) + 0.125, (u, u))),
        Kind.FORWARD,
        "y",
    ),
    written(
        "forward-and-its-backward",
        "the sigmoid scaled by 1.702 for Φ in gelu, its backward right for it",
        elementwise(
            lambda u: u * below(u),
            lambda u, y: logistic(1.702 * u) + 1.702 * u * logistic_slope(1.702 * u),
            normals((3, 5)),
        ).with_forward(lambda u: (u * logistic(1.702 * u), (u, u))),
        Kind.FORWARD,
        "y",
        dtypes=LONG,  # the forms differ by 1e-2
    ),
)


def _kept():
    return jax.random.bernoulli(dropout.drawn(1), 0.75, dropout.drawn().shape)


def _growing_logistic(u):
    return jnp.exp(u) / (1 + jnp.exp(u))


def _tanh_form_slope(u):
    scale = (2 / jnp.pi) ** 0.5
    t = jnp.tanh(scale * (u + 0.044715 * u**3))
    return (1 + t) / 2 + u / 2 * (1 - t**2) * scale * (1 + 3 * 0.044715 * u**2)
