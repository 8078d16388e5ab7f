"""What every elementwise function shares: its forward and its backward.

Shapes   u, y, dy, du: any, all the same
Forward  yᵢ = f(uᵢ)
Derive   yᵢ depends on uᵢ alone, so ∂yⱼ/∂uᵢ = f'(uᵢ) where j = i and 0 elsewhere, and

  (1) duᵢ = Σⱼ dyⱼ ∂yⱼ/∂uᵢ = dyᵢ f'(uᵢ),   that is   du = dy ⊙ f'(u).

Saved    what the function says: f', or what f' is formed of in the backward.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int8

from manual_bp import op, setting

Settings = tuple[tuple[str, float], ...]
Kinks = tuple[tuple[float, float | str], ...]


@op.residual
class Residual:
    """What the backward pass of an elementwise function needs; `settings` are static."""

    saved: Float[Array, "*shape"] | Int8[Array, "*shape"] | Bool[Array, "*shape"] | None
    shape: tuple[int, ...] = op.static()
    dtype: Any = op.static()
    settings: Settings = op.static()


def as_kept(kept: jax.Array, dtype: Any) -> jax.Array:
    """Return f' where it is f' that was kept."""
    return kept.astype(dtype)


def keep_u(u: jax.Array, _y: jax.Array) -> jax.Array:
    """Return u, of which `widened` forms f'."""
    return u


def widened(slope: Callable[..., jax.Array], u: jax.Array, dtype: Any, **settings: float) -> Any:
    """Return f' at u as it was kept."""
    return slope(op.again(u.astype(dtype)), **settings)


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
      positive: the settings that must be above 0.
      kinks: the points where f' jumps, each with f' there or the name of the setting that gives it.
    """

    name: str
    formula: str
    value: Callable[..., Any]
    keep: Callable[[jax.Array, jax.Array], jax.Array | None]
    slope: Callable[..., Any] = as_kept
    defaults: Settings = ()
    positive: frozenset[str] = frozenset()
    kinks: Kinks = ()

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.defaults)
        return f"manual_bp.{self.name}{f'({settings})' if settings else ''}"

    def with_settings(self, **settings: float) -> "Elementwise":
        """Return the same function with other defaults: `relu.with_settings(slope_at_zero=0.0)`.

        Raises:
          TypeError: a setting is unknown.
          ValueError: a setting is no finite number, or one that must be above 0 is not.
        """
        known = dict(self.defaults)
        if unknown := settings.keys() - known.keys():
            expected = "one of " + ", ".join(known) if known else "no settings"
            raise TypeError(op.complaint(self.name, "settings", expected, min(unknown)))
        for name, value in settings.items():
            check = setting.expect_positive if name in self.positive else setting.expect_number
            known[name] = check(self.name, name, value)
        return replace(self, defaults=tuple(known.items()))

    def forward(
        self, u: Float[Array, "*shape"], **settings: float
    ) -> tuple[Float[Array, "*shape"], Residual]:
        """Return y = f(u), of the shape and dtype of `u`, and the residual.

        Args:
          u: pre-activations, any shape, floating.
          **settings: those of `defaults`.

        Raises:
          TypeError: `u` is not floating, or a setting is unknown.
          ValueError: a setting is no finite number, or one that must be above 0 is not.
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
