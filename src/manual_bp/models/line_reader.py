"""A network that reads a line of text: convolutions, an LSTM both ways, a class for each step.

Shapes   x: (batch, rows, columns, channels)   widths w: (batch,) integers, the columns that count
         Wˡ: (3, 3, cₗ₋₁, cₗ)   bˡ: (cₗ,) of a convolution;   θ, θ': W, U, b of an `lstm` each
         V: (2h, classes)   c: (classes,)   y: (batch, t, classes), a step for every Π qˡ columns
Forward  Block l convolves, takes the largest of windows of pˡ rows and qˡ columns, and masks what
         lies beyond the width that is left, as padding would otherwise be read as paper:
           x⁰ = m⁰ ⊙ x,   uˡ = conv(xˡ⁻¹, Wˡ, bˡ),   xˡ = mˡ ⊙ f(max_pool(uˡ))
           wˡ = ⌊wˡ⁻¹/qˡ⌋,   mˡ = 1 in the first wˡ columns and 0 behind
         The columns of x^L, their rows and channels side by side, are the steps s of the sequence:
           ys = bidirectional(lstm)(s, θ, θ', w^L) from states of zeros,   y = ys V + c
         With windows that are lower than wide a line has more steps than characters.
Derive   y depends on the sequence through ys alone: the final states have the cotangent 0. A mask
         multiplies, and so does its transpose; to put columns side by side permutes.
  (1) dys, dV, dc = those of `linear` for dy
  (2) ds, dθ, dθ' = those of `bidirectional` for dys;   dx^L = ds with rows and channels apart
  (3) δˡ = ∂L/∂uˡ = max_pool.backward(f'(max_pool(uˡ)) ⊙ mˡ ⊙ dxˡ)
  (4) dxˡ⁻¹, dWˡ, dbˡ = those of `conv` for δˡ
  (5) dx = m⁰ ⊙ dx⁰
Saved    what the ops save, the widths.      Kinks   those of f and of max_pool.
Lengths  A width outside 0 … columns is an error; under `jit`, where values cannot be read, it
         counts as the nearest that is none.
Source   Shi, Bai & Yao 2015, arXiv:1507.05717
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key

from manual_bp import init as initialisers
from manual_bp import op, setting
from manual_bp.activations import relu
from manual_bp.convolution import conv
from manual_bp.dense import linear
from manual_bp.indexing import numbers
from manual_bp.losses import ctc
from manual_bp.models import objective
from manual_bp.models.chain import Stage
from manual_bp.models.mlp import Deltas, Layer
from manual_bp.pooling import max_pool
from manual_bp.recurrence import bidirectional, lstm

NAME = "line_reader"
KERNEL = 3
Pools = tuple[tuple[int, int], ...]
POOLS: Pools = ((2, 2), (2, 2), (2, 1), (3, 1))


class Cell(NamedTuple):
    """The parameters of the LSTM in one direction."""

    W: Float[Array, "n gates"]
    U: Float[Array, "h gates"]
    b: Float[Array, " gates"]


class Params(NamedTuple):
    """The parameters of all layers."""

    convolutions: tuple[Layer, ...]
    onward: Cell
    reverse: Cell
    V: Float[Array, "h2 classes"]
    c: Float[Array, " classes"]


@op.residual
class BlockResidual:
    """The residuals of a block's ops, and the width that is left behind it."""

    conv: Any
    pool: Any
    activation: Any
    widths: Integer[Array, " batch"]


@op.residual
class Residual:
    """The residuals of all layers; the widths of the input, and the shape of the last block."""

    blocks: tuple[BlockResidual, ...]
    sequence: Any
    head: Any
    widths: Integer[Array, " batch"]
    shape: tuple[int, ...] = op.static()
    activation: op.Op = op.static()


