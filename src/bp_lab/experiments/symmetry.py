"""Why weights start at random.

With all weights of a layer equal, its units compute the same, get the same δ and the same update:
they stay one unit for ever. Random weights break the tie, however small they are.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import manual_bp
from bp_lab.plots.figure import epochs_across, picture
from manual_bp import activations, init, mlp, train

WIDTHS, SAMPLES, EPOCHS = (4, 8, 3), 96, 200
INITIALISERS: dict[str, init.Initialiser] = {"zeros": init.zeros, "uniform ±0.12": init.uniform}


class Result(NamedTuple):
    """Over the epochs, by initialiser: how far apart hidden units are, and the loss.

    `spread` is the standard deviation of incoming weights over the units of the hidden layer.
    """

    spread: dict[str, np.ndarray]
    loss: dict[str, np.ndarray]


def run(seed: int = 0) -> Result:
    """Return what training a small sigmoid network does from either start."""
    keys = jax.random.split(jax.random.key(seed), 4)
    x = jax.random.normal(keys[0], (SAMPLES, WIDTHS[0]), jnp.float32)
    teacher = jax.random.normal(keys[1], (WIDTHS[0], WIDTHS[-1]), jnp.float32)
    labels = jnp.argmax(jnp.abs(x @ teacher), -1).astype(jnp.int32)

    def loss_and_gradients(params: mlp.Params, *batch: jax.Array) -> tuple[jax.Array, mlp.Params]:
        return mlp.loss_and_gradients(
            params,
            *batch,
            loss=manual_bp.softmax_cross_entropy,
            activation=activations.sigmoid,
        )

    optimizer = optax.adam(0.02)
    spread, loss = {}, {}
    for name, initialiser in INITIALISERS.items():
        state = train.init(mlp.init(keys[2], WIDTHS, initialiser=initialiser), optimizer)
        epoch = train.make_epoch(loss_and_gradients, optimizer, batch_size=SAMPLES)
        spreads, losses = [], []
        for number in range(EPOCHS):
            spreads.append(float(np.asarray(state.params[0].W).std(axis=1).max()))
            state, batch_losses = epoch(state, (x, labels), jax.random.fold_in(keys[3], number))
            losses.append(float(batch_losses[0]))
        spread[name], loss[name] = np.asarray(spreads), np.asarray(losses)
    return Result(spread, loss)


def draw(path: Path, result: Result) -> None:
    """Draw the spread of the hidden units and the loss over the epochs."""
    with picture(path, ncols=2, figsize=(9.6, 3.8)) as (_, (left, right)):
        for name in result.spread:
            left.plot(result.spread[name], label=name)
            right.plot(result.loss[name], label=name)
        left.set(ylabel="spread of weights", title="Hidden units, how far apart")
        right.set(ylabel="loss", title="Loss")
        for axes in (left, right):
            epochs_across(axes)
        left.legend()


def lines(result: Result) -> list[str]:
    """Return what came out, in words."""
    return [
        f"{name}: units apart by {result.spread[name][-1]:.2g}, loss {result.loss[name][-1]:.3f}"
        for name in result.spread
    ]
