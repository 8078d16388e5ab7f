"""Networks that read images and sequences: convolutions, residual blocks, cells, lines of text."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, cast

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, normal
from manual_bp import activations, cnn, fcn, line_reader, mlp, recurrent, resnet


def _named(reference: Callable[..., Any]) -> Callable[..., Any]:
    """Return the reference with its own function of the activation's name."""

    def of_table(*args: Any, activation: Any, **rest: Any) -> Any:
        f = references.activations.table[activation.name]
        return reference(*args, activation=f, **rest)

    return of_table


def _layers(rng: np.random.Generator, shapes: Sequence[tuple[int, ...]]) -> tuple[mlp.Layer, ...]:
    return tuple(
        mlp.Layer(
            W=cast("Any", normal(rng, *shape) / np.sqrt(np.prod(shape[:-1]))),
            b=cast("Any", normal(rng, shape[-1]) / 2),
        )
        for shape in shapes
    )


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
    return _layers(rng, shapes), normal(rng, batch, *image, channels[0])


def _windows(
    rng: np.random.Generator,
    batch: int,
    image: tuple[int, int],
    kernels: tuple[tuple[int, int], ...],
    channels: tuple[int, ...],
) -> tuple[Any, ...]:
    shapes = [(*kernel, n, m) for kernel, (n, m) in zip(kernels, pairwise(channels), strict=True)]
    return _layers(rng, shapes), normal(rng, batch, *image, channels[0])


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


def _sequences(
    rng: np.random.Generator, gates: int, batch: int, t: int, n: int, h: int, classes: int
) -> tuple[Any, ...]:
    shapes = ((n, gates * h), (h, gates * h), (gates * h,), (h, classes), (classes,))
    params = recurrent.Params(*(cast("Any", normal(rng, *shape) / 2) for shape in shapes))
    return params, normal(rng, batch, t, n)


def _recurrent_reference(params: Any, x: Any, *, cell: Any, **settings: Any) -> Any:
    named = getattr(references.recurrence, cell.__name__.rpartition(".")[2])
    return references.models.recurrent(params, x, cell=named, **settings)


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


cases = (
    Case(
        "cnn",
        cnn,
        _named(references.models.cnn),
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
        _named(references.models.fcn),
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
        _named(references.models.resnet),
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
        _named(references.models.line_reader),
        _lines,
        (
            {"image": (5, 6), "channels": (1, 2, 3), "hidden": 2, "widths": (6, 3)},
            {"image": (4, 5), "channels": (2, 1, 2), "hidden": 1, "widths": None},
        ),
        options=({"activation": activations.tanh, "pools": ((2, 2), (1, 1))},),
    ),
)