def init(
    key: Key[Array, ""],
    rows: int,
    channels: Sequence[int],
    hidden: int,
    classes: int,
    *,
    pools: Pools = POOLS,
    dtype: Any = jnp.float32,
) -> Params:
    """Return the parameters of a network: He's weights before f, Xavier's in the LSTM, biases 0.

    The bias of the forget gates is 1, so that at first they remember.

    Args:
      key: a key of `jax.random`.
      rows: of a line.
      channels: of the image, and of the output of each convolution.
      hidden: width of the LSTM's state in each direction.
      classes: width of the output, the blank of `ctc` among them.
      pools: rows and columns of the window behind each convolution.
      dtype: of all parameters.

    Raises:
      ValueError: a size is below 1, nothing is left of the rows, or there is not one pool for each
        convolution.
    """
    place = f"{NAME}.init"
    expected = f"one for each of {len(channels) - 1} convolutions"
    pools = setting.expect_pairs(place, "pools", pools, len(channels) - 1, expected)
    for argument, size in (("channels", min(channels)), ("hidden", hidden), ("classes", classes)):
        if size < 1:
            raise ValueError(op.complaint(place, argument, "at least 1", size))
    left = rows
    for high, _ in pools:
        left //= high
    if left < 1:
        expected = f"at least {math.prod(high for high, _ in pools)}"
        raise ValueError(op.complaint(place, "rows", expected, rows))
    keys = iter(jax.random.split(key, len(pools) + 17))
    fans = [(KERNEL * KERNEL * n, m) for n, m in pairwise(channels)]
    convolutions = tuple(
        Layer(
            initialisers.he_normal(next(keys), fan, dtype).reshape(KERNEL, KERNEL, -1, fan[1]),
            jnp.zeros(fan[1:], dtype),
        )
        for fan in fans
    )

    def gates(n: int) -> Float[Array, "n gates"]:
        each = [initialisers.xavier_normal(next(keys), (n, hidden), dtype) for _ in range(4)]
        return jnp.concatenate(each, 1)

    def cell() -> Cell:
        b = jnp.zeros((4 * hidden,), dtype).at[hidden : 2 * hidden].set(1)
        return Cell(gates(left * channels[-1]), gates(hidden), b)

    onward, reverse = cell(), cell()
    V = initialisers.xavier_normal(next(keys), (2 * hidden, classes), dtype)
    return Params(convolutions, onward, reverse, V, jnp.zeros((classes,), dtype))


def steps(widths: Any, pools: Pools = POOLS) -> Any:
    """Return how many steps of the output count for lines of these widths."""
    for _, wide in pools:
        widths = widths // wide
    return widths


def _masked(x: jax.Array, widths: jax.Array) -> jax.Array:
    """Return m ⊙ x; what lies beyond may be anything, NaN as well."""
    columns = jax.lax.broadcasted_iota(widths.dtype, (*x.shape[:3], 1), 2)
    return jnp.where(columns < widths[:, None, None, None], x, jnp.zeros((), x.dtype))


def _checked(x: jax.Array, widths: Any) -> jax.Array:
    if widths is None:
        return jnp.full(x.shape[:1], x.shape[2], jnp.int32)
    op.expect_shape(NAME, "widths", jnp.asarray(widths), x.shape[:1], f"for x of shape {x.shape}")
    checked = numbers.checked(NAME, "widths", widths, x.shape[2] + 1)
    return jnp.clip(checked.astype(jnp.int32), 0, x.shape[2])


def forward(
    params: Params,
    x: Float[Array, "batch rows columns channels"],
    widths: Integer[Array, " batch"] | None = None,
    *,
    pools: Pools = POOLS,
    activation: op.Op = relu,
) -> tuple[Float[Array, "batch t classes"], Residual]:
    """Return the logits of every step and the residual.

    Args:
      params: the parameters.
      x: lines, (batch, rows, columns, channels), padded at the right.
      widths: the columns that count, (batch,) integers, or None for all. Beyond `steps(widths)` a
        sample's logits say nothing.
      pools: rows and columns of the window behind each convolution.
      activation: f.

    Raises:
      ValueError: there is not one pool for each convolution, a width is out of range, or shapes do
        not fit.
      TypeError: `x` is not floating, its dtype is not that of the parameters, or `widths` are no
        integers.
    """
    (x,) = op.floating(NAME, x=x)
    op.expect_rank(NAME, "x", x, 4, 4)
    expected = f"one for each of {len(params.convolutions)} convolutions"
    pools = setting.expect_pairs(NAME, "pools", pools, len(params.convolutions), expected)
    widths = left = _checked(x, widths)
    x = _masked(x, widths)
    blocks = []
    for layer, window in zip(params.convolutions, pools, strict=True):
        u, of_conv = conv.forward(x, *layer)
        pooled, of_pool = max_pool.forward(u, window=window)
        x, of_f = activation.forward(pooled)
        left = left // window[1]
        x = _masked(x, left)
        blocks.append(BlockResidual(of_conv, of_pool, of_f, left))
    batch, rows, time, n = x.shape
    s = x.transpose(0, 2, 1, 3).reshape(batch, time, rows * n)
    zero = jnp.zeros((batch, params.onward.U.shape[0]), x.dtype)
    theta, reverse = ((zero, zero, *cell, None, None) for cell in (params.onward, params.reverse))
    (ys, _, _), of_sequence = bidirectional.forward(s, theta, reverse, left, layer=Stage(lstm))
    y, of_head = linear.forward(ys, params.V, params.c)
    return y, Residual(tuple(blocks), of_sequence, of_head, widths, x.shape, activation)


