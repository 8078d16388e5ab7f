"""What batch normalisation does for a deep network.

The same sigmoid network, once with u = x W and once with u = batch_norm(x W) before every sigmoid,
from weights that are a fifth of Xavier's, Xavier's, and five times Xavier's. Normalised, u has the
same size whatever the weights, so f'(u) is never all but 0 and δ comes through.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import manual_bp
from bp_lab import data
from bp_lab.plots.figure import epochs_across, picture
from manual_bp import batch_norm, init, linear, sigmoid, softmax_cross_entropy, train

DEPTH, WIDTH, BATCH, EPOCHS = 6, 64, 128, 12
SCALES = (0.2, 1.0, 5.0)  # of Xavier's weights
NETWORKS = {"plain": False, "batch norm": True}


class Result(NamedTuple):
    """By network and scale of the weights at the start.

    `norms` are ‖dW‖ of every hidden layer, first to last, before training; `loss` is the mean over
    each epoch; `accuracy` that on the training part at the end, every batch by its own statistics.
    """

    norms: dict[tuple[str, float], np.ndarray]
    loss: dict[tuple[str, float], np.ndarray]


class Layer(NamedTuple):
    """Weights, and the scale and bias that come after them."""

    W: jax.Array
    scale: jax.Array
    bias: jax.Array


def loss_and_gradients(
    params: tuple[Layer, ...], x: jax.Array, labels: jax.Array, *, normalised: bool
) -> tuple[jax.Array, tuple[Layer, ...]]:
    """Return the cross-entropy and its gradients; the last layer is linear.

    Without normalisation the scale is not used, and its gradient is 0.
    """
    residuals: list[Any] = []
    for layer in params[:-1]:
        u, of_product = linear.forward(x, layer.W)
        if normalised:
            state = jnp.zeros_like(layer.bias), jnp.ones_like(layer.bias)
            (u, *_), of_norm = batch_norm.forward(u, layer.scale, layer.bias, *state)
        else:
            u, of_norm = u + layer.bias[None], None
        x, of_sigmoid = sigmoid.forward(u)
        residuals.append((of_product, of_norm, of_sigmoid))
    logits, of_output = linear.forward(x, params[-1].W, params[-1].bias)
    loss, of_loss = softmax_cross_entropy.forward(logits, labels)

    dlogits, _ = softmax_cross_entropy.backward(of_loss, jnp.ones_like(loss))
    dx, dW, dlast = linear.backward(of_output, dlogits)
    assert dlast is not None
    gradients = [Layer(dW, jnp.zeros_like(params[-1].scale), dlast)]
    for layer, (of_product, of_norm, of_sigmoid) in zip(
        reversed(params[:-1]), reversed(residuals), strict=True
    ):
        (du,) = sigmoid.backward(of_sigmoid, dx)
        if normalised:
            none = jnp.zeros_like(layer.bias)
            du, dscale, dbias, _, _ = batch_norm.backward(of_norm, (du, none, none))
            assert dscale is not None
            assert dbias is not None
        else:
            dscale, dbias = jnp.zeros_like(layer.scale), du.sum(0)
        dx, dW, _ = linear.backward(of_product, du)
        gradients.append(Layer(dW, dscale, dbias))
    return loss, tuple(reversed(gradients))


def parameters(key: jax.Array, features: int, classes: int, scale: float) -> tuple[Layer, ...]:
    """Return the parameters before the first step."""
    widths = [features, *[WIDTH] * DEPTH, classes]
    layers = []
    for number, (n, m) in enumerate(pairwise(widths)):
        W = scale * init.xavier_normal(jax.random.fold_in(key, number), (n, m), jnp.float32)
        layers.append(Layer(W, jnp.ones(m, jnp.float32), jnp.zeros(m, jnp.float32)))
    return tuple(layers)


def run(seed: int = 0, epochs: int = EPOCHS) -> Result:
    """Return what the first epochs on the digits do to each network from each start."""
    digits = data.load("digits")
    part = jnp.asarray(digits.train.x), jnp.asarray(digits.train.y)
    first = tuple(array[:BATCH] for array in part)
    features, optimizer = part[0].shape[1], optax.sgd(0.5)
    norms, loss = {}, {}
    for name, normalised in NETWORKS.items():

        def of_network(
            params: Any, *batch: jax.Array, normalised: bool = normalised
        ) -> tuple[jax.Array, Any]:
            return loss_and_gradients(params, *batch, normalised=normalised)

        epoch: Any = train.make_epoch(of_network, optimizer, batch_size=BATCH)
        gradients = jax.jit(of_network)
        for scale in SCALES:
            params = parameters(jax.random.key(seed), features, digits.classes, scale)
            before = gradients(params, *first)[1]
            norms[name, scale] = np.asarray([float(jnp.linalg.norm(g.W)) for g in before[:-1]])
            state, losses = manual_bp.train.init(params, optimizer), []
            for number in range(epochs):
                key = jax.random.fold_in(jax.random.key(seed), number)
                state, batch_losses = epoch(state, part, key)
                losses.append(float(batch_losses.mean()))
            loss[name, scale] = np.asarray(losses)
    return Result(norms, loss)


def draw(path: Path, result: Result) -> None:
    """Draw ‖dW‖ over the layers before training, and the loss over the epochs."""
    styles = dict(zip(SCALES, ("--", "-", ":"), strict=True))
    colors = dict(zip(NETWORKS, ("C1", "C0"), strict=True))
    with picture(path, ncols=2, figsize=(9.6, 3.8)) as (_, (left, right)):
        for (name, scale), norm in result.norms.items():
            look = {"color": colors[name], "linestyle": styles[scale]}
            label = f"{name}, {scale:g} × Xavier"
            left.semilogy(range(1, DEPTH + 1), norm, marker="o", label=label, **look)
            right.plot(
                range(1, len(result.loss[name, scale]) + 1), result.loss[name, scale], **look
            )
        left.set(xlabel="layer", ylabel=r"$\|\mathrm{d}W\|$", title="Gradients before training")
        right.set(ylabel="loss", title="Loss")
        epochs_across(right)
        left.legend(fontsize="small")


def lines(result: Result) -> list[str]:
    """Return what came out, in words."""
    return [
        f"{name}, {scale:g} × Xavier: ‖dW¹‖ / ‖dW^{DEPTH}‖ = {norm[0] / norm[-1]:.1e}, "
        f"loss after {len(result.loss[name, scale])} epochs {result.loss[name, scale][-1]:.3f}"
        for (name, scale), norm in result.norms.items()
    ]
