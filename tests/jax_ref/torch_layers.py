"""Every op that PyTorch has, in PyTorch: windows, normalisations, recurrent layers, models.

As `torch_functions`. PyTorch has the channels second, and the weights of a layer before its inputs.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import pytest
from torch_functions import FUNCTIONS, Tensor, framed, rows, with_entries

torch = pytest.importorskip("torch")
functional = torch.nn.functional

Pairs = Sequence[tuple[int, int]]


def _of_rank(name: str, axes: int) -> Any:
    return getattr(functional, f"{name}{axes}d")


def _first(x: Tensor) -> Tensor:
    """Return (b, *size, c) as PyTorch has it, (b, c, *size)."""
    return x.movedim(-1, 1)


def _last(y: Tensor) -> Tensor:
    return y.movedim(1, -1)


def _each(value: Any, axes: int) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * axes


def _pairs(
    padding: Any,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Pairs:
    """Return the padding before and after each axis; PyTorch has "same" for strides of 1 alone."""
    if padding == "SAME":
        axes = zip(size, kernel, strides, dilation, strict=True)
        totals = [max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in axes]
        return [(total // 2, total - total // 2) for total in totals]
    if padding == "VALID":
        return [(0, 0)] * len(size)
    return [(padding, padding)] * len(size) if isinstance(padding, int) else padding


def _evenly(pairs: Pairs, most: Sequence[float] | None = None) -> tuple[tuple[int, ...], Pairs]:
    """Return the padding that is alike on both sides, which is PyTorch's option, and the rest."""
    even = tuple(map(min, *zip(*pairs, strict=True), most or [math.inf] * len(pairs)))
    return even, [(before - n, after - n) for n, (before, after) in zip(even, pairs, strict=True)]


