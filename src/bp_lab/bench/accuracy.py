"""What speed costs in accuracy: our rounding errors beside those of `jax.grad` of the peer's form.

Both sides compute the cotangents of the same numbers in the same precision. The truth is `jax.grad`
of the reference in float64. Of a leaf g with the truth t, all norms Euclidean,

  (1) e(g) = max(‖g − t‖, ε/4 ‖t‖),

where ε is the distance from 1 to the next number of the precision: rounding t itself leaves about
ε/4 ‖t‖, so that what is as good as exact counts alike, be it 0 or not. Of a leaf that is 0 in truth
‖t‖ counts as 1. The ratio of a row is the geometric mean over its leaves,

  (2) ratio = exp mean ln e(ours) / e(theirs),

below 1 where ours is better. At a kink two slopes are right, and a form may take the other one than
the reference: entries where the peer's own form in float64 differs from the truth by more than 1e-8
of the largest entry are left out on both sides.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bp_lab.bench.peers.peer import Peer
from bp_lab.bench.row import geometric_mean
from jax_ref.cases.case import Options, Sizes
from jax_ref.oracles import autodiff, truth

KINK = 1e-8
Pullback = Callable[[tuple[Any, ...], Any], Any]  # (args, dy) -> cotangents

# References are written to be read: at the sizes of practice these take minutes, or gigabytes.
SMALLER: Mapping[str, Sizes] = {
    "batch_norm": {"batch": (8, 14, 14), "n": 64},
    "bidirectional": {"t": 4},
    "ctc": {"batch": (16,), "t": 8, "v": 64, "s": 2},
    "depthwise_conv": {"b": 4, "axes": ((28, 3), (28, 3)), "c": 64},
    "group_norm": {"batch": (8, 14, 14)},
    "dot_product_attention": {"b": 1, "t": 128, "s": 128},
    "gru": {"t": 4},
    "layer_norm_lstm": {"t": 4},
    "linear_cross_entropy": {"batch": (64,), "n": 64, "v": 1024},
    "lstm": {"t": 4},
    "matmul": {"batch": (1,)},
    "rnn": {"t": 4},
    "stacked": {"t": 4},
}


def of_function(function: Callable[..., Any], options: Options) -> Pullback:
    """Return the cotangents of a function of our arguments as JAX takes them."""

    def pulled(args: tuple[Any, ...], dy: Any) -> Any:
        def cotangent(y: Any) -> Any:
            return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), dy, y)

        return autodiff.vjp(lambda *given: function(*given, **options), args, cotangent)[1]

    return pulled


def of_peer(peer: Peer, options: Options) -> Pullback:
    """Return the cotangents of our arguments through the peer's layout and back."""

    def function(*args: Any, **options: Any) -> Any:
        # Most users let JAX broadcast and promote.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            y = peer.function(*peer.arrange(*args, **options), **options)
            return peer.restore(y, **options)

    return of_function(function, options)


def error_ratio(
    ours: Pullback, theirs: Pullback, reference: Pullback, args: tuple[Any, ...], dy: Any
) -> float | None:
    """Return our rounding error over theirs, by (1) and (2); None where nothing can be compared.

    Args:
      ours: the hand-written cotangents.
      theirs: the peer's.
      reference: the true ones, where it is given float64.
      args: the arguments, in the precision that is judged.
      dy: the cotangent of every output.
    """
    came = [jax.tree.leaves(jax.jit(side)(args, dy)) for side in (ours, theirs)]
    with jax.enable_x64(True):
        wide = truth.in_float64((args, dy))
        exact = [jax.tree.leaves(jax.jit(side)(*wide)) for side in (theirs, reference)]
    return geometric_mean(map(_leaf_ratio, *came, *exact))


def _leaf_ratio(ours: Any, theirs: Any, theirs_exactly: Any, exactly: Any) -> float | None:
    epsilon = float(jnp.finfo(ours.dtype).eps)
    true = np.asarray(exactly)
    apart = np.abs(np.asarray(theirs_exactly) - true)
    chosen = apart <= KINK * np.abs(true).max(initial=0)
    if not chosen.any():
        return None
    least = epsilon / 4 * (float(np.linalg.norm(true[chosen])) or 1.0)
    sides = (np.asarray(side).astype(np.float64) for side in (ours, theirs))
    mine, other = (max(_norm((side - true)[chosen]), least) for side in sides)  # (1)
    return mine / other if mine < math.inf or other < math.inf else 1.0


def _norm(error: np.ndarray) -> float:
    norm = float(np.linalg.norm(error))
    return norm if math.isfinite(norm) else math.inf
