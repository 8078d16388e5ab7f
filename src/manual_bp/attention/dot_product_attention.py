"""Scaled dot-product attention of several heads, over time, in tiles.

Shapes   q: (b, t, n, h)   k: (b, s, g, h)   v: (b, s, g, w)   y, δ: (b, t, n, w)
         bias: (b, n, t, s) or None   mask: the same, boolean, or None   m, a, Δ: (b, t, n, 1)
         Any size of the bias and of the mask may be 1.
         There are n heads of queries and g, a divisor of n, of keys and values: n/g heads in a row
         have the same keys and values. Below i is a query and j a key of one sample and head.
Forward  A query sees a key where the mask is true, and i − left ≤ j ≤ i + right of the window;
         `causal` is right = 0. Of the keys that query i sees, with the scale τ,
  (1) uᵢⱼ = τ qᵢᵀ kⱼ + biasᵢⱼ                                             else −∞
  (2) mᵢ = maxⱼ uᵢⱼ,   aᵢ = Σⱼ e^(uᵢⱼ − mᵢ),   pᵢⱼ = e^(uᵢⱼ − mᵢ)/aᵢ,   yᵢ = Σⱼ pᵢⱼ vⱼ
         The keys come a tile at a time. Of those so far there are m, a and o = Σ e^(u−m) v; with
         the next tile the maximum is m', and
  (3) a' = e^(m−m') a + Σ e^(u−m'),   o' = e^(m−m') o + Σ e^(u−m') v
         After the last tile y = o/a.
Derive   With δ = ∂L/∂y, y being linear in v and in p,
           ∂L/∂vⱼ = Σᵢ pᵢⱼ δᵢ,   ∂L/∂pᵢⱼ = δᵢᵀ vⱼ
         p is a softmax, so ∂L/∂uᵢⱼ = pᵢⱼ (∂L/∂pᵢⱼ − Σₖ pᵢₖ ∂L/∂pᵢₖ), and the sum over all keys is
         known beforehand: Σₖ pᵢₖ δᵢᵀ vₖ = δᵢᵀ yᵢ. With u = τ qᵀk + bias,
  (4) Δᵢ = δᵢᵀ yᵢ
  (5) dvⱼ = Σᵢ pᵢⱼ δᵢ                                    Σ also over the heads that have this key
  (6) duᵢⱼ = pᵢⱼ (δᵢᵀ vⱼ − Δᵢ)
  (7) dqᵢ = τ Σⱼ duᵢⱼ kⱼ
  (8) dkⱼ = τ Σᵢ duᵢⱼ qᵢ                                 Σ also over the heads that have this key
  (9) dbias = du, summed over the axes along which it has size 1
Saved    q, k, v, bias, mask, y, m, a. No array of all queries times all keys is ever formed: p is
         computed again, a tile at a time.
Kinks    none.
Extremes A query that sees no key has y = 0 and no gradient; one whose bias is −∞ everywhere as
         well. Finite for |u| of 1e4. Half precision accumulates in float32; p and du are rounded
         before they are multiplied.
Source   Vaswani et al. 2017, arXiv:1706.03762; in tiles: Rabe & Staats 2021, arXiv:2112.05682,
         Dao et al. 2022, arXiv:2205.14135; fewer keys: Ainslie et al. 2023, arXiv:2305.13245
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from manual_bp import op, setting
from manual_bp.attention import tiles
from manual_bp.attention.tiles import Bounds, Sizes, Tiles

NAME = "dot_product_attention"
AXIS = 2  # of the queries, or of the keys, in what is (b, g, t, …) or (b, g, s, …)


@op.residual
class Residual:
    """The arguments, the output, and m and a of every query."""

    q: Float[Array, "b t n h"]
    k: Float[Array, "b s g h"]
    v: Float[Array, "b s g w"]
    bias: Float[Array, "_b _n _t _s"] | None
    mask: Bool[Array, "_b _n _t _s"] | None
    y: Float[Array, "b t n w"]
    maximum: Float[Array, "b t n 1"]
    total: Float[Array, "b t n 1"]
    scale: float = op.static()
    tiles: Tiles = op.static()


def forward(
    q: Float[Array, "b t n h"],
    k: Float[Array, "b s g h"],
    v: Float[Array, "b s g w"],
    bias: Float[Array, "_b _n _t _s"] | None = None,
    mask: Bool[Array, "_b _n _t _s"] | None = None,
    *,
    scale: float | None = None,
    causal: bool = False,
    window: Bounds = (None, None),
    tile: Sizes | None = None,
) -> tuple[Float[Array, "b t n w"], Residual]:
    """Return y = softmax(τ q kᵀ + bias) v of every head, and the residual.

    Args:
      q: queries, (b, t, n, h).
      k: keys, (b, s, g, h), of the dtype of `q`; g divides n.
      v: values, (b, s, g, w), of the dtype of `q`.
      bias: what is added to the scores, (b, n, t, s), of the dtype of `q`; any size may be 1.
      mask: which query sees which key, booleans of the shape of a bias.
      scale: τ; None for 1/√h.
      causal: whether a query sees no key behind its own place.
      window: how many keys before and after its own place a query sees; None for all.
      tile: how many samples, queries and keys are taken at a time at most; None for what is
        fastest (docs/FORMS.md).

    Raises:
      TypeError: an argument is not floating, the dtypes differ, or the mask is not boolean.
      ValueError: the shapes or settings do not fit.
    """
    q, k, v = op.floating(NAME, q=q, k=k, v=v)
    _expect_shapes(q, k, v)
    (b, t, n, h), s = q.shape, k.shape[1]
    if bias is not None:
        _, bias = op.floating(NAME, q=q, bias=bias)
        _expect_repeated("bias", bias, (b, n, t, s))
    if mask is not None:
        mask = jnp.asarray(mask)
        if mask.dtype != jnp.bool:
            raise TypeError(op.complaint(NAME, "mask", "booleans", mask.dtype))
        _expect_repeated("mask", mask, (b, n, t, s))
    scale = 1 / math.sqrt(max(h, 1)) if scale is None else scale
    scale = setting.expect_positive(NAME, "scale", scale)
    grid = tiles.expect_tiles(NAME, (b, t, s), n, window, causal, tile)
    of_queries = _attended(_laid_out(q, k, v, bias, mask, grid), scale, grid)
    m, a, y = (_by_time(x, q) for x in of_queries)
    y = y.astype(q.dtype)
    return y, Residual(q, k, v, bias, mask, y, m, a, scale, grid)


def _expect_shapes(q: jax.Array, k: jax.Array, v: jax.Array) -> None:
    op.expect_rank(NAME, "q", q, 4, 4)
    b, _, n, h = q.shape
    op.expect_shape(NAME, "k", k, (b, None, None, h), f"for q of shape {q.shape}")
    _, s, g, _ = k.shape
    if g < 1 or n % g:
        wanted = f"a number of heads that divides the {n} of q"
        raise ValueError(op.complaint(NAME, "k", wanted, f"shape {k.shape}"))
    op.expect_shape(NAME, "v", v, (b, s, g, None), f"for k of shape {k.shape}")


def _expect_repeated(argument: str, x: jax.Array, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless x has the shape, or sizes of 1 in it."""
    if x.ndim != 4 or any(size not in (1, full) for size, full in zip(x.shape, shape, strict=True)):
        wanted = f"shape {shape}, or sizes of 1 in it"
        raise ValueError(op.complaint(NAME, argument, wanted, x.shape))


