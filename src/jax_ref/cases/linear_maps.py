"""Backward passes as the linear maps of cotangents that they are, checked as if they were ops.

Where entries tie, and where one is NaN or −∞; of cotangents that cancel, of which half precision
would leave no digit; of so many shares that half precision cannot count them. The point is of whole
numbers, which have no cotangent.
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
from jax_ref.cases import slopes
from jax_ref.cases.case import Case, nearly_even
from manual_bp import op

MINUS = -9  # among whole numbers, what stands for −∞
LARGE = 2.0**14
RATE = 1 - 5.4 * 2.0**-24  # so high that of 1 − RATE float16 holds few digits
NAN = 9  # what stands for NaN, and is the largest as that is


class _PutBack:
    """The linear map dy ↦ dx of windows of three taps; its backward pass is the op's forward.

    With two places of padding on each side every place of x is read by every tap.
    """

    def __init__(self, op: Any, **settings: Any) -> None:
        self._op, self._settings = op, {**settings, "padding": 2}

    def forward(self, dy: jax.Array, *W: jax.Array) -> tuple[jax.Array, Any]:
        """Return dx and the residual."""
        x = jnp.zeros((1, dy.shape[1] - 2, self._settings.get("groups", 1)), dy.dtype)
        kernel = [w.astype(dy.dtype) for w in W]
        _, residual = self._op.forward(x, *kernel, **self._settings)
        return self._op.backward(residual, dy)[0], kernel

    def backward(self, kernel: Any, ddx: jax.Array) -> tuple[Any, ...]:
        """Return the cotangent of dy; of the whole numbers none."""
        y, _ = self._op.forward(ddx, *kernel, **self._settings)
        return y, *(None for _ in kernel)


def _put_back(dy: jax.Array, *W: jax.Array) -> jax.Array:
    """Return the sum of what is owed to each place, computed in the dtype for sums."""
    places, taps = dy.shape[1], 3
    owed = op.wide(dy).reshape(1, places, -1, taps if not W else 1)
    for w in W:
        owed = owed * w.reshape(1, 1, taps, -1).swapaxes(2, 3).astype(owed.dtype)
    j, i, o = np.ogrid[: places - 2, :places, :taps]
    read = jnp.asarray(i == j - o + 2, owed.dtype)
    return jnp.einsum("bico,jio->bjc", owed, read).astype(dy.dtype)


def _cancelling(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    W = np.asarray([100, 1, -100], np.int32).reshape(3, 1, 1)
    return nearly_even(rng, 1, n + 2, 1), W


def _cancelling_in_groups(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    _, W = _cancelling(rng, n)
    return nearly_even(rng, 1, n + 2, 2), np.concatenate([W, W], -1)


def _cancelling_patches(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    small = rng.integers(-99, 99, (1, n + 2, 1)) / 64  # whose sums are exact in float32
    return (np.asarray([100.5, 0, -100.5]) + np.asarray([0, 1, 0]) * small,)


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


def _divergence(x: jax.Array) -> tuple[jax.Array, Any]:
    """Return the divergence of certainties from e^(−1) each."""
    return manual_bp.kl_divergence.forward(jnp.full_like(x, -1), x, reduction="none")


def _side_of_divergence(residual: Any, dy: jax.Array) -> tuple[jax.Array]:
    """Return dy times dp of the divergence, which may be infinite, cut off at ±1."""
    _, dp = manual_bp.kl_divergence.backward(residual, jnp.ones_like(dy[:, 0]))
    return (dy * jnp.clip(dp, -1, 1),)


def _apart(x: jax.Array) -> tuple[jax.Array, Any]:
    """Return the contrastive loss of pairs that are to be 10 apart."""
    unlike = jnp.zeros(len(x), x.dtype)
    return manual_bp.contrastive.forward(x[:, 0], x[:, 1], unlike, margin=10.0, reduction="none")


def _from_5_to_10(dy: jax.Array, _: jax.Array) -> jax.Array:
    """Return what moves (3, 4) from (0, 0), and of two that coincide nothing."""
    slopes = jnp.asarray([[-3.0, -4.0], [0.0, 0.0]], op.wide_dtype(dy.dtype))
    return (op.wide(dy)[:, None] * slopes).astype(dy.dtype)


_TIED = np.asarray([[0, 1], [-1, NAN], [0, 0], [0, NAN], [2, 2], [2, -3]])[None]
_ONE, _MANY = np.zeros((1, 1, 1)), np.zeros((1, 256, 257, 1))
_THREE = {"window": (3,), "strides": (1,)}
_APART = [[[100.5], [0.0], [-100.5]]]
_BOX = [[[[100.5], [-100.5]], [[0.0], [0.0]]]]
_UNEVEN = np.pad(_BOX, ((0, 0), (0, 1), (0, 1), (0, 0)))  # from two places to three

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
    (
        "upsample_nearest",
        "cancelling, uneven",
        _owing(_UNEVEN, np.zeros((1, 2, 2, 1))),
        {"size": (3, 3)},
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
        "kl_divergence",
        "slope at probability 0",
        SimpleNamespace(forward=_divergence, backward=_side_of_divergence),
        lambda dy, p: jnp.where(p == 0, -dy, dy),
        _owing(np.zeros((2, 3)), [[1, 0, 0], [0, 1, 0]]),
        {},
    ),
    (
        "contrastive",
        "no distance",
        SimpleNamespace(forward=_apart, backward=manual_bp.contrastive.backward),
        _from_5_to_10,
        _owing(np.zeros(2), [[[3, 4], [0, 0]], [[2, 1], [2, 1]]]),
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


cases: tuple[Case, ...] = (
    *slopes.cases,
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
        "conv",
        _PutBack(manual_bp.conv, groups=2),
        _put_back,
        _cancelling_in_groups,
        ({"n": 5},),
        variant="cancelling, in groups",
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
