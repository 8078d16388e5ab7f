"""Deep residual networks as a user of PyTorch would train them. Imported with PyTorch."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from bp_lab.bench.torch_side import tensor

if TYPE_CHECKING:
    from bp_lab.bench.deep_stacks import DeepStack

Block = tuple[Tensor, ...]


def block(x: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> Tensor:
    """Return what two dense layers with a tanh between them make of x, weights as PyTorch's."""
    return functional.linear(torch.tanh(functional.linear(x, W1, b1)), W2, b2)


def layer(x: Tensor, *parameters: Tensor) -> Tensor:
    """Return x and what the block makes of it, added up."""
    return x + block(x, *parameters)


def coupled(x1: Tensor, x2: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Return two streams, each with what the block makes of the other added."""
    half = len(parameters) // 2
    x1 = x1 + block(x2, *parameters[:half])
    return x1, x2 + block(x1, *parameters[half:])


again = partial(checkpoint, use_reentrant=False)


def training(
    stack: "DeepStack", dtype: str
) -> tuple[Callable[[], Tensor], tuple[list[Tensor], ...]]:
    """Return a training step, which returns the loss before its update, and the parameters.

    The parameters are for each W and b those of every layer, W transposed.
    """
    from bp_lab.bench.deep_stacks import RATE

    stacked = [tensor(leaf) for leaf in jax.tree.leaves(stack.initial(dtype))]
    parameters = tuple([_own(one) for one in leaf] for leaf in stacked)
    x, targets = map(tensor, stack.data(dtype))
    optimizer = torch.optim.SGD([one for leaf in parameters for one in leaf], RATE)

    def squares(y: Tensor) -> Tensor:
        return functional.mse_loss(y, targets, reduction="sum") / (2 * len(x))

    def outputs() -> tuple[Tensor, ...]:
        streams: Any = (x,) * stack.streams
        for theta in zip(*parameters, strict=True):
            if stack.streams > 1:
                streams = again(coupled, *streams, *theta)
            elif "checkpointed" in stack.name:
                streams = (again(layer, *streams, *theta),)
            else:
                streams = (layer(*streams, *theta),)
        return tuple(streams)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = torch.stack([squares(y) for y in outputs()]).sum()
        loss.backward()
        optimizer.step()
        return loss

    return step, parameters


def _own(leaf: Tensor) -> Tensor:
    """Return a W or a b as PyTorch stores it, in memory of its own."""
    return (leaf.T if leaf.ndim == 2 else leaf).contiguous().clone().requires_grad_()
