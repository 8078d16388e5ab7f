"""A residual network that reads images: convolutions, batch normalisation, and sums around them.

Shapes   x: (batch, rows, columns, channels)   y: (batch, classes)
         a unit's W: (k, k, cᵢₙ, cₒᵤₜ), scale, bias, mean, var: (cₒᵤₜ,)
         V: (c, classes)   c: (classes,)
Forward  A unit is N(x) = batch_norm(conv(x, W)), without a bias of the convolution, which the
         normalisation would take off again. With k = 3, and in a shortcut k = 1:
           stem        x⁰ = f(u⁰),   u⁰ = N₀(x)
           each block  u = N₁(xˡ⁻¹),   v = N₂(f(u)) + s,   xˡ = f(v)
           head        y = ⟨xᴸ⟩ V + c,   ⟨·⟩ the mean over rows and columns
         where s = xˡ⁻¹, or N₃(xˡ⁻¹) where the block changes rows, columns or channels. The first
         block keeps rows and columns; N₁ and N₃ of the others take every second one.
Derive   v is a sum: both of its terms get all of dv. xˡ⁻¹ is used twice: its cotangents add.
  (1) dV, dc and dxᴸ = those of `linear` and `global_mean_pool` for dy
  (2) dv = dxˡ ⊙ f'(v)
  (3) du = (what N₂ returns for dv) ⊙ f'(u)
  (4) dxˡ⁻¹ = N₁ᵀ(du) + dv, or N₁ᵀ(du) + N₃ᵀ(dv)
  (5) du⁰ = dx⁰ ⊙ f'(u⁰),   dx = N₀ᵀ(du⁰)
         with Nᵀ(du) = conv.backward(batch_norm.backward(du)). The part dv of (4) passes all blocks
         unchanged but for f', so that the first layers of a deep network still learn.
State    The running statistics of every unit go in and come out, as of `batch_norm`; in the order
         stem, then of each block N₁, N₂, N₃.
Saved    what the ops save.      Kinks   those of f.
Source   He, Zhang, Ren & Sun 2015, arXiv:1512.03385
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from manual_bp import init as initialisers
from manual_bp import op
from manual_bp.activations import relu
from manual_bp.convolution import conv
from manual_bp.dense import linear
from manual_bp.models import objective
from manual_bp.normalization import batch_norm
from manual_bp.pooling import global_mean_pool

NAME = "resnet"
KERNEL, STRIDE = 3, 2

Deltas = tuple[Float[Array, "..."], ...]


class Unit(NamedTuple):
    """A convolution without biases, and the batch normalisation behind it."""

    W: Float[Array, "k k n m"]
    scale: Float[Array, " m"]
    bias: Float[Array, " m"]


class Block(NamedTuple):
    """Two units, and the one around them where the sizes change."""

    first: Unit
    second: Unit
    shortcut: Unit | None


class Params(NamedTuple):
    """The parameters of all layers."""

    stem: Unit
    blocks: tuple[Block, ...]
    V: Float[Array, "c classes"]
    c: Float[Array, " classes"]


class Running(NamedTuple):
    """The running statistics of a unit."""

    mean: Float[Array, " m"]
    var: Float[Array, " m"]


Statistics = tuple[Running, ...]


@op.residual
class UnitResidual:
    """The residuals of a convolution and of its normalisation."""

    conv: Any
    norm: Any


@op.residual
class BlockResidual:
    """The residuals of a block: of its units, and of f at u and v."""

    first: UnitResidual
    at_u: Any
    second: UnitResidual
    shortcut: UnitResidual | None
    at_v: Any


@op.residual
class Residual:
    """The residuals of all layers."""

    stem: UnitResidual
    at_stem: Any
    blocks: tuple[BlockResidual, ...]
    pool: Any
    head: Any
    activation: op.Op = op.static()


def init(
    key: Key[Array, ""],
    channels: Sequence[int],
    classes: int,
    *,
    initialiser: initialisers.Initialiser = initialisers.he_normal,
    dtype: Any = jnp.float32,
) -> tuple[Params, Statistics]:
    """Return the parameters of a network, and the statistics before any sample was seen.

    Weights are drawn by `initialiser`, scales are 1, biases 0.

    Args:
      key: a key of `jax.random`.
      channels: of the image, of the stem's output, and of the output of each block.
      classes: width of the output.
      initialiser: one of `manual_bp.init`.
      dtype: of all parameters and statistics.

    Raises:
      ValueError: there is no block, or a size is below 1.
    """
    if len(channels) < 3 or min(channels) < 1:
        expected = "those of the image, the stem and at least one block, each at least 1"
        raise ValueError(op.complaint("resnet.init", "channels", expected, list(channels)))
    if classes < 1:
        raise ValueError(op.complaint("resnet.init", "classes", "at least 1", classes))
    of_stem, of_blocks, of_head = jax.random.split(key, 3)

    def unit(key: Any, size: int, n: int, m: int) -> Unit:
        W = initialiser(key, (size * size * n, m), dtype).reshape(size, size, n, m)
        return Unit(W, jnp.ones((m,), dtype), jnp.zeros((m,), dtype))

    def block(number: int, n: int, m: int) -> Block:
        keys = jax.random.split(jax.random.fold_in(of_blocks, number), 3)
        around = unit(keys[2], 1, n, m) if number or n != m else None
        return Block(unit(keys[0], KERNEL, n, m), unit(keys[1], KERNEL, m, m), around)

    image, width, *widths = channels
    pairs = zip([width, *widths], widths, strict=False)
    blocks = tuple(block(number, n, m) for number, (n, m) in enumerate(pairs))
    V = initialiser(of_head, (widths[-1], classes), dtype)
    params = Params(unit(of_stem, KERNEL, image, width), blocks, V, jnp.zeros((classes,), dtype))
    fresh = tuple(
        Running(jnp.zeros_like(unit.bias), jnp.ones_like(unit.scale)) for unit in units(params)
    )
    return params, fresh


def units(params: Params) -> list[Unit]:
    """Return the units in the order of their statistics."""
    inner = [unit for block in params.blocks for unit in block if unit is not None]
    return [params.stem, *inner]


def forward(
    params: Params,
    x: Float[Array, "batch rows columns channels"],
    statistics: Statistics,
    *,
    activation: op.Op = relu,
    training: bool = True,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[tuple[Float[Array, "batch classes"], Statistics], Residual]:
    """Return (y, new_statistics), and the residual.

    Args:
      params: the parameters.
      x: images, (batch, rows, columns, channels).
      statistics: the running statistics of every unit, as `init` or this function returned them.
      activation: f.
      training: whether to normalise by the batch and renew the statistics, or to normalise by
        those and hand them back.
      momentum: the share of the batch in the new statistics.
      epsilon: added to each variance.

    Raises:
      ValueError: there are not as many statistics as units, shapes do not fit, or the batch is
        empty in training.
      TypeError: `x` is not floating, or its dtype is not that of the parameters.
    """
    if len(statistics) != len(units(params)):
        expected = f"those of {len(units(params))} units"
        raise ValueError(op.complaint(NAME, "statistics", expected, len(statistics)))
    normalise = partial(batch_norm.forward, training=training, momentum=momentum, epsilon=epsilon)
    left, renewed = iter(statistics), []

    def run(unit: Unit, x: jax.Array, strides: int = 1) -> tuple[jax.Array, UnitResidual]:
        u, of_conv = conv.forward(x, unit.W, strides=strides)
        (u, *new), of_norm = normalise(u, unit.scale, unit.bias, *next(left))
        renewed.append(Running(*new))
        return u, UnitResidual(of_conv, of_norm)

    u, stem = run(params.stem, x)
    x, at_stem = activation.forward(u)
    blocks = []
    for number, block in enumerate(params.blocks):
        strides = STRIDE if number else 1
        u, first = run(block.first, x, strides)
        hidden, at_u = activation.forward(u)
        v, second = run(block.second, hidden)
        shortcut = None
        if block.shortcut is not None:
            x, shortcut = run(block.shortcut, x, strides)
        x, at_v = activation.forward(v + x)
        blocks.append(BlockResidual(first, at_u, second, shortcut, at_v))
    pooled, pool = global_mean_pool.forward(x)
    y, head = linear.forward(pooled, params.V, params.c)
    residual = Residual(stem, at_stem, tuple(blocks), pool, head, activation)
    return (y, tuple(renewed)), residual


def backward(
    residual: Residual, dy: tuple[Float[Array, "batch classes"], Statistics]
) -> tuple[Params, Float[Array, "batch rows columns channels"], Statistics]:
    """Return (dparams, dx, dstatistics); `dy` holds the cotangents of y and of the statistics."""
    return backward_with_deltas(residual, dy)[:3]


def backward_with_deltas(
    residual: Residual, dy: tuple[Float[Array, "batch classes"], Statistics]
) -> tuple[Params, Float[Array, "batch rows columns channels"], Statistics, Deltas]:
    """Return (dparams, dx, dstatistics, deltas).

    The deltas are du⁰, then du and dv of each block, then dy.
    """
    of_y, of_statistics = dy
    f, left, dold = residual.activation, list(of_statistics), []
    deltas = [of_y]

    def pull(saved: UnitResidual, du: jax.Array) -> tuple[jax.Array, Unit]:
        du, dscale, dbias, *dbefore = batch_norm.backward(saved.norm, (du, *left.pop()))
        dold.append(Running(*dbefore))
        assert dscale is not None
        assert dbias is not None
        dx, dW, _ = conv.backward(saved.conv, du)
        return dx, Unit(dW, dscale, dbias)

    dpooled, dV, dc = linear.backward(residual.head, of_y)  # (1)
    (dx,) = global_mean_pool.backward(residual.pool, dpooled)
    assert dc is not None
    dblocks = []
    for saved in reversed(residual.blocks):
        (dv,) = f.backward(saved.at_v, dx)  # (2)
        dx, dshortcut = dv, None
        if saved.shortcut is not None:
            dx, dshortcut = pull(saved.shortcut, dv)
        dhidden, dsecond = pull(saved.second, dv)
        (du,) = f.backward(saved.at_u, dhidden)  # (3)
        through, dfirst = pull(saved.first, du)
        dx = dx + through  # (4)
        dblocks.append(Block(dfirst, dsecond, dshortcut))
        deltas += [dv, du]
    (du,) = f.backward(residual.at_stem, dx)  # (5)
    dx, dstem = pull(residual.stem, du)
    deltas.append(du)
    dparams = Params(dstem, tuple(reversed(dblocks)), dV, dc)
    return dparams, dx, tuple(reversed(dold)), tuple(reversed(deltas))


def loss_gradients_deltas_and_statistics(
    params: Params,
    x: Float[Array, "batch rows columns channels"],
    targets: Array,
    statistics: Statistics,
    *,
    loss: op.Op,
    decay: float = 0.0,
    samples: int = 1,
    dloss: Float[Array, ""] | None = None,
    **settings: Any,
) -> tuple[Float[Array, ""], Params, Deltas, Statistics]:
    """Return the loss, its gradient, the deltas and the new statistics.

    The loss does not depend on the new statistics: their cotangents are 0.

    Args:
      params: the parameters.
      x: images.
      targets: what the loss takes as its second argument.
      statistics: the running statistics.
      loss: an op from `manual_bp.losses`, averaged over the batch.
      decay: λ of the weight decay; scales and biases are not decayed.
      samples: m, the number that λ is divided by.
      dloss: cotangent of the loss, as of `objective`.
      settings: of `forward`.
    """
    (y, renewed), residual = forward(params, x, statistics, **settings)
    value, dy = objective.loss_and_cotangent(loss, y, targets, dloss=dloss)
    nothing = jax.tree.map(jnp.zeros_like, renewed)
    gradients, _, _, deltas = backward_with_deltas(residual, (dy, nothing))
    value, gradients = objective.with_penalty(value, gradients, params, decay, samples, dloss)
    return value, gradients, deltas, renewed
