"""The penalty λ/(2m) Σ W² over all weights.

Shapes   weights: any pytree of arrays, each of any shape   penalty: ()
Forward  P = λ/(2m) Σ_leaves Σ W²     `decay` = λ;  `samples` = m, 1 by default: P = λ/2 Σ W²
Derive   ∂P/∂W = λ/(2m) · 2 W
  (1) dW = dP (λ/m) W
Scaling  With m = 1 the strength does not depend on the number of samples; with m the number of
         samples in the batch, the penalty is averaged as the loss is, and the gradient's term is
         (λ/m) W, not λ W.
Biases   are not decayed: hand over the weights alone.
Saved    W.      Kinks   none.      Half precision accumulates in float32.
Source   Hanson & Pratt 1988, "Comparing biases for minimal network construction";
         Krogh & Hertz 1991
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from manual_bp import op, setting

NAME = "weight_decay"


@op.residual
class Residual:
    """The weights."""

    weights: Any
    decay: float = op.static()
    samples: int = op.static()


def forward(
    weights: PyTree[Float[Array, "..."]], *, decay: float, samples: int = 1
) -> tuple[Float[Array, ""], Residual]:
    """Return λ/(2m) Σ W² and the residual.

    Args:
      weights: a pytree of arrays of one floating dtype, biases left out.
      decay: λ ≥ 0.
      samples: m ≥ 1, the number that the penalty is divided by.

    Raises:
      TypeError: a leaf is not floating, or the dtypes differ.
      ValueError: `decay` is negative or not finite, `samples` is below 1, or there is no leaf.
    """
    decay = setting.expect_number(
        NAME, "decay", decay, "a finite number ≥ 0", lambda decay: 0 <= decay < math.inf
    )
    samples = setting.expect_whole(NAME, "samples", samples, 1, "a whole number ≥ 1")
    paths, tree = jax.tree_util.tree_flatten_with_path(weights)
    if not paths:
        raise ValueError(op.complaint(NAME, "weights", "at least one array", "none"))
    leaves = op.floating(
        NAME, **{f"weights{jax.tree_util.keystr(path)}": leaf for path, leaf in paths}
    )
    total = jnp.stack([(op.wide(W) ** 2).sum() for W in leaves]).sum()
    penalty = (decay / (2 * samples) * total).astype(leaves[0].dtype)
    return penalty, Residual(jax.tree.unflatten(tree, leaves), decay, samples)


def backward(residual: Residual, dy: Float[Array, ""]) -> tuple[PyTree[Float[Array, "..."]]]:
    """Return (dweights,), a pytree like `weights`."""
    dy = op.expect_cotangent(NAME, dy, (), jax.tree.leaves(residual.weights)[0].dtype)
    scale = op.wide(dy) * (residual.decay / residual.samples)
    return (
        jax.tree.map(lambda W: (scale * op.wide(W)).astype(W.dtype), residual.weights),  # (1)
    )
