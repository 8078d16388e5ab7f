"""Cases of the recurrent layers: with and without biases and lengths, of no step and of one.

Each keeps its pre-activations in some cases and forms them again in others, and goes back over time
at once, and in segments with a rest and without one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import manual_bp
from jax_ref import references
from jax_ref.cases.case import Case, Options, Sizes, away_from_zero, normal
from manual_bp.models.chain import Stage

SIZES = (
    {"batch_size": 2, "t": 3, "n": 4, "h": 5},
    {"batch_size": 3, "t": 1, "n": 2, "h": 1},
    {"batch_size": 2, "t": 0, "n": 3, "h": 4},
    {"batch_size": 0, "t": 2, "n": 3, "h": 1},
)
MASKED_SIZES = (
    {"batch_size": 3, "t": 2, "n": 4, "h": 5},
    {"batch_size": 2, "t": 1, "n": 1, "h": 3},
)
LONG = {"batch_size": 32, "t": 256, "n": 128, "h": 128}
WIDE = {"batch_size": 32, "t": 128, "n": 128, "h": 256}
SMALLER = {"batch_size": 32, "t": 64, "n": 64, "h": 128}


def _weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return weights small enough that a state is not saturated, where it says little."""
    return np.asarray(
        np.round(0.6 * min(1, (5 / max(shape[0], 1)) ** 0.5) * normal(rng, *shape), 2)
    )


