"""What the recurrent layers share: lengths, masks, gates, segments of time, products over it.

Inside a layer time comes first, as `lax.scan` wants it, and half precision is float32.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from manual_bp import logistic, op, setting

# Of the pre-activations of a segment: what is computed of as many stays in the cache.
ENTRIES = 2**18

# (carry, steps, starts) -> (carry, by time, sums)
Stretch = Callable[[Any, Any, Any], tuple[Any, Any, Any]]


def expect_layer(name: str, x: jax.Array, h0: jax.Array) -> None:
    """Raise a ValueError unless `x` is (batch, time, n) and `h0` is (batch, h)."""
    op.expect_rank(name, "x", x, 3, 3)
    op.expect_shape(name, "h0", h0, (x.shape[0], None), f"for x of shape {x.shape}")


def expect_weights(
    name: str, x: jax.Array, hidden: int, W: jax.Array, U: jax.Array, width: int
) -> None:
    """Raise a ValueError unless `W` takes `x`, and `U` the hidden state, to the width."""
    op.expect_shape(name, "W", W, (x.shape[-1], width), f"for x of shape {x.shape}")
    op.expect_shape(name, "U", U, (hidden, width), f"for W of shape {W.shape}")


def optional(
    name: str, argument: str, array: Any, x: jax.Array, shape: Sequence[int], why: str
) -> jax.Array | None:
    """Return the array, checked against the dtype of `x` and the shape, or None for None."""
    if array is None:
        return None
    _, array = op.floating(name, x=x, **{argument: array})
    op.expect_shape(name, argument, array, shape, why)
    return array


def expect_lengths(name: str, lengths: Any, x: jax.Array) -> Integer[Array, " batch"] | None:
    """Return the lengths as an array, or None for None.

    Raises:
      TypeError: the lengths are no integers.
      ValueError: they are not one a sample, or one can be read that lies outside 0 … time.
    """
    if lengths is None:
        return None
    if not jnp.issubdtype(jnp.result_type(lengths), jnp.integer):
        came = jnp.result_type(lengths)
        raise TypeError(op.complaint(name, "lengths", "an integer dtype", came))
    array, (batch, time, _) = jnp.asarray(lengths), x.shape
    op.expect_shape(name, "lengths", array, (batch,), f"for x of shape {x.shape}")
    if not isinstance(array, jax.core.Tracer) and batch:
        values = np.asarray(lengths)
        for extreme in (values.min(), values.max()):
            if not 0 <= extreme <= time:
                raise ValueError(op.complaint(name, "lengths", f"0 … {time}", extreme))
    # A narrow dtype may not hold the number of steps.
    return array.astype(jnp.int32)


def expect_segment(name: str, segment: int | None, x: jax.Array, W: jax.Array) -> int:
    """Return the steps of a segment; None for as many as have `ENTRIES` pre-activations.

    Or for somewhat fewer, of which the sequence is a multiple: a rest is compiled on its own.

    Raises:
      ValueError: the number is below 1.
    """
    if segment is None:
        most = max(ENTRIES // max(x.shape[0] * W.shape[1], 1), 1)
        fewer = range(min(x.shape[1], most), most // 2, -1)
        return next((steps for steps in fewer if x.shape[1] % steps == 0), most)
    return setting.expect_whole(name, "segment", segment, 1)


def active(
    lengths: Integer[Array, " batch"] | None, time: int
) -> Bool[Array, "time batch 1"] | None:
    """Return where a step lies within the length of its sample; None for everywhere."""
    if lengths is None:
        return None
    steps = jax.lax.iota(lengths.dtype, time)[:, None, None]
    return steps < lengths[None, :, None]


def choose(mask: jax.Array | None, inside: jax.Array, outside: jax.Array | float) -> jax.Array:
    """Return one value within the length of a sample and another beyond it."""
    return inside if mask is None else jnp.where(mask, inside, outside)


def without_padding(
    x: Float[Array, "batch time n"], lengths: Integer[Array, " batch"] | None
) -> jax.Array:
    """Return x with zeros beyond the lengths: what stands there, as NaN, would outlive a mask.

    In the products for the weights it meets a δ of 0, and 0 × NaN is NaN.
    """
    mask = active(lengths, x.shape[1])
    return x if mask is None else choose(mask.transpose(1, 0, 2), x, 0.0)


def four_gates(u: Sequence[jax.Array]) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Return the gates i, f, g, o of an LSTM, of their arguments, and the slopes there."""
    u_i, u_f, u_g, u_o = u
    gates = logistic.sigmoid(u_i), logistic.sigmoid(u_f), jnp.tanh(u_g), logistic.sigmoid(u_o)
    slopes = (
        logistic.sigmoid_slope(u_i),
        logistic.sigmoid_slope(u_f),
        logistic.tanh_slope(u_g),
        logistic.sigmoid_slope(u_o),
    )
    return gates, slopes


