"""Elementwise functions y = f(u) and their derivatives.

Shapes   u, y, dy, du: any, all the same
Forward  y = f(u)
Derive   du = dy ⊙ f'(u), as `elementwise` derives; what remains is f', of u. It could be had of y,
         as y (1−y) or 1−y², at no memory; but where y rounds to 1 no digit of f' is left in it. So
         f' is taken of whatever keeps its digits:

  sigmoid      y = 1/(1+e^(−u));  with e = e^(−|u|), y' = e^(−u)/(1+e^(−u))² = e/(1+e)² = y (1−y)
  tanh         y = (e^u−e^(−u))/(e^u+e^(−u));  with e = e^(−2|u|), y' = 1 − y² = 4e/(1+e)²
  relu         y = max(u, 0);  y' = 1 for u > 0, 0 for u < 0
  leaky relu   y = u for u ≥ 0, αu for u < 0;  y' = 1 for u > 0, α for u < 0
  identity     y = u;  y' = 1
  softplus     y = ln(1+e^u);  y' = e^u/(1+e^u) = 1/(1+e^(−u)) = σ(u)
  log-sigmoid  y = ln σ(u) = −softplus(−u);  y' = σ(−u)
  relu6        y = min(max(u, 0), 6);  y' = 1 for 0 < u < 6, 0 outside
  squared relu y = max(u, 0)²;  y' = 2 max(u, 0)
  elu          y = u for u ≥ 0, α (e^u−1) for u < 0;  y' = 1 for u > 0, α e^u for u < 0
  celu         y = u for u ≥ 0, α (e^(u/α)−1) for u < 0;  y' = 1 for u ≥ 0, e^(u/α) for u < 0
  selu         λ times elu, with λ and α that keep mean 0 and variance 1;  y' likewise
  silu         y = u σ(u);  y' = σ(u) + u σ'(u),  with σ' as above
  quick gelu   y = u σ(βu), β = 1.702;  y' = σ(βu) + β u σ'(βu)
  tanh gelu    y = ½u (1 + tanh v) = u σ(2v), v = √(2/π) (u + a u³), a = 0.044715;
               y' = σ(2v) + 2u σ'(2v) v',  v' = √(2/π) (1 + 3a u²)
  gelu         y = u Φ(u);  y' = Φ(u) + u φ(u), φ(u) = Φ'(u) = e^(−u²/2)/√(2π), both by `normal`
  mish         y = u t, t = tanh ln(1+e^u) = n (n+2)/d, with n = e^u and d = n² + 2n + 2;
               y' = t + u t',  t' = 4n (n+1)/d²;  for u ≥ 0 both are expanded by e^(−2u)
  softsign     y = u/(1+|u|);  y' = (1 + |u| − |u|)/(1+|u|)² = 1/(1+|u|)²
  hard sigmoid y = min(max(u+3, 0), 6)/6;  y' = 1/6 for |u| < 3, 0 outside
  hard tanh    y = min(max(u, −1), 1);  y' = 1 for |u| < 1, 0 outside
  hard swish   y = u · hard sigmoid(u);  y' = (2u+3)/6 for |u| < 3, 0 below, 1 above

Saved    of sigmoid and tanh f'; where f' jumps between constants one byte an element: the sign of
         u, or whether u lies in the middle; of identity nothing, of squared relu max(u, 0); of the
         others u, of which f' is formed in the backward.
Kinks    relu, leaky relu  u = 0   `slope_at_zero`, 1 by default; 0 gives `jax.nn.relu`, 0.5
                                   `jnp.maximum(u, 0)`
         relu6             u = 0, 6    1      hard tanh   u = ±1      1
         hard sigmoid      u = ±3      1/6    hard swish  u = −3, 3   −1/2, 3/2
         elu               u = 0       1      selu        u = 0       λ
         that is the slope of the middle piece, which is taken as closed, and of elu and selu that
         of the right; the others have none.
Extremes Every f and f' is finite and correct for u = ±1e4 in every dtype that holds it (the square
         of 1e4 is beyond float16), and f' keeps its digits until it underflows; in the negative
         tail of the three gelu the rounding of the exponent leaves 13 of the 16 of float64. Half
         precision is computed in float32; a kept f' is rounded, then du.
Source   Rumelhart, Hinton & Williams 1986 (sigmoid); LeCun et al. 1998, "Efficient BackProp"
         (tanh); Nair & Hinton 2010 (relu); Maas, Hannun & Ng 2013 (leaky relu); Dugas et al. 2001
         (softplus); Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10" (relu6);
         So et al. 2021, arXiv:2109.08668 (squared relu); Clevert et al. 2016, arXiv:1511.07289
         (elu); Barron 2017, arXiv:1704.07483 (celu); Klambauer et al. 2017, arXiv:1706.02515
         (selu); Hendrycks & Gimpel 2016, arXiv:1606.08415 (gelu, its tanh and quick forms, silu);
         Misra 2019, arXiv:1908.08681 (mish); Bergstra et al. 2009 (softsign); Courbariaux et al.
         2015, arXiv:1511.00363 (hard sigmoid); Collobert 2004 (hard tanh); Howard et al. 2019,
         arXiv:1905.02244 (hard swish)
"""

