"""The two halves of the last axis: values a and gates b, in the order of PyTorch's `glu`."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from manual_bp import op


def split(
    name: str, x: Float[Array, "*batch m"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """Return a and b, the first and the second half, in the dtype in which sums are accumulated.

    Raises:
      ValueError: `x` has rank 0, or an odd last axis.
    """
    op.expect_rank(name, "x", x, 1, None)
    if x.shape[-1] % 2:
        raise ValueError(op.complaint(name, "x", "an even last axis", f"shape {x.shape}"))
    a, b = jnp.split(op.wide(x), 2, -1)
    return a, b


def joined(da: Float[Array, "*batch n"], db: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
    """Return da and db side by side.

    Stacked along an axis of its own: concatenated, XLA would write out both before.
    """
    return jnp.stack([da, db], -2).reshape(*da.shape[:-1], 2 * da.shape[-1])