def by_time(x: Float[Array, "batch time n"]) -> Float[Array, "time batch n"]:
    """Return x, or what it came from, with the first two axes exchanged."""
    return op.wide(x).transpose(1, 0, 2)


def affine(
    x: Float[Array, "*batch n"], W: jax.Array, h: Float[Array, "*batch h"], U: jax.Array, b: Any
) -> Float[Array, "*batch m"]:
    """Return x W + h U + b, of one step or of several."""
    return biased(x @ W + h @ U, b)


def biased(u: jax.Array, b: jax.Array | None) -> jax.Array:
    """Return u + b, or u where there is no bias."""
    return u if b is None else u + jnp.broadcast_to(op.wide(b), u.shape)


def before(start: jax.Array, states: jax.Array) -> jax.Array:
    """Return the state that each step started from: the first, then all but the last."""
    return jnp.concatenate([start[None], states])[:-1]


def outer(left: jax.Array, right: jax.Array) -> jax.Array:
    """Return Σ leftᵀ right over time and batch."""
    rows = math.prod(left.shape[:2])
    return op.again(left.reshape(rows, left.shape[2]).T) @ right.reshape(rows, right.shape[2])


def starts(first: jax.Array, states: jax.Array, segment: int) -> jax.Array:
    """Return the state that each segment started from, that of the rest last."""
    return jnp.concatenate([op.wide(first)[None], states[segment - 1 :: segment]])


def in_segments(
    stretch: Stretch, carry: Any, steps: Any, starts: Any, segment: int
) -> tuple[Any, Any, Any]:
    """Return the carry before the first step, what each step gives, and the sums over all steps.

    Time is cut into segments, the last of them the rest, and gone through from its end. What a
    stretch computes of a segment, and does not return, is gone when the next one begins.

    Args:
      stretch: what goes back over consecutive steps.
      carry: of the last step.
      steps: arrays by time, of which all but the first may be None.
      starts: for each segment what `starts` returns.
      segment: number of steps, at least 1.
    """
    first, *_ = steps
    end = len(first) - len(first) % segment

    def descend(carried: Any, span: Any) -> tuple[Any, Any]:
        carry, sums = carried
        carry, by_time, more = stretch(carry, *span)
        return (carry, jax.tree.map(jnp.add, sums, more)), by_time

    start = jax.tree.map(lambda leaf: leaf[-1], starts)
    *_, forms = jax.eval_shape(stretch, carry, steps, start)
    carried = carry, jax.tree.map(lambda form: jnp.zeros(form.shape, form.dtype), forms)
    given = []
    if len(first) % segment or not end:
        rest = jax.tree.map(lambda leaf: leaf[end:], steps)
        carried, of_rest = descend(carried, (rest, start))
        given.append(of_rest)
    if end:
        whole = jax.tree.map(
            lambda leaf: leaf[:end].reshape(end // segment, segment, *leaf.shape[1:]), steps
        )
        spans = whole, jax.tree.map(lambda leaf: leaf[: end // segment], starts)
        carried, of_whole = jax.lax.scan(descend, carried, spans, reverse=True)
        given.insert(0, jax.tree.map(lambda leaf: leaf.reshape(end, *leaf.shape[2:]), of_whole))
    carry, sums = carried
    return carry, jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *given), sums