import math
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from manual_bp import elementary, logistic, normal
from manual_bp.elementwise import Elementwise, as_kept, keep_u, widened


def _keep_sign(u: jax.Array, _y: jax.Array) -> jax.Array:
    return (u > 0).astype(jnp.int8) - (u < 0).astype(jnp.int8)


def _inside(least: float, most: float, u: jax.Array, _y: jax.Array) -> jax.Array:
    return (u >= least) & (u <= most)


def _two_slopes(
    sign: jax.Array, dtype: Any, negative_slope: float, slope_at_zero: float
) -> jax.Array:
    above, below, at_zero = (
        jnp.asarray(slope, dtype) for slope in (1.0, negative_slope, slope_at_zero)
    )
    return jnp.where(sign > 0, above, jnp.where(sign < 0, below, at_zero))


identity = Elementwise(
    name="identity",
    formula="y = u;  y' = 1",
    value=lambda u: u,
    keep=lambda _u, _y: None,
    slope=lambda _, dtype: jnp.ones((), dtype),
)

sigmoid = Elementwise(
    name="sigmoid",
    formula="y = 1/(1+e^(−u));  y' = y (1−y)",
    value=logistic.sigmoid,
    keep=lambda u, _y: logistic.sigmoid_slope(u),
)

tanh = Elementwise(
    name="tanh",
    formula="y = tanh u;  y' = 1 − y²",
    value=jnp.tanh,
    keep=lambda u, _y: logistic.tanh_slope(u),
)

relu = Elementwise(
    name="relu",
    formula="y = max(u, 0);  y' = 1 if u > 0, 0 if u < 0, slope_at_zero if u = 0",
    value=lambda u, **_: jnp.maximum(u, 0),
    keep=_keep_sign,
    slope=lambda sign, dtype, slope_at_zero: _two_slopes(sign, dtype, 0.0, slope_at_zero),
    defaults=(("slope_at_zero", 1.0),),
    kinks=((0.0, "slope_at_zero"),),
)

leaky_relu = Elementwise(
    name="leaky_relu",
    formula="y = u if u ≥ 0 else α u;  y' = 1 if u > 0, α if u < 0, slope_at_zero if u = 0",
    value=lambda u, negative_slope, **_: jnp.where(u >= 0, u, negative_slope * u),
    keep=_keep_sign,
    slope=_two_slopes,
    defaults=(("negative_slope", 0.01), ("slope_at_zero", 1.0)),
    kinks=((0.0, "slope_at_zero"),),
)

softplus = Elementwise(
    name="softplus",
    formula="y = ln(1+e^u);  y' = σ(u)",
    value=lambda u: jnp.maximum(u, 0) + elementary.log1p(jnp.exp(-jnp.abs(u))),
    keep=keep_u,
    slope=partial(widened, logistic.sigmoid),
)

