"""What a kernel must be, and the products at one of its taps; shared by the convolutions."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


def expect_kernel(place: str, x: jax.Array, W: jax.Array, groups: int) -> None:
    """Raise a ValueError unless W is (*kernel, c / groups, m) for x of (b, *size, c)."""
    op.expect_rank(place, "x", x, 3, None)
    channels = x.shape[-1]
    if groups < 1 or channels % groups:
        wanted = f"a divisor of the {channels} channels of x"
        raise ValueError(op.complaint(place, "groups", wanted, groups))
    shape = (*(None,) * (x.ndim - 2), channels // groups, None)
    op.expect_shape(place, "W", W, shape, f"for x of shape {x.shape} and groups={groups}")
    if W.shape[-1] % groups:
        wanted = f"a divisor of the {W.shape[-1]} channels of y"
        raise ValueError(op.complaint(place, "groups", wanted, groups))
    expect_taps(place, W)


def expect_taps(place: str, W: jax.Array) -> None:
    """Raise a ValueError if the kernel has no taps along an axis."""
    if 0 in W.shape[:-2]:
        raise ValueError(op.complaint(place, "W", "one tap or more", f"shape {W.shape}"))


def add_bias(
    place: str, u: Float[Array, "*shape m"], x: jax.Array, b: Float[Array, " m"] | None
) -> Float[Array, "*shape m"]:
    """Return u + b, rounded to the dtype of x; u alone where there is no bias."""
    if b is not None:
        _, b = op.floating(place, x=x, b=b)
        op.expect_shape(place, "b", b, u.shape[-1:], f"for {u.shape[-1]} channels of y")
        u = u + jnp.broadcast_to(op.wide(b), u.shape)
    return u.astype(x.dtype)


def sum_places(du: Float[Array, "*shape m"]) -> Float[Array, " m"]:
    """Return the sum over all but the channels; JAX accumulates half precision in float32."""
    return du.sum(tuple(range(du.ndim - 1)))


def _split(x: Float[Array, "*shape c"], groups: int) -> Float[Array, "*shape groups n"]:
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def times(
    x: Float[Array, "*shape c"], w: Float[Array, "n m"], groups: int
) -> Float[Array, "*shape m"]:
    """Return x w, each group of channels by its own columns of w, in the dtype of sums."""
    wide = op.wide_dtype(x.dtype)
    u = jnp.einsum(
        "...gn,ngm->...gm", _split(x, groups), _split(w, groups), preferred_element_type=wide
    )
    return u.reshape(*x.shape[:-1], w.shape[-1])


def times_transposed(
    du: Float[Array, "*shape m"], w: Float[Array, "n m"], groups: int
) -> Float[Array, "*shape c"]:
    """Return du wᵀ, group by group, in the dtype of sums."""
    wide = op.wide_dtype(du.dtype)
    dx = jnp.einsum(
        "...gm,ngm->...gn", _split(du, groups), _split(w, groups), preferred_element_type=wide
    )
    return dx.reshape(*du.shape[:-1], groups * w.shape[0])


def transposed_times(
    x: Float[Array, "*shape c"], du: Float[Array, "*shape m"], groups: int
) -> Float[Array, "n m"]:
    """Return xᵀ du summed over all but the channels, group by group.

    JAX accumulates the sums of half precision in float32 and rounds each once.
    """
    rows = math.prod(x.shape[:-1])
    x, du = (_split(a.reshape(rows, a.shape[-1]), groups) for a in (x, du))
    dw = jnp.einsum("rgn,rgm->ngm", x, du)
    return dw.reshape(x.shape[-1], groups * du.shape[-1])
