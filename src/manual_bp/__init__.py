"""Backpropagation derived and written by hand, as pure JAX functions.

Every op is a pair `forward(*arrays, **static) -> (y, residual)` and
`backward(residual, dy) -> cotangents`; its module's docstring derives the one from the other:

    u, residual = manual_bp.linear.forward(x, W, b)
    dx, dW, db = manual_bp.linear.backward(residual, du)
"""

from manual_bp import activations, adapters, init, op, train
from manual_bp.activations import (
    identity,
    leaky_relu,
    log_sigmoid,
    relu,
    sigmoid,
    softplus,
    tanh,
)
from manual_bp.dense import linear, linear_column, log_softmax, softmax
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
from manual_bp.models import chain, mlp
from manual_bp.regularization import weight_decay

__all__ = [
    "absolute_error",
    "activations",
    "adapters",
    "binary_cross_entropy",
    "binary_cross_entropy_on_probabilities",
    "chain",
    "hinge",
    "huber",
    "identity",
    "init",
    "kl_divergence",
    "leaky_relu",
    "linear",
    "linear_column",
    "log_sigmoid",
    "log_softmax",
    "mlp",
    "op",
    "relu",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy",
    "softmax_squared_error",
    "softplus",
    "squared_error",
    "tanh",
    "train",
    "weight_decay",
]
