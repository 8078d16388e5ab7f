"""Backpropagation derived and written by hand, as pure JAX functions.

Every op is a pair `forward(*arrays, **static) -> (y, residual)` and
`backward(residual, dy) -> cotangents`; its module's docstring derives the one from the other:

    u, residual = manual_bp.linear.forward(x, W, b)
    dx, dW, db = manual_bp.linear.backward(residual, du)
"""

from manual_bp import activations, adapters, init, op, train
from manual_bp.activations import (
    celu,
    elu,
    gelu,
    gelu_quick,
    gelu_tanh,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    squared_relu,
    tanh,
)
from manual_bp.dense import linear, linear_column, log_softmax, softmax
from manual_bp.losses import (
    binary_cross_entropy,
    binary_cross_entropy_on_probabilities,
    softmax_cross_entropy,
    softmax_squared_error,
    squared_error,
)
from manual_bp.models import chain, mlp
from manual_bp.regularization import weight_decay

__all__ = [
    "activations",
    "adapters",
    "binary_cross_entropy",
    "binary_cross_entropy_on_probabilities",
    "celu",
    "chain",
    "elu",
    "gelu",
    "gelu_quick",
    "gelu_tanh",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "identity",
    "init",
    "leaky_relu",
    "linear",
    "linear_column",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "mlp",
    "op",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softmax_squared_error",
    "softplus",
    "softsign",
    "squared_error",
    "squared_relu",
    "tanh",
    "train",
    "weight_decay",
]
