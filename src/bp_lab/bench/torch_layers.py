"""Ops as a user of PyTorch would write them: windows, normalisations, recurrent layers.

PyTorch has the channels second, and the weights of a layer before its inputs: arguments and outputs
are arranged so beforehand, and contiguous.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bp_lab.bench.peers.flax_cells import name_of
from bp_lab.bench.peers.peer import Peer
from bp_lab.bench.torch_peers import LIBRARY

Size = tuple[int, ...]


def _of_rank(name: str, x: Tensor) -> Any:
    return getattr(functional, f"{name}{x.ndim - 2}d")


def _first(x: Tensor, *rest: Tensor, **_: Any) -> tuple[Tensor, ...]:
    """Return the arguments with the channels of x second."""
    return x.movedim(-1, 1), *rest


def _last(y: Tensor, **_: Any) -> Tensor:
    return y.movedim(1, -1)


def conv(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Return the convolution that keeps the size."""
    return _of_rank("conv", x)(x, W, b, padding="same")


def _of_conv(x: Tensor, W: Tensor, b: Tensor, **_: Any) -> tuple[Tensor, ...]:
    return x.movedim(-1, 1), W.movedim((-1, -2), (0, 1)), b


def depthwise_conv(x: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Return the convolution with a group for each channel."""
    return _of_rank("conv", x)(x, W, b, padding="same", groups=x.shape[1])


def _of_depthwise(x: Tensor, W: Tensor, b: Tensor, **_: Any) -> tuple[Tensor, ...]:
    return x.movedim(-1, 1), W.flatten(-2).unsqueeze(-2).movedim((-1, -2), (0, 1)), b


def transposed_conv(x: Tensor, W: Tensor, b: Tensor, *, strides: int, padding: int) -> Tensor:
    """Return the transposed convolution."""
    return _of_rank("conv_transpose", x)(x, W, b, strides, padding)


def _of_transposed(x: Tensor, W: Tensor, b: Tensor, **_: Any) -> tuple[Tensor, ...]:
    return x.movedim(-1, 1), W.movedim((-2, -1), (0, 1)), b


def causal_conv_1d(x: Tensor, W: Tensor, b: Tensor, *, dilation: int) -> Tensor:
    """Return the convolution with all padding before."""
    past = functional.pad(x, (dilation * (W.shape[-1] - 1), 0))
    return functional.conv1d(past, W, b, dilation=dilation)


def im2col(x: Tensor, *, kernel: int) -> Tensor:
    """Return the patches of images, the taps of a channel together."""
    columns = functional.unfold(x, kernel, padding=(kernel - 1) // 2)
    return columns.unflatten(-1, x.shape[2:])


def _is_odd_and_two_dimensional(x: Any, *, kernel: Any) -> bool:
    return x.ndim == 4 and isinstance(kernel, int) and kernel % 2 == 1


def _windows(name: str) -> Callable[..., Tensor]:
    return lambda x, *, window: _of_rank(name, x)(x, window)


def lp_pool(x: Tensor, *, window: Size) -> Tensor:
    """Return the Euclidean norm of each window."""
    return _of_rank("lp_pool", x)(x, 2.0, window if len(window) > 1 else window[0])


def _to_size(name: str) -> Callable[..., Tensor]:
    return lambda x, *, size: _of_rank(name, x)(x, size)


def _to_one(name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: _of_rank(name, x)(x, 1).flatten(1)


def _interpolated(mode: Sequence[str]) -> Callable[..., Tensor]:
    return lambda x, *, factor: functional.interpolate(
        x, scale_factor=float(factor), mode=mode[x.ndim - 3]
    )


def _shuffled(name: str) -> Callable[..., Tensor]:
    return lambda x, *, factor: getattr(functional, name)(x, factor)


def layer_norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return PyTorch's layer norm over the last axis."""
    return functional.layer_norm(x, x.shape[-1:], scale, bias)


def rms_norm(x: Tensor, scale: Tensor) -> Tensor:
    """Return PyTorch's root-mean-square norm over the last axis."""
    return functional.rms_norm(x, x.shape[-1:], scale, 1e-5)


def group_norm(x: Tensor, scale: Tensor, bias: Tensor, *, groups: int) -> Tensor:
    """Return PyTorch's group norm."""
    return functional.group_norm(x, groups, scale, bias)


def instance_norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Return PyTorch's instance norm."""
    return functional.instance_norm(x, weight=scale, bias=bias)


def batch_norm(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return PyTorch's batch norm, which writes to the running statistics, and those."""
    return functional.batch_norm(x, mean, var, scale, bias, training), mean, var


def _of_batch_norm(x: Tensor, *rest: Tensor, **_: Any) -> tuple[Tensor, ...]:
    *affine, mean, var = rest
    return x.movedim(-1, 1), *affine, mean.detach().clone(), var.detach().clone()


def _from_batch_norm(outputs: tuple[Tensor, ...], **_: Any) -> tuple[Tensor, ...]:
    y, *statistics = outputs
    return y.movedim(1, -1), *statistics


def l2_normalize(x: Tensor, *, axis: int) -> Tensor:
    """Return the vectors over their norm."""
    return functional.normalize(x, dim=axis)


def weight_norm(v: Tensor, g: Tensor) -> Tensor:
    """Return what `torch.nn.utils.parametrizations.weight_norm` calls, a filter in a row."""
    return torch._weight_norm(v, g.reshape(-1, *(1,) * (v.ndim - 1)), 0)


def _of_weight_norm(v: Tensor, g: Tensor, **_: Any) -> tuple[Tensor, ...]:
    return v.movedim(-1, 0), g


def layer_parameters(
    W: Tensor, U: Tensor, b: Tensor, b_n: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Return the four parameters of a layer of PyTorch's, whose second bias is learned as well."""
    second = b.new_zeros(b.shape)
    if b_n is not None:
        second = torch.cat([second[: -len(b_n)], b_n])
    return W.T.contiguous(), U.T.contiguous(), b, second


def run_layer(
    name: str, x: Tensor, states: tuple[Tensor, ...], parameters: Sequence[Tensor], ways: int = 1
) -> tuple[Tensor, ...]:
    """Return the outputs and the final states, by what PyTorch's modules call."""
    function = {"rnn": torch.rnn_tanh, "lstm": torch.lstm, "gru": torch.gru}[name]
    carry = states if name == "lstm" else states[0]
    return function(x, carry, list(parameters), True, 1, 0.0, True, ways == 2, True)


def _split(name: str, theta: Sequence[Any]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the states and the parameters of a layer of ours, its states first."""
    count = 2 if name == "lstm" else 1
    states, (W, U, b, *rest) = theta[:count], theta[count:]
    b_n = rest[0] if name == "gru" and rest else None
    return tuple(state[None] for state in states), layer_parameters(W, U, b, b_n)


def _layer(name: str) -> Peer:
    def layer(x: Tensor, states: Any, parameters: Any, **_: Any) -> tuple[Tensor, ...]:
        return run_layer(name, x, states, parameters)

    def arrange(x: Tensor, *theta: Any, **_: Any) -> tuple[Any, ...]:
        return x, *_split(name, theta)

    def restore(outputs: tuple[Tensor, ...], **_: Any) -> tuple[Tensor, ...]:
        ys, *finals = outputs
        return ys, *(final[0] for final in finals)

    return Peer("torch", layer, LIBRARY, arrange=arrange, restore=restore)


def both_ways(x: Tensor, states: Any, parameters: Any, *, layer: Any) -> tuple[Tensor, ...]:
    """Return the outputs and the final states of a layer in both directions."""
    return run_layer(name_of(layer), x, states, parameters, ways=2)


def _of_both_ways(
    x: Tensor, theta: Any, reverse_theta: Any, *_: None, layer: Any
) -> tuple[Any, ...]:
    (states, onward), (others, backward) = (
        _split(name_of(layer), each) for each in (theta, reverse_theta)
    )
    both = tuple(torch.cat(pair) for pair in zip(states, others, strict=True))
    return x, both, (*onward, *backward)


def _from_both_ways(outputs: tuple[Tensor, ...], **_: Any) -> tuple[Any, ...]:
    ys, *finals = outputs
    return ys, tuple(final[0] for final in finals), tuple(final[1] for final in finals)


def _channels_together(y: Tensor, *, kernel: int) -> Tensor:
    """Return (b, c taps, rows, columns) as (b, rows, columns, taps c)."""
    return y.unflatten(1, (-1, kernel**2)).permute(0, 3, 4, 2, 1).flatten(-2)


def _in_plane(function: Callable[..., Tensor], **rest: Any) -> Peer:
    """Return a peer whose input and output have the channels second."""
    return Peer("torch", function, LIBRARY, **{"arrange": _first, "restore": _last, **rest})


def _flat(function: Callable[..., Tensor]) -> Peer:
    return Peer("torch", function, LIBRARY)


table = {
    "conv": _in_plane(conv, arrange=_of_conv),
    "depthwise_conv": _in_plane(depthwise_conv, arrange=_of_depthwise),
    "transposed_conv": _in_plane(transposed_conv, arrange=_of_transposed),
    "causal_conv_1d": _in_plane(causal_conv_1d, arrange=_of_conv),
    "im2col": _in_plane(im2col, restore=_channels_together, fits=_is_odd_and_two_dimensional),
    "max_pool": _in_plane(_windows("max_pool")),
    "mean_pool": _in_plane(_windows("avg_pool")),
    "lp_pool": _in_plane(lp_pool),
    "global_mean_pool": Peer("torch", _to_one("adaptive_avg_pool"), LIBRARY, arrange=_first),
    "global_max_pool": Peer("torch", _to_one("adaptive_max_pool"), LIBRARY, arrange=_first),
    "adaptive_mean_pool": _in_plane(_to_size("adaptive_avg_pool")),
    "adaptive_max_pool": _in_plane(_to_size("adaptive_max_pool")),
    "upsample_nearest": _in_plane(_interpolated(("nearest",) * 3)),
    "upsample_linear": _in_plane(_interpolated(("linear", "bilinear", "trilinear"))),
    "pixel_shuffle": _in_plane(_shuffled("pixel_shuffle")),
    "pixel_unshuffle": _in_plane(_shuffled("pixel_unshuffle")),
    "layer_norm": _flat(layer_norm),
    "rms_norm": _flat(rms_norm),
    "group_norm": _in_plane(group_norm),
    "instance_norm": _in_plane(instance_norm),
    "batch_norm": _in_plane(
        batch_norm, arrange=_of_batch_norm, restore=_from_batch_norm, constants=frozenset({3, 4})
    ),
    "l2_normalize": _flat(l2_normalize),
    "weight_norm": Peer(
        "torch", weight_norm, LIBRARY, _of_weight_norm, lambda y, **_: y.movedim(0, -1)
    ),
    **{name: _layer(name) for name in ("rnn", "lstm", "gru")},
    "bidirectional": Peer(
        "torch", both_ways, LIBRARY, arrange=_of_both_ways, restore=_from_both_ways
    ),
}