log_sigmoid = Elementwise(
    name="log_sigmoid",
    formula="y = −ln(1+e^(−u));  y' = σ(−u)",
    value=lambda u: jnp.minimum(u, 0) - elementary.log1p(jnp.exp(-jnp.abs(u))),
    keep=keep_u,
    slope=partial(widened, lambda u: logistic.sigmoid(-u)),
)

relu6 = Elementwise(
    name="relu6",
    formula="y = min(max(u, 0), 6);  y' = 1 if 0 ≤ u ≤ 6, 0 elsewhere",
    value=lambda u: jnp.clip(u, 0, 6),
    keep=partial(_inside, 0.0, 6.0),
    kinks=((0.0, 1.0), (6.0, 1.0)),
)

squared_relu = Elementwise(
    name="squared_relu",
    formula="y = max(u, 0)²;  y' = 2 max(u, 0)",
    value=lambda u: jnp.maximum(u, 0) ** 2,
    keep=lambda u, _y: jnp.maximum(u, 0),
    slope=partial(widened, lambda u: 2 * u),
)


def _exponential(u: jax.Array, alpha: float) -> jax.Array:
    return jnp.where(u >= 0, u, alpha * elementary.expm1(jnp.minimum(u, 0)))


def _exponential_slope(u: jax.Array, alpha: float) -> jax.Array:
    return jnp.where(u >= 0, 1, alpha * jnp.exp(-jnp.abs(u)))


elu = Elementwise(
    name="elu",
    formula="y = u if u ≥ 0 else α (e^u−1);  y' = 1 if u ≥ 0 else α e^u",
    value=_exponential,
    keep=keep_u,
    slope=partial(widened, _exponential_slope),
    defaults=(("alpha", 1.0),),
    kinks=((0.0, 1.0),),
)

celu = Elementwise(
    name="celu",
    formula="y = u if u ≥ 0 else α (e^(u/α)−1);  y' = 1 if u ≥ 0 else e^(u/α)",
    value=lambda u, alpha: jnp.where(
        u >= 0, u, alpha * elementary.expm1(jnp.minimum(u, 0) / alpha)
    ),
    keep=keep_u,
    slope=partial(widened, lambda u, alpha: jnp.exp(jnp.minimum(u, 0) / alpha)),
    defaults=(("alpha", 1.0),),
    positive=frozenset({"alpha"}),
)

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

selu = Elementwise(
    name="selu",
    formula="y = λ u if u ≥ 0 else λ α (e^u−1);  y' = λ if u ≥ 0 else λ α e^u",
    value=lambda u: SELU_SCALE * _exponential(u, SELU_ALPHA),
    keep=keep_u,
    slope=partial(widened, lambda u: SELU_SCALE * _exponential_slope(u, SELU_ALPHA)),
    kinks=((0.0, SELU_SCALE),),
)


def _silu_slope(u: jax.Array) -> jax.Array:
    value, slope = logistic.sigmoid_and_slope(u)
    return value + u * slope


silu = Elementwise(
    name="silu",
    formula="y = u σ(u);  y' = σ(u) + u σ'(u)",
    value=lambda u: u * logistic.sigmoid(u),
    keep=keep_u,
    slope=partial(widened, _silu_slope),
)

QUICK = 1.702


def _gelu_quick_slope(u: jax.Array) -> jax.Array:
    value, slope = logistic.sigmoid_and_slope(QUICK * u)
    return value + QUICK * (u * slope)


gelu_quick = Elementwise(
    name="gelu_quick",
    formula="y = u σ(1.702u);  y' = σ(1.702u) + 1.702u σ'(1.702u)",
    value=lambda u: u * logistic.sigmoid(QUICK * u),
    keep=keep_u,
    slope=partial(widened, _gelu_quick_slope),
)

CUBIC, ROOT = 0.044715, math.sqrt(2 / math.pi)


