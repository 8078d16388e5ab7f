"""Several recurrent layers, each fed the outputs of the one before it.

Shapes   those of the layers; ysˡ: (batch, t, mˡ)
Forward  ys⁰ = x,   (ysˡ, sˡ) = layerˡ(ysˡ⁻¹, θˡ, lengths),   l = 1 … k,   with sˡ the final states;
         the outputs are ys = ysᵏ and s¹ … sᵏ
Derive   L depends on ysˡ, l < k, only through layer l+1, and on sˡ directly. So, from dysᵏ = dys
         down to dys⁰ = dx,
  (1) dysˡ⁻¹, dθˡ = layerˡ.backward(residualˡ, (dysˡ, dsˡ))
         θˡ holds the initial states, the weights and the biases of the layer.
Saved    the residuals of the layers.      Kinks   those of the layers.
Lengths  Every layer is masked alike; beyond a sample's length its inputs are zeros, unread.
Source   Graves, Mohamed & Hinton 2013, arXiv:1303.5778
"""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, Float, Integer

from manual_bp import op
from manual_bp.models.chain import Parameters, Stage

NAME = "stacked"
Finals = tuple[Any, ...]


@op.residual
class Residual:
    """The residual of every layer."""

    layers: tuple[Any, ...]
    ops: tuple[Stage, ...] = op.static()


def forward(
    x: Float[Array, "batch t n"],
    parameters: Sequence[Parameters],
    lengths: Integer[Array, " batch"] | None = None,
    *,
    layers: Sequence[Stage],
) -> tuple[tuple[Float[Array, "batch t m"], Finals], Residual]:
    """Return the outputs of the last layer and the final states of all, and the residual.

    Args:
      x: inputs, (batch, t, n).
      parameters: for each layer its positional arguments between `x` and `lengths`. An optional one
        that is left out is written as None, so that `dparameters` is alike.
      lengths: number of steps of each sample, (batch,) integers, or None for all t.
      layers: recurrent ops in order, `bidirectional` among them; none at all gives ys = x.

    Returns:
      ((ys, finals), residual), with a tuple of final states in `finals` for each layer.

    Raises:
      TypeError: a layer refuses its arguments.
      ValueError: there are not as many sets of parameters as layers, or a layer refuses its
        arguments.
    """
    if len(parameters) != len(layers):
        expected = f"one set for each of {len(layers)} layers"
        raise ValueError(op.complaint(NAME, "parameters", expected, len(parameters)))
    residuals, finals = [], []
    for layer, theta in zip(layers, parameters, strict=True):
        y, residual = layer.op.forward(x, *theta, lengths=lengths, **dict(layer.settings))
        x, *states = y
        finals.append(tuple(states))
        residuals.append(residual)
    return (x, tuple(finals)), Residual(tuple(residuals), tuple(layers))


def backward(
    residual: Residual, dy: tuple[Float[Array, "batch t m"], Finals]
) -> tuple[Float[Array, "batch t n"], tuple[Parameters, ...], None]:
    """Return (dx, dparameters, dlengths) for dy = (dys, dfinals).

    dlengths is None.

    Raises:
      TypeError: a layer refuses its cotangents.
      ValueError: `dy` does not have the structure of the outputs, or a layer refuses its
        cotangents.
    """
    dys, dfinals = op.expect_parts(NAME, dy, ("ys", "finals"))
    if len(dfinals) != len(residual.ops):
        expected = f"one tuple for each of {len(residual.ops)} layers"
        raise ValueError(op.complaint(NAME, "dfinals", expected, len(dfinals)))
    dparameters = []
    downwards = (reversed(residual.ops), reversed(residual.layers), reversed(dfinals))
    for layer, saved, dstates in zip(*downwards, strict=True):
        dys, *dtheta, _ = layer.op.backward(saved, (dys, *dstates))  # (1)
        dparameters.append(tuple(dtheta))
    return dys, tuple(reversed(dparameters)), None