class _Laid(NamedTuple):
    """The arguments by head, r = n/g queries a key; filled up where the last tile is not full."""

    q: Float[Array, "b g t r h"]
    k: Float[Array, "b g s h"]
    v: Float[Array, "b g s w"]
    bias: Float[Array, "_b _g _t _r _s"] | None
    mask: Bool[Array, "_b _g _t _r _s"] | None


def _laid_out(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None,
    mask: jax.Array | None,
    grid: Tiles,
) -> _Laid:
    g = k.shape[2]

    def of_scores(x: jax.Array | None) -> jax.Array | None:
        if x is None:
            return None
        b, n, t, s = x.shape
        groups = min(n, g)
        apart = x.reshape(b, groups, n // groups, t, s)
        return grid.padded(jnp.einsum("bgrts->bgtrs", apart), queries=AXIS, keys=4)

    return _Laid(
        grid.padded(_by_head(q, g), queries=AXIS),
        grid.padded(jnp.einsum("bsgh->bgsh", k), keys=AXIS),
        grid.padded(jnp.einsum("bsgw->bgsw", v), keys=AXIS),
        of_scores(bias),
        of_scores(mask),
    )


def _by_head(x: Float[Array, "b t n h"], groups: int) -> Float[Array, "b g t r h"]:
    """Return the groups of heads before the time."""
    b, t, n, h = x.shape
    return jnp.einsum("btgrh->bgtrh", x.reshape(b, t, groups, n // groups, h))


def _by_time(x: Float[Array, "b g _ r w"], q: Float[Array, "b t n h"]) -> Float[Array, "b t n w"]:
    """Return the time of the queries before the heads again."""
    b, t, n, _ = q.shape
    return jnp.einsum("bgtrw->btgrw", x[:, :, :t]).reshape(b, t, n, x.shape[-1])


def _rows(x: Float[Array, "b g t r h"]) -> Float[Array, "b g tr h"]:
    """Return a row for every query of the heads that have the same keys."""
    b, g, t, r, h = x.shape
    return x.reshape(b, g, t * r, h)


def _product(subscripts: str, a: jax.Array, b: jax.Array, dtype: Any) -> jax.Array:
    """Return a product of what is in the dtype, or rounded to it, in the dtype of sums."""
    return jnp.einsum(
        subscripts, a.astype(dtype), b.astype(dtype), preferred_element_type=op.wide_dtype(dtype)
    )


def _logits(laid: _Laid, place: jax.Array, scale: float, grid: Tiles) -> Float[Array, "b g tr s"]:
    """Return u of a tile, −∞ where a query does not see a key."""
    q, k = grid.cut(laid.q, place, queries=AXIS), grid.cut(laid.k, place, keys=AXIS)
    u = scale * _product("bgqh,bgsh->bgqs", _rows(q), k, q.dtype)
    by_query = (*q.shape[:-1], k.shape[AXIS])
    apart = u.reshape(by_query)
    if laid.bias is not None:
        bias = grid.cut(laid.bias, place, queries=AXIS, keys=4)
        apart = apart + jnp.broadcast_to(op.wide(bias), by_query)  # (1)
    if laid.mask is not None:
        apart = jnp.where(grid.cut(laid.mask, place, queries=AXIS, keys=4), apart, -jnp.inf)
    seen = grid.seen(place)
    if seen is not None:
        apart = jnp.where(seen[:, None], apart, -jnp.inf)
    return apart.reshape(u.shape)


def _attended(laid: _Laid, scale: float, grid: Tiles) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return m and a, (b, g, t, r, 1), and y, (b, g, t, r, w), in the dtype of sums."""
    dtype, rows = laid.q.dtype, laid.q.shape[:-1]
    wide = op.wide_dtype(dtype)

    def step(carry: tuple[jax.Array, ...], place: jax.Array) -> tuple[jax.Array, ...]:
        m, a, o = (_rows(grid.cut(x, place, queries=AXIS)) for x in carry)
        u, v = _logits(laid, place, scale, grid), grid.cut(laid.v, place, keys=AXIS)
        higher = jnp.maximum(m, u.max(-1, keepdims=True))
        e, less = jnp.exp(u - higher), jnp.exp(m - higher)
        a = less * a + e.sum(-1, keepdims=True)  # (3)
        o = less * o + _product("bgqs,bgsw->bgqw", e, v, dtype)  # (3)
        parts = zip(carry, (higher, a, o), strict=True)
        return tuple(grid.put(x, part, place, queries=AXIS) for x, part in parts)

    # Of a query that sees nothing m stays finite, so that e^(−∞ − m) is 0.
    lowest = jnp.full((*rows, 1), jnp.finfo(wide).min, wide)
    a, o = (jnp.zeros((*rows, size), wide) for size in (1, laid.v.shape[-1]))
    m, a, o = grid.over(step, (lowest, a, o))
    a = jnp.where(a == 0, 1, a)
    return m, a, o / a  # (2)


def backward(
    residual: Residual, dy: Float[Array, "b t n w"]
) -> tuple[
    Float[Array, "b t n h"],
    Float[Array, "b s g h"],
    Float[Array, "b s g w"],
    Float[Array, "_b _n _t _s"] | None,
    None,
]:
    """Return (dq, dk, dv, dbias, dmask); dbias is None without a bias, dmask always."""
    q, k, v, bias, y = residual.q, residual.k, residual.v, residual.bias, residual.y
    dtype, scale, grid, g = q.dtype, residual.scale, residual.tiles, k.shape[2]
    dy = op.expect_cotangent(NAME, dy, y.shape, dtype)
    laid = _laid_out(q, k, v, bias, residual.mask, grid)
    by_head = grid.padded(_by_head(dy, g), queries=AXIS)
    delta = (op.wide(dy) * op.wide(y)).sum(-1, keepdims=True)  # (4)
    # Of a query that only fills up a tile p is 0, as m is ∞.
    m, a = (
        grid.padded(_by_head(x, g), queries=AXIS, filler=jnp.inf)
        for x in (residual.maximum, residual.total)
    )
    of_queries = by_head, m, a, grid.padded(_by_head(delta, g), queries=AXIS)
    # XLA's CPU code takes the sum over queries fastest if its first factor has them last.
    q_last, dy_last = (op.again(jnp.einsum("bgtrh->bghtr", x)) for x in (laid.q, by_head))

    def step(carry: tuple[Any, ...], place: jax.Array) -> tuple[Any, ...]:
        dq, dk, dv, dbias = carry
        k_j, v_j = (grid.cut(x, place, keys=AXIS) for x in (laid.k, laid.v))
        dy_i, m, a, delta_i = (_rows(grid.cut(x, place, queries=AXIS)) for x in of_queries)
        p = jnp.exp(_logits(laid, place, scale, grid) - m) / a  # (2)
        du = p * (_product("bgqw,bgsw->bgqs", dy_i, v_j, dtype) - delta_i)  # (6)
        dy_last_i, q_last_i = (
            cut.reshape(*cut.shape[:3], p.shape[2])
            for cut in (grid.cut(x, place, queries=3) for x in (dy_last, q_last))
        )
        dv_j = _product("bgwq,bgqs->bgws", dy_last_i, p, dtype)  # (5)
        dq_i = _product("bgqs,bgsh->bgqh", du, k_j, dtype)  # (7)
        dk_j = _product("bghq,bgqs->bghs", q_last_i, du, dtype)  # (8)
        if dbias is not None:
            repeated = tuple(axis for axis, size in enumerate(dbias.shape) if size == 1)
            by_query = du.reshape(*du.shape[:2], -1, laid.q.shape[3], du.shape[3])
            part = by_query.sum(repeated)  # (9)
            dbias = grid.add(dbias, part, place, queries=AXIS, keys=4)
        return (
            grid.add(dq, dq_i, place, queries=AXIS),
            grid.add(dk, dk_j, place, keys=3),
            grid.add(dv, dv_j, place, keys=3),
            dbias,
        )

    like = laid.q, laid.k.mT, laid.v.mT, laid.bias
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, op.wide_dtype(x.dtype)), like)
    dq, dk, dv, dbias = grid.over(step, zeros)
    if bias is not None:
        t, s = bias.shape[2:]
        dbias = jnp.einsum("bgtrs->bgrts", dbias[:, :, :t, :, :s])
        dbias = dbias.reshape(bias.shape).astype(dtype)
    return (
        _by_time(scale * dq, q).astype(dtype),  # (7)
        *(
            jnp.einsum("bghs->bsgh", x[..., : k.shape[1]]).astype(dtype)
            for x in (scale * dk, dv)  # (8)
        ),
        dbias,
        None,
    )
