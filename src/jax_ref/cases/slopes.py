"""The slopes of functions and losses at kinks, where nothing else tells one slope from another.

A backward pass is a linear map of cotangents; here it is one number for each of them. The point is
of whole numbers, which have no cotangent.
"""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref.cases.case import Case, nearly_even, normal
from manual_bp import op


class _Slopes:
    """The linear map v ↦ f'(u) ⊙ v that a backward pass is; at a kink it has one value."""

    def __init__(self, op: Any) -> None:
        self._op = op

    def forward(self, v: jax.Array, u: jax.Array, **settings: float) -> tuple[jax.Array, Any]:
        """Return f'(u) ⊙ v and the residual."""
        _, residual = self._op.forward(u.astype(v.dtype), **settings)
        return self._op.backward(residual, v)[0], residual

    def backward(self, residual: Any, dy: jax.Array) -> tuple[jax.Array, None]:
        """Return (f'(u) ⊙ dy, None)."""
        return self._op.backward(residual, dy)[0], None


def _slopes_reference(
    v: jax.Array, u: jax.Array, *, slope_at_zero: float, negative_slope: float = 0.0
) -> jax.Array:
    slopes = jnp.asarray([negative_slope, slope_at_zero, 1], v.dtype)
    return v * slopes[jnp.sign(u) + 1]


def _signs(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return normal(rng, n), np.arange(n, dtype=np.int32) % 3 - 1


class _LossSlopes:
    """The linear map of dℓ that a loss of single numbers is, each number a sample of its own."""

    def __init__(self, op: Any) -> None:
        self._op = op

    def _all(self, residual: Any, dl: jax.Array) -> list[jax.Array]:
        return [cotangent.squeeze(-1) for cotangent in self._op.backward(residual, dl)]

    def forward(self, dl: jax.Array, points: jax.Array) -> tuple[jax.Array, Any]:
        """Return the cotangents side by side and the residual."""
        columns = jnp.split(points.astype(dl.dtype), points.shape[-1], -1)
        _, residual = self._op.forward(*columns, reduction="none")
        return jnp.stack(self._all(residual, dl), -1), residual

    def backward(self, residual: Any, dy: jax.Array) -> tuple[jax.Array, None]:
        """Return (Σ slope ⊙ dy, None)."""
        terms = [self._all(residual, dy[:, at])[at] for at in range(dy.shape[-1])]
        return jnp.stack(terms, -1).sum(-1), None


# Points at kinks and beside them, a row each; the slopes there, the middle of the subgradients.
_LOSS_SLOPES: dict[str, tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]] = {
    "absolute_error": (((1, 1), (2, 1), (-1, 0)), ((0, 0), (1, -1), (-1, 1))),
    "hinge": (
        ((1, 1), (0, 2), (-1, 2), (-1, -2), (2, -1)),
        ((0, 0), (-2, 0), (-2, 1), (0, 0), (1, -2)),
    ),
    "triplet": (
        ((0, 1, 2), (0, 2, -1), (0, 1, 3), (0, 0, 1)),
        ((0, 0, 0), (-2, 1, 1), (0, 0, 0), (0, 0, 0)),
    ),
}


def _of_loss(name: str) -> Case:
    points, slopes = _LOSS_SLOPES[name]
    return Case(
        name,
        _LossSlopes(getattr(manual_bp, name)),
        lambda dl, _: dl[:, None] * jnp.asarray(slopes, dl.dtype),
        lambda rng: (normal(rng, len(points)), np.asarray(points, dtype=np.int32)),
        ({},),
        variant="slopes",
    )


def _prelu(u: jax.Array, *, alpha: float) -> tuple[jax.Array, Any]:
    return manual_bp.prelu.forward(u, jnp.asarray(alpha, u.dtype))


def _rnn(u: jax.Array, *, slope_at_zero: float) -> tuple[Any, Any]:
    """Return one step of one sample from u."""
    h, nothing = jnp.zeros((1, u.size), u.dtype), jnp.zeros((u.size,) * 2, u.dtype)
    x, identity = u[None, None], jnp.eye(u.size, dtype=u.dtype)
    return manual_bp.rnn.forward(
        x, h, identity, nothing, activation="relu", slope_at_zero=slope_at_zero
    )


