"""Cases of whole networks and of adapters, for the mutants.

A model's loss with its gradients and every δ; that loss, and an op, as an adapter hands it to JAX.
"""

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
from manual_bp import adapters, cnn, fcn, line_reader, mlp, op, recurrent, resnet

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


def _scaled(params: Any, x: Any, targets: Any, *, scale: float, decay: float) -> Any:
    """Return loss, gradients and δ, all times a cotangent of the loss in the dtype for sums."""
    dloss = jnp.asarray(scale, op.wide_dtype(x.dtype))
    loss, gradients, deltas = mlp.loss_gradients_and_deltas(
        params,
        x,
        op.wide(targets),
        loss=manual_bp.squared_error,
        activation=manual_bp.tanh,
        decay=decay,
        dloss=dloss,
    )
    return dloss * loss, op.in_dtype(gradients, x.dtype), deltas


def _scaled_reference(
    params: Any, x: Any, targets: Any, *, scale: float, decay: float, probes: Any
) -> Any:
    y = references.models.mlp(params, x, activation=references.activations.tanh, probes=probes)
    loss = references.losses.squared_error(op.wide(y), op.wide(targets))
    penalty = references.regularization.weight_decay(
        [op.wide(layer.W) for layer in params], decay=decay
    )
    return scale * (loss + penalty)


def _halved_square(
    model: Any, params: Any, inputs: Any, targets: Any, **settings: Any
) -> tuple[Any, Any, Any]:
    """Return ½ ‖y − targets‖², its gradients and every δ."""
    y, residual = model.forward(params, inputs, **settings)
    error = y - _at_every_place(targets, y)
    gradients, _, deltas = model.backward_with_deltas(residual, error)
    return op.wide(error**2).sum() / 2, gradients, deltas


def _halved_square_reference(
    model: Any, params: Any, inputs: Any, targets: Any, *, probes: Any, **settings: Any
) -> Any:
    y = model(params, inputs, probes=probes, **settings)
    error = y - _at_every_place(targets, y)
    return op.wide(jnp.vdot(error, error)) / 2


def _at_every_place(targets: jax.Array, y: jax.Array) -> jax.Array:
    """Return the targets of each sample, one a class, at every place or step of its output."""
    batch, classes = targets.shape
    return jnp.broadcast_to(targets.reshape(batch, *(1,) * (y.ndim - 2), classes), y.shape)


def _forward_of_reader(params: Any, inputs: Any, **settings: Any) -> tuple[Any, Any]:
    return line_reader.forward(params, *inputs, **settings)


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


def _of_several(reference: Any) -> Any:
    return lambda params, inputs, **settings: reference(params, *inputs, **settings)


def _first_output(reference: Any) -> Any:
    return lambda params, inputs, **settings: reference(params, *inputs, **settings)[0]


_resnet = SimpleNamespace(forward=_forward_of_resnet, backward_with_deltas=_backward_of_resnet)
_reader = SimpleNamespace(
    forward=_forward_of_reader, backward_with_deltas=line_reader.backward_with_deltas
)
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
    ModelCase(
        "mlp",
        _of_model(_scaled),
        _scaled_reference,
        _regression,
        NETWORKS[:1],
        options=({"scale": 4.0, "decay": 0.3},),
        variant="a cotangent of the loss",
    ),
    _with_deltas("cnn", cnn),
    _with_deltas("fcn", fcn),
    _with_deltas("line_reader", _reader, _of_several),
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
)
