"""How δ fades on its way down a deep network.

δˡ = δˡ⁺¹ (Wˡ⁺¹)ᵀ ⊙ f'(uˡ), and a sigmoid has f' ≤ ¼: each layer takes at least three quarters away,
unless the weights make up for it. With Xavier's they do not; a relu with He's keeps δ's size.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import manual_bp
from bp_lab.plots.figure import picture
from manual_bp import activations, init, mlp

DEPTH, WIDTH, BATCH = 12, 64, 128
NETWORKS = {
    "sigmoid, Xavier": (activations.sigmoid, init.xavier_normal),
    "tanh, Xavier": (activations.tanh, init.xavier_normal),
    "relu, He": (activations.relu, init.he_normal),
}


class Result(NamedTuple):
    """‖δˡ‖ of every layer, from the first to the last, by network."""

    norms: dict[str, np.ndarray]


def run(seed: int = 0) -> Result:
    """Return the size of every δ for one random batch and random labels."""
    keys = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(keys[0], (BATCH, WIDTH), jnp.float32)
    labels = jax.random.randint(keys[1], (BATCH,), 0, WIDTH)
    norms = {}
    for name, (activation, initialiser) in NETWORKS.items():
        params = mlp.init(keys[2], [WIDTH] * (DEPTH + 1), initialiser=initialiser)
        _, _, deltas = jax.jit(
            lambda params, activation=activation: mlp.loss_gradients_and_deltas(
                params, x, labels, loss=manual_bp.softmax_cross_entropy, activation=activation
            )
        )(params)
        norms[name] = np.asarray([np.linalg.norm(np.asarray(delta)) for delta in deltas])
    return Result(norms)


def draw(path: Path, result: Result) -> None:
    """Draw ‖δˡ‖ over the layers."""
    with picture(path) as (_, axes):
        for name, norm in result.norms.items():
            axes.semilogy(range(1, DEPTH + 1), norm, marker="o", label=name)
        axes.set(xlabel="layer", ylabel=r"$\|\delta^l\|$", title="Going down, δ fades or lasts")
        axes.legend()


def lines(result: Result) -> list[str]:
    """Return what came out, in words."""
    return [
        f"{name}: ‖δ¹‖ / ‖δ^{DEPTH}‖ = {norm[0] / norm[-1]:.1e}"
        for name, norm in result.norms.items()
    ]
