"""Backward passes as the linear maps of cotangents that they are, checked as if they were ops.

At kinks, where nothing else tells one slope from another; where entries tie, and where one is NaN
or −∞; of cotangents that cancel, of which half precision would leave no digit; of so many shares
that half precision cannot count them. The point is of whole numbers, which have no cotangent.
"""

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, normal
from manual_bp import op

MINUS = -9  # among whole numbers, what stands for −∞
LARGE = 2.0**14
RATE = 1 - 5.4 * 2.0**-24  # so high that of 1 − RATE float16 holds few digits
NAN = 9  # what stands for NaN, and is the largest as that is


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


def _nearly_even(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return numbers from 1 to 1.1, exact in every dtype; of their differences few digits show."""
    return np.asarray(1 + rng.integers(0, 7, shape) / 64)


def _supports(rng: np.random.Generator, b: int, n: int) -> tuple[Any, ...]:
    outside = np.arange(n) >= np.arange(2, b + 2)[:, None]
    return _nearly_even(rng, b, n), (-3 * outside).astype(np.int32)


def _centred(v: jax.Array, u: jax.Array) -> jax.Array:
    """Return v less its mean where u is 0, and 0 elsewhere, computed in the dtype for sums."""
    s = (u == 0).astype(op.wide_dtype(v.dtype))
    identity = jnp.eye(u.shape[-1], dtype=s.dtype)[None]
    centring = identity - s[:, None, :] / s.sum(-1)[:, None, None]
    return (s * jnp.einsum("bij,bj->bi", centring, op.wide(v))).astype(v.dtype)


class _PutBack:
    """The linear map dy ↦ dx of windows of three taps; its backward pass is the op's forward.

    With two places of padding on each side every place of x is read by every tap.
    """

    def __init__(self, op: Any, **settings: Any) -> None:
        self._op, self._settings = op, {**settings, "padding": 2}

    def forward(self, dy: jax.Array, *W: jax.Array) -> tuple[jax.Array, Any]:
        """Return dx and the residual."""
        x, kernel = jnp.zeros((1, dy.shape[1] - 2, 1), dy.dtype), [w.astype(dy.dtype) for w in W]
        _, residual = self._op.forward(x, *kernel, **self._settings)
        return self._op.backward(residual, dy)[0], kernel

    def backward(self, kernel: Any, ddx: jax.Array) -> tuple[Any, ...]:
        """Return the cotangent of dy; of the whole numbers none."""
        y, _ = self._op.forward(ddx, *kernel, **self._settings)
        return y, *(None for _ in kernel)


def _put_back(dy: jax.Array, *W: jax.Array) -> jax.Array:
    """Return the sum of what is owed to each place, computed in the dtype for sums."""
    owed = op.wide(dy)
    for w in W:
        owed = owed * w.reshape(1, 1, -1).astype(owed.dtype)
    j, i, o = np.ogrid[: dy.shape[1] - 2, : dy.shape[1], :3]
    read = jnp.asarray(i == j - o + 2, owed.dtype)
    return jnp.einsum("bio,jio->bj", owed, read)[..., None].astype(dy.dtype)


def _cancelling(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    W = np.asarray([100, 1, -100], np.int32).reshape(3, 1, 1)
    return _nearly_even(rng, 1, n + 2, 1), W


def _cancelling_patches(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (np.asarray([100.5, 0, -100.5]) + np.asarray([0, 1, 0]) * normal(rng, 1, n + 2, 1),)


class _WayBack:
    """The linear map dy ↦ dx that a backward pass is at a point of whole numbers."""

    def __init__(self, op: Any, reference: Any, settings: Any) -> None:
        self._op, self._reference, self._settings = op, reference, settings

    def forward(self, dy: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        """Return dx and what it depends on."""
        point = x.astype(dy.dtype)
        point = jnp.where(point == NAN, jnp.nan, jnp.where(point == MINUS, -jnp.inf, point))
        _, residual = self._op.forward(point, **self._settings)
        return self._op.backward(residual, dy)[0], (dy, x)

    def backward(self, saved: Any, ddx: jax.Array) -> tuple[jax.Array, None]:
        """Return the cotangent of dy, by the transpose of the reference."""
        dy, x = saved
        return jax.vjp(lambda dy: self._reference(dy, x), dy)[1](ddx)[0], None


def _by_jax(reference: Any, settings: Any) -> Any:
    """Return the reference of dy ↦ dx: JAX's way back through that of the op, in wide dtype."""

    def ways(dy: jax.Array, x: jax.Array) -> jax.Array:
        point = x.astype(op.wide_dtype(dy.dtype))
        _, pull_back = jax.vjp(partial(reference, **settings), point)
        return pull_back(op.wide(dy))[0].astype(dy.dtype)

    return ways


def _of_pairs(*slopes: float) -> Any:
    """Return the reference of dy ↦ dx where every dy goes to two places, of slopes as these."""

    def ways(dy: jax.Array, _: jax.Array) -> jax.Array:
        owed = jnp.repeat(op.wide(dy), 2, axis=1)
        return (owed * jnp.asarray(slopes, owed.dtype).reshape(owed.shape)).astype(dy.dtype)

    return ways


def _total(dy: jax.Array, _: jax.Array) -> jax.Array:
    return jnp.einsum("n->", op.wide(dy)).astype(dy.dtype)[None]


def _first_of_cumsum(residual: Any, dy: jax.Array) -> tuple[jax.Array]:
    """Return the total, beside which the other sums might be large."""
    return (manual_bp.cumsum.backward(residual, dy)[0][:1],)


def _large_dropped(residual: Any, dy: jax.Array) -> tuple[jax.Array]:
    """Return dx of LARGE dy."""
    return (manual_bp.dropout.backward(residual, dy * LARGE)[0],)


def _large_kept(dy: jax.Array, _: jax.Array) -> jax.Array:
    return (op.wide(dy) * (LARGE * (1 - RATE))).astype(dy.dtype)


def _not_dropped(x: jax.Array, **settings: Any) -> tuple[jax.Array, Any]:
    return manual_bp.dropout.forward(x, jax.random.key(0), training=False, **settings)


def _owing(dy: Any, x: Any, *, scale: float = 1.0) -> Any:
    """Return what draws a cotangent about `dy`, its sums exact in float32, and whole numbers."""

    def drawn(rng: np.random.Generator) -> tuple[Any, ...]:
        spread = rng.integers(-99, 99, np.shape(dy)) / 64
        return np.asarray(dy) + scale * spread, np.asarray(x, np.int32)

    return drawn


_FLAT = np.tile([1.0, -1.0, -1.0, 1.0], 4)  # and so orthogonal to _ALTERNATING and to 1
_ALTERNATING = np.tile([1, -1], 8)


def _of_batch(x: jax.Array) -> tuple[jax.Array, Any]:
    """Return one feature of a batch, normalised by it."""
    of_one = jnp.zeros(1, x.dtype), jnp.ones(1, x.dtype)
    (y, _, _), residual = manual_bp.batch_norm.forward(x[:, None], None, None, *of_one)
    return y, residual


def _sum_of_batch(residual: Any, dy: jax.Array) -> tuple[jax.Array]:
    """Return what the gradient of a bias below would be, were every second pair negative."""
    nothing = jnp.zeros(1, dy.dtype)
    dx = op.wide(manual_bp.batch_norm.backward(residual, (dy[:, None], nothing, nothing))[0])
    return (jnp.vdot(1 + jnp.asarray(_FLAT, dx.dtype), dx[:, 0]).astype(dy.dtype)[None],)


def _sum_without_mean(dy: jax.Array, _: jax.Array) -> jax.Array:
    scaled = jnp.asarray(_FLAT / np.sqrt(1 + 1e-5), op.wide_dtype(dy.dtype))
    return jnp.vdot(scaled, op.wide(dy)).astype(dy.dtype)[None]


_TIED = np.asarray([[0, 1], [-1, NAN], [0, 0], [0, NAN], [2, 2], [2, -3]])[None]
_ONE, _MANY = np.zeros((1, 1, 1)), np.zeros((1, 256, 257, 1))
_THREE = {"window": (3,), "strides": (1,)}
_APART = [[[100.5], [0.0], [-100.5]]]
_BOX = [[[[100.5], [-100.5]], [[0.0], [0.0]]]]

# What is owed, and where; settings. The reference is that of the op.
_WAYS: tuple[tuple[str, str, Any, Any], ...] = (
    ("global_max_pool", "ties", _owing(np.zeros((1, 2)), _TIED), {"ties": "split"}),
    (
        "max_pool",
        "ties",
        _owing(np.zeros((1, 6, 2)), _TIED),
        {**_THREE, "padding": ((1, 1),), "ties": "split"},
    ),
    ("max_pool", "cancelling", _owing(_APART, _ONE), {**_THREE, "padding": ((2, 2),)}),
    ("mean_pool", "cancelling", _owing(_APART, _ONE), {**_THREE, "padding": ((2, 2),)}),
    *(
        (name, "cancelling", _owing(_BOX, _ONE[None]), {"size": (2, 2)})
        for name in (
            "adaptive_max_pool",
            "adaptive_mean_pool",
            "upsample_nearest",
            "upsample_linear",
        )
    ),
    ("global_mean_pool", "many", _owing(np.zeros((1, 1)), _MANY, scale=1000.0), {}),
    ("reduce_max", "ties", _owing(np.zeros(2), _TIED.reshape(3, 2, 2)), {"axis": (0, 1)}),
    (
        "reduce_max",
        "shared ties",
        _owing(np.zeros(2), _TIED.reshape(3, 2, 2)),
        {"axis": (0, 1), "ties": "split"},
    ),
    ("reduce_mean", "many", _owing(np.zeros(()), _MANY, scale=1000.0), {}),
)
_references: Any = {
    **references.pooling.table,
    **references.resampling.table,
    "reduce_max": references.reductions.reduce_max,
    "reduce_mean": references.reductions.reduce_mean,
}

# The same with a reference of the map.
_OTHER_WAYS: tuple[tuple[str, str, Any, Any, Any, Any], ...] = (
    *(
        (
            "lp_pool",
            f"zeros, p={p:g}",
            manual_bp.lp_pool,
            _of_pairs(*slopes, 0.0, 0.0, 0.0, -1.0),
            _owing(np.zeros((1, 3, 1)), [[[3], [-4], [0], [0], [0], [-5]]]),
            {"window": (2,), "p": p},
        )
        for p, slopes in ((2.0, (0.6, -0.8)), (1.0, (1.0, -1.0)))
    ),
    (
        "logsumexp",
        "minus infinity",
        manual_bp.logsumexp,
        _of_pairs(1.0, 0.0, 0.0, 0.0),
        _owing(np.zeros((2, 1)), [[3, MINUS], [MINUS, MINUS]]),
        {"axis": 1, "keepdims": True},
    ),
    (
        "cumsum",
        "cancelling",
        SimpleNamespace(forward=manual_bp.cumsum.forward, backward=_first_of_cumsum),
        _total,
        _owing([100.5, 0.0, 0.0, 0.0, -100.5], np.zeros(5)),
        {},
    ),
    (
        "batch_norm",
        "sum",
        SimpleNamespace(forward=_of_batch, backward=_sum_of_batch),
        _sum_without_mean,
        _owing(np.full(16, 1000.1), _ALTERNATING),
        {},
    ),
    (
        "dropout",
        "nearly all",
        SimpleNamespace(forward=_not_dropped, backward=_large_dropped),
        _large_kept,
        _owing(np.zeros(5), np.zeros(5)),
        {"rate": RATE, "scaling": "evaluation"},
    ),
)


def _ways_back() -> Iterator[Case]:
    for name, variant, draw, settings in _WAYS:
        reference = _by_jax(_references[name], settings)
        way = _WayBack(getattr(manual_bp, name), reference, settings)
        yield Case(name, way, reference, draw, ({},), variant=variant)
    for name, variant, its_op, reference, draw, settings in _OTHER_WAYS:
        way = _WayBack(its_op, reference, settings)
        yield Case(name, way, reference, draw, ({},), variant=variant)


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
    *(
        Case(
            name,
            _PutBack(getattr(manual_bp, name)),
            _put_back,
            _cancelling,
            ({"n": 5},),
            variant="cancelling",
        )
        for name in ("conv", "depthwise_conv")
    ),
    Case(
        "im2col",
        _PutBack(manual_bp.im2col, kernel=3),
        _put_back,
        _cancelling_patches,
        ({"n": 5},),
        variant="cancelling",
    ),
    *_ways_back(),
)
