"""Cases beyond the registry, for the mutants: what is no op with a finite cotangent of everything.

A model's loss with its gradients and every δ; that loss, and an op, as an adapter hands it to JAX;
probabilities of exactly 0 and 1, where the cotangent of the targets is infinite; a sum so long that
half precision, adding one number after another, stands still. And backward passes as the linear
maps of cotangents that they are: at kinks, where nothing else tells one slope from another; of
cotangents that cancel, of which half precision would leave no digit; at numbers outside.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref import check_model, references
from jax_ref.cases import models
from jax_ref.cases.case import Case, Options, Sizes, describe, normal
from jax_ref.verdict import Report
from manual_bp import adapters, cnn, mlp, op, recurrent, resnet

NAN = 9  # among whole numbers, the largest, which NaN is like to a maximum
NETWORKS = (
    {"batch": (5,), "widths": (3, 4, 2)},
    {"batch": (), "widths": (2, 3)},
    {"batch": (2, 3), "widths": (3, 5, 4, 2)},
)


def _by_hand(params: Any, x: Any, targets: Any, *, loss: str, **settings: Any) -> Any:
    named = {
        name: getattr(manual_bp, value) if isinstance(value, str) else value
        for name, value in settings.items()
    }
    return mlp.loss_gradients_and_deltas(params, x, targets, loss=getattr(manual_bp, loss), **named)


def _reference(
    params: Any, x: Any, targets: Any, *, loss: str, probes: Any, **settings: Any
) -> Any:
    named: dict[str, Any] = {
        name: references.activations.table[value] if isinstance(value, str) else value
        for name, value in settings.items()
    }
    return references.models.mlp_loss(
        params, x, targets, loss=references.losses.table[loss], probes=probes, **named
    )


def _halved_square(
    model: Any, params: Any, inputs: Any, targets: Any, **settings: Any
) -> tuple[Any, Any, Any]:
    """Return ½ ‖y − targets‖², its gradients and every δ."""
    y, residual = model.forward(params, inputs, **settings)
    error = y - targets
    gradients, _, deltas = model.backward_with_deltas(residual, error)
    return op.wide(error**2).sum() / 2, gradients, deltas


def _halved_square_reference(
    model: Any, params: Any, inputs: Any, targets: Any, *, probes: Any, **settings: Any
) -> Any:
    error = model(params, inputs, probes=probes, **settings) - targets
    return op.wide(jnp.einsum("bm,bm->", error, error)) / 2


def _forward_of_resnet(params: Any, inputs: Any, **settings: Any) -> tuple[Any, Any]:
    """Return y, and the residual with the cotangents of the statistics, which are 0."""
    (y, renewed), residual = resnet.forward(params, *inputs, **settings)
    return y, (residual, jax.tree.map(jnp.zeros_like, renewed))


def _backward_of_resnet(saved: Any, dy: jax.Array) -> tuple[Any, Any, Any]:
    residual, nothing = saved
    dparams, dx, _, deltas = resnet.backward_with_deltas(residual, (dy, nothing))
    return dparams, dx, deltas


def _of_model(by_hand: Any) -> SimpleNamespace:
    """Return an op whose output is the loss, for what is seen of the calls."""

    def forward(*args: Any, **settings: Any) -> tuple[Any, Any]:
        loss, gradients, _ = by_hand(*args, **settings)
        return loss, gradients

    return SimpleNamespace(
        by_hand=by_hand, forward=forward, backward=lambda gradients, _: gradients
    )


class ModelCase(Case):
    """A model's loss with its gradients and every δ; its options are names and numbers."""

    def run_one(self, sizes: Sizes, options: Options, dtype: str, seed: int = 0) -> Report:
        """Return the report of the model at one size, with one set of options, in one dtype."""
        return check_model(
            partial(self.op.by_hand, **options),
            partial(self.reference, **options),
            *self.arguments(sizes, dtype, seed),
            name=describe(self, sizes, options),
            seed=seed,
            tolerance=self.tolerance,
            raises=False,
        )