def conv(
    x: Tensor,
    W: Tensor,
    b: Tensor | None = None,
    *,
    strides: Any = 1,
    padding: Any = "SAME",
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    axes = x.ndim - 2
    s, d = _each(strides, axes), _each(dilation, axes)
    even, rest = _evenly(_pairs(padding, x.shape[1:-1], W.shape[:-2], s, d))
    kernel = W.movedim((-1, -2), (0, 1)).contiguous()
    u = _of_rank("conv", axes)(framed(_first(x), rest), kernel, b, s, even, d, groups)
    return _last(u)


def depthwise_conv(x: Tensor, W: Tensor, b: Tensor | None = None, **settings: Any) -> Tensor:
    return conv(x, W.flatten(-2).unsqueeze(-2), b, groups=x.shape[-1], **settings)


def causal_conv_1d(
    x: Tensor, W: Tensor, b: Tensor | None = None, *, dilation: int = 1, groups: int = 1
) -> Tensor:
    past = (((W.shape[0] - 1) * dilation, 0),)
    return conv(x, W, b, padding=past, dilation=dilation, groups=groups)


def transposed_conv(
    x: Tensor,
    W: Tensor,
    b: Tensor | None = None,
    *,
    strides: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    axes = x.ndim - 2
    even, rest = _evenly(_pairs(padding, x.shape[1:-1], W.shape[:-2], (1,), (1,)))
    # PyTorch's kernel is (c, m / groups, *kernel).
    blocks = W.unflatten(-1, (groups, W.shape[-1] // groups))
    kernel = blocks.movedim((-2, -3, -1), (0, 1, 2)).flatten(0, 1).contiguous()
    u = _of_rank("conv_transpose", axes)(
        *(_first(x), kernel, b, _each(strides, axes), even),
        *(_each(output_padding, axes), groups, _each(dilation, axes)),
    )
    cut = [slice(before, n - after) for n, (before, after) in zip(u.shape[2:], rest, strict=True)]
    return _last(u[:, :, *cut])


def im2col(
    x: Tensor, *, kernel: Any, strides: Any = 1, padding: Any = "SAME", dilation: Any = 1
) -> Tensor:
    b, *size, c = x.shape
    k, s, d = (_each(value, len(size)) for value in (kernel, strides, dilation))
    pairs = _pairs(padding, size, k, s, d)
    spans = [n + sum(pair) - e * (m - 1) for n, pair, m, e in zip(size, pairs, k, d, strict=True)]
    count = [(span - 1) // stride + 1 for span, stride in zip(spans, s, strict=True)]
    # PyTorch has it for two axes: a line is a plane of one column.
    more = (1,) * (2 - len(size))
    plane = framed(_first(x), pairs)
    plane = plane.reshape(*plane.shape, *more)
    columns = functional.unfold(plane, (*k, *more), (*d, *more), stride=(*s, *more))
    # PyTorch has the taps of one channel together.
    taps = columns.reshape(b, c, math.prod(k), math.prod(count))
    return taps.permute(0, 3, 2, 1).reshape(b, *count, math.prod(k) * c)


def _windows(x: Tensor, window: Any, strides: Any) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """Return x as PyTorch has it, and a window and a stride for each axis."""
    kernel = _each(window, x.ndim - 2)
    return _first(x), kernel, kernel if strides is None else _each(strides, x.ndim - 2)


def max_pool(
    x: Tensor,
    *,
    window: Any,
    strides: Any = None,
    padding: Any = "VALID",
    dilation: Any = 1,
    ties: str = "first",
) -> Tensor:
    # How a tie is split is not PyTorch's to choose; the cases have none.
    x, k, s = _windows(x, window, strides)
    d = _each(dilation, len(k))
    # PyTorch pads by half a window at most.
    even, rest = _evenly(_pairs(padding, x.shape[2:], k, s, d), [taps // 2 for taps in k])
    return _last(_of_rank("max_pool", len(k))(framed(x, rest, -math.inf), k, s, even, d))


def mean_pool(
    x: Tensor,
    *,
    window: Any,
    strides: Any = None,
    padding: Any = "VALID",
    count_padding: bool = True,
) -> Tensor:
    x, k, s = _windows(x, window, strides)
    even, rest = _evenly(_pairs(padding, x.shape[2:], k, s, (1,) * len(k)))
    assert count_padding or not any(map(any, rest)), "what is framed counts"
    pool = _of_rank("avg_pool", len(k))
    return _last(pool(framed(x, rest), k, s, even, count_include_pad=count_padding))


def lp_pool(
    x: Tensor, *, window: Any, strides: Any = None, padding: Any = "VALID", p: float = 2.0
) -> Tensor:
    x, k, s = _windows(x, window, strides)
    pairs = _pairs(padding, x.shape[2:], k, s, (1,) * len(k))
    # PyTorch sums xᵖ with its sign, which for an even p is |x|ᵖ.
    base = framed(x if p % 2 == 0 else x.abs(), pairs)
    # Its pool of one axis takes no tuples.
    if len(k) == 1:
        return _last(functional.lp_pool1d(base, p, *k, *s))
    return _last(_of_rank("lp_pool", len(k))(base, p, k, s))


def global_mean_pool(x: Tensor) -> Tensor:
    return _of_rank("adaptive_avg_pool", x.ndim - 2)(_first(x), 1).flatten(1)


def global_max_pool(x: Tensor, *, ties: str = "first") -> Tensor:
    # PyTorch's pool takes the first of a tie, and `amax` splits it.
    if ties == "split":
        return _first(x).flatten(2).amax(-1)
    return _of_rank("adaptive_max_pool", x.ndim - 2)(_first(x), 1).flatten(1)


def adaptive_mean_pool(x: Tensor, *, size: tuple[int, ...]) -> Tensor:
    return _last(_of_rank("adaptive_avg_pool", x.ndim - 2)(_first(x), size))


def adaptive_max_pool(x: Tensor, *, size: tuple[int, ...]) -> Tensor:
    return _last(_of_rank("adaptive_max_pool", x.ndim - 2)(_first(x), size))


def upsample_nearest(
    x: Tensor, *, factor: int | None = None, size: tuple[int, ...] | None = None
) -> Tensor:
    return _last(functional.interpolate(_first(x), size, factor, "nearest"))


def upsample_linear(
    x: Tensor,
    *,
    factor: int | None = None,
    size: tuple[int, ...] | None = None,
    align_corners: bool = False,
) -> Tensor:
    mode = ("linear", "bilinear", "trilinear")[x.ndim - 3]
    return _last(functional.interpolate(_first(x), size, factor, mode, align_corners))


def pixel_shuffle(x: Tensor, *, factor: int) -> Tensor:
    return _last(functional.pixel_shuffle(_first(x), factor))


def pixel_unshuffle(x: Tensor, *, factor: int) -> Tensor:
    return _last(functional.pixel_unshuffle(_first(x), factor))


def layer_norm(
    x: Tensor, scale: Tensor | None = None, bias: Tensor | None = None, *, epsilon: float = 1e-5
) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], scale, bias, epsilon)


def rms_norm(x: Tensor, scale: Tensor | None = None, *, epsilon: float = 1e-5) -> Tensor:
    return functional.rms_norm(x, x.shape[-1:], scale, epsilon)


def group_norm(
    x: Tensor,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    groups: int,
    epsilon: float = 1e-5,
) -> Tensor:
    if scale is None:
        # PyTorch has no gradient of a bias without a scale.
        scale = x.new_ones(x.shape[-1])
    return _last(functional.group_norm(_first(x), groups, scale, bias, epsilon))


def instance_norm(
    x: Tensor, scale: Tensor | None = None, bias: Tensor | None = None, *, epsilon: float = 1e-5
) -> Tensor:
    return _last(functional.instance_norm(_first(x), weight=scale, bias=bias, eps=epsilon))


def batch_norm(
    x: Tensor,
    scale: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    *,
    training: bool = True,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor, Tensor]:
    samples = rows(x)
    mean, var = running_mean.detach().clone(), running_var.detach().clone()
    y = functional.batch_norm(samples, mean, var, scale, bias, training, momentum, epsilon)
    # PyTorch writes to the running statistics, and differentiates nothing by them. Their values are
    # PyTorch's here, and their derivatives those of the formula.
    if training:
        new_mean = torch.lerp(running_mean, samples.mean(0), momentum)
        new_var = torch.lerp(running_var, samples.var(0), momentum)
    else:
        new_mean, new_var = running_mean, running_var
        factor = 1 if scale is None else scale.detach()
        y = _valued(y, (samples.detach() - running_mean) * (running_var + epsilon) ** -0.5 * factor)
    return y.reshape(x.shape), _valued(mean, new_mean), _valued(var, new_var)


def _valued(value: Tensor, slope: Tensor) -> Tensor:
    """Return a value, differentiated as itself and as another."""
    return value + (slope - slope.detach())


def l2_normalize(x: Tensor, *, axis: int = -1, epsilon: float = 1e-12) -> Tensor:
    # PyTorch bounds the norm from below; to add ε to its square is to have √ε as one more entry.
    longer = with_entries(x, axis, math.sqrt(epsilon))
    return functional.normalize(longer, dim=axis, eps=0.0).narrow(axis, 0, x.shape[axis])


def weight_norm(v: Tensor, g: Tensor, *, epsilon: float = 1e-12) -> Tensor:
    # It is what `torch.nn.utils.parametrizations.weight_norm` calls; ε as in `l2_normalize`.
    longer = with_entries(rows(v), 0, math.sqrt(epsilon))
    return torch._weight_norm(longer, g[None], 1)[:-1].reshape(v.shape)


Direction = tuple[tuple[Tensor, ...], dict[str, Tensor]]


def run_layer(
    kind: Any,
    x: Tensor,
    directions: Sequence[Direction],
    lengths: Tensor | None,
    num_layers: int = 1,
    **settings: Any,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return what a recurrent layer of PyTorch's gives, and its final states, one for each row.

    Args:
      kind: the class of the layer.
      x: inputs, (batch, t, n).
      directions: initial states and parameters of every layer, in one direction or in both.
      lengths: number of steps of each sample, or None for all.
      num_layers: how many layers there are.
      **settings: others of PyTorch's.
    """
    initial, named = zip(*directions, strict=True)
    ways = ("", "_reverse")[: len(directions) // num_layers]
    places = [f"l{number}{way}" for number in range(num_layers) for way in ways]
    parameters = {
        f"{name}_{place}": value
        for place, values in zip(places, named, strict=True)
        for name, value in values.items()
    }
    layer = kind(
        x.shape[2],
        named[0]["weight_ih"].shape[0] // WIDTHS[kind],
        num_layers,
        batch_first=True,
        bidirectional=len(ways) > 1,
        dtype=x.dtype,
        **settings,
    )

    def call(inputs: Any, first: list[Tensor]) -> tuple[Any, list[Tensor]]:
        state = tuple(first) if len(first) > 1 else first[0]
        outputs, last = torch.func.functional_call(layer, parameters, (inputs, state))
        return outputs, list(last) if len(first) > 1 else [last]

    states = [torch.stack(each) for each in zip(*initial, strict=True)]
    if lengths is None:
        ys, finals = call(x, states)
        return ys, tuple(finals)
    # PyTorch packs no sample of length 0: such a one keeps its state, and its outputs are 0.
    (some,) = torch.nonzero(lengths, as_tuple=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        x[some], lengths[some], batch_first=True, enforce_sorted=False
    )
    outputs, last = call(packed, [state[:, some] for state in states])
    within, _ = torch.nn.utils.rnn.pad_packed_sequence(
        outputs, batch_first=True, total_length=x.shape[1]
    )
    ys = x.new_zeros(x.shape[0], *within.shape[1:]).index_copy(0, some, within)
    both = zip(states, last, strict=True)
    return ys, tuple(state.index_copy(1, some, final) for state, final in both)


WIDTHS = {torch.nn.RNN: 1, torch.nn.LSTM: 4, torch.nn.GRU: 3}


def _weights(
    W: Tensor, U: Tensor, b: Tensor | None, b_state: Tensor | None = None
) -> dict[str, Any]:
    """Return the parameters by PyTorch's names; of its two biases ours is the first."""
    zero = W.new_zeros(W.shape[1])
    return {
        "weight_ih": W.T,
        "weight_hh": U.T,
        "bias_ih": zero if b is None else b,
        "bias_hh": zero if b_state is None else b_state,
    }


def _of_rnn(h0: Tensor, W: Tensor, U: Tensor, b: Tensor | None = None) -> Direction:
    return (h0,), _weights(W, U, b)


def _of_lstm(
    h0: Tensor,
    c0: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor | None = None,
    peephole: None = None,
    projection: Tensor | None = None,
) -> Direction:
    assert peephole is None
    projected = {} if projection is None else {"weight_hr": projection.T}
    return (h0, c0), {**_weights(W, U, b), **projected}


def of_gru(
    h0: Tensor, W: Tensor, U: Tensor, b: Tensor | None = None, b_n: Tensor | None = None
) -> Direction:
    # Of the reset and the update gate PyTorch's two biases are added; of the candidate the reset
    # gate multiplies the second.
    b_state = None if b_n is None else torch.cat([b_n.new_zeros(2 * b_n.shape[0]), b_n])
    return (h0,), _weights(W, U, b, b_state)


def _layer(
    name: str,
    x: Tensor,
    parameters: Sequence[tuple[Any, ...]],
    lengths: Tensor | None,
    *,
    activation: str = "tanh",
    reset: str = "after",
    slope_at_zero: float = 1.0,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return what `run_layer` does, for an op of ours; the slope of relu at 0 is PyTorch's."""
    assert reset == "after"
    match name:
        case "rnn":
            directions = [_of_rnn(*theta) for theta in parameters]
            return run_layer(torch.nn.RNN, x, directions, lengths, nonlinearity=activation)
        case "gru":
            return run_layer(torch.nn.GRU, x, [of_gru(*theta) for theta in parameters], lengths)
        case _:
            directions = [_of_lstm(*theta) for theta in parameters]
            projection = directions[0][1].get("weight_hr")
            width = 0 if projection is None else projection.shape[0]
            return run_layer(torch.nn.LSTM, x, directions, lengths, proj_size=width)


def _one_direction(name: str) -> Any:
    def layer(x: Tensor, *args: Any, **settings: Any) -> tuple[Tensor, ...]:
        *theta, lengths = args
        ys, finals = _layer(name, x, [tuple(theta)], lengths, **settings)
        return ys, *(final[0] for final in finals)

    return layer


def name_of(op: Any) -> str:
    """Return the name of an op, which is a module or an elementwise function."""
    return str(getattr(op, "name", None) or op.__name__.rpartition(".")[2])


def _values_of(stage: Any) -> dict[str, Any]:
    """Return the settings of a stage without those of what is kept, which change no value."""
    return {
        name: of for name, of in stage.settings if name not in ("recompute", "segment", "unroll")
    }


def bidirectional(
    x: Tensor, parameters: Any, reverse_parameters: Any, lengths: Tensor | None, *, layer: Any
) -> tuple[Any, ...]:
    both = [parameters, reverse_parameters]
    ys, finals = _layer(name_of(layer.op), x, both, lengths, **_values_of(layer))
    return ys, tuple(final[0] for final in finals), tuple(final[1] for final in finals)


def stacked(
    x: Tensor, parameters: Any, lengths: Tensor | None, *, layers: Any
) -> tuple[Tensor, tuple[Any, ...]]:
    finals = []
    for layer, theta in zip(layers, parameters, strict=True):
        x, *last = OPS[name_of(layer.op)](x, *theta, lengths, **_values_of(layer))
        finals.append(tuple(last))
    return x, tuple(finals)


def chain(parameters: Any, x: Tensor, *, stages: Any) -> Tensor:
    for stage, theta in zip(stages, parameters, strict=True):
        x = OPS[name_of(stage.op)](x, *theta, **dict(stage.settings))
    return x


def skip(x: Tensor, parameters: Any, *, stages: Any) -> Tensor:
    return x + chain(parameters, x, stages=stages)


def layer_stack(parameters: Any, x: Tensor, *, layer: Any, segment: int | None = None) -> Tensor:
    for number in range(len(jax.tree.leaves(parameters)[0])):
        x = chain(_at(parameters, number), x, stages=layer)
    return x


def reversible_stack(
    theta: Any, phi: Any, x1: Tensor, x2: Tensor, *, f: Any, g: Any
) -> tuple[Tensor, Tensor]:
    for number in range(len(jax.tree.leaves(theta)[0])):
        x1 = x1 + chain(_at(theta, number), x2, stages=f)
        x2 = x2 + chain(_at(phi, number), x1, stages=g)
    return x1, x2


def _at(parameters: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], parameters)


def mlp(params: Any, x: Tensor, *, activation: Any, output_activation: Any) -> Tensor:
    *hidden, last = params
    for layer in hidden:
        x = OPS[activation.name](OPS["linear"](x, *layer))
    return OPS[output_activation.name](OPS["linear"](x, *last))


def cnn(params: Any, x: Tensor, *, activation: Any) -> Tensor:
    for layer, behind in pairwise([*params, None]):
        if layer.W.ndim == 2:
            x = OPS["linear"](x.flatten(1), *layer)
            x = x if behind is None else OPS[activation.name](x)
        else:
            x = max_pool(OPS[activation.name](conv(x, *layer)), window=2)
    return x


def fcn(params: Any, x: Tensor, *, strides: Any, activation: Any) -> Tensor:
    for layer, stride, behind in zip(params, strides, [*params[1:], None], strict=True):
        x = conv(x, *layer, strides=stride, padding="VALID")
        x = x if behind is None else OPS[activation.name](x)
    return x


def resnet(
    params: Any, x: Tensor, statistics: Any, *, activation: Any, **settings: Any
) -> tuple[Tensor, Any]:
    f, left, renewed = OPS[activation.name], iter(statistics), []

    def unit(parameters: Any, x: Tensor, strides: int = 1) -> Tensor:
        u = conv(x, parameters.W, strides=strides)
        u, *new = batch_norm(u, parameters.scale, parameters.bias, *next(left), **settings)
        renewed.append(new)
        return u

    x = f(unit(params.stem, x))
    for number, block in enumerate(params.blocks):
        strides = 2 if number else 1
        v = unit(block.second, f(unit(block.first, x, strides)))
        x = f(v + (x if block.shortcut is None else unit(block.shortcut, x, strides)))
    return functional.linear(x.mean((1, 2)), params.V.T, params.c), renewed


def recurrent(params: Any, x: Tensor, *, cell: Any, **settings: Any) -> Tensor:
    W, U, b, V, c = params
    name = name_of(cell)
    first = x.new_zeros(x.shape[0], U.shape[0])
    states = (first, first) if name == "lstm" else (first,)
    _, (h, *_) = _layer(name, x, [(*states, W, U, b)], None, **settings)
    return functional.linear(h[0], V.T, c)


def line_reader(
    params: Any, x: Tensor, widths: Tensor | None, *, pools: Any, activation: Any
) -> Tensor:
    left = torch.full((len(x),), x.shape[2]) if widths is None else widths
    x = _within(x, left)
    for layer, pool in zip(params.convolutions, pools, strict=True):
        left = left // pool[1]
        x = max_pool(conv(x, *layer, padding="SAME"), window=pool)
        x = _within(OPS[activation.name](x), left)
    first = (x.new_zeros(len(x), params.onward.U.shape[0]),) * 2
    both = [(*first, *params.onward), (*first, *params.reverse)]
    ys, _ = _layer("lstm", x.transpose(1, 2).flatten(2), both, left)
    return functional.linear(ys, params.V.T, params.c)


def _within(x: Tensor, widths: Tensor) -> Tensor:
    within = torch.arange(x.shape[2]) < widths[:, None]
    return x * within[:, None, :, None]


OPS = {
    **FUNCTIONS,
    **{name: _one_direction(name) for name in ("rnn", "lstm", "gru")},
    **{
        function.__name__: function
        for function in (
            *(conv, depthwise_conv, causal_conv_1d, transposed_conv, im2col),
            *(max_pool, mean_pool, lp_pool, global_mean_pool, global_max_pool),
            *(adaptive_mean_pool, adaptive_max_pool),
            *(upsample_nearest, upsample_linear, pixel_shuffle, pixel_unshuffle),
            *(layer_norm, rms_norm, group_norm, instance_norm, batch_norm),
            *(l2_normalize, weight_norm),
            *(bidirectional, stacked, chain, mlp, cnn, fcn, resnet, recurrent, line_reader),
            *(skip, layer_stack, reversible_stack),
        )
    },
    "checkpointed_stack": layer_stack,
}
