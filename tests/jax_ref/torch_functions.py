"""Every op that PyTorch has, in PyTorch, with our arguments, layouts and options; the simple ones.

A function takes float64 tensors in the order of the op's arguments, whole numbers as int64, and the
op's options. It calls what PyTorch has by that name wherever there is such a thing, and says where
PyTorch's convention is another than ours. What PyTorch has no name for is composed of what it has,
where that is a line or two.
"""

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from bp_lab.bench.torch_peers import scatter_add, take, take_along_axis  # noqa: E402

Tensor = Any


def _rectify(function: Any) -> Any:
    """Leave the slope at 0 to PyTorch, which has no such option; the cases keep away from 0."""

    def rectifier(u: Tensor, *, slope_at_zero: float = 1.0, **settings: float) -> Tensor:
        return function(u, **settings)

    return rectifier


ELEMENTWISE = {
    "identity": torch.nn.Identity(),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": _rectify(functional.relu),
    "leaky_relu": _rectify(functional.leaky_relu),
    "softplus": functional.softplus,
    "log_sigmoid": functional.logsigmoid,
    "relu6": functional.relu6,
    "squared_relu": lambda u: functional.relu(u) ** 2,
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


def linear(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    return functional.linear(x, W.T, b)


def linear_column(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    # PyTorch stores the weights of the column form, and applies them to rows.
    return functional.linear(x.movedim(0, -1), W, b).movedim(-1, 0)


def softmax(u: Tensor, *, axis: int = -1, temperature: float = 1.0) -> Tensor:
    return functional.softmax(u / temperature, axis)


def log_softmax(u: Tensor, *, axis: int = -1, temperature: float = 1.0) -> Tensor:
    return functional.log_softmax(u / temperature, axis)


def rows(x: Tensor) -> Tensor:
    """Return all samples on one axis: PyTorch has classes and channels second."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def prelu(u: Tensor, alpha: Tensor) -> Tensor:
    # PyTorch takes one slope as a vector of one.
    y = functional.prelu(rows(u), alpha) if alpha.ndim else functional.prelu(u, alpha[None])
    return y.reshape(u.shape)


def _largest(x: Tensor, ties: str) -> Tensor:
    """Return the maximum over the last axis: PyTorch's `max` takes the first, `amax` splits."""
    return x.amax(-1) if ties == "split" else x.max(-1).values


def maxout(x: Tensor, *, pieces: int, ties: str = "first") -> Tensor:
    return _largest(x.unflatten(-1, (x.shape[-1] // pieces, pieces)), ties)


def _gated(function: Any) -> Any:
    """Return what PyTorch's `glu` is for the sigmoid, for another gate."""

    def gated(x: Tensor) -> Tensor:
        a, b = x.chunk(2, -1)
        return a * function(b)

    return gated


GATES = {
    "glu": functional.glu,
    "swiglu": _gated(functional.silu),
    "geglu": _gated(functional.gelu),
}


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    """Return the losses of samples, reduced: PyTorch's own mean is over all entries."""
    match reduction:
        case "mean":
            return losses.mean()
        case "sum":
            return losses.sum()
        case _:
            return losses


def _entrywise(loss: Any) -> Any:
    """Return a loss of PyTorch's, which is one for each entry, summed over the last axis."""

    def summed(first: Tensor, second: Tensor, *, reduction: str, **settings: Any) -> Tensor:
        return _reduced(loss(first, second, reduction="none", **settings).sum(-1), reduction)

    return summed


def _half_squares(*args: Tensor, reduction: str) -> Tensor:
    return functional.mse_loss(*args, reduction=reduction) / 2


def softmax_squared_error(logits: Tensor, target: Tensor, *, reduction: str) -> Tensor:
    losses = _half_squares(functional.softmax(logits, -1), target, reduction="none").sum(-1)
    return _reduced(losses, reduction)


def softmax_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    *,
    class_weights: tuple[float, ...] | None = None,
    label_smoothing: float = 0.0,
    ignored_label: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    batch = logits.shape[:-1]
    losses = functional.cross_entropy(
        rows(logits),
        rows(labels) if labels.is_floating_point() else labels.reshape(-1),
        weight=None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64),
        label_smoothing=label_smoothing,
        ignore_index=-100 if ignored_label is None else ignored_label,
        reduction="none",
    ).reshape(batch)
    if reduction == "mean" and ignored_label is not None:
        # PyTorch's own mean divides by the weights of the labels that count.
        return losses.sum() / (labels != ignored_label).sum()
    return _reduced(losses, reduction)


def negative_log_likelihood(log_p: Tensor, labels: Tensor, *, reduction: str) -> Tensor:
    losses = functional.nll_loss(rows(log_p), labels.reshape(-1), reduction="none")
    return _reduced(losses.reshape(labels.shape), reduction)


def multiclass_hinge(
    scores: Tensor, labels: Tensor, *, reduction: str, margin: float = 1.0
) -> Tensor:
    losses = functional.multi_margin_loss(
        rows(scores), labels.reshape(-1), margin=margin, reduction="none"
    )
    # PyTorch divides by the number of classes.
    return _reduced(scores.shape[-1] * losses.reshape(labels.shape), reduction)


def hinge(scores: Tensor, targets: Tensor, *, reduction: str) -> Tensor:
    return _reduced(functional.relu(1 - targets * scores).sum(-1), reduction)


def focal(
    logits: Tensor,
    targets: Tensor,
    *,
    reduction: str,
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Tensor:
    of_one, of_zero = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    p = torch.sigmoid(logits)
    ones = of_one * targets * (1 - p) ** gamma * functional.logsigmoid(logits)
    zeros = of_zero * (1 - targets) * p**gamma * functional.logsigmoid(-logits)
    return _reduced(-(ones + zeros).sum(-1), reduction)


def with_entries(x: Tensor, axis: int, *more: float) -> Tensor:
    """Return x with entries put behind it along an axis."""
    shape = list(x.shape)
    shape[axis] = 1
    return torch.cat([x, *(torch.full(shape, entry, dtype=x.dtype) for entry in more)], axis)


def cosine(prediction: Tensor, target: Tensor, *, reduction: str, epsilon: float = 1e-12) -> Tensor:
    # PyTorch bounds a norm from below; to add ε to its square is to have √ε as one more entry, each
    # vector an entry of its own, so that their product has none.
    root = math.sqrt(epsilon)
    pair = with_entries(prediction, -1, root, 0.0), with_entries(target, -1, 0.0, root)
    return _reduced(1 - functional.cosine_similarity(*pair, dim=-1, eps=0.0), reduction)


def triplet(*points: Tensor, reduction: str, margin: float = 1.0) -> Tensor:
    # PyTorch adds its eps to every coordinate of a difference.
    losses = functional.triplet_margin_loss(*points, margin=margin, eps=0.0, reduction="none")
    return _reduced(losses, reduction)


def contrastive(
    first: Tensor, second: Tensor, alike: Tensor, *, reduction: str, margin: float = 1.0
) -> Tensor:
    distance = functional.pairwise_distance(first, second, eps=0.0)
    apart = functional.relu(margin - distance)
    return _reduced((alike * distance**2 + (1 - alike) * apart**2) / 2, reduction)


def ctc(
    logits: Tensor,
    labels: Tensor,
    logit_lengths: Tensor | None,
    label_lengths: Tensor | None,
    *,
    reduction: str,
    blank: int = 0,
) -> Tensor:
    *batch, t, v = logits.shape
    s, samples = labels.shape[-1], math.prod(batch)
    full = torch.full(batch, t), torch.full(batch, s)
    given = zip((logit_lengths, label_lengths), full, strict=True)
    lengths = [(whole if length is None else length).reshape(samples) for length, whole in given]
    log_p = functional.log_softmax(logits, -1).reshape(samples, t, v).transpose(0, 1)
    losses = functional.ctc_loss(
        log_p, labels.reshape(samples, s), *lengths, blank=blank, reduction="none"
    )
    # PyTorch's own mean divides the loss of each sample by the number of its labels before.
    return _reduced(losses.reshape(batch), reduction)


LOSSES = {
    "absolute_error": _entrywise(functional.l1_loss),
    "squared_error": _entrywise(_half_squares),
    "huber": _entrywise(functional.huber_loss),
    "kl_divergence": _entrywise(functional.kl_div),
    "binary_cross_entropy": _entrywise(functional.binary_cross_entropy_with_logits),
    "binary_cross_entropy_on_probabilities": _entrywise(functional.binary_cross_entropy),
}


def embedding(table: Tensor, ids: Tensor, *, padding_id: int | None = None) -> Tensor:
    if padding_id is not None:
        # PyTorch looks the row up, which its `Embedding` starts at 0.
        table = table.index_fill(0, torch.tensor([padding_id]), 0.0)
    return functional.embedding(ids, table, padding_id)


def framed(x: Tensor, widths: Any, value: float = 0.0) -> Tensor:
    """Return x in a frame, its widths given for the last axes, in order; PyTorch has them last."""
    return functional.pad(x, [width for pair in reversed(widths) for width in pair], value=value)


def pad(x: Tensor, *, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> Tensor:
    return framed(x, widths, value)


def strided_slice(
    x: Tensor,
    *,
    starts: tuple[int, ...],
    limits: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
) -> Tensor:
    return x[tuple(map(slice, starts, limits, strides or (1,) * x.ndim))]


def concatenate(arrays: Any, *, axis: int = 0) -> Tensor:
    return torch.cat(list(arrays), axis)


def _axes(x: Tensor, axis: Any) -> tuple[int, ...]:
    """Return the axes from 0, as a tuple."""
    given = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(sorted(one % x.ndim for one in given))


def flip(x: Tensor, *, axis: Any = None) -> Tensor:
    return torch.flip(x, _axes(x, axis))


def flatten(x: Tensor) -> Tensor:
    # PyTorch has no axis behind the only one, which ours makes one of size 1.
    return torch.flatten(x, 1) if x.ndim > 1 else x[:, None]


def clip(
    x: Tensor,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    slope_at_bounds: float = 1.0,
) -> Tensor:
    # The slope at the bounds is not PyTorch's to choose; the cases keep away from them.
    return torch.clamp(x, low, high)


def broadcast_to(x: Tensor, *, shape: tuple[int, ...]) -> Tensor:
    return torch.broadcast_to(x, shape)


def _over_axes(function: Any) -> Any:
    """Return a reduction of PyTorch's that knows several axes, with all of them named."""

    def over(x: Tensor, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        return function(x, _axes(x, axis), keepdim=keepdims)

    return over


def _over_one_axis(function: Any) -> Any:
    """Return a reduction that PyTorch has over one axis, over all those named as one."""

    def over(x: Tensor, *, axis: Any = None, keepdims: bool = False, **settings: Any) -> Tensor:
        axes = _axes(x, axis)
        behind = range(x.ndim - len(axes), x.ndim)
        y = function(x.movedim(axes, tuple(behind)).flatten(behind.start), **settings)
        return y.reshape([1 if k in axes else n for k, n in enumerate(x.shape)]) if keepdims else y

    return over


def _smallest(x: Tensor, ties: str) -> Tensor:
    return x.amin(-1) if ties == "split" else x.min(-1).values


def _along(function: Any) -> Any:
    def scan(x: Tensor, *, axis: int = -1) -> Tensor:
        return function(x, axis)

    return scan


REDUCTIONS = {
    "reduce_sum": _over_axes(torch.sum),
    "reduce_mean": _over_axes(torch.mean),
    "logsumexp": _over_axes(torch.logsumexp),
    "reduce_prod": _over_one_axis(lambda x: torch.prod(x, -1)),
    "reduce_max": _over_one_axis(_largest),
    "reduce_min": _over_one_axis(_smallest),
    "cumsum": _along(torch.cumsum),
    "cumprod": _along(torch.cumprod),
}


def weight_decay(weights: Any, *, decay: float, samples: int = 1) -> Tensor:
    leaves = [weights["first"], *weights["rest"]]
    return decay / (2 * samples) * torch.cat([leaf.flatten() for leaf in leaves]).square().sum()


def dropout(
    x: Tensor, key: Tensor, *, rate: float, training: bool = True, scaling: str = "inverted"
) -> Tensor:
    return functional.dropout(x, rate, training)


def linear_cross_entropy(
    x: Tensor, W: Tensor, b: Tensor | None, labels: Tensor, *, block: Any = None, **settings: Any
) -> Tensor:
    return softmax_cross_entropy(linear(x, W, b), labels, **settings)


def dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    scale: float | None = None,
    causal: bool = False,
    window: tuple[int | None, int | None] = (None, None),
    tile: Any = None,
) -> Tensor:
    """Heads before the time; windows, which PyTorch does not know, as a mask."""
    ahead = torch.arange(k.shape[1]) - torch.arange(q.shape[1])[:, None]
    left, right = window
    seen = (ahead >= (ahead.min() if left is None else -left)) & (
        ahead <= (ahead.max() if right is None else right)
    )
    seen = seen & (ahead <= 0) if causal else seen
    seen = seen if mask is None else seen & mask
    added = torch.zeros(seen.shape, dtype=q.dtype).masked_fill(~seen, -math.inf)
    added = added if bias is None else added + bias
    y = functional.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (q, k, v)), attn_mask=added, scale=scale, enable_gqa=True
    )
    return y.transpose(1, 2)


FUNCTIONS = {
    **ELEMENTWISE,
    **GATES,
    **LOSSES,
    **REDUCTIONS,
    "bilinear": functional.bilinear,
    "matmul": torch.matmul,
    "where": torch.where,
    **{
        function.__name__: function
        for function in (
            dot_product_attention,
            linear_cross_entropy,
            *(linear, linear_column, softmax, log_softmax, prelu, maxout),
            *(softmax_squared_error, softmax_cross_entropy, negative_log_likelihood),
            *(multiclass_hinge, hinge, focal, cosine, triplet, contrastive, ctc),
            *(embedding, take, scatter_add, take_along_axis, pad, strided_slice, concatenate),
            *(flip, flatten, clip, broadcast_to, weight_decay, dropout),
        )
    },
}