def _with_targets(draw: Any) -> Any:
    """Return what draws the parameters of a model, its inputs, one or several, and targets."""

    def drawn(rng: np.random.Generator, **sizes: Any) -> tuple[Any, ...]:
        params, x, *others = draw(rng, **sizes)
        classes = jax.tree.leaves(params)[-1].shape
        return params, (x, *others) if others else x, normal(rng, len(x), *classes)

    return drawn


def _first_output(reference: Any) -> Any:
    return lambda params, inputs, **settings: reference(params, *inputs, **settings)[0]


_resnet = SimpleNamespace(forward=_forward_of_resnet, backward_with_deltas=_backward_of_resnet)
_of_registry = {case.name: case for case in models.cases}


def _with_deltas(name: str, model: Any, in_one: Any = lambda reference: reference) -> Case:
    """Return a case of the registry with every δ."""
    case = _of_registry[name]
    return ModelCase(
        case.op_name,
        _of_model(partial(_halved_square, model)),
        partial(_halved_square_reference, in_one(case.reference)),
        _with_targets(case.draw),
        case.sizes[-1:],
        case.options[:1],
        variant="loss, gradients and δ",
    )


def _parameters(rng: np.random.Generator, widths: tuple[int, ...]) -> tuple[mlp.Layer, ...]:
    def layer(n: int, m: int) -> Any:
        return np.round(normal(rng, n, m) / np.sqrt(n), 2), normal(rng, m)

    return tuple(mlp.Layer(*layer(n, m)) for n, m in pairwise(widths))


def _regression(
    rng: np.random.Generator, batch: tuple[int, ...], widths: tuple[int, ...]
) -> tuple[Any, ...]:
    x, targets = normal(rng, *batch, widths[0]), normal(rng, *batch, widths[-1])
    return _parameters(rng, widths), x, targets


def _near_whole_numbers(
    rng: np.random.Generator, batch: tuple[int, ...], widths: tuple[int, ...]
) -> tuple[Any, ...]:
    x = rng.integers(-3, 4, (*batch, widths[0])) + rng.choice([-0.25, 0.25], (*batch, widths[0]))
    return _parameters(rng, widths), x, rng.integers(0, widths[-1], batch, dtype=np.int32)


