"""Cases of the models, as ops with all their parameters in one argument."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases import image_networks
from jax_ref.cases.case import Case, Sizes, away_from_zero, normal
from manual_bp import activations, mlp
from manual_bp.models import layers
from manual_bp.models.chain import Stage

MLP_SIZES: tuple[Sizes, ...] = (
    {"batch": (5,), "widths": (3, 7, 4, 2)},
    {"batch": (), "widths": (4, 3)},
    {"batch": (2, 2), "widths": (1, 5, 1)},
)


def _weights(rng: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Return weights small enough that tanh and sigmoid do not saturate, where y says little."""
    return np.round(normal(rng, n, m) / (2 * np.sqrt(n)), 2)


def _network(
    rng: np.random.Generator, batch: tuple[int, ...], widths: tuple[int, ...]
) -> tuple[Any, ...]:
    params = tuple(
        mlp.Layer(W=cast("Any", _weights(rng, n, m)), b=cast("Any", normal(rng, m)))
        for n, m in pairwise(widths)
    )
    return params, away_from_zero(rng, *batch, widths[0])


def _mlp_reference(params: Any, x: Any, *, activation: Any, output_activation: Any) -> Any:
    table = references.activations.table
    return references.models.mlp(
        params,
        x,
        activation=table[activation.name],
        output_activation=table[output_activation.name],
    )


# Of every way that an activation keeps what its backward needs there is one.
_ACTIVATIONS = (
    *("identity", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "log_sigmoid"),
    *("relu6", "gelu"),
)

STAGES = (
    Stage(manual_bp.linear),
    Stage(activations.leaky_relu, (("negative_slope", 0.2),)),
    Stage(manual_bp.log_softmax, (("axis", -1),)),
    Stage(manual_bp.linear),
    Stage(activations.tanh),
)


def _chain_parameters(rng: np.random.Generator, batch: tuple[int, ...], n: int, m: int) -> tuple:
    first, second = (_weights(rng, n, m), normal(rng, m)), (_weights(rng, m, n), normal(rng, n) / 2)
    return (first, (), (), second, ()), normal(rng, *batch, n)


def _functions(stages: tuple[Stage, ...]) -> list[Callable[..., Any]]:
    """Return the references of stages, with their settings."""
    functions: dict[Any, Callable[..., Any]] = {
        manual_bp.linear: references.dense.linear,
        manual_bp.log_softmax: references.dense.log_softmax,
        manual_bp.dropout: references.regularization.dropout,
        activations.leaky_relu: references.activations.leaky_relu,
        activations.sigmoid: references.activations.sigmoid,
        activations.tanh: references.activations.tanh,
    }

    def bind(stage: Stage) -> Any:
        return lambda x, *theta: functions[stage.op](x, *theta, **dict(stage.settings))

    return [bind(stage) for stage in stages]


def _chain_reference(parameters: Any, x: Any, *, stages: tuple[Stage, ...]) -> Any:
    return references.stacks.chain(parameters, x, stages=_functions(stages))


def _skipped(rng: np.random.Generator, batch: tuple[int, ...], n: int, m: int) -> tuple[Any, ...]:
    into, out = (_weights(rng, n, m), normal(rng, m)), (_weights(rng, m, n), normal(rng, n) / 2)
    return normal(rng, *batch, n), (into, (), out)


def _skip_reference(x: Any, parameters: Any, *, stages: tuple[Stage, ...]) -> Any:
    return references.stacks.skip(x, parameters, stages=_functions(stages))


STACK_SIZES: tuple[Sizes, ...] = (
    {"depth": 5, "batch": (4,), "n": 3},
    {"depth": 1, "batch": (), "n": 2},
    {"depth": 0, "batch": (2, 2), "n": 3},
)
REVERSIBLE_SIZES: tuple[Sizes, ...] = (
    {"depth": 3, "batch": (2, 2), "n": 3, "m": 4},
    {"depth": 1, "batch": (), "n": 2, "m": 1},
    {"depth": 0, "batch": (3,), "n": 2, "m": 3},
)
SEGMENTS: tuple[dict[str, int], ...] = ({}, {"segment": 2}, {"segment": 9})
LAYER = (Stage(manual_bp.linear), Stage(activations.tanh))
DROPPING = (Stage(manual_bp.linear), Stage(manual_bp.dropout, (("rate", 0.4),)))
F = (Stage(manual_bp.linear), Stage(activations.tanh), Stage(manual_bp.linear))
G = (Stage(manual_bp.linear), Stage(activations.sigmoid))


def _layers(rng: np.random.Generator, depth: int, *widths: int) -> tuple[Any, ...]:
    """Return, for each dense layer of a layer, its weights and biases on a first axis of depth."""
    return tuple(
        (normal(rng, depth, n, m) / (2 * np.sqrt(n)), normal(rng, depth, m) / 2)
        for n, m in pairwise(widths)
    )


def _stack(rng: np.random.Generator, depth: int, batch: tuple[int, ...], n: int) -> tuple[Any, ...]:
    return (*_layers(rng, depth, n, n), ()), normal(rng, *batch, n)


def _dropping_stack(
    rng: np.random.Generator, depth: int, batch: tuple[int, ...], n: int
) -> tuple[Any, ...]:
    keys = rng.integers(0, 2**32, (depth, 2), dtype=np.uint32)
    return (*_layers(rng, depth, n, n), (keys,)), normal(rng, *batch, n)


def _stack_reference(
    parameters: Any, x: Any, *, layer: tuple[Stage, ...], segment: int | None = None
) -> Any:
    del segment
    return references.stacks.layer_stack(parameters, x, layer=_functions(layer))


