"""The models as a user of PyTorch would train them, with our parameters. Imported with PyTorch."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bp_lab.bench.torch_layers import layer_parameters
from bp_lab.bench.torch_side import tensor
from bp_lab.runs import engine
from bp_lab.runs.config import Config


def _linear(W: Any, b: Any) -> nn.Module:
    return _with(nn.Linear(*W.shape), weight=tensor(W).T, bias=tensor(b))


def _conv(W: Any, stride: int = 1, b: Any = None) -> nn.Module:
    size, _, n, m = W.shape
    module = nn.Conv2d(n, m, size, stride, padding=size // 2, bias=b is not None)
    weight = tensor(W).permute(3, 2, 0, 1)
    return _with(module, weight=weight, **({} if b is None else {"bias": tensor(b)}))


def _with(module: nn.Module, **parameters: Tensor) -> nn.Module:
    """Return the module with the parameters, in memory of their own."""
    for name, value in parameters.items():
        setattr(module, name, nn.Parameter(value.detach().contiguous().clone()))
    return module


def _dense(layers: Any) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for layer, behind in pairwise([*layers, None]):
        modules += [_linear(*layer), *([] if behind is None else [nn.ReLU()])]
    return modules


def mlp(params: Any) -> nn.Module:
    """Return dense layers with relu between them."""
    return nn.Sequential(*_dense(params))


class FlattenLast(nn.Module):
    """Images laid flat with the channels last, as our dense weights expect them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (b, rows columns c) of (b, c, rows, columns)."""
        return x.permute(0, 2, 3, 1).flatten(1)


def cnn(params: Any) -> nn.Module:
    """Return convolutions with relu and pooling, then dense layers."""
    convolutions = [layer for layer in params if layer.W.ndim == 4]
    modules: list[nn.Module] = []
    for W, b in convolutions:
        modules += [_conv(W, b=b), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*modules, FlattenLast(), *_dense(params[len(convolutions) :]))


def _unit(unit: Any, stride: int = 1) -> nn.Sequential:
    norm = _with(nn.BatchNorm2d(len(unit.bias)), weight=tensor(unit.scale), bias=tensor(unit.bias))
    return nn.Sequential(_conv(unit.W, stride), norm)


class Block(nn.Module):
    """Two units and what goes around them."""

    def __init__(self, block: Any, stride: int) -> None:
        super().__init__()
        self.first, self.second = _unit(block.first, stride), _unit(block.second)
        self.shortcut = nn.Identity() if block.shortcut is None else _unit(block.shortcut, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu of the sum."""
        u = self.second(functional.relu(self.first(x)))
        return functional.relu(u + self.shortcut(x))


def resnet(params: Any) -> nn.Module:
    """Return a stem, blocks, the mean over all places and a dense layer."""
    blocks = [Block(block, 2 if number else 1) for number, block in enumerate(params.blocks)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), _linear(params.V, params.c)]
    return nn.Sequential(_unit(params.stem), nn.ReLU(), *blocks, *head)


class Recurrent(nn.Module):
    """A recurrent layer, and a dense layer behind its last state."""

    def __init__(self, model: str, params: Any) -> None:
        super().__init__()
        W, U, b, V, c = params
        kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[model]
        layer = kind(W.shape[0], U.shape[0], batch_first=True)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        values = layer_parameters(*(tensor(array) for array in (W, U, b)))
        self.layer = _with(layer, **dict(zip(names, values, strict=True)))
        self.head = _linear(V, c)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        ys, _ = self.layer(x)
        return self.head(ys[:, -1])


def network(config: Config, params: Any) -> nn.Module:
    """Return the network of a run's settings with our parameters, ready to be trained."""
    builders: dict[str, Callable[[Any], nn.Module]] = {"mlp": mlp, "cnn": cnn, "resnet": resnet}
    if config.model in builders:
        return builders[config.model](params)
    return Recurrent(config.model, params)


def training(
    config: Config, params: Any, carried: Any, x: Any, labels: Any
) -> tuple[Callable[[], Tensor], nn.Module]:
    """Return a training step, which returns the loss before its update, and the network.

    Args:
      config: as of a run.
      params: ours; the network starts at them.
      carried: the running statistics, with which PyTorch starts as well; not needed.
      x: samples, images with the channels last.
      labels: classes.
    """
    del carried
    module = network(config, params)
    inputs, classes = tensor(x), tensor(labels)
    module = module.to(inputs.device, inputs.dtype).train()
    if inputs.ndim == 4:
        inputs = inputs.movedim(-1, 1).contiguous()
    optimizer = _optimizer(config, module)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(module(inputs), classes)
        loss.backward()
        optimizer.step()
        return loss

    return step, module


def _optimizer(config: Config, module: nn.Module) -> Any:
    assert config.learning_rate is not None
    rate, parameters = config.learning_rate, module.parameters()
    match config.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, rate)
        case "momentum":
            return torch.optim.SGD(parameters, rate, engine.MOMENTUM)
    return torch.optim.Adam(parameters, rate)
