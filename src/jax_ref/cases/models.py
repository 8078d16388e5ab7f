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
from jax_ref.cases.case import Case, Sizes, away_from_zero, normal
from manual_bp import activations, cnn, fcn, line_reader, mlp, recurrent, resnet
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
        activations.leaky_relu: references.activations.leaky_relu,
        activations.sigmoid: references.activations.sigmoid,
        activations.tanh: references.activations.tanh,
    }

    def bind(stage: Stage) -> Any:
        return lambda x, *theta: functions[stage.op](x, *theta, **dict(stage.settings))

    return [bind(stage) for stage in stages]


def _chain_reference(parameters: Any, x: Any, *, stages: tuple[Stage, ...]) -> Any:
    return references.models.chain(parameters, x, stages=_functions(stages))


STACK_SIZES: tuple[Sizes, ...] = (
    {"depth": 5, "batch": (4,), "n": 3},
    {"depth": 1, "batch": (), "n": 2},
    {"depth": 0, "batch": (2, 2), "n": 3},
)
SEGMENTS: tuple[dict[str, int], ...] = ({}, {"segment": 2}, {"segment": 9})
LAYER = (Stage(manual_bp.linear), Stage(activations.tanh))
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


def _stack_reference(
    parameters: Any, x: Any, *, layer: tuple[Stage, ...], segment: int | None = None
) -> Any:
    del segment
    return references.models.layer_stack(parameters, x, layer=_functions(layer))


def _reversible(
    rng: np.random.Generator, depth: int, batch: tuple[int, ...], n: int, m: int
) -> tuple[Any, ...]:
    into, out = _layers(rng, depth, n, m, n)
    theta, phi = (into, (), out), (*_layers(rng, depth, n, n), ())
    return theta, phi, normal(rng, *batch, n), normal(rng, *batch, n)


def _reversible_reference(
    *given: Any, f: tuple[Stage, ...], g: tuple[Stage, ...]
) -> tuple[Any, Any]:
    return references.models.reversible_stack(*given, f=_functions(f), g=_functions(g))