def _in_tanh(u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return 2v and 2uv', of ±50 where u is beyond: there σ(2v) is 0 or 1, and u³ may be ∞."""
    u = jnp.clip(u, -50, 50)
    return 2 * ROOT * (u + CUBIC * u**3), 2 * ROOT * (u + 3 * CUBIC * u**3)


def _gelu_tanh_slope(u: jax.Array) -> jax.Array:
    v, u_dv = _in_tanh(u)
    value, slope = logistic.sigmoid_and_slope(v)
    return value + slope * u_dv


gelu_tanh = Elementwise(
    name="gelu_tanh",
    formula="y = ½u (1 + tanh v), v = √(2/π) (u + 0.044715u³);  y' = σ(2v) + 2u σ'(2v) v'",
    value=lambda u: u * logistic.sigmoid(_in_tanh(u)[0]),
    keep=keep_u,
    slope=partial(widened, _gelu_tanh_slope),
)


gelu = Elementwise(
    name="gelu",
    formula="y = u Φ(u);  y' = Φ(u) + u φ(u)",
    value=normal.weighted,
    keep=keep_u,
    slope=partial(widened, normal.weighted_slope),
)


def _mish_gate(u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return t and t', numerators and denominators divided by the larger of 1 and e^(2u)."""
    e, above = jnp.exp(-jnp.abs(u)), u >= 0
    d = jnp.where(above, 1 + 2 * e + 2 * e**2, e**2 + 2 * e + 2)
    t = jnp.where(above, 1 + 2 * e, e * (e + 2)) / d
    return t, 4 * (1 + e) * jnp.where(above, e**2, e) / d**2


def _mish_slope(u: jax.Array) -> jax.Array:
    t, dt = _mish_gate(u)
    return t + u * dt


mish = Elementwise(
    name="mish",
    formula="y = u t, t = tanh ln(1+e^u);  y' = t + u t'",
    value=lambda u: u * _mish_gate(u)[0],
    keep=keep_u,
    slope=partial(widened, _mish_slope),
)

softsign = Elementwise(
    name="softsign",
    formula="y = u/(1+|u|);  y' = 1/(1+|u|)²",
    value=lambda u: u / (1 + jnp.abs(u)),
    keep=keep_u,
    slope=partial(widened, lambda u: 1 / (1 + jnp.abs(u)) ** 2),
)


def _hard_sigmoid(u: jax.Array) -> jax.Array:
    return jnp.clip(u + 3, 0, 6) / 6


hard_sigmoid = Elementwise(
    name="hard_sigmoid",
    formula="y = min(max(u+3, 0), 6)/6;  y' = 1/6 if |u| ≤ 3, 0 elsewhere",
    value=_hard_sigmoid,
    keep=partial(_inside, -3.0, 3.0),
    slope=lambda inside, dtype: as_kept(inside, dtype) / 6,
    kinks=((-3.0, 1 / 6), (3.0, 1 / 6)),
)

hard_tanh = Elementwise(
    name="hard_tanh",
    formula="y = min(max(u, −1), 1);  y' = 1 if |u| ≤ 1, 0 elsewhere",
    value=lambda u: jnp.clip(u, -1, 1),
    keep=partial(_inside, -1.0, 1.0),
    kinks=((-1.0, 1.0), (1.0, 1.0)),
)


def _hard_swish_slope(u: jax.Array) -> jax.Array:
    return jnp.where(u < -3, 0, jnp.where(u > 3, 1, (2 * u + 3) / 6))


hard_swish = Elementwise(
    name="hard_swish",
    formula="y = u min(max(u+3, 0), 6)/6;  y' = (2u+3)/6 if |u| ≤ 3, 0 below, 1 above",
    value=lambda u: u * _hard_sigmoid(u),
    keep=keep_u,
    slope=partial(widened, _hard_swish_slope),
    kinks=((-3.0, -0.5), (3.0, 1.5)),
)

_EVERY = (
    *(identity, sigmoid, tanh, relu, leaky_relu, softplus, log_sigmoid),
    *(relu6, squared_relu, elu, celu, selu, gelu, gelu_tanh, gelu_quick, silu, mish, softsign),
    *(hard_sigmoid, hard_tanh, hard_swish),
)

table: Mapping[str, Elementwise] = MappingProxyType({f.name: f for f in _EVERY})