def _lengths(rng: np.random.Generator, batch: int, t: int) -> np.ndarray:
    """Return lengths from 0 to t, the extremes first."""
    lengths = rng.integers(0, t + 1, batch, dtype=np.int32)
    lengths[:3] = [t // 2, t, 0][:batch]
    return lengths


def _layer(
    rng: np.random.Generator,
    batch_size: int,
    t: int,
    n: int,
    h: int,
    *,
    width: int,
    states: int = 1,
) -> tuple[Any, ...]:
    """Return x, the initial states, W, U and b of a layer of `width` gates."""
    return (
        normal(rng, batch_size, t, n),
        *(normal(rng, batch_size, h) for _ in range(states)),
        _weights(rng, n, width * h),
        _weights(rng, h, width * h),
        away_from_zero(rng, width * h),
    )


def _rnn(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    return (*_layer(rng, **sizes, width=1), None)


def _rnn_masked(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    *layer, _ = _layer(rng, **sizes, width=1)
    return (*layer, None, _lengths(rng, sizes["batch_size"], sizes["t"]))


RNN_OPTIONS: tuple[Options, ...] = (
    {"activation": "tanh"},
    {"activation": "relu", "segment": 2},
    {"activation": "relu", "slope_at_zero": 0.0, "recompute": True, "unroll": 2},
)
SEGMENTS = ({"segment": 1},)
AGAIN = ({"segment": 1, "recompute": True},)


def _long_or_first(sizes: Sizes, options: Options) -> bool:
    """Return whether the option goes with the size: all with a long one, the first with any."""
    return sizes["t"] > 2 or options == RNN_OPTIONS[0]


def _values_of(reference: Callable[..., Any]) -> Callable[..., Any]:
    """Return the reference without the settings of what is kept, which change no value."""

    def values(
        *args: Any,
        recompute: bool = False,
        segment: int | None = None,
        unroll: int | None = None,
        **settings: Any,
    ) -> Any:
        del recompute, segment, unroll
        return reference(*args, **settings)

    return values


def _case(
    name: str,
    draw: Callable[..., tuple[Any, ...]],
    sizes: tuple[Sizes, ...] = SIZES,
    **settings: Any,
) -> Case:
    reference = _values_of(getattr(references.recurrence, name))
    return Case(name, getattr(manual_bp, name), reference, draw, sizes, **settings)


def _lstm(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    return (*_layer(rng, **sizes, width=4, states=2), None, None, None)


def _lstm_peephole(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    *layer, _ = _layer(rng, **sizes, width=4, states=2)
    lengths = _lengths(rng, sizes["batch_size"], sizes["t"])
    return (*layer, None, normal(rng, 3, sizes["h"]), None, lengths)


def _lstm_projected(
    rng: np.random.Generator, batch_size: int, t: int, n: int, h: int, p: int
) -> tuple[Any, ...]:
    x, _, c0, W, _, b = _layer(rng, batch_size, t, n, h, width=4, states=2)
    lengths = _lengths(rng, batch_size, t)
    projection = normal(rng, h, p)
    h0, U = normal(rng, batch_size, p), _weights(rng, p, 4 * h)
    return x, h0, c0, W, U, b, normal(rng, 3, h), projection, lengths


PROJECTED_SIZES = (
    {"batch_size": 3, "t": 2, "n": 4, "h": 5, "p": 2},
    {"batch_size": 2, "t": 0, "n": 3, "h": 1, "p": 4},
)


def _gru(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    return (*_layer(rng, **sizes, width=3), away_from_zero(rng, sizes["h"]), None)


def _gru_masked(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    lengths = _lengths(rng, sizes["batch_size"], sizes["t"])
    return (*_layer(rng, **sizes, width=3), None, lengths)


def _gru_without_bias(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    return (*_layer(rng, **sizes, width=3)[:-1], None, None, None)


RESETS: tuple[Options, ...] = (
    {"reset": "after", "recompute": True},
    {"reset": "before", "segment": 1},
)
OTHER_RESETS: tuple[Options, ...] = (
    {"reset": "after", "segment": 2},
    {"reset": "before", "recompute": True},
)


def _layer_norm_lstm(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    *layer, b = _layer(rng, **sizes, width=4, states=2)
    h = sizes["h"]
    scale_x, scale_h, scale_c = (away_from_zero(rng, width) for width in (4 * h, 4 * h, h))
    return (*layer, scale_x, scale_h, b, scale_c, away_from_zero(rng, h), None)


def _layer_norm_lstm_masked(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    return (*_layer_norm_lstm(rng, **sizes)[:-1], _lengths(rng, sizes["batch_size"], sizes["t"]))


def _wide_enough(sizes: Sizes, options: Options) -> bool:
    """Return whether a normalised cell can vary: of one feature it is 0, of two ±1 but for ε."""
    del options
    return sizes["h"] > 2


NORMALISED_SIZES = (
    {"batch_size": 2, "t": 3, "n": 4, "h": 5},
    {"batch_size": 3, "t": 1, "n": 2, "h": 4},
    {"batch_size": 2, "t": 0, "n": 1, "h": 3},
    {"batch_size": 0, "t": 2, "n": 1, "h": 3},
)


def _bidirectional_lstm(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    x, *parameters = _layer(rng, **sizes, width=4, states=2)
    _, *reverse = _layer(rng, **sizes, width=4, states=2)
    return x, (*parameters, None, None), (*reverse, None, None), None


def _bidirectional_gru(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    x, *parameters = _layer(rng, **sizes, width=3)
    _, *reverse = _layer(rng, **sizes, width=3)
    lengths = _lengths(rng, sizes["batch_size"], sizes["t"])
    return x, (*parameters, None), (*reverse, None), lengths


def _stacked_masked(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    """Return the arguments of an rnn with two of them back to back, and one on top of it."""
    x, *first = _layer(rng, **sizes, width=1)
    _, *reverse = _layer(rng, **sizes, width=1)
    batch_size, t, h = sizes["batch_size"], sizes["t"], sizes["h"]
    _, *second = _layer(rng, batch_size, t, 2 * h, h + 1, width=1)
    return x, ((tuple(first), tuple(reverse)), tuple(second)), _lengths(rng, batch_size, t)


def _stacked(rng: np.random.Generator, **sizes: int) -> tuple[Any, ...]:
    x, *first = _layer(rng, **sizes, width=4, states=2)
    batch_size, t, h = sizes["batch_size"], sizes["t"], sizes["h"]
    _, *second = _layer(rng, batch_size, t, h, h + 1, width=3)
    return x, ((*first, None, None), (*second, None)), None


def _referenced(stage: Stage) -> Callable[..., Any]:
    """Return the reference of a recurrent op, with the settings of the stage."""
    functions: dict[Any, Callable[..., Any]] = {
        manual_bp.rnn: references.recurrence.rnn,
        manual_bp.lstm: references.recurrence.lstm,
        manual_bp.gru: references.recurrence.gru,
        manual_bp.bidirectional: _bidirectional_reference,
    }
    return partial(_values_of(functions[stage.op]), **dict(stage.settings))


def _bidirectional_reference(*args: Any, layer: Stage, **lengths: Any) -> Any:
    return references.recurrence.bidirectional(*args, layer=_referenced(layer), **lengths)


def _stacked_reference(*args: Any, layers: tuple[Stage, ...]) -> Any:
    bound = [_referenced(layer) for layer in layers]
    return references.recurrence.stacked(*args, layers=bound)


RELU = Stage(manual_bp.rnn, (("activation", "relu"),))
LAYERS = (Stage(manual_bp.bidirectional, (("layer", RELU),)), Stage(manual_bp.rnn))
LSTM_AND_GRU = (Stage(manual_bp.lstm), Stage(manual_bp.gru, (("reset", "before"),)))

_compositions = tuple(
    Case(
        name,
        getattr(manual_bp, name),
        reference,
        draw,
        sizes,
        ({setting: value},),
        variant,
        bench=() if "lengths" in variant else ((SMALLER, {setting: value}),),
    )
    for name, variant, reference, draw, sizes, setting, value in (
        (
            "bidirectional",
            "lstm",
            _bidirectional_reference,
            _bidirectional_lstm,
            ({"batch_size": 2, "t": 2, "n": 4, "h": 3}, {"batch_size": 1, "t": 0, "n": 2, "h": 1}),
            "layer",
            Stage(manual_bp.lstm),
        ),
        (
            "bidirectional",
            "gru, lengths",
            _bidirectional_reference,
            _bidirectional_gru,
            ({"batch_size": 3, "t": 3, "n": 4, "h": 2},),
            "layer",
            Stage(manual_bp.gru, (("recompute", True),)),
        ),
        (
            "stacked",
            "bidirectional, lengths",
            _stacked_reference,
            _stacked_masked,
            ({"batch_size": 3, "t": 2, "n": 2, "h": 4},),
            "layers",
            LAYERS,
        ),
        (
            "stacked",
            "lstm and gru",
            _stacked_reference,
            _stacked,
            ({"batch_size": 2, "t": 2, "n": 4, "h": 3}, {"batch_size": 1, "t": 0, "n": 2, "h": 1}),
            "layers",
            LSTM_AND_GRU,
        ),
    )
)

cases = (
    _case(
        "rnn",
        _rnn,
        options=RNN_OPTIONS,
        fits=_long_or_first,
        bench=((LONG, RNN_OPTIONS[0]),),
    ),
    _case("rnn", _rnn_masked, MASKED_SIZES, options=AGAIN, variant="lengths, no bias"),
    _case("lstm", _lstm, bench=((WIDE, {}),)),
    _case(
        "lstm",
        _lstm_peephole,
        MASKED_SIZES,
        options=SEGMENTS,
        variant="peephole, lengths, no bias",
    ),
    _case(
        "lstm",
        _lstm_projected,
        PROJECTED_SIZES,
        options=AGAIN,
        variant="peephole, projection, lengths",
    ),
    _case("gru", _gru, bench=((WIDE, {}),)),
    _case("gru", _gru_masked, MASKED_SIZES, options=RESETS, variant="lengths"),
    _case("gru", _gru_without_bias, SIZES[:1], options=OTHER_RESETS, variant="no bias"),
    _case(
        "layer_norm_lstm",
        _layer_norm_lstm,
        NORMALISED_SIZES,
        fits=_wide_enough,
        bench=((SMALLER, {}),),
    ),
    _case(
        "layer_norm_lstm",
        _layer_norm_lstm_masked,
        MASKED_SIZES,
        options=({"epsilon": 0.1, "segment": 1},),
        variant="lengths",
        fits=_wide_enough,
    ),
    *_compositions,
)