def _rnn_backward(residual: Any, dy: jax.Array) -> tuple[jax.Array]:
    dx, *_ = manual_bp.rnn.backward(residual, (dy[None, None], jnp.zeros_like(dy)[None]))
    return (dx[0, 0],)


def _supports(rng: np.random.Generator, b: int, n: int) -> tuple[Any, ...]:
    outside = np.arange(n) >= np.arange(2, b + 2)[:, None]
    return nearly_even(rng, b, n), (-3 * outside).astype(np.int32)


def _centred(v: jax.Array, u: jax.Array) -> jax.Array:
    """Return v less its mean where u is 0, and 0 elsewhere, computed in the dtype for sums."""
    s = (u == 0).astype(op.wide_dtype(v.dtype))
    identity = jnp.eye(u.shape[-1], dtype=s.dtype)[None]
    centring = identity - s[:, None, :] / s.sum(-1)[:, None, None]
    return (s * jnp.einsum("bij,bj->bi", centring, op.wide(v))).astype(v.dtype)


# Below the first kink, at it, between, at the last, above; the slopes there; settings.
_SLOPES: dict[str, tuple[tuple[int, ...], tuple[float, ...], dict[str, float]]] = {
    "relu6": ((-1, 0, 4, 6, 7), (0, 1, 1, 1, 0), {}),
    "hard_sigmoid": ((-4, -3, 1, 3, 4), (0, 1 / 6, 1 / 6, 1 / 6, 0), {}),
    "hard_tanh": ((-2, -1, 0, 1, 2), (0, 1, 1, 1, 0), {}),
    "hard_swish": ((-4, -3, 0, 3, 4), (0, -0.5, 0.5, 1.5, 1), {}),
    "elu": ((-1, 0, 1), (0.3 * np.exp(-1), 1, 1), {"alpha": 0.3}),
    "prelu": ((-1, 0, 1), (0.3, 1, 1), {"alpha": 0.3}),
    "rnn": ((-1, 0, 1, 2), (0, 0.3, 1, 1), {"slope_at_zero": 0.3}),
    "clip": (
        (-2, -1, 1, 3, 4),
        (0, 0.5, 1, 0.5, 0),
        {"low": -1.0, "high": 3.0, "slope_at_bounds": 0.5},
    ),
}
_OF_U = {
    "prelu": SimpleNamespace(forward=_prelu, backward=manual_bp.prelu.backward),
    "rnn": SimpleNamespace(forward=_rnn, backward=_rnn_backward),
}


def _at_kinks(name: str) -> Case:
    points, slopes, settings = _SLOPES[name]
    return Case(
        name,
        _Slopes(_OF_U.get(name) or getattr(manual_bp, name)),
        lambda v, _u, **_: v * jnp.asarray(slopes, v.dtype),
        lambda rng: (normal(rng, len(points)), np.asarray(points, dtype=np.int32)),
        ({},),
        (settings,),
        variant="slopes",
    )


cases: tuple[Case, ...] = (
    Case(
        "relu",
        _Slopes(manual_bp.relu),
        _slopes_reference,
        _signs,
        ({"n": 7},),
        options=({"slope_at_zero": 0.5}, {"slope_at_zero": 0.0}),
        variant="slopes",
    ),
    Case(
        "leaky_relu",
        _Slopes(manual_bp.leaky_relu),
        _slopes_reference,
        _signs,
        ({"n": 7},),
        options=({"slope_at_zero": 0.5, "negative_slope": 0.3},),
        variant="slopes",
    ),
    *map(_at_kinks, _SLOPES),
    *map(_of_loss, _LOSS_SLOPES),
    Case(
        "sparsemax",
        _Slopes(manual_bp.sparsemax),
        _centred,
        _supports,
        ({"b": 3, "n": 4},),
        variant="nearly even",
    ),
)