def backward(
    residual: Residual, dy: Float[Array, "batch t classes"]
) -> tuple[Params, Float[Array, "batch rows columns channels"], None]:
    """Return (dparams, dx, dwidths); dwidths is None."""
    dparams, dx, _ = backward_with_deltas(residual, dy)
    return dparams, dx, None


def backward_with_deltas(
    residual: Residual, dy: Float[Array, "batch t classes"]
) -> tuple[Params, Float[Array, "batch rows columns channels"], Deltas]:
    """Return (dparams, dx, deltas), the last with δˡ of every convolution, ∂L/∂ys and ∂L/∂y."""
    dys, dV, dc = linear.backward(residual.head, dy)  # (1)
    assert dc is not None
    batch, rows, time, n = residual.shape
    nothing = jnp.zeros((batch, dys.shape[2] // 2), dys.dtype)
    finals = (nothing, nothing)
    ds, dtheta, dreverse, _ = bidirectional.backward(
        residual.sequence, (dys, finals, finals)
    )  # (2)
    dx = jnp.einsum("btrn->brtn", ds.reshape(batch, time, rows, n))  # (2)
    layers, deltas = [], [dys, dy]
    for block in reversed(residual.blocks):
        (dpooled,) = residual.activation.backward(block.activation, _masked(dx, block.widths))
        (delta,) = max_pool.backward(block.pool, dpooled)  # (3)
        dx, dW, db = conv.backward(block.conv, delta)  # (4)
        assert db is not None
        layers.append(Layer(dW, db))
        deltas.append(delta)
    dx = _masked(dx, residual.widths)  # (5)
    of_cells = Cell(*dtheta[2:5]), Cell(*dreverse[2:5])
    dparams = Params(tuple(reversed(layers)), *of_cells, dV, dc)
    return dparams, dx, (*reversed(deltas[2:]), *deltas[:2])


def loss_gradients_and_deltas(
    params: Params,
    x: Float[Array, "batch rows columns channels"],
    widths: Integer[Array, " batch"],
    labels: Integer[Array, "batch s"],
    label_lengths: Integer[Array, " batch"],
    *,
    decay: float = 0.0,
    dloss: Float[Array, ""] | None = None,
    pools: Pools = POOLS,
    activation: op.Op = relu,
) -> tuple[Float[Array, ""], Params, Deltas]:
    """Return the loss by `ctc`, averaged over the batch, its gradient, and the deltas.

    Args:
      params: the parameters.
      x: lines, as of `forward`.
      widths: the columns that count.
      labels: class numbers from 1, (batch, s) integers, padded at the end; 0 is the blank.
      label_lengths: the labels that count, (batch,) integers.
      decay: λ of the weight decay, 0 for none.
      dloss: dE, as of `objective.loss_gradients_and_deltas`; None for 1.
      pools: as of `forward`.
      activation: f.
    """
    y, residual = forward(params, x, widths, pools=pools, activation=activation)
    targets = labels, steps(residual.widths, pools), label_lengths
    loss, dy = objective.loss_and_cotangent(ctc, y, *targets, dloss=dloss)
    gradients, _, deltas = backward_with_deltas(residual, dy)
    loss, gradients = objective.with_penalty(loss, gradients, params, decay, 1, dloss)
    return loss, gradients, deltas
