"""Ops as a user of PyTorch would write them, run eagerly; those without layers of their own.

A form takes the op's arguments in their order, as tensors, and its settings by name.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bp_lab.bench.peers.peer import Peer

LIBRARY = "torch"

_ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "softplus": functional.softplus,
    "log_sigmoid": functional.logsigmoid,
    "relu6": functional.relu6,
    "squared_relu": lambda u: functional.relu(u).square(),
    "elu": functional.elu,
    "celu": functional.celu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda u: functional.gelu(u, approximate="tanh"),
    "gelu_quick": lambda u: u * torch.sigmoid(1.702 * u),
    "silu": functional.silu,
    "mish": functional.mish,
    "softsign": functional.softsign,
    "hard_sigmoid": functional.hardsigmoid,
    "hard_tanh": functional.hardtanh,
    "hard_swish": functional.hardswish,
}


def softmax(u: Tensor, *, axis: int = -1) -> Tensor:
    """Return the softmax along an axis."""
    return functional.softmax(u, axis)


def log_softmax(u: Tensor, *, axis: int = -1) -> Tensor:
    """Return the log-softmax along an axis."""
    return functional.log_softmax(u, axis)


def _transposed(x: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    """Return the arguments with the weights as PyTorch stores them, (m, n)."""
    return x, W.T, b


def _transposed_with_labels(
    x: Tensor, W: Tensor, b: Tensor, labels: Tensor, **_: Any
) -> tuple[Tensor, ...]:
    return *_transposed(x, W, b), labels


def _as_rows(x: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    """Return the arguments with the samples as PyTorch has them, in rows."""
    return x.movedim(0, -1), W, b


def _rows(x: Tensor) -> Tensor:
    """Return all samples on one axis: PyTorch has the classes second."""
    return x.reshape(-1, x.shape[-1])


def prelu(u: Tensor, alpha: Tensor) -> Tensor:
    """Return PyTorch's, of rows."""
    return functional.prelu(_rows(u), alpha).reshape(u.shape)


def maxout(x: Tensor, *, pieces: int) -> Tensor:
    """Return the largest of every few neighbours."""
    return x.unflatten(-1, (-1, pieces)).max(-1).values


