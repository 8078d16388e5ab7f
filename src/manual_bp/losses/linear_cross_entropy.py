"""The affine map before a softmax and its cross-entropy in one, without keeping any logits.

Shapes   x: (*batch, n)   W: (n, v)   b: (v,) or None   labels k: (*batch,) integers   L: ()
         u, δ: (samples of a block, v)
Forward  u = x W + b,   ℓᵢ = the `softmax_cross_entropy` of uᵢ and kᵢ,   L = Σ ℓᵢ/N or Σ ℓᵢ
         N is the number of samples that count, and at least 1.
Derive   With δᵢ = ∂ℓᵢ/∂uᵢ by the rule of `softmax_cross_entropy` and that of `linear`,
  (1) ∂(Σℓ)/∂xᵢ = δᵢ Wᵀ
  (2) ∂(Σℓ)/∂W = Σᵢ xᵢᵀ δᵢ
  (3) ∂(Σℓ)/∂b = Σᵢ δᵢ
         L is one number, so whatever becomes of it above, its gradients are these times one number,
         and can be formed on the way forth, where u is at hand: for a block of samples after the
         other, whose logits are then forgotten. With c = 1/N for a mean and 1 for a sum,
  (4) ∂L/∂x, ∂L/∂W, ∂L/∂b = c times (1), (2), (3)
  (5) dx, dW, db = dL times (4)                                              on the way back
Saved    (4), in the dtype of sums: float16 would lose it before a loss scale comes.
Kinks    none.
Extremes As of `softmax_cross_entropy`, with its labels, weights and smoothing. In half precision
         the logits stay in float32, and δ is rounded before it is multiplied.
Source   Wijmans et al. 2024, arXiv:2411.09009; Hsu et al. 2024, arXiv:2410.10989
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from manual_bp import op, setting
from manual_bp.losses import labels as labelling
from manual_bp.losses import reduction as reductions
from manual_bp.losses import softmax_cross_entropy

NAME = "linear_cross_entropy"
ENTRIES = 2**23  # of the logits of a block


@op.residual
class Residual:
    """The gradients of L by x, W and b, in the dtype of sums."""

    x: Float[Array, "*batch n"]
    W: Float[Array, "n v"]
    b: Float[Array, " v"] | None
    dtype: Any = op.static()


def forward(
    x: Float[Array, "*batch n"],
    W: Float[Array, "n v"],
    b: Float[Array, " v"] | None,
    labels: Integer[Array, "*batch"],
    *,
    class_weights: tuple[float, ...] | None = None,
    label_smoothing: float = 0.0,
    ignored_label: int | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    block: int | None = None,
) -> tuple[Float[Array, ""], Residual]:
    """Return the cross-entropy of softmax(x W + b), reduced over the batch, and the residual.

    Args:
      x: inputs, (*batch, n).
      W: weights, (n, v), of the dtype of `x`.
      b: biases, (v,), or None for none.
      labels: class numbers, (*batch,) integers.
      class_weights: v numbers; None for 1 each.
      label_smoothing: from 0 to 1, the part of a label that is spread over all classes.
      ignored_label: the label of samples that do not count; None for none.
      reduction: "mean" or "sum" over the batch.
      block: samples whose logits are formed at a time; None for what is fastest (docs/FORMS.md).

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or the labels are not integers.
      ValueError: shapes do not fit, a label or a setting is out of range, or a mean is over no
        samples.
    """
    x, W = op.floating(NAME, x=x, W=W)
    op.expect_rank(NAME, "x", x, 1, None)
    op.expect_shape(NAME, "W", W, (x.shape[-1], None), f"for x of shape {x.shape}")
    *batch, n = x.shape
    if b is not None:
        _, b = op.floating(NAME, x=x, b=b)
        op.expect_shape(NAME, "b", b, W.shape[1:], f"for W of shape {W.shape}")
    class_weights, label_smoothing, ignored_label = softmax_cross_entropy.expect_settings(
        NAME, W.shape[1], class_weights, label_smoothing, ignored_label
    )
    labels = labelling.checked(NAME, labels, tuple(batch), W.shape[1], ignored_label)
    setting.expect_choice(NAME, "reduction", reduction, ("mean", "sum"))
    reductions.check(NAME, labels.shape, reduction)
    blocks = expect_blocks(labels.size, W.shape[1], block)

    def loss(u: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        return softmax_cross_entropy.forward(
            u,
            labels,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
            ignored_label=ignored_label,
            reduction="none",
        )

    rows = x.reshape(labels.size, n)
    total, of_x, of_W, of_b = _swept(loss, rows, W, b, labels.ravel(), blocks)
    counted = labelling.counted(labels, ignored_label)
    number = reductions.number(labels.shape, counted, total.dtype) if reduction == "mean" else 1
    of_b = None if of_b is None else of_b / number  # (4)
    residual = Residual(of_x.reshape(x.shape) / number, of_W / number, of_b, x.dtype)  # (4)
    return (total / number).astype(x.dtype), residual


def expect_blocks(samples: int, classes: int, block: int | None) -> tuple[int, int]:
    """Return how many blocks there are, of how many samples, or raise a ValueError."""
    if block is None:
        most = max(1, ENTRIES // max(classes, 1))
    else:
        most = setting.expect_whole(NAME, "block", block, 1, "at least 1 sample")
    count = max(1, -(-samples // most))
    return count, -(-samples // count)


def _swept(
    loss: Callable[..., tuple[jax.Array, Any]],
    x: Float[Array, "samples n"],
    W: Float[Array, "n v"],
    b: Float[Array, " v"] | None,
    labels: Integer[Array, " samples"],
    blocks: tuple[int, int],
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """Return Σ ℓ and its gradients of x, W and b, in the dtype of sums, block by block."""
    (samples, n), v = x.shape, W.shape[1]
    dtype, wide = x.dtype, op.wide_dtype(x.dtype)
    count, size = blocks

    def cut(array: jax.Array) -> jax.Array:
        """Return the array cut into blocks, the last filled up with zeros."""
        around = ((0, count * size - samples), *((0, 0),) * (array.ndim - 1))
        return jnp.pad(array, around).reshape(count, size, *array.shape[1:])

    def product(one: jax.Array, other: jax.Array) -> jax.Array:
        return jnp.matmul(one.astype(dtype), other.astype(dtype), preferred_element_type=wide)

    def step(carry: tuple[Any, ...], given: tuple[jax.Array, ...]) -> tuple[Any, jax.Array]:
        total, of_W, of_b = carry
        x, labels, one = given
        u = product(x, W)
        u = u if b is None else u + jnp.broadcast_to(op.wide(b), u.shape)
        losses, residual = loss(u, labels)
        delta, _ = softmax_cross_entropy.backward(residual, one)
        of_W = of_W + product(op.again(x.T), delta)  # (2)
        of_b = None if b is None else of_b + delta.sum(0)  # (3)
        # The loss of what fills a block up may be infinite.
        counted = jnp.where(one > 0, losses, 0)
        return (total + counted.sum(), of_W, of_b), product(delta, W.T)  # (1)

    zeros = jnp.zeros((), wide), jnp.zeros(W.shape, wide), None if b is None else jnp.zeros(v, wide)
    ones = jnp.ones(samples, wide)
    carry, of_x = jax.lax.scan(step, zeros, (cut(x), cut(labels), cut(ones)))
    total, of_W, of_b = carry
    return total, of_x.reshape(count * size, n)[:samples], of_W, of_b


def backward(
    residual: Residual, dy: Float[Array, ""]
) -> tuple[
    Float[Array, "*batch n"],
    Float[Array, "n v"],
    Float[Array, " v"] | None,
    None,
]:
    """Return (dx, dW, db, dlabels); db is None where there was no bias, dlabels always."""
    dtype = residual.dtype
    dl = op.wide(op.expect_cotangent(NAME, dy, (), dtype))
    gradients = residual.x, residual.W, residual.b
    dx, dW, db = jax.tree.map(lambda of_loss: (dl * of_loss).astype(dtype), gradients)  # (5)
    return dx, dW, db, None
