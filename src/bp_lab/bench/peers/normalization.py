"""Normalisations by Flax, and by `jax.numpy` from the mean and the variance."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bp_lab.bench.peers.peer import Peer

EPSILON = 1e-5


def _standard(x: jax.Array, axes: int | tuple[int, ...]) -> jax.Array:
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(var + EPSILON)


def layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Return the rows standardised, scaled and shifted."""
    return _standard(x, -1) * scale + bias


def rms_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    """Return the rows over their root mean square, scaled."""
    return x * lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + EPSILON) * scale


def group_norm(x: jax.Array, scale: jax.Array, bias: jax.Array, *, groups: int) -> jax.Array:
    """Return each group of channels of each sample standardised, scaled and shifted."""
    grouped = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    axes = (*range(1, x.ndim - 1), x.ndim)
    return _standard(grouped, axes).reshape(x.shape) * scale + bias


def instance_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    """Return each channel of each sample standardised, scaled and shifted."""
    return _standard(x, tuple(range(1, x.ndim - 1))) * scale + bias


def batch_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    *,
    training: bool,
    momentum: float = 0.1,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return each feature standardised by the batch, and the new running statistics."""
    assert training
    axes, samples = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    now, spread = x.mean(axes), x.var(axes)
    y = (x - now) * lax.rsqrt(spread + EPSILON) * scale + bias
    unbiased = spread * samples / max(samples - 1, 1)
    return y, (1 - momentum) * mean + momentum * now, (1 - momentum) * var + momentum * unbiased


def l2_normalize(x: jax.Array, *, axis: int = -1) -> jax.Array:
    """Return the vectors over their norm."""
    return x / jnp.linalg.norm(x, axis=axis, keepdims=True)


def weight_norm(v: jax.Array, g: jax.Array) -> jax.Array:
    """Return the directions over their norm, times the lengths."""
    return g * v / jnp.sqrt(jnp.square(v).sum(tuple(range(v.ndim - 1))))


def _of_flax(name: str, *, biased: bool = True, **fixed: Any) -> Callable[..., jax.Array]:
    """Return a normalisation of Flax's with a scale and, where it has one, a bias."""

    def normalise(x: jax.Array, *parameters: jax.Array, groups: int | None = None) -> jax.Array:
        from flax import linen

        settings = fixed if groups is None else {**fixed, "num_groups": groups}
        names = ("scale", "bias") if biased else ("scale",)
        module = getattr(linen, name)(epsilon=EPSILON, **settings)
        return module.apply({"params": dict(zip(names, parameters, strict=True))}, x)

    return normalise


def _batch_norm_of_flax(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    *,
    training: bool,
    momentum: float = 0.1,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    from flax import linen

    assert training
    module = linen.BatchNorm(use_running_average=False, momentum=1 - momentum, epsilon=EPSILON)
    variables = {
        "params": {"scale": scale, "bias": bias},
        "batch_stats": {"mean": mean, "var": var},
    }
    y, after = module.apply(variables, x, mutable=["batch_stats"])
    new = after["batch_stats"]
    # Flax keeps the biased variance; of n numbers, the correction costs nothing.
    samples, kept = x.size // x.shape[-1], (1 - momentum) * var
    return y, new["mean"], kept + (new["var"] - kept) * samples / max(samples - 1, 1)


table = {
    "layer_norm": (
        Peer("jnp", layer_norm),
        Peer("flax", _of_flax("LayerNorm"), library="flax"),
    ),
    "rms_norm": (
        Peer("jnp", rms_norm),
        Peer("flax", _of_flax("RMSNorm", biased=False), library="flax"),
    ),
    "group_norm": (
        Peer("jnp", group_norm),
        Peer("flax", _of_flax("GroupNorm"), library="flax"),
    ),
    "instance_norm": (
        Peer("jnp", instance_norm),
        Peer("flax", _of_flax("InstanceNorm"), library="flax"),
    ),
    "batch_norm": (
        Peer("jnp", batch_norm),
        Peer("flax", _batch_norm_of_flax, library="flax"),
    ),
    "l2_normalize": (Peer("jnp.linalg", l2_normalize),),
    "weight_norm": (Peer("jnp", weight_norm),),
}
