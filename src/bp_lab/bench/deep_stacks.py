"""Deep residual networks as rows: whole training steps, in three amounts of memory.

A layer adds to a signal what two dense layers with a tanh between them make of it; of two streams
each adds to the other. The loss is half the squared distance to a target, of both streams the sum.
Ours updates each layer on the way down, as no gradient is needed longer; by autodiff all of them
are there before Optax is given them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import manual_bp
from bp_lab.bench import torch_side
from bp_lab.bench.contest import Contest, Subject
from bp_lab.bench.peers import stacks
from bp_lab.bench.program import Program
from manual_bp.models import objective
from manual_bp.models.chain import Stage

BLOCK = (Stage(manual_bp.linear), Stage(manual_bp.tanh), Stage(manual_bp.linear))
LAYER = (Stage(manual_bp.skip, (("stages", BLOCK),)),)
RATE = 0.01

OPTIMIZER = optax.sgd(RATE)
UPDATE = manual_bp.train.update_by(OPTIMIZER)

# (parameters, x, targets) -> loss
Loss = Callable[[Any, jax.Array, jax.Array], Any]
# (parameters, state of the optimiser, x, targets) -> (loss, parameters, state)
LossAndUpdates = Callable[[Any, Any, jax.Array, jax.Array], tuple[Any, Any, Any]]


@dataclass(frozen=True)
class DeepStack:
    """A stack and how large it is.

    Attributes:
      name: of the row.
      ours: the training loss by hand, with the updates.
      forms: the loss as a user would write it, by the name of what it is written with.
      streams: how many signals run through it, each with parameters of its own.
      layers: how often a layer is repeated.
      width: of all dense layers.
      batch: samples in a batch.
    """

    name: str
    ours: LossAndUpdates
    forms: Mapping[str, Loss] = field(hash=False)
    streams: int = 1
    layers: int = 64
    width: int = 256
    batch: int = 256

    @property
    def size(self) -> str:
        """Its sizes in words."""
        streams = f"{self.streams} streams, " if self.streams > 1 else ""
        return f"{self.layers} layers, {streams}width {self.width} tanh, batch {self.batch}"

    def initial(self, dtype: str) -> Any:
        """Return the parameters: for each stream, and each dense layer of a block, W and b."""
        rng = np.random.default_rng(0)

        def dense(scale: float) -> tuple[jax.Array, jax.Array]:
            shape = (self.layers, self.width, self.width)
            W = scale * rng.standard_normal(shape, np.float32)
            return jnp.asarray(W, dtype), jnp.zeros(shape[:2], dtype)

        # The sum of all layers' outputs is of the size of one.
        scales = self.width**-0.5, (self.width * self.layers * self.streams) ** -0.5
        blocks = [(dense(scales[0]), (), dense(scales[1])) for _ in range(self.streams)]
        return tuple(blocks) if self.streams > 1 else ((blocks[0],),)

    def data(self, dtype: str) -> tuple[jax.Array, jax.Array]:
        """Return a batch of random vectors and their targets."""
        rng = np.random.default_rng(1)
        shape = (self.batch, self.width)
        x, targets = (rng.standard_normal(shape, np.float32) for _ in range(2))
        return jnp.asarray(x, dtype), jnp.asarray(targets, dtype)


def _kept_by(stack: Any) -> LossAndUpdates:
    """Return the loss through a stack of residual layers, with the updates."""

    def loss_and_updates(params: Any, state: Any, x: jax.Array, targets: jax.Array) -> Any:
        y, residual = stack.forward(params, x, layer=LAYER)
        loss, dy = objective.loss_and_cotangent(manual_bp.squared_error, y, targets)
        params, state, _ = stack.backward_with_updates(residual, dy, state, update=UPDATE)
        return loss, params, state

    return loss_and_updates


def _reversible(params: Any, state: Any, x: jax.Array, targets: jax.Array) -> Any:
    """Return the loss through two streams that both begin at x, with the updates."""
    stack = manual_bp.reversible_stack
    theta, phi = params
    ys, residual = stack.forward(theta, phi, x, x, f=BLOCK, g=BLOCK)
    losses, dys = zip(
        *(objective.loss_and_cotangent(manual_bp.squared_error, y, targets) for y in ys),
        strict=True,
    )
    theta, phi, state, _, _ = stack.backward_with_updates(residual, dys, state, update=UPDATE)
    return losses[0] + losses[1], (theta, phi), state


def _squares(y: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.l2_loss(y, targets).sum(-1).mean()


def _through(stack: Callable[..., jax.Array]) -> Loss:
    return lambda params, x, targets: _squares(stack(params, x, layer=LAYER), targets)


def _coupled(params: Any, x: jax.Array, targets: jax.Array) -> jax.Array:
    theta, phi = params
    first, second = stacks.coupled_again(theta, phi, x, x, f=BLOCK, g=BLOCK)
    return _squares(first, targets) + _squares(second, targets)


STACKS = (
    DeepStack(
        "deep_stack", _kept_by(manual_bp.layer_stack), {"lax.scan": _through(stacks.scanned)}
    ),
    DeepStack(
        "deep_stack_checkpointed",
        _kept_by(manual_bp.checkpointed_stack),
        {
            "jax.checkpoint, each layer": _through(stacks.each_again),
            "jax.checkpoint, segments": _through(stacks.segments_again),
        },
    ),
    # JAX has no reversible layer; what keeps everything is not what such a stack is taken for.
    DeepStack(
        "deep_stack_reversible",
        _reversible,
        {"jax.checkpoint, each layer": _coupled},
        streams=2,
        layers=32,
    ),
)


def subjects(dtype: str) -> Iterator[Subject]:
    """Yield every stack in a dtype."""
    for stack in STACKS:
        yield Subject(f"{stack.name} step, sgd", "model", stack.size, dtype, _contest(stack, dtype))


def _contest(stack: DeepStack, dtype: str) -> Callable[[], Contest]:
    def prepare() -> Contest:
        peers = {name: by_autodiff(stack, name, dtype) for name in stack.forms}
        return Contest(by_hand(stack, dtype), peers, _torch(stack, dtype))

    return prepare


def by_hand(stack: DeepStack, dtype: str) -> Program:
    """Return the training step with our gradients, each layer updated on the way down."""
    step = manual_bp.train.make_fused_step(stack.ours)
    return _program(step, manual_bp.train.by_layer(OPTIMIZER), stack, dtype)


def by_autodiff(stack: DeepStack, form: str, dtype: str) -> Program:
    """Return the training step of the same network as a user would write it."""
    loss = jax.value_and_grad(stack.forms[form])

    def loss_and_gradients(*given: Any) -> tuple[Any, Any]:
        # Most users let JAX broadcast and promote.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return loss(*given)

    step = manual_bp.train.make_step(loss_and_gradients, OPTIMIZER)
    return _program(step, OPTIMIZER, stack, dtype)


def _program(step: Any, optimizer: Any, stack: DeepStack, dtype: str) -> Program:
    state = manual_bp.train.init(stack.initial(dtype), optimizer)
    return Program(step, (state, stack.data(dtype)), carries=True)


def _torch(stack: DeepStack, dtype: str) -> Callable[[], Any] | None:
    """Return what makes PyTorch's step of the same network; None without PyTorch."""
    if not torch_side.available():
        return None

    def prepare() -> torch_side.TorchSide:
        from bp_lab.bench import torch_stacks

        return torch_side.side(torch_stacks.training(stack, dtype)[0])

    return prepare