def _classifier(params: Any, x: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
    """Return the loss, in float32 for half precision, and its gradients; of x it takes no more."""
    loss, gradients = mlp.loss_and_gradients(
        params,
        jnp.round(x),
        labels,
        loss=manual_bp.softmax_cross_entropy,
        activation=manual_bp.tanh,
    )
    return op.wide(loss), gradients


def _adapted_forward(params: Any, x: jax.Array, labels: jax.Array) -> tuple[Any, Any]:
    """Return the loss, the loss as it is returned while it is differentiated, and Σ x."""
    # Adapted here and not once for all, so that a mutant of the adapter is what runs.
    loss = adapters.as_differentiable(_classifier)
    differentiated, pull_back = jax.vjp(lambda params, x: loss(params, x, labels), params, x)
    return (loss(params, x, labels), differentiated, op.wide(x).sum()), (pull_back, x)


def _adapted_backward(residual: Any, dy: Any) -> tuple[Any, Any, None]:
    """Return the cotangents; dx is that of Σ x where the adapter's is NaN, as it should be."""
    pull_back, x = residual
    plain, differentiated, dsum = dy
    dparams, unknown = pull_back(plain + differentiated)
    dx = jnp.where(jnp.isnan(unknown), dsum, jnp.zeros_like(dsum)).astype(x.dtype)
    return dparams, dx, None


def _adapted_reference(params: Any, x: jax.Array, labels: jax.Array) -> Any:
    loss = references.models.mlp_loss(
        params,
        jnp.round(x),
        labels,
        loss=references.losses.softmax_cross_entropy,
        activation=references.activations.tanh,
    )
    return op.wide(loss), op.wide(loss), op.wide(x).sum()


class _Adapted:
    """An op as an adapter hands it to JAX, which refuses cotangents of another structure."""

    def __init__(self, op: Any) -> None:
        self._op = op

    def forward(self, *args: Any) -> tuple[Any, Any]:
        """Return y as it is, and as it is returned while it is differentiated; and the way back."""
        function = adapters.as_custom_vjp(self._op)
        differentiated, pull_back = jax.vjp(function, *args)
        return (function(*args), differentiated), pull_back

    def backward(self, pull_back: Any, dy: Any) -> Any:
        """Return the cotangents."""
        return pull_back(dy[0] + dy[1])


def _twice(reference: Any) -> Any:
    return lambda *args: (reference(*args),) * 2


def _edge_forward(p: jax.Array, t: jax.Array) -> tuple[jax.Array, Any]:
    return manual_bp.binary_cross_entropy_on_probabilities.forward(p, t.astype(p.dtype))


def _edge_backward(residual: Any, dy: jax.Array) -> tuple[jax.Array, None]:
    dp, _ = manual_bp.binary_cross_entropy_on_probabilities.backward(residual, dy)
    return dp, None


def _edge_reference(p: jax.Array, t: jax.Array) -> jax.Array:
    """Return the mean of −ln p for t = 1 and −ln(1−p) for t = 0; each finite at its own edge."""
    return jnp.mean(jnp.sum(-jnp.log(jnp.where(t == 1, p, 1 - p)), -1))


def _edges(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    t = np.arange(2 * n, dtype=np.int32).reshape(2, n) % 2
    return np.where(rng.random((2, n)) < 0.5, t, np.round(rng.uniform(0.2, 0.8, (2, n)), 2)), t


def _without_nan(x: jax.Array) -> jax.Array:
    return jnp.where(jnp.isnan(x), 0, x)


class _NaNAsSum:
    """A loss of every sample, but that of one with bad input, NaN under `jit`, is read as Σ x."""

    def __init__(self, op: Any) -> None:
        self._op = op

    def forward(self, x: jax.Array, *args: Any) -> tuple[jax.Array, Any]:
        """Return the losses of the samples and the residual."""
        # Labels whose values can be read are refused; under `jit` they cannot.
        forward = jax.jit(lambda *args: self._op.forward(*args, reduction="none"))
        losses, residual = forward(x, *args)
        return jnp.where(jnp.isnan(losses), x.sum(-1), losses), residual

    def backward(self, residual: Any, dy: jax.Array) -> tuple[Any, ...]:
        """Return the cotangents; where that of x is NaN, as it should be, that of Σ x."""
        dx, *others = self._op.backward(residual, dy)
        return jnp.where(jnp.isnan(dx), dy[:, None], dx), *jax.tree.map(_without_nan, others)


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


def _known(name: str) -> Any:
    """Return the reference of a loss, of samples with an unknown label Σ x."""

    def reference(x: jax.Array, labels: jax.Array) -> jax.Array:
        known = (labels >= 0) & (labels < x.shape[-1])
        chosen = jnp.where(known, labels, 0)
        losses = references.losses.table[name](x, chosen, reduction="none")
        return jnp.where(known, losses, x.sum(-1))

    return reference


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


def _prelu(u: jax.Array, *, alpha: float) -> tuple[jax.Array, Any]:
    return manual_bp.prelu.forward(u, jnp.asarray(alpha, u.dtype))


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


class _WayBack:
    """The linear map dy ↦ dx that a backward pass is at a point of whole numbers."""

    def __init__(self, op: Any, reference: Any, **settings: Any) -> None:
        self._op, self.reference, self._settings = op, reference, settings

    def forward(self, dy: jax.Array, x: jax.Array) -> tuple[jax.Array, Any]:
        """Return dx and what it depends on."""
        point = x.astype(dy.dtype)
        point = jnp.where(point == NAN, jnp.nan, point)
        _, residual = self._op.forward(point, **self._settings)
        return self._op.backward(residual, dy)[0], (dy, x)

    def backward(self, saved: Any, ddx: jax.Array) -> tuple[jax.Array, None]:
        """Return the cotangent of dy, by the transpose of the reference."""
        dy, x = saved
        return jax.vjp(lambda dy: self.reference(dy, x), dy)[1](ddx)[0], None


def _way_back(reference: Any, **settings: Any) -> Any:
    """Return the reference of dy ↦ dx: JAX's, in the dtype for sums."""

    def ways(dy: jax.Array, x: jax.Array) -> jax.Array:
        point = x.astype(op.wide_dtype(dy.dtype))
        _, pull_back = jax.vjp(partial(reference, **settings), point)
        return pull_back(op.wide(dy))[0].astype(dy.dtype)

    return ways


def _of_pairs(slopes: tuple[float, ...]) -> Any:
    """Return the reference of dy ↦ dx for windows of two places, of which the slopes are known."""

    def ways(dy: jax.Array, _: jax.Array) -> jax.Array:
        owed = jnp.repeat(op.wide(dy), 2, axis=1)
        return (owed * jnp.asarray(slopes, owed.dtype).reshape(1, -1, 1)).astype(dy.dtype)

    return ways


def _owing(dy: Any, x: Any, *, scale: float = 1) -> Any:
    """Return what draws a cotangent about `dy`, and whole numbers."""

    def drawn(rng: np.random.Generator) -> tuple[Any, ...]:
        return np.asarray(dy) + scale * normal(rng, *np.shape(dy)), np.asarray(x, np.int32)

    return drawn


def _way_back_cases() -> Iterator[Case]:
    tied = np.asarray([[0, 1], [-1, NAN], [0, 0], [0, NAN], [2, 2], [2, -3]])[None]
    three = {"window": (3,), "strides": (1,)}
    one, huge = [[[0]]], np.zeros((1, 256, 257, 1))
    of_one = [[[100.5], [0], [-100.5]]]
    of_box = [[[[100.5], [0]], [[-100.5], [0]]]]
    for name, variant, draw, settings in (
        ("global_max_pool", "ties", _owing([[0, 0]], tied), {"ties": "split"}),
        (
            "max_pool",
            "ties",
            _owing(np.zeros((1, 6, 2)), tied),
            {**three, "padding": ((1, 1),), "ties": "split"},
        ),
        ("max_pool", "cancelling", _owing(of_one, one), {**three, "padding": ((2, 2),)}),
        ("mean_pool", "cancelling", _owing(of_one, one), {**three, "padding": ((2, 2),)}),
        ("adaptive_max_pool", "cancelling", _owing(of_box, [one]), {"size": (2, 2)}),
        ("adaptive_mean_pool", "cancelling", _owing(of_box, [one]), {"size": (2, 2)}),
        ("global_mean_pool", "many", _owing([[0]], huge, scale=1000), {}),
    ):
        theme = references.pooling.table[name]
        way = _WayBack(getattr(manual_bp, name), _way_back(theme, **settings), **settings)
        yield Case(name, way, way.reference, draw, ({},), variant=variant)
    for p, slopes in ((2.0, (0.6, -0.8, 0, 0, 0, -1)), (1.0, (1, -1, 0, 0, 0, -1))):
        way = _WayBack(manual_bp.lp_pool, _of_pairs(slopes), window=(2,), p=p)
        draw = _owing(np.zeros((1, 3, 1)), [[[3], [-4], [0], [0], [0], [-5]]])
        yield Case("lp_pool", way, way.reference, draw, ({},), variant=f"zeros, p={p:g}")


def _cancelling(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    W = np.asarray([100, 1, -100], np.int32).reshape(3, 1, 1)
    return _nearly_even(rng, 1, n + 2, 1), W


def _cancelling_patches(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    return (np.asarray([100.5, 0, -100.5]) + np.asarray([0, 1, 0]) * normal(rng, 1, n + 2, 1),)


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


# Below the first kink, at it, between, at the last, above; the slopes there; settings.
_SLOPES: dict[str, tuple[tuple[int, ...], tuple[float, ...], dict[str, float]]] = {
    "relu6": ((-1, 0, 4, 6, 7), (0, 1, 1, 1, 0), {}),
    "hard_sigmoid": ((-4, -3, 1, 3, 4), (0, 1 / 6, 1 / 6, 1 / 6, 0), {}),
    "hard_tanh": ((-2, -1, 0, 1, 2), (0, 1, 1, 1, 0), {}),
    "hard_swish": ((-4, -3, 0, 3, 4), (0, -0.5, 0.5, 1.5, 1), {}),
    "elu": ((-1, 0, 1), (0.3 * np.exp(-1), 1, 1), {"alpha": 0.3}),
    "prelu": ((-1, 0, 1), (0.3, 1, 1), {"alpha": 0.3}),
    "clip": (
        (-2, -1, 1, 3, 4),
        (0, 0.5, 1, 0.5, 0),
        {"low": -1.0, "high": 3.0, "slope_at_bounds": 0.5},
    ),
}
_prelu_of_u = SimpleNamespace(forward=_prelu, backward=manual_bp.prelu.backward)


def _at_kinks(name: str) -> Case:
    points, slopes, settings = _SLOPES[name]
    return Case(
        name,
        _Slopes(_prelu_of_u if name == "prelu" else getattr(manual_bp, name)),
        lambda v, _u, **_: v * jnp.asarray(slopes, v.dtype),
        lambda rng: (normal(rng, len(points)), np.asarray(points, dtype=np.int32)),
        ({},),
        (settings,),
        variant="slopes",
    )


cases: tuple[Case, ...] = (
    ModelCase(
        "mlp",
        _of_model(_by_hand),
        _reference,
        _regression,
        NETWORKS,
        options=(
            {"loss": "squared_error", "activation": "tanh"},
            {"loss": "squared_error", "activation": "tanh", "decay": 0.3},
            {"loss": "squared_error", "activation": "tanh", "decay": 1.0},
            {"loss": "squared_error", "activation": "relu", "decay": 0.3, "decay_per_sample": True},
            {"loss": "softmax_squared_error", "activation": "relu", "output_activation": "tanh"},
        ),
        variant="loss, gradients and δ",
    ),
    _with_deltas("cnn", cnn),
    _with_deltas("recurrent[lstm]", recurrent),
    _with_deltas("resnet", _resnet, _first_output),
    Case(
        "mlp",
        SimpleNamespace(forward=_adapted_forward, backward=_adapted_backward),
        _adapted_reference,
        _near_whole_numbers,
        NETWORKS[:2],
        variant="as_differentiable",
    ),
    *(
        Case(
            "concatenate",
            _Adapted(manual_bp.concatenate),
            _twice(references.indexing.concatenate),
            lambda rng, n, m, kind=kind: (kind((normal(rng, n, 2), normal(rng, m, 2))),),
            ({"n": 3, "m": 1},),
            variant=f"a {kind.__name__} as_custom_vjp",
        )
        for kind in (list, tuple)
    ),
    Case(
        "linear",
        _Adapted(manual_bp.linear),
        _twice(references.dense.linear),
        lambda rng, batch, n, m: (normal(rng, *batch, n), normal(rng, n, m)),
        ({"batch": (5,), "n": 3, "m": 4}, {"batch": (), "n": 2, "m": 3}),
        variant="as_custom_vjp",
    ),
    Case(
        "binary_cross_entropy_on_probabilities",
        SimpleNamespace(forward=_edge_forward, backward=_edge_backward),
        _edge_reference,
        _edges,
        ({"n": 5},),
        variant="edges",
    ),
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
            _NaNAsSum(getattr(manual_bp, name)),
            _known(name),
            _unknown_labels,
            ({"n": 5},),
            variant="unknown labels",
        )
        for name in ("softmax_cross_entropy", "negative_log_likelihood", "multiclass_hinge")
    ),
    *map(_of_loss, _LOSS_SLOPES),
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
    Case(
        "wide",
        SimpleNamespace(forward=_long_sum_forward, backward=_long_sum_backward),
        _long_sum_reference,
        lambda rng, n: (np.round(rng.uniform(0.5, 1.0, n), 2),),
        ({"n": 300},),
        variant="long sum",
    ),
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
    Case(
        "scatter_add",
        SimpleNamespace(forward=_looked_up_forward, backward=_looked_up_backward),
        _looked_up,
        _unknown_numbers,
        ({"v": 4, "n": 2},),
        variant="unknown numbers",
    ),
    *map(_at_kinks, _SLOPES),
    *_way_back_cases(),
)
