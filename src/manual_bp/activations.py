"""Elementwise functions y = f(u) and their derivatives.

Shapes   u, y, dy, du: any, all the same
Forward  yᵢ = f(uᵢ)
Derive   yᵢ depends on uᵢ alone, so ∂yⱼ/∂uᵢ = f'(uᵢ) where j = i and 0 elsewhere, and

  (1) duᵢ = Σⱼ dyⱼ ∂yⱼ/∂uᵢ = dyᵢ f'(uᵢ),   that is   du = dy ⊙ f'(u).

What remains is f', computed in the forward pass and kept. It could be had from y later, as y (1−y)
or 1−y², at no memory; but where y rounds to 1 no digit of f' is left in it. So f' is taken from
whatever keeps its digits:

  sigmoid      y = 1/(1+e^(−u));  with e = e^(−|u|), y' = e^(−u)/(1+e^(−u))² = e/(1+e)² = y (1−y)
  tanh         y = (e^u−e^(−u))/(e^u+e^(−u));  with e = e^(−2|u|), y' = 1 − y² = 4e/(1+e)²
  relu         y = max(u, 0);  y' = 1 for u > 0, 0 for u < 0
  leaky relu   y = u for u ≥ 0, αu for u < 0;  y' = 1 for u > 0, α for u < 0
  identity     y = u;  y' = 1
  softplus     y = ln(1+e^u), so e^(−y) = 1/(1+e^u) and y' = e^u/(1+e^u) = 1 − e^(−y)
  log-sigmoid  y = ln σ(u) = −softplus(−u), so e^y = σ(u) and y' = 1 − σ(u) = 1 − e^y

The last two are taken as −expm1(∓y).

Saved    f'; of relu and leaky relu the sign of u, one byte an element; of identity nothing.
Kinks    relu and leaky relu at u = 0: `slope_at_zero`, 1 by default; 0 gives `jax.nn.relu`, 0.5
         `jnp.maximum(u, 0)`.
Extremes Every f and f' is finite and correct for u = ±1e4 in every dtype, and f' keeps its digits
         until it underflows. Half precision is computed in float32; f' is rounded, then du.
Source   Rumelhart, Hinton & Williams 1986 (sigmoid); LeCun et al. 1998, "Efficient BackProp"
         (tanh); Nair & Hinton 2010 (relu); Maas, Hannun & Ng 2013 (leaky relu); Dugas et al. 2001
         (softplus)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

from manual_bp import op

Settings = tuple[tuple[str, float], ...]


@op.residual
class Residual:
    """What the backward pass of an elementwise function needs; `settings` are static."""

    saved: Float[Array, "*shape"] | Int8[Array, "*shape"] | None
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    settings: Settings = op.static()


def _as_kept(kept: jax.Array, dtype: Any) -> jax.Array:
    """Return f' where it is f' that was kept."""
    return kept.astype(dtype)


@dataclass(frozen=True)
class Elementwise:
    """An elementwise function with its hand-written derivative; an op.

    Attributes:
      name: the field's name for it.
      formula: y and y', as text.
      value: f, from u and the settings.
      keep: what the backward pass needs, from u and y.
      slope: f', from what was kept, the dtype to compute in, and the settings.
      defaults: the settings that `forward` takes as keywords, with their defaults.
      kink: whether f' jumps at u = 0.
    """

    name: str
    formula: str
    value: Callable[..., Any]
    keep: Callable[[jax.Array, jax.Array], jax.Array | None]
    slope: Callable[..., Any] = _as_kept
    defaults: Settings = ()
    kink: bool = False

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.defaults)
        return f"manual_bp.{self.name}{f'({settings})' if settings else ''}"

    def with_settings(self, **settings: float) -> "Elementwise":
        """Return the same function with other defaults: `relu.with_settings(slope_at_zero=0.0)`.

        Raises:
          TypeError: a setting is unknown.
        """
        known = dict(self.defaults)
        if unknown := settings.keys() - known.keys():
            expected = "one of " + ", ".join(known) if known else "no settings"
            raise TypeError(op.complaint(self.name, "settings", expected, min(unknown)))
        return replace(self, defaults=tuple({**known, **settings}.items()))

    def forward(
        self, u: Float[Array, "*shape"], **settings: float
    ) -> tuple[Float[Array, "*shape"], Residual]:
        """Return y = f(u), of the shape and dtype of `u`, and the residual.

        Args:
          u: pre-activations, any shape, floating.
          **settings: those of `defaults`.

        Raises:
          TypeError: `u` is not floating, or a setting is unknown.
        """
        (u,) = op.floating(self.name, u=u)
        chosen = self.with_settings(**settings).defaults
        u_wide = op.wide(u)
        y = self.value(u_wide, **dict(chosen))
        kept = self.keep(u_wide, y)
        if kept is not None and kept.dtype == u_wide.dtype:
            kept = kept.astype(u.dtype)
        return y.astype(u.dtype), Residual(kept, u.shape, u.dtype, chosen)

    def backward(
        self, residual: Residual, dy: Float[Array, "*shape"]
    ) -> tuple[Float[Array, "*shape"]]:
        """Return (du,), of the shape and dtype of `dy`."""
        dy = op.expect_cotangent(self.name, dy, residual.shape, residual.dtype)
        slope = self.slope(residual.saved, op.wide_dtype(dy.dtype), **dict(residual.settings))
        return ((op.wide(dy) * slope).astype(dy.dtype),)  # (1)


def _keep_sign(u: jax.Array, _y: jax.Array) -> jax.Array:
    return (u > 0).astype(jnp.int8) - (u < 0).astype(jnp.int8)


def _logistic_slope(u: jax.Array, _y: jax.Array) -> jax.Array:
    e = jnp.exp(-jnp.abs(u))
    return e / (1 + e) ** 2


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
    value=lambda u: 1 / (1 + jnp.exp(-u)),
    keep=_logistic_slope,
)

tanh = Elementwise(
    name="tanh",
    formula="y = tanh u;  y' = 1 − y²",
    value=jnp.tanh,
    keep=lambda u, y: 4 * _logistic_slope(2 * u, y),
)

relu = Elementwise(
    name="relu",
    formula="y = max(u, 0);  y' = 1 if u > 0, 0 if u < 0, slope_at_zero if u = 0",
    value=lambda u, **_: jnp.maximum(u, 0),
    keep=_keep_sign,
    slope=lambda sign, dtype, slope_at_zero: _two_slopes(sign, dtype, 0.0, slope_at_zero),
    defaults=(("slope_at_zero", 1.0),),
    kink=True,
)

leaky_relu = Elementwise(
    name="leaky_relu",
    formula="y = u if u ≥ 0 else α u;  y' = 1 if u > 0, α if u < 0, slope_at_zero if u = 0",
    value=lambda u, negative_slope, **_: jnp.where(u >= 0, u, negative_slope * u),
    keep=_keep_sign,
    slope=_two_slopes,
    defaults=(("negative_slope", 0.01), ("slope_at_zero", 1.0)),
    kink=True,
)

softplus = Elementwise(
    name="softplus",
    formula="y = ln(1+e^u);  y' = 1 − e^(−y)",
    value=lambda u: jnp.maximum(u, 0) + jnp.log1p(jnp.exp(-jnp.abs(u))),
    keep=lambda _, y: -jnp.expm1(-y),
)

log_sigmoid = Elementwise(
    name="log_sigmoid",
    formula="y = −ln(1+e^(−u));  y' = 1 − e^y",
    value=lambda u: jnp.minimum(u, 0) - jnp.log1p(jnp.exp(-jnp.abs(u))),
    keep=lambda _, y: -jnp.expm1(y),
)

table: Mapping[str, Elementwise] = MappingProxyType(
    {f.name: f for f in (identity, sigmoid, tanh, relu, leaky_relu, softplus, log_sigmoid)}
)
