"""Backpropagation derived and written by hand, as pure JAX functions.

Every op is a pair `forward(*arrays, **static) -> (y, residual)` and
`backward(residual, dy) -> cotangents`; its module's docstring derives the one from the other:

    u, residual = manual_bp.linear.forward(x, W, b)
    dx, dW, db = manual_bp.linear.backward(residual, du)
"""

from manual_bp import (
    activations,
    adapters,
    init,
    op,
    train,
)
from manual_bp.activations import (
    identity,
    leaky_relu,
    log_sigmoid,
    relu,
    sigmoid,
    softplus,
    tanh,
)
from manual_bp.convolution import (
    causal_conv_1d,
    conv,
    depthwise_conv,
    im2col,
    transposed_conv,
)
from manual_bp.dense import (
    bilinear,
    linear,
    linear_column,
    log_softmax,
    matmul,
    softmax,
)
from manual_bp.indexing import (
    broadcast_to,
    clip,
    concatenate,
    embedding,
    flip,
    pad,
    scatter_add,
    strided_slice,
    take,
    take_along_axis,
    where,
)
from manual_bp.losses import (
    absolute_error,
    binary_cross_entropy,
    binary_cross_entropy_on_probabilities,
    hinge,
    huber,
    kl_divergence,
    softmax_cross_entropy,
    softmax_squared_error,
    squared_error,
)
from manual_bp.models import (
    chain,
    mlp,
)
from manual_bp.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    l2_normalize,
    layer_norm,
    rms_norm,
    weight_norm,
)
from manual_bp.pooling import (
    adaptive_max_pool,
    adaptive_mean_pool,
    global_max_pool,
    global_mean_pool,
    lp_pool,
    max_pool,
    mean_pool,
)
from manual_bp.recurrence import (
    gru,
    lstm,
    rnn,
)
from manual_bp.reductions import (
    cumprod,
    cumsum,
    logsumexp,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_prod,
    reduce_sum,
)
from manual_bp.regularization import (
    dropout,
    weight_decay,
)
from manual_bp.resampling import (
    pixel_shuffle,
    pixel_unshuffle,
    upsample_linear,
    upsample_nearest,
)

__all__ = [
    "absolute_error",
    "activations",
    "adapters",
    "adaptive_max_pool",
    "adaptive_mean_pool",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_on_probabilities",
    "broadcast_to",
    "causal_conv_1d",
    "chain",
    "clip",
    "concatenate",
    "conv",
    "cumprod",
    "cumsum",
    "depthwise_conv",
    "dropout",
    "embedding",
    "flip",
    "global_max_pool",
    "global_mean_pool",
    "group_norm",
    "gru",
    "hinge",
    "huber",
    "identity",
    "im2col",
    "init",
    "instance_norm",
    "kl_divergence",
    "l2_normalize",
    "layer_norm",
    "leaky_relu",
    "linear",
    "linear_column",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "lp_pool",
    "lstm",
    "matmul",
    "max_pool",
    "mean_pool",
    "mlp",
    "op",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "relu",
    "rms_norm",
    "rnn",
    "scatter_add",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "softmax_squared_error",
    "softplus",
    "squared_error",
    "strided_slice",
    "take",
    "take_along_axis",
    "tanh",
    "train",
    "transposed_conv",
    "upsample_linear",
    "upsample_nearest",
    "weight_decay",
    "weight_norm",
    "where",
]
