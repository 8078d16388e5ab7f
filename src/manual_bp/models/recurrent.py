"""A recurrent network that reads a sequence and classifies it by its last state.

Shapes   x: (batch, t, n)   h_T: (batch, h)   y: (batch, classes)   V: (h, classes)   c: (classes,)
         W, U, b: those of the cell, `rnn`, `lstm` or `gru`
Forward  h_T = cell(x) from a state of zeros,   y = h_T V + c
Derive   y depends on the sequence through h_T alone: the outputs ys of the other steps, and the
         final cell of an lstm, have the cotangent 0.
  (1) dh_T, dV, dc = those of `linear` for dy
  (2) dx, dW, dU, db = those of the cell for dys = 0, dh_T
Saved    what the ops save.      Kinks   those of the cell.
Source   Elman 1990, "Finding structure in time"
"""

from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from manual_bp import init as initialisers
from manual_bp import op
from manual_bp.dense import linear
from manual_bp.models import objective
from manual_bp.recurrence import gru, lstm, rnn

GATES = {rnn: 1, lstm: 4, gru: 3}


class Params(NamedTuple):
    """The parameters of the cell, and of the layer behind it."""

    W: Float[Array, "n gates"]
    U: Float[Array, "h gates"]
    b: Float[Array, " gates"]
    V: Float[Array, "h classes"]
    c: Float[Array, " classes"]


@op.residual
class Residual:
    """The residuals of the cell and of the layer behind it; the shape of the cell's outputs."""

    cell: Any
    layer: Any
    outputs: tuple[int, ...] = op.static()
    states: int = op.static()
    kind: Any = op.static()


def init(
    key: Key[Array, ""],
    features: int,
    hidden: int,
    classes: int,
    *,
    cell: Any,
    initialiser: initialisers.Initialiser = initialisers.xavier_normal,
    dtype: Any = jnp.float32,
) -> Params:
    """Return the parameters of a network: weights by `initialiser`, each gate by itself, biases 0.

    The bias of an lstm's forget gate is 1, so that at first it remembers.

    Args:
      key: a key of `jax.random`.
      features: numbers at each step.
      hidden: width of the state.
      classes: width of the output.
      cell: `manual_bp.rnn`, `lstm` or `gru`.
      initialiser: one of `manual_bp.init`.
      dtype: of all parameters.

    Raises:
      ValueError: a size is below 1, or `cell` is another op.
    """
    _expect_cell("recurrent.init", cell)
    for argument, size in (("features", features), ("hidden", hidden), ("classes", classes)):
        if size < 1:
            raise ValueError(op.complaint("recurrent.init", argument, "at least 1", size))
    gates = GATES[cell]
    keys = jax.random.split(key, 2 * gates + 1)
    W, U = (
        jnp.concatenate([initialiser(key, (n, hidden), dtype) for key in part], 1)
        for n, part in ((features, keys[:gates]), (hidden, keys[gates:-1]))
    )
    b = jnp.zeros((gates * hidden,), dtype)
    if cell is lstm:
        b = b.at[hidden : 2 * hidden].set(1)
    V = initialiser(keys[-1], (hidden, classes), dtype)
    return Params(W, U, b, V, jnp.zeros((classes,), dtype))


def _expect_cell(place: str, cell: Any) -> None:
    if cell not in GATES:
        came = cell.__name__ if isinstance(cell, ModuleType) else type(cell).__name__
        raise ValueError(op.complaint(place, "cell", "rnn, lstm or gru of manual_bp", came))


def forward(
    params: Params, x: Float[Array, "batch t n"], *, cell: Any, **settings: Any
) -> tuple[Float[Array, "batch classes"], Residual]:
    """Return the network's output and the residual.

    Args:
      params: the parameters.
      x: sequences, (batch, t, n).
      cell: `manual_bp.rnn`, `lstm` or `gru`.
      settings: of the cell, as `activation` of an rnn, or `recompute`.

    Raises:
      ValueError: `cell` is another op, or shapes do not fit.
      TypeError: `x` is not floating, or its dtype is not that of the parameters.
    """
    _expect_cell("recurrent", cell)
    (x,) = op.floating("recurrent", x=x)
    op.expect_rank("recurrent", "x", x, 3, 3)
    zero = jnp.zeros((x.shape[0], params.U.shape[0]), x.dtype)
    states = (zero, zero) if cell is lstm else (zero,)
    (ys, h_T, *_), of_cell = cell.forward(x, *states, params.W, params.U, params.b, **settings)
    y, of_layer = linear.forward(h_T, params.V, params.c)
    return y, Residual(of_cell, of_layer, ys.shape, len(states), cell)


def backward(
    residual: Residual, dy: Float[Array, "batch classes"]
) -> tuple[Params, Float[Array, "batch t n"]]:
    """Return (dparams, dx)."""
    dparams, dx, _ = backward_with_deltas(residual, dy)
    return dparams, dx


def backward_with_deltas(
    residual: Residual, dy: Float[Array, "batch classes"]
) -> tuple[Params, Float[Array, "batch t n"], tuple[Float[Array, "..."], ...]]:
    """Return (dparams, dx, deltas), the last with ∂L/∂h_T and ∂L/∂y."""
    dh_T, dV, dc = linear.backward(residual.layer, dy)  # (1)
    assert dc is not None
    nothing = [jnp.zeros_like(dh_T)] * (residual.states - 1)
    cotangents = (jnp.zeros(residual.outputs, dh_T.dtype), dh_T, *nothing)
    dx, *rest = residual.kind.backward(residual.cell, cotangents)  # (2)
    dW, dU, db = rest[residual.states : residual.states + 3]
    return Params(dW, dU, db, dV, dc), dx, (dh_T, dy)


def loss_gradients_and_deltas(
    params: Params, x: Float[Array, "batch t n"], targets: Array, **settings: Any
) -> tuple[Float[Array, ""], Params, tuple[Float[Array, "..."], ...]]:
    """Return the loss, its gradient, and the cotangents of the last state and of the output.

    Takes the settings of `objective.loss_gradients_and_deltas` and of `forward`.
    """
    return objective.loss_gradients_and_deltas(
        forward, backward_with_deltas, params, x, targets, **settings
    )
