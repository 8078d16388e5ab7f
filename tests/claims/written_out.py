"""Networks and losses in plain Python numbers, loop by loop: the side of a claim without JAX.

Column form throughout: a network is a list of (W, b), W of shape (m, n), b of shape (m,), and a
row of W holds the weights of one neuron. Derivatives come by the complex step, Im J(θ + ih)/h,
which is exact to rounding since nothing is subtracted; so every function here takes complex
numbers, and none may use abs, max or a comparison.
"""

import cmath
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest

Network = list[tuple[np.ndarray, np.ndarray]]
Function = Callable[[complex], complex]

STEP = 1e-20
EXACT = 1e-12  # what rounding alone may leave of a relative difference in float64
seeds = pytest.mark.parametrize("seed", range(3))


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return np.asarray(rng.standard_normal(shape))


def draw(rng: np.random.Generator, *widths: int) -> Network:
    """Return a network of these widths; its biases are random as well."""
    return [(normal(rng, m, n), normal(rng, m)) for n, m in pairwise(widths)]


def identity(u: complex) -> complex:
    return u


def sigmoid(u: complex) -> complex:
    return 1 / (1 + cmath.exp(-u))


def softplus(u: complex) -> complex:
    return cmath.log(1 + cmath.exp(u))


def tanh(u: complex) -> complex:
    return cmath.tanh(u)


def softmax(u: Sequence[complex]) -> list[complex]:
    exponentials = [cmath.exp(uj) for uj in u]
    return [e / sum(exponentials) for e in exponentials]


def affine(W: np.ndarray, b: np.ndarray, a: Sequence[complex]) -> list[complex]:
    """Return u with uᵢ = Σⱼ Wᵢⱼ aⱼ + bᵢ."""
    m, n = W.shape
    return [sum(W[i, j] * a[j] for j in range(n)) + b[i] for i in range(m)]


def trace(
    network: Network,
    x: Sequence[complex],
    f: Function,
    g: Function = identity,
    probes: Sequence[Any] | None = None,
) -> tuple[list[list[complex]], list[list[complex]]]:
    """Return (u¹ … u^L) and (x⁰ … x^L) of one sample; the last activation is g, the others f.

    Args:
      network: the layers.
      x: the sample.
      f: activation of the hidden layers.
      g: activation of the last layer.
      probes: for every layer a vector that is added to its u.
    """
    us, xs = [], [list(x)]
    for number, (W, b) in enumerate(network):
        u = affine(W, b, xs[-1])
        if probes is not None:
            u = [ui + probe for ui, probe in zip(u, probes[number], strict=True)]
        us.append(u)
        xs.append([(f if number < len(network) - 1 else g)(ui) for ui in u])
    return us, xs


def half_squared_error(output: Sequence[complex], target: Sequence[float]) -> complex:
    return sum((o - t) ** 2 for o, t in zip(output, target, strict=True)) / 2


def logistic_cost(output: Sequence[complex], target: Sequence[float]) -> complex:
    pairs = zip(output, target, strict=True)
    return -sum(t * cmath.log(p) + (1 - t) * cmath.log(1 - p) for p, t in pairs)


def mean_loss(
    network: Network,
    X: np.ndarray,
    Y: np.ndarray,
    f: Function,
    g: Function = identity,
    loss: Callable[..., complex] = half_squared_error,
    probes: Sequence[np.ndarray] | None = None,
) -> complex:
    """Return the mean over the samples (rows of X) of the loss; a probe is (samples, nₗ)."""
    total: complex = 0
    for i in range(len(X)):
        added = None if probes is None else [probe[i] for probe in probes]
        total += loss(trace(network, X[i], f, g, added)[1][-1], Y[i])
    return total / len(X)


def no_probes(network: Network, samples: int) -> list[np.ndarray]:
    return [np.zeros((samples, len(b))) for _, b in network]


def gradient(J: Callable[[Any], complex], tree: Any) -> Any:
    """Return ∂J/∂θ for every number θ in a tree of arrays, by the complex step."""
    leaves, structure = jax.tree.flatten(tree)

    def slope(position: int, index: tuple[int, ...]) -> float:
        moved = np.array(leaves[position], complex)
        moved[index] += 1j * STEP
        tree = jax.tree.unflatten(structure, [*leaves[:position], moved, *leaves[position + 1 :]])
        return complex(J(tree)).imag / STEP

    slopes = [
        np.array([slope(k, index) for index in np.ndindex(leaf.shape)]).reshape(leaf.shape)
        for k, leaf in enumerate(map(np.asarray, leaves))
    ]
    return jax.tree.unflatten(structure, slopes)


def error(got: Any, wanted: Any) -> float:
    """Return max |got − wanted| / max |wanted|, of the worst leaf where they are trees."""
    if isinstance(got, np.ndarray | jax.Array | float):
        got, wanted = [got], [np.asarray(wanted)]
    got_leaves, wanted_leaves = jax.tree.leaves(got), jax.tree.leaves(wanted)
    assert len(got_leaves) == len(wanted_leaves) > 0
    worst = 0.0
    for a, b in zip(map(np.asarray, got_leaves), map(np.asarray, wanted_leaves), strict=True):
        assert a.shape == b.shape
        assert np.isfinite(a).all()
        assert np.isfinite(b).all()
        scale = float(np.abs(b).max())
        assert scale > 0, "nothing is shown where the right answer is 0"
        worst = max(worst, float(np.abs(a - b).max()) / scale)
    return worst