def _reversible(
    rng: np.random.Generator, depth: int, batch: tuple[int, ...], n: int, m: int
) -> tuple[Any, ...]:
    into, out = _layers(rng, depth, n, m, n)
    theta, phi = (into, (), out), (*_layers(rng, depth, n, n), ())
    return theta, phi, normal(rng, *batch, n), normal(rng, *batch, n)


def _reversible_reference(
    *given: Any, f: tuple[Stage, ...], g: tuple[Stage, ...]
) -> tuple[Any, Any]:
    return references.stacks.reversible_stack(*given, f=_functions(f), g=_functions(g))


def _there_and_back(x1: Any, x2: Any) -> tuple[tuple[Any, Any], None]:
    """Return two streams as the backward of a reversible stack gives them back."""
    drawn = _reversible(np.random.default_rng(1), 1, (), x1.shape[-1], 2)[:2]
    theta, phi = jax.tree.map(lambda leaf: jnp.asarray(leaf, x1.dtype), drawn)
    y, residual = manual_bp.reversible_stack.forward(theta, phi, x1, x2, f=F, g=G)
    *_, back = manual_bp.reversible_stack.backward_with_inputs(residual, y)
    return back, None


# They are those that went in.
there_and_back = Case(
    "reversible_stack",
    SimpleNamespace(forward=_there_and_back, backward=lambda _, dy: dy),
    lambda x1, x2: (x1, x2),
    lambda rng, n: (normal(rng, 2, n), normal(rng, 2, n)),
    ({"n": 3},),
    variant="inputs",
)


def _twice_kept(dtheta: Any, state: Any, theta: Any) -> tuple[Any, Any]:
    """Return the gradients, as the new parameters and, of a state of 2θ, as the new state."""
    return dtheta, jax.tree.map(lambda d, s, own: d + s - 2 * own, dtheta, state, theta)


def _doubled(parameters: Any) -> Any:
    return jax.tree.map(lambda leaf: 2 * leaf, layers.trained(parameters))


def _mean(parameters: Any, state: Any) -> Any:
    return jax.tree.map(lambda a, b: (a + b) / 2, layers.trained(parameters), state)


def _by_updates(stack: Any, residual: Any, dy: Any) -> tuple[Any, Any]:
    parameters, state, dx = stack.backward_with_updates(
        residual, dy, _doubled(residual.parameters), update=_twice_kept
    )
    return _mean(parameters, state), dx


def _reversible_by_updates(residual: Any, dy: Any) -> tuple[Any, ...]:
    state = _doubled((residual.theta, residual.phi))
    *parameters, state, dx1, dx2 = manual_bp.reversible_stack.backward_with_updates(
        residual, dy, state, update=_twice_kept
    )
    return *_mean(tuple(parameters), state), dx1, dx2


# What an update is given on the way down is the gradient.
by_updates = (
    *(
        Case(
            name,
            SimpleNamespace(forward=stack.forward, backward=partial(_by_updates, stack)),
            _stack_reference,
            _dropping_stack,
            STACK_SIZES[:2],
            options=({"layer": DROPPING, **segment},),
            variant="updates",
        )
        for name, stack, segment in (
            ("layer_stack", manual_bp.layer_stack, {}),
            ("checkpointed_stack", manual_bp.checkpointed_stack, {"segment": 2}),
        )
    ),
    Case(
        "reversible_stack",
        SimpleNamespace(
            forward=manual_bp.reversible_stack.forward, backward=_reversible_by_updates
        ),
        _reversible_reference,
        _reversible,
        REVERSIBLE_SIZES[:2],
        options=({"f": F, "g": G},),
        variant="updates",
    ),
)


cases = (
    *image_networks.cases,
    Case(
        "chain",
        manual_bp.chain,
        _chain_reference,
        _chain_parameters,
        sizes=({"batch": (4,), "n": 3, "m": 5}, {"batch": (), "n": 2, "m": 3}),
        options=({"stages": STAGES},),
    ),
    Case(
        "skip",
        manual_bp.skip,
        _skip_reference,
        _skipped,
        sizes=({"batch": (4,), "n": 3, "m": 5}, {"batch": (), "n": 2, "m": 1}),
        options=({"stages": F},),
    ),
    Case(
        "layer_stack",
        manual_bp.layer_stack,
        _stack_reference,
        _stack,
        STACK_SIZES,
        options=({"layer": LAYER},),
        bench=(({"depth": 16, "batch": (256,), "n": 512}, {"layer": LAYER}),),
    ),
    Case(
        "layer_stack",
        manual_bp.layer_stack,
        _stack_reference,
        _dropping_stack,
        STACK_SIZES,
        options=({"layer": DROPPING},),
        variant="dropout",
    ),
    Case(
        "checkpointed_stack",
        manual_bp.checkpointed_stack,
        _stack_reference,
        _stack,
        STACK_SIZES,
        options=tuple({"layer": LAYER, **segment} for segment in SEGMENTS),
        bench=(({"depth": 16, "batch": (256,), "n": 512}, {"layer": LAYER}),),
    ),
    Case(
        "reversible_stack",
        manual_bp.reversible_stack,
        _reversible_reference,
        _reversible,
        REVERSIBLE_SIZES,
        options=({"f": F, "g": G},),
        bench=(({"depth": 8, "batch": (256,), "n": 512, "m": 512}, {"f": F, "g": G}),),
    ),
    *(
        Case(
            "mlp",
            mlp,
            _mlp_reference,
            _network,
            MLP_SIZES,
            options=({"activation": f, "output_activation": g},),
            variant=f"{f.name}, {g.name}",
        )
        for f, g in (
            *((activations.table[name], activations.identity) for name in _ACTIVATIONS),
            (activations.tanh, activations.sigmoid),
        )
    ),
)
