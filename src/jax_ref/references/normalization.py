"""Reference normalisations: rows times a centring matrix, inner products by einsum."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Feature = Float[Array, " n"] | None
Rows = Float[Array, "*batch n"]


def _centred(rows: Rows) -> Rows:
    """Return rows (I − 11ᵀ/n), of rows shifted beforehand, which changes nothing but rounding."""
    n = rows.shape[-1]
    shift = jax.lax.stop_gradient(jnp.mean(rows, -1, keepdims=True))
    matrix = jnp.eye(n, dtype=rows.dtype) - jnp.full((n, n), 1 / max(n, 1), rows.dtype)
    return jnp.einsum("...i,ij->...j", rows - shift, matrix)


def _over_root(rows: Rows, epsilon: float, number: int) -> Rows:
    """Return the rows over the root of their square, divided by a number, plus ε."""
    square = jnp.einsum("...i,...i->...", rows, rows) / max(number, 1)
    return jnp.einsum("...,...i->...i", jax.lax.rsqrt(square + epsilon), rows)


def _standard(rows: Rows, epsilon: float) -> Rows:
    return _over_root(_centred(rows), epsilon, rows.shape[-1])


def _affine(y: Rows, scale: Feature, bias: Feature = None) -> Rows:
    y = y if scale is None else jnp.einsum("...i,i->...i", y, scale)
    return y if bias is None else jax.vmap(jnp.add, (-1, 0), -1)(y, bias)


def layer_norm(
    x: Rows, scale: Feature = None, bias: Feature = None, *, epsilon: float = 1e-5
) -> Rows:
    """Return the rows, centred by a matrix, over their root mean square."""
    return _affine(_standard(x, epsilon), scale, bias)


def rms_norm(x: Rows, scale: Feature = None, *, epsilon: float = 1e-5) -> Rows:
    """Return the rows over their root mean square."""
    return _affine(_over_root(x, epsilon, x.shape[-1]), scale)


def group_norm(
    x: Float[Array, "b *spatial n"],
    scale: Feature = None,
    bias: Feature = None,
    *,
    groups: int,
    epsilon: float = 1e-5,
) -> Float[Array, "b *spatial n"]:
    """Return each group of each sample, laid out as a row, standardised and put back."""
    b, n = x.shape[0], x.shape[-1]
    places, width = math.prod(x.shape[1:-1]), n // groups
    cut = jnp.einsum("bpgw->bgpw", x.reshape(b, places, groups, width))
    rows = _standard(cut.reshape(b, groups, places * width), epsilon)
    y = jnp.einsum("bgpw->bpgw", rows.reshape(b, groups, places, width))
    return _affine(y.reshape(x.shape), scale, bias)


def instance_norm(
    x: Float[Array, "b *spatial n"],
    scale: Feature = None,
    bias: Feature = None,
    *,
    epsilon: float = 1e-5,
) -> Float[Array, "b *spatial n"]:
    """Return each channel of each sample, laid out as a row, standardised and put back."""
    b, n = x.shape[0], x.shape[-1]
    rows = jnp.einsum("bpn->bnp", x.reshape(b, math.prod(x.shape[1:-1]), n))
    y = jnp.einsum("bnp->bpn", _standard(rows, epsilon))
    return _affine(y.reshape(x.shape), scale, bias)


def batch_norm(
    x: Rows,
    scale: Feature,
    bias: Feature,
    running_mean: Float[Array, " n"],
    running_var: Float[Array, " n"],
    *,
    training: bool = True,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
) -> tuple[Rows, Float[Array, " n"], Float[Array, " n"]]:
    """Return each feature, laid out as a row, standardised and put back, and the new statistics."""
    samples = math.prod(x.shape[:-1])
    rows = x.reshape(samples, x.shape[-1]).T
    if training:
        c = _centred(rows)
        unbiased = jnp.einsum("ni,ni->n", c, c) / max(samples - 1, 1)
        standard = _standard(rows, epsilon)
        new = (
            running_mean + momentum * (jnp.mean(rows, -1) - running_mean),
            running_var + momentum * (unbiased - running_var),
        )
    else:
        over = jax.lax.rsqrt(running_var + epsilon)
        standard = jax.vmap(lambda row, m, r: (row - m) * r)(rows, running_mean, over)
        new = running_mean, running_var
    return _affine(standard.T.reshape(x.shape), scale, bias), *new


def l2_normalize(
    x: Float[Array, "*shape"], *, axis: int = -1, epsilon: float = 1e-12
) -> Float[Array, "*shape"]:
    """Return the rows along the axis over the root of their square plus ε."""
    return jnp.moveaxis(_over_root(jnp.moveaxis(x, axis, -1), epsilon, 1), -1, axis)


def weight_norm(
    v: Float[Array, "*kernel m"], g: Float[Array, " m"], *, epsilon: float = 1e-12
) -> Float[Array, "*kernel m"]:
    """Return the columns over the root of their square plus ε, times a diagonal matrix."""
    columns = v.reshape(math.prod(v.shape[:-1]), v.shape[-1])
    return (_over_root(columns.T, epsilon, 1).T @ jnp.diag(g)).reshape(v.shape)