def _images(
    rng: np.random.Generator,
    batch: int,
    image: tuple[int, int],
    channels: tuple[int, ...],
    widths: tuple[int, ...],
) -> tuple[Any, ...]:
    """Return images whose entries are apart, so that no maximum of a window is near a tie."""
    left = [side // 2 ** (len(channels) - 1) for side in image]
    dense = (left[0] * left[1] * channels[-1], *widths)
    shapes = [(3, 3, n, m) for n, m in pairwise(channels)] + list(pairwise(dense))
    params = tuple(
        mlp.Layer(
            W=cast("Any", normal(rng, *shape) / np.sqrt(np.prod(shape[:-1]))),
            b=cast("Any", normal(rng, shape[-1]) / 2),
        )
        for shape in shapes
    )
    return params, normal(rng, batch, *image, channels[0])


def _cnn_reference(params: Any, x: Any, *, activation: Any, **rest: Any) -> Any:
    f = references.activations.table[activation.name]
    return references.models.cnn(params, x, activation=f, **rest)


def _windows(
    rng: np.random.Generator,
    batch: int,
    image: tuple[int, int],
    kernels: tuple[tuple[int, int], ...],
    channels: tuple[int, ...],
) -> tuple[Any, ...]:
    shapes = [(*kernel, n, m) for kernel, (n, m) in zip(kernels, pairwise(channels), strict=True)]
    params = tuple(
        mlp.Layer(
            W=cast("Any", normal(rng, *shape) / np.sqrt(np.prod(shape[:-1]))),
            b=cast("Any", normal(rng, shape[-1]) / 2),
        )
        for shape in shapes
    )
    return params, normal(rng, batch, *image, channels[0])


def _fcn_reference(params: Any, x: Any, *, activation: Any, **rest: Any) -> Any:
    f = references.activations.table[activation.name]
    return references.models.fcn(params, x, activation=f, **rest)


def _residual_network(
    rng: np.random.Generator, batch: int, image: tuple[int, int], channels: tuple[int, ...]
) -> tuple[Any, ...]:
    """Return a network with two classes, its scales, biases and statistics all unlike 0 and 1."""

    def unit(size: int, n: int, m: int) -> Any:
        W = normal(rng, size, size, n, m) / np.sqrt(size * size * n)
        return resnet.Unit(*cast("Any", (W, 1 + normal(rng, m) / 4, normal(rng, m) / 4)))

    def block(number: int, n: int, m: int) -> Any:
        around = unit(1, n, m) if number or n != m else None
        return resnet.Block(unit(3, n, m), unit(3, m, m), around)

    pairs = enumerate(pairwise(channels[1:]))
    blocks = tuple(block(number, n, m) for number, (n, m) in pairs)
    head = normal(rng, channels[-1], 2) / np.sqrt(channels[-1]), normal(rng, 2)
    params = resnet.Params(unit(3, *channels[:2]), blocks, *cast("Any", head))
    statistics = tuple(
        resnet.Running(*(cast("Any", rng.uniform(0.5, 1.5, unit.bias.shape)) for _ in range(2)))
        for unit in (params.stem, *(unit for block in blocks for unit in block if unit))
    )
    return params, normal(rng, batch, *image, channels[0]), statistics


def _resnet_reference(params: Any, x: Any, statistics: Any, *, activation: Any, **rest: Any) -> Any:
    f = references.activations.table[activation.name]
    return references.models.resnet(params, x, statistics, activation=f, **rest)


def _sequences(
    rng: np.random.Generator, gates: int, batch: int, t: int, n: int, h: int, classes: int
) -> tuple[Any, ...]:
    shapes = ((n, gates * h), (h, gates * h), (gates * h,), (h, classes), (classes,))
    params = recurrent.Params(*(cast("Any", normal(rng, *shape) / 2) for shape in shapes))
    return params, normal(rng, batch, t, n)


def _recurrent_reference(params: Any, x: Any, *, cell: Any, **settings: Any) -> Any:
    named = getattr(references.recurrence, cell.__name__.rpartition(".")[2])
    return references.models.recurrent(params, x, cell=named, **settings)


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


def _lines(
    rng: np.random.Generator,
    image: tuple[int, int],
    channels: tuple[int, ...],
    hidden: int,
    widths: tuple[int, ...] | None,
) -> tuple[Any, ...]:
    """Return a network with two classes, of whose image two rows are left, and lines it reads."""
    convolutions = tuple(
        mlp.Layer(
            W=cast("Any", normal(rng, 3, 3, n, m) / np.sqrt(9 * n)), b=cast("Any", normal(rng, m))
        )
        for n, m in pairwise(channels)
    )
    shapes = ((2 * channels[-1], 4 * hidden), (hidden, 4 * hidden), (4 * hidden,))
    onward, reverse = (
        line_reader.Cell(*(cast("Any", normal(rng, *shape) / 2) for shape in shapes))
        for _ in range(2)
    )
    head = normal(rng, 2 * hidden, 2) / 2, normal(rng, 2)
    params = line_reader.Params(convolutions, onward, reverse, *cast("Any", head))
    lines = normal(rng, 2 if widths is None else len(widths), *image, channels[0])
    return params, lines, None if widths is None else np.asarray(widths, np.int32)


def _line_reader_reference(
    params: Any, x: Any, widths: Any, *, activation: Any, **rest: Any
) -> Any:
    f = references.activations.table[activation.name]
    return references.models.line_reader(params, x, widths, activation=f, **rest)


cases = (
    Case(
        "cnn",
        cnn,
        _cnn_reference,
        _images,
        (
            {"batch": 2, "image": (5, 4), "channels": (2, 3), "widths": (3, 2)},
            {"batch": 1, "image": (4, 5), "channels": (1, 2, 3), "widths": (2,)},
        ),
        options=({"activation": activations.tanh},),
    ),
    Case(
        "fcn",
        fcn,
        _fcn_reference,
        _windows,
        (
            {"batch": 2, "image": (9, 8), "kernels": ((3, 2), (2, 3)), "channels": (2, 3, 2)},
            {"batch": 1, "image": (4, 5), "kernels": ((4, 3), (1, 2)), "channels": (1, 2, 3)},
        ),
        options=(
            {"strides": ((1, 2), (2, 1)), "activation": activations.tanh},
            {"strides": ((1, 1), (1, 1)), "activation": activations.tanh},
        ),
    ),
    Case(
        "resnet",
        resnet,
        _resnet_reference,
        _residual_network,
        (
            {"batch": 4, "image": (5, 4), "channels": (2, 3, 3, 2)},
            {"batch": 3, "image": (3, 5), "channels": (1, 2, 3)},
        ),
        options=(
            {"activation": activations.tanh},
            {"activation": activations.tanh, "momentum": 0.3, "epsilon": 0.2},
            {"activation": activations.tanh, "training": False},
        ),
        fits=lambda sizes, options: len(sizes["channels"]) == 3 or not options.get("momentum"),
    ),
    *(
        Case(
            "recurrent",
            recurrent,
            _recurrent_reference,
            partial(_sequences, gates=recurrent.GATES[cell]),
            ({"batch": 3, "t": 2, "n": 4, "h": 3, "classes": 2},),
            options=({"cell": cell, **settings},),
            variant=name,
        )
        for name, cell, settings in (
            ("rnn", manual_bp.rnn, {"activation": "tanh"}),
            ("lstm", manual_bp.lstm, {}),
            ("gru", manual_bp.gru, {}),
        )
    ),
    Case(
        "line_reader",
        line_reader,
        _line_reader_reference,
        _lines,
        (
            {"image": (5, 6), "channels": (1, 2, 3), "hidden": 2, "widths": (6, 3)},
            {"image": (4, 5), "channels": (2, 1, 2), "hidden": 1, "widths": None},
        ),
        options=({"activation": activations.tanh, "pools": ((2, 2), (1, 1))},),
    ),
    Case(
        "chain",
        manual_bp.chain,
        _chain_reference,
        _chain_parameters,
        sizes=({"batch": (4,), "n": 3, "m": 5}, {"batch": (), "n": 2, "m": 3}),
        options=({"stages": STAGES},),
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
        (
            {"depth": 3, "batch": (2, 2), "n": 3, "m": 4},
            {"depth": 1, "batch": (), "n": 2, "m": 1},
            {"depth": 0, "batch": (3,), "n": 2, "m": 3},
        ),
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
