"""Why recurrent networks are normalised over features and not over the batch.

An image of digits is read row by row: hₜ = tanh(norm(xₜ W + hₜ₋₁ U) + b), and the last h is
classified. Once norm is nothing, once layer normalisation, once batch normalisation, whose running
statistics are one set for all steps, as for a layer that is used at every step. But the steps are
not alike: in evaluation no step finds the statistics that it was trained with.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bp_lab import data
from bp_lab.plots.figure import epochs_across, picture
from manual_bp import batch_norm, init, layer_norm, linear, softmax_cross_entropy, tanh

WIDTH, BATCH, EPOCHS = 64, 64, 20
NORMS = ("none", "layer norm", "batch norm")


class Result(NamedTuple):
    """Over the epochs, by kind of normalisation.

    `trained` is the accuracy on the test part with the statistics of each batch where there are
    any, as in training; `evaluated` that with the running ones.
    """

    trained: dict[str, np.ndarray]
    evaluated: dict[str, np.ndarray]


class Params(NamedTuple):
    """The weights of the step, and of the classifier."""

    W: jax.Array
    U: jax.Array
    scale: jax.Array
    b: jax.Array
    V: jax.Array
    c: jax.Array


Statistics = tuple[jax.Array, jax.Array]


def scores(
    params: Params, statistics: Statistics, x: jax.Array, *, norm: str, training: bool
) -> tuple[jax.Array, Statistics, Any]:
    """Return the logits of images (batch, rows, columns), the statistics after, and residuals."""
    steps: list[Any] = []
    h = jnp.zeros((x.shape[0], WIDTH), x.dtype)
    for row in jnp.moveaxis(x, 1, 0):
        of_input, of_state = linear.forward(row, params.W), linear.forward(h, params.U)
        u: jax.Array = of_input[0] + of_state[0]
        of_norm: Any = None
        if norm == "layer norm":
            u, of_norm = layer_norm.forward(u, params.scale, None)
        if norm == "batch norm":
            (u, *new), of_norm = batch_norm.forward(
                u, params.scale, None, *statistics, training=training
            )
            statistics = (new[0], new[1])
        h, of_tanh = tanh.forward(u + params.b[None])
        steps.append((of_input[1], of_state[1], of_norm, of_tanh))
    logits, of_output = linear.forward(h, params.V, params.c)
    return logits, statistics, (steps, of_output)


def loss_and_gradients(
    params: Params, statistics: Statistics, x: jax.Array, labels: jax.Array, *, norm: str
) -> tuple[jax.Array, Statistics, Params]:
    """Return the cross-entropy, the statistics after the batch, and the gradients."""
    logits, statistics, (steps, of_output) = scores(params, statistics, x, norm=norm, training=True)
    loss, of_loss = softmax_cross_entropy.forward(logits, labels)
    dlogits, _ = softmax_cross_entropy.backward(of_loss, jnp.ones_like(loss))
    dh, dV, dc = linear.backward(of_output, dlogits)
    assert dc is not None
    sums = Params(*map(jnp.zeros_like, params))._replace(V=dV, c=dc)
    for of_input, of_state, of_norm, of_tanh in reversed(steps):
        (du,) = tanh.backward(of_tanh, dh)
        db = du.sum(0)
        dscale: jax.Array | None = jnp.zeros_like(params.scale)
        if norm == "layer norm":
            du, dscale, _ = layer_norm.backward(of_norm, du)
        if norm == "batch norm":
            none = jnp.zeros_like(params.b)
            du, dscale, *_ = batch_norm.backward(of_norm, (du, none, none))
        assert dscale is not None
        _, dW, _ = linear.backward(of_input, du)
        dh, dU, _ = linear.backward(of_state, du)
        of_step = Params(dW, dU, dscale, db, jnp.zeros_like(dV), jnp.zeros_like(dc))
        sums = Params(*map(jnp.add, sums, of_step))
    return loss, statistics, sums


def parameters(key: jax.Array, columns: int, classes: int) -> Params:
    """Return the parameters before the first step."""
    keys = jax.random.split(key, 3)
    W, U, V = (
        init.xavier_normal(k, shape, jnp.float32)
        for k, shape in zip(keys, ((columns, WIDTH), (WIDTH, WIDTH), (WIDTH, classes)), strict=True)
    )
    return Params(W, U, jnp.ones(WIDTH), jnp.zeros(WIDTH), V, jnp.zeros(classes))


def run(seed: int = 0, epochs: int = EPOCHS) -> Result:
    """Return how well each network reads the digits, epoch by epoch."""
    with jax.enable_x64(False):
        return _run(seed, epochs)


def _run(seed: int, epochs: int) -> Result:
    digits = data.load("digits")
    assert digits.image_shape is not None
    parts = {
        name: (part.x.reshape(-1, *digits.image_shape), part.y)
        for name, part in (("train", digits.train), ("test", digits.test))
    }
    x, y = map(jnp.asarray, parts["train"])
    batches = len(y) // BATCH
    optimizer = optax.adam(2e-3)
    trained: dict[str, np.ndarray] = {}
    evaluated: dict[str, np.ndarray] = {}
    for norm in NORMS:

        def step(carry: Any, chosen: jax.Array, norm: str = norm) -> tuple[Any, jax.Array]:
            params, statistics, state = carry
            loss, statistics, gradients = loss_and_gradients(
                params, statistics, x[chosen], y[chosen], norm=norm
            )
            # optax mixes integer counts with floats, which strict promotion forbids.
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optimizer.update(gradients, state)
            return (optax.apply_updates(params, updates), statistics, state), loss

        def accuracy(
            params: Params, statistics: Statistics, norm: str = norm, *, training: bool
        ) -> jax.Array:
            images, labels = map(jnp.asarray, parts["test"])
            logits, _, _ = scores(params, statistics, images, norm=norm, training=training)
            return (logits.argmax(-1).astype(labels.dtype) == labels).mean()

        epoch = jax.jit(lambda carry, order, step=step: jax.lax.scan(step, carry, order)[0])
        judge = jax.jit(accuracy, static_argnames="training")
        params = parameters(jax.random.key(seed), x.shape[-1], digits.classes)
        carry: Any = params, (jnp.zeros(WIDTH), jnp.ones(WIDTH)), optimizer.init(params)
        curves: dict[bool, list[float]] = {True: [], False: []}
        for number in range(epochs):
            order = jax.random.permutation(jax.random.fold_in(jax.random.key(seed), number), len(y))
            carry = epoch(carry, order[: batches * BATCH].reshape(batches, BATCH))
            for training, curve in curves.items():
                curve.append(float(judge(*carry[:2], training=training)))
        trained[norm], evaluated[norm] = (np.asarray(curves[kind]) for kind in (True, False))
    return Result(trained, evaluated)


def draw(path: Path, result: Result) -> None:
    """Draw the accuracies over the epochs."""
    with picture(path, ncols=2, figsize=(9.6, 3.8)) as (_, (left, right)):
        for axes, curves, title in (
            (left, result.trained, "Statistics of the batch"),
            (right, result.evaluated, "Running statistics"),
        ):
            for norm, curve in curves.items():
                axes.plot(range(1, len(curve) + 1), curve, label=norm)
            axes.set(ylabel="test accuracy", title=title, ylim=(0, 1.02))
            epochs_across(axes)
        left.legend()


def lines(result: Result) -> list[str]:
    """Return what came out, in words."""
    return [
        f"{norm}: test accuracy {result.trained[norm][-1]:.1%} as in training, "
        f"{result.evaluated[norm][-1]:.1%} in evaluation"
        for norm in result.trained
    ]
