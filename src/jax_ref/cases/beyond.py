"""Cases beyond the registry, for the mutants: what is no op with a finite cotangent of everything.

Whole networks; losses at the edges of what is possible; probabilities, labels and numbers outside;
a sum so long that half precision, adding one number after another, stands still; means far from 0.
And backward passes as linear maps.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases import edges, linear_maps, models, networks
from jax_ref.cases.case import Case, normal
from manual_bp import op


def _without_nan(x: jax.Array) -> jax.Array:
    return jnp.where(jnp.isnan(x), 0, x)


class _NaNAsSum:
    """A loss of every sample, but that of one with bad input, NaN under `jit`, is read as Σ x."""

    def __init__(self, op: Any, **settings: Any) -> None:
        self._op, self._settings = op, {**settings, "reduction": "none"}

    def forward(self, x: jax.Array, *args: Any) -> tuple[jax.Array, Any]:
        """Return the losses of the samples and the residual."""
        # Labels whose values can be read are refused; under `jit` they cannot.
        forward = jax.jit(lambda *args: self._op.forward(*args, **self._settings))
        losses, residual = forward(x, *args)
        return jnp.where(jnp.isnan(losses), _of_sample(x), losses), residual

    def backward(self, residual: Any, dy: jax.Array) -> tuple[Any, ...]:
        """Return the cotangents; where that of x is NaN, as it should be, that of Σ x."""
        dx, *others = self._op.backward(residual, dy)
        dsum = dy.reshape(-1, *(1,) * (dx.ndim - 1))
        return jnp.where(jnp.isnan(dx), dsum, dx), *jax.tree.map(_without_nan, others)


def _of_sample(x: jax.Array) -> jax.Array:
    return x.sum(tuple(range(1, x.ndim)))


def _outside(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    p = np.asarray([-0.3, 1.7, -1.5, 2.5, *rng.uniform(0.1, 0.9, n)])
    return np.round(p, 2)[:, None], np.round(rng.uniform(0.1, 0.9, (len(p), 1)), 2)


def _inside_reference(p: jax.Array, t: jax.Array) -> jax.Array:
    inside = (p > 0) & (p < 1)
    losses = references.losses.binary_cross_entropy_on_probabilities(
        jnp.where(inside, p, 0.5), t, reduction="none"
    )
    return jnp.where(inside[:, 0], losses, p[:, 0])


def _unknown_labels(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    labels = np.asarray([-1, n, n + 1, *range(n)], dtype=np.int32)
    return normal(rng, len(labels), n), labels


def _known(name: str, **settings: Any) -> Any:
    """Return the reference of a loss, of samples with an unknown label Σ x."""

    def reference(x: jax.Array, labels: jax.Array) -> jax.Array:
        known = (labels >= 0) & (labels < x.shape[-1])
        chosen = jnp.where(known, labels, 0)
        losses = references.losses.table[name](x, chosen, reduction="none", **settings)
        return jnp.where(known, losses, x.sum(-1))

    return reference


def _unsound(rng: np.random.Generator, t: int, v: int) -> tuple[Any, ...]:
    """Return logits, two labels a sample and lengths; but for the first two samples one is bad."""
    labels = np.asarray([[1, 2], [2, 2], [1, 0], [v, 1], [-1, 1], *[[1, 2]] * 4], np.int32)
    logit_lengths, label_lengths = np.full(9, t, np.int32), np.full(9, 2, np.int32)
    logit_lengths[[5, 6]], label_lengths[[7, 8]] = [-1, t + 1], [-1, 3]
    return normal(rng, 9, t, v), labels, logit_lengths, label_lengths


def _sound_reference(
    x: jax.Array, labels: jax.Array, logit_lengths: jax.Array, label_lengths: jax.Array
) -> jax.Array:
    good = jnp.arange(len(x)) < 2
    losses = references.losses.ctc(
        x,
        jnp.where(good[:, None], labels, 1),
        jnp.where(good, logit_lengths, x.shape[1]),
        jnp.where(good, label_lengths, 1),
        reduction="none",
    )
    return jnp.where(good, losses, _of_sample(x))


def _far_apart(rng: np.random.Generator, scale: float) -> tuple[Any, ...]:
    """Return logits of two steps, too few for one label twice, labels and their numbers."""
    labels, lengths = np.asarray([[1, 2], [2, 0], [1, 1]]), np.asarray([2, 1, 2])
    return scale * normal(rng, 3, 2, 4), labels.astype(np.int32), lengths.astype(np.int32)


def _few_steps_forward(
    logits: jax.Array, labels: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, Any]:
    """Return the losses, ∞ read as 0, and the residual."""
    losses, residual = manual_bp.ctc.forward(logits, labels, None, lengths, reduction="none")
    return jnp.where(losses == jnp.inf, 0, losses), residual


def _few_steps_backward(residual: Any, dy: jax.Array) -> tuple[jax.Array, None, None]:
    return manual_bp.ctc.backward(residual, dy)[0], None, None


def _by_paths(logits: jax.Array, *_: jax.Array) -> jax.Array:
    """Return −ln Σ P over the paths that leave the labels; 0 where there is none."""
    first, second = jnp.moveaxis(jax.nn.log_softmax(op.wide(logits)), 1, 0)
    ways = (
        first[0, 1] + second[0, 2],
        *(first[1, i] + second[1, j] for i, j in ((2, 2), (0, 2), (2, 0))),
    )
    losses = jnp.stack([-ways[0], -jax.nn.logsumexp(jnp.stack(ways[1:])), jnp.zeros_like(ways[0])])
    return losses.astype(logits.dtype)


def _one_by_one(x: jax.Array) -> jax.Array:
    """Return Σ x, in the dtype for sums."""
    terms = op.wide(x)
    zero = jnp.zeros((), op.wide_dtype(x.dtype))
    return jax.lax.scan(lambda total, term: (total + term, None), zero, terms)[0]


def _long_sum_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    total = _one_by_one(x)
    return (total * total / x.size).astype(x.dtype), x


def _long_sum_backward(x: jax.Array, dy: jax.Array) -> tuple[jax.Array]:
    slope = op.wide(dy) * 2 * _one_by_one(x) / x.size
    return (jnp.broadcast_to(slope.astype(x.dtype), x.shape),)


def _long_sum_reference(x: jax.Array) -> jax.Array:
    """Return (Σ x)² / n, the sum in float32 at least."""
    total = jnp.sum(x, dtype=x.dtype if x.dtype.itemsize > 2 else jnp.float32)
    return (total**2 / x.size).astype(x.dtype)


def _far(scale_x: jax.Array, deviations: jax.Array) -> tuple[Any, ...]:
    """Return arguments of which x W, without rounding, is 1000 + deviations/1024."""
    dtype, width = scale_x.dtype, scale_x.size
    zeros = partial(jnp.zeros, dtype=dtype)
    x = jnp.asarray([[[1, 2**-10]]], dtype)
    W = jnp.stack([jnp.full(width, 1000, dtype), deviations.astype(dtype)])
    h = width // 4
    states = zeros((1, h)), zeros((1, h))
    of_cell = jnp.ones(h, dtype), zeros(h)
    return x, *states, W, zeros((h, width)), scale_x, zeros(width), zeros(width), *of_cell


def _far_forward(scale_x: jax.Array, deviations: jax.Array) -> tuple[jax.Array, Any]:
    (_, _, c), residual = manual_bp.layer_norm_lstm.forward(
        *_far(scale_x, deviations), epsilon=1e-6
    )
    return c, residual


def _far_backward(residual: Any, dc: jax.Array) -> tuple[jax.Array, None]:
    nothing = jnp.zeros_like(dc)
    cotangents = manual_bp.layer_norm_lstm.backward(residual, (nothing[:, None], nothing, dc))
    return cotangents[5], None


def _far_reference(scale_x: jax.Array, deviations: jax.Array) -> jax.Array:
    args = _far(op.wide(scale_x), deviations)
    _, _, c = references.recurrence.layer_norm_lstm(*args, epsilon=1e-6)
    return c.astype(scale_x.dtype)


def _looked_up_forward(dy: jax.Array, indices: jax.Array) -> tuple[jax.Array, Any]:
    """Return dupdates of `scatter_add`, linear in dy, NaN read as 0; and the residual of `take`.

    Under `jit` numbers of slices may be outside: what is looked up there is NaN, and what is added
    there is lost. Negative ones do not count from the end.
    """
    updates = jnp.zeros((*indices.shape, *dy.shape[1:]), dy.dtype)
    forward = jax.jit(lambda *args: manual_bp.scatter_add.forward(*args)[1])
    take = jax.jit(lambda *args: manual_bp.take.forward(*args)[1])
    dupdates = manual_bp.scatter_add.backward(forward(dy, indices, updates), dy)[2]
    return _without_nan(dupdates), take(dy, indices)


def _looked_up_backward(residual: Any, ddupdates: jax.Array) -> tuple[Any, ...]:
    return manual_bp.take.backward(residual, ddupdates)


def _looked_up(dy: jax.Array, indices: jax.Array) -> jax.Array:
    one_hot = indices[:, None] == jnp.arange(dy.shape[0], dtype=indices.dtype)[None]
    return jnp.einsum("kr,rn->kn", one_hot.astype(dy.dtype), dy)


def _unknown_numbers(rng: np.random.Generator, v: int, n: int) -> tuple[Any, ...]:
    return normal(rng, v, n), np.asarray([0, -1, v, v + 2, -v, v - 1, 0], np.int32)


cases: tuple[Case, ...] = (
    *networks.cases,
    Case(
        "binary_cross_entropy_on_probabilities",
        _NaNAsSum(manual_bp.binary_cross_entropy_on_probabilities),
        _inside_reference,
        _outside,
        ({"n": 3},),
        variant="outside [0, 1]",
    ),
    *(
        Case(
            name,
            _NaNAsSum(getattr(manual_bp, name), **settings),
            _known(name, **settings),
            _unknown_labels,
            ({"n": 5},),
            variant=", ".join(["unknown labels", *settings]),
        )
        for name, settings in (
            ("softmax_cross_entropy", {}),
            ("softmax_cross_entropy", {"label_smoothing": 0.3}),
            ("negative_log_likelihood", {}),
            ("multiclass_hinge", {}),
        )
    ),
    Case(
        "ctc",
        _NaNAsSum(manual_bp.ctc),
        _sound_reference,
        _unsound,
        ({"t": 3, "v": 4},),
        variant="bad labels and lengths",
    ),
    Case(
        "ctc",
        SimpleNamespace(forward=_few_steps_forward, backward=_few_steps_backward),
        _by_paths,
        _far_apart,
        ({"scale": 1.0}, {"scale": 300.0}),
        variant="far apart, too few steps",
    ),
    Case(
        "wide",
        SimpleNamespace(forward=_long_sum_forward, backward=_long_sum_backward),
        _long_sum_reference,
        lambda rng, n: (np.round(rng.uniform(0.5, 1.0, n), 2),),
        ({"n": 300},),
        variant="long sum",
    ),
    Case(
        "scatter_add",
        SimpleNamespace(forward=_looked_up_forward, backward=_looked_up_backward),
        _looked_up,
        _unknown_numbers,
        ({"v": 4, "n": 2},),
        variant="unknown numbers",
    ),
    Case(
        "layer_norm_lstm",
        SimpleNamespace(forward=_far_forward, backward=_far_backward),
        _far_reference,
        lambda rng, h: (normal(rng, 4 * h), rng.integers(-9, 9, 4 * h, np.int32)),
        ({"h": 3},),
        variant="far means",
    ),
    models.there_and_back,
    *models.by_updates,
    *edges.cases,
    *linear_maps.cases,
)