def _gated(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the product of one half and of a function of the other."""

    def gated(x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        return a * function(b)

    return gated


def _reduced(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a loss for each sample, reduced over the batch."""

    @wraps(loss)
    def over_batch(*args: Any, reduction: str = "mean") -> Tensor:
        losses = loss(*args)
        return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()

    return over_batch


def _summed(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a loss of PyTorch's for each entry, summed over the last axis and reduced."""
    return _reduced(lambda first, second: loss(first, second, reduction="none").sum(-1))


def _of_rows(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a loss of PyTorch's for scores and labels of samples, reduced by PyTorch."""

    def of_rows(scores: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
        labels = _rows(labels) if labels.is_floating_point() else labels.reshape(-1)
        return loss(_rows(scores), labels, reduction=reduction)

    return of_rows


def linear_cross_entropy(
    x: Tensor, W: Tensor, b: Tensor, labels: Tensor, *, reduction: str = "mean"
) -> Tensor:
    """Return the cross-entropy of a linear layer, its weights as PyTorch stores them, (v, n)."""
    return _of_rows(functional.cross_entropy)(
        functional.linear(x, W, b), labels, reduction=reduction
    )


def multiclass_hinge(scores: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return PyTorch's, which divides by the number of classes, times that."""
    losses = functional.multi_margin_loss(_rows(scores), labels.reshape(-1), reduction=reduction)
    return scores.shape[-1] * losses


@_reduced
def hinge(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the missing margins."""
    return functional.relu(1 - targets * scores).sum(-1)


@_reduced
def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of both classes, each by how unsure it is."""
    p = torch.sigmoid(logits)
    ones = targets * (1 - p) ** 2.0 * functional.logsigmoid(logits)
    return -(ones + (1 - targets) * p**2.0 * functional.logsigmoid(-logits)).sum(-1)


@_reduced
def cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Return one minus PyTorch's similarity."""
    return 1 - functional.cosine_similarity(prediction, target, -1)


def triplet(*points: Tensor, reduction: str = "mean") -> Tensor:
    """Return PyTorch's, without what it adds to every coordinate."""
    return functional.triplet_margin_loss(*points, eps=0.0, reduction=reduction)


@_reduced
def contrastive(first: Tensor, second: Tensor, alike: Tensor) -> Tensor:
    """Return ½ d² of pairs that are alike, ½ of the squared gap to the margin of the others."""
    d = functional.pairwise_distance(first, second, eps=0.0)
    return (alike * d.square() + (1 - alike) * functional.relu(1 - d).square()) / 2


def _half_squares(prediction: Tensor, target: Tensor, *, reduction: str) -> Tensor:
    return functional.mse_loss(prediction, target, reduction=reduction) / 2


def ctc(
    logits: Tensor,
    labels: Tensor,
    logit_lengths: Tensor,
    label_lengths: Tensor,
    *,
    reduction: str = "mean",
) -> Tensor:
    """Return PyTorch's, of log-probabilities with the time first."""
    log_p = functional.log_softmax(logits, -1).transpose(0, 1)
    losses = functional.ctc_loss(log_p, labels, logit_lengths, label_lengths, reduction="none")
    return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[reduction]()


def embedding(table: Tensor, ids: Tensor) -> Tensor:
    """Return the rows of the table."""
    return functional.embedding(ids, table)


def take(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """Return the slices at the numbers."""
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return torch.index_select(x, axis, indices.reshape(-1)).reshape(shape)


def scatter_add(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0) -> Tensor:
    """Return x with the updates added at the numbers."""
    shape = (*x.shape[:axis], indices.numel(), *x.shape[axis + 1 :])
    return torch.index_add(x, axis, indices.reshape(-1), updates.reshape(shape))


def take_along_axis(x: Tensor, indices: Tensor, *, axis: int = -1) -> Tensor:
    """Return the entries at the numbers of each line."""
    return torch.gather(x, axis, indices)


def pad(x: Tensor, *, widths: tuple[tuple[int, int], ...]) -> Tensor:
    """Return x in a frame, its widths given for the last axis first, as PyTorch has them."""
    return functional.pad(x, [width for pair in reversed(widths) for width in pair])


def strided_slice(
    x: Tensor, *, starts: tuple[int, ...], limits: tuple[int, ...], strides: tuple[int, ...]
) -> Tensor:
    """Return the box, written out: a view of PyTorch's moves nothing."""
    return x[tuple(map(slice, starts, limits, strides))].contiguous()


def concatenate(arrays: Any, *, axis: int = 0) -> Tensor:
    """Return the arrays joined."""
    return torch.cat(list(arrays), axis)


def flip(x: Tensor, *, axis: int) -> Tensor:
    """Return x the other way round along an axis."""
    return torch.flip(x, (axis,))


def clip(x: Tensor, *, low: float, high: float) -> Tensor:
    """Return x between the bounds."""
    return torch.clamp(x, low, high)


def broadcast_to(x: Tensor, *, shape: tuple[int, ...]) -> Tensor:
    """Return x repeated, written out: a view of PyTorch's moves nothing."""
    return torch.broadcast_to(x, shape).contiguous()


def _over(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return a reduction or a scan along one axis."""

    def over(x: Tensor, *, axis: int, **_ties: str) -> Tensor:
        y = function(x, axis)
        return y if isinstance(y, Tensor) else y.values

    return over


def weight_decay(weights: Any, *, decay: float) -> Tensor:
    """Return ½ λ Σ W²."""
    leaves = [weights["first"], *weights["rest"]]
    return 0.5 * decay * torch.stack([W.square().sum() for W in leaves]).sum()


def dropout(x: Tensor, _key: Tensor, *, rate: float) -> Tensor:
    """Return x with entries dropped at random, by PyTorch's own numbers."""
    return functional.dropout(x, rate)


def _heads_first(*args: Any, **_: Any) -> tuple[Tensor, ...]:
    """Return queries, keys and values with the heads before the time."""
    return tuple(x.transpose(1, 2).contiguous() for x in args[:3])


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Return the attention of every head."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=causal)


def _time_first(y: Tensor, **_: Any) -> Tensor:
    return y.transpose(1, 2)


def _columns(y: Tensor, **_: Any) -> Tensor:
    return y.movedim(-1, 0)


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **_ELEMENTWISE,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "bilinear": functional.bilinear,
    "matmul": torch.matmul,
    "prelu": prelu,
    "maxout": maxout,
    "glu": functional.glu,
    "swiglu": _gated(functional.silu),
    "geglu": _gated(functional.gelu),
    "absolute_error": _summed(functional.l1_loss),
    "squared_error": _summed(_half_squares),
    "huber": _summed(functional.huber_loss),
    "kl_divergence": _summed(functional.kl_div),
    "binary_cross_entropy": _summed(functional.binary_cross_entropy_with_logits),
    "binary_cross_entropy_on_probabilities": _summed(functional.binary_cross_entropy),
    "softmax_squared_error": _summed(
        lambda u, t, **settings: _half_squares(functional.softmax(u, -1), t, **settings)
    ),
    "softmax_cross_entropy": _of_rows(functional.cross_entropy),
    "negative_log_likelihood": _of_rows(functional.nll_loss),
    "multiclass_hinge": multiclass_hinge,
    "hinge": hinge,
    "focal": focal,
    "cosine": cosine,
    "triplet": triplet,
    "contrastive": contrastive,
    "ctc": ctc,
    "embedding": embedding,
    "take": take,
    "scatter_add": scatter_add,
    "take_along_axis": take_along_axis,
    "pad": pad,
    "strided_slice": strided_slice,
    "concatenate": concatenate,
    "flip": flip,
    "where": torch.where,
    "clip": clip,
    "broadcast_to": broadcast_to,
    "reduce_sum": _over(torch.sum),
    "reduce_mean": _over(torch.mean),
    "reduce_max": _over(torch.max),
    "reduce_min": _over(torch.min),
    "reduce_prod": _over(torch.prod),
    "logsumexp": _over(torch.logsumexp),
    "cumsum": _over(torch.cumsum),
    "cumprod": _over(torch.cumprod),
    "weight_decay": weight_decay,
    "dropout": dropout,
}

table = {
    **{name: Peer("torch", function, LIBRARY) for name, function in _FUNCTIONS.items()},
    "linear": Peer("torch", functional.linear, LIBRARY, arrange=_transposed),
    "dot_product_attention": Peer(
        "torch", attention, LIBRARY, arrange=_heads_first, restore=_time_first
    ),
    "linear_cross_entropy": Peer(
        "torch", linear_cross_entropy, LIBRARY, arrange=_transposed_with_labels
    ),
    "linear_column": Peer("torch", functional.linear, LIBRARY, _as_rows, restore=_columns),
}
