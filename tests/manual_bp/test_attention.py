"""Attention: any shape, equalities between settings, extremes, memory, bad input."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st
from refusing import message

import manual_bp
from manual_bp.attention import tiles

OP = manual_bp.dot_product_attention
B, T, S, N, G, H, W = 2, 5, 7, 4, 2, 3, 2


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def heads(b: int = B, t: int = T, s: int = S, g: int = G) -> tuple[jax.Array, ...]:
    """Return queries, keys and values."""
    return random(b, t, N, H), random(b, s, g, H, seed=1), random(b, s, g, W, seed=2)


def pull(*args: Any, dy: Any = None, **settings: Any) -> tuple[Any, ...]:
    """Return the output and the cotangents, for a random dy by default."""

    @jax.jit
    def both(*args: Any) -> tuple[Any, ...]:
        y, residual = OP.forward(*args, **settings)
        return y, *OP.backward(residual, random(*y.shape, seed=9) if dy is None else dy)

    return both(*args)


def assert_same(came: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    for one, other in zip(came, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@given(data=st.data())
def test_any_shape_and_dtype(data: st.DataObject) -> None:
    (case, *_) = cases_of("dot_product_attention")
    check_drawn(case, *data.draw(drawn(case)))


@pytest.mark.parametrize("settings", [{}, {"causal": True}, {"window": (1, 2)}])
@pytest.mark.parametrize("tile", [(1, 1, 1), (2, 2, 3), (1, 5, 4), (9, 9, 9)])
def test_tiles_change_nothing(tile: tuple[int, int, int], settings: dict[str, Any]) -> None:
    bias, mask = random(1, N, T, S, seed=3), random(B, 1, T, S, seed=4) < 0.5
    args = *heads(), bias, mask
    assert_same(pull(*args, tile=tile, **settings), pull(*args, **settings))


@pytest.mark.parametrize("length", [1, 3, 512, 513, 1000, 1537])
def test_of_long_sequences_few_places_are_added(length: int) -> None:
    grid = tiles.expect_tiles("op", (6, length, length + 1), 4, (None, None), False, None)
    samples, queries, keys = grid.size
    assert 6 % samples == 0
    assert max(queries, keys) <= tiles.SIDE
    assert samples == 1 or samples * 4 * queries * keys <= tiles.ENTRIES
    for whole, side, filled in zip((length, length + 1), (queries, keys), grid.filled, strict=True):
        count = -(-whole // tiles.SIDE)
        assert filled == count * side
        assert 0 <= filled - whole < count


def test_few_scores_are_taken_at_once_and_many_sample_by_sample() -> None:
    few, many = (
        tiles.expect_tiles("op", (8, length, length), 8, (None, None), False, None)
        for length in (16, 512)
    )
    assert (few.size[0], many.size[0]) == (8, 1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [(None, None), (None, 0), (2, 1), (0, 0), (3, None)])
def test_the_tiles_that_are_visited_are_those_with_a_pair_that_sees_each_other(
    window: tuple[int | None, int | None], causal: bool
) -> None:
    t, s = 11, 8
    grid = tiles.expect_tiles("op", (2, t, s), 1, window, causal, (1, 3, 2))
    left, right = (t + s if bound is None else bound for bound in window)
    right = 0 if causal else right
    assert grid.size == (1, 3, 2)
    assert grid.filled == (12, 8)
    assert list(grid.places) == sorted(
        {
            (b, i // 3, j // 2)
            for b, i, j in itertools.product(range(2), range(12), range(s))
            if i - left <= j <= i + right
        }
    )


def test_causal_is_a_mask() -> None:
    mask = jnp.tril(jnp.ones((1, 1, T, S), bool))
    assert_same(pull(*heads(), causal=True), pull(*heads(), None, mask))


def test_a_window_is_a_mask() -> None:
    ahead = jnp.arange(S)[None] - jnp.arange(T)[:, None]
    mask = ((ahead >= -1) & (ahead <= 2))[None, None]
    assert_same(pull(*heads(), window=(1, 2)), pull(*heads(), None, mask))
    assert_same(pull(*heads(), window=(1, 2), causal=True), pull(*heads(), window=(1, 0)))
    assert_same(pull(*heads(), window=(T, S)), pull(*heads()))


def test_a_causal_query_depends_on_no_later_key() -> None:
    args = heads(t=S)
    y, dq, *_ = pull(*args, causal=True)
    dy = random(*y.shape, seed=9).at[:, 4:].set(0)
    _, dq_of_first, dk, dv, *_ = pull(*args, causal=True, dy=dy)
    cut = tuple(x[:, :4] for x in args)
    y_of_cut, *of_cut, _, _ = pull(*cut, causal=True, dy=dy[:, :4])
    np.testing.assert_allclose(y[:, :4], y_of_cut, rtol=1e-13)
    for whole, part in zip((dq_of_first, dk, dv), of_cut, strict=True):
        np.testing.assert_allclose(whole[:, :4], part, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(whole[:, 4:], 0)
    np.testing.assert_allclose(dq[:, :4], dq_of_first[:, :4], rtol=1e-12, atol=1e-14)


def test_a_mask_is_a_bias_of_minus_infinity() -> None:
    mask = random(B, N, T, S, seed=4) < 0.6
    bias = jnp.where(mask, 0.0, -jnp.inf)
    *by_mask, _, _ = pull(*heads(), None, mask)
    *by_bias, dbias, _ = pull(*heads(), bias)
    assert_same(tuple(by_mask), tuple(by_bias))
    np.testing.assert_array_equal(jnp.where(mask, 0, dbias), 0)


def test_shared_keys_are_keys_repeated() -> None:
    q, k, v = heads()
    y, dq, dk, dv, *_ = pull(q, k, v)
    repeated = (jnp.repeat(x, N // G, axis=2) for x in (k, v))
    wanted, dq_wanted, *rest = pull(q, *repeated)
    summed = (x.reshape(B, S, G, N // G, -1).sum(3) for x in rest[:2])
    assert_same((y, dq, dk, dv), (wanted, dq_wanted, *summed))


def test_a_bias_that_is_the_same_for_all_keys_changes_nothing() -> None:
    y, *gradients, dbias, _ = pull(*heads(), random(B, N, T, 1, seed=3))
    wanted, *gradients_wanted, _, _ = pull(*heads())
    assert_same((y, *gradients), (wanted, *gradients_wanted))
    np.testing.assert_allclose(dbias, jnp.zeros((B, N, T, 1)), atol=1e-14)


def test_the_order_of_keys_does_not_matter() -> None:
    q, k, v = heads()
    order = np.random.default_rng(5).permutation(S)
    y, dq, dk, dv, *_ = pull(q, k, v)
    came = pull(q, k[:, order], v[:, order])
    assert_same(came[:4], (y, dq, dk[:, order], dv[:, order]))


@pytest.mark.parametrize("tile", [None, (1, 2, 2)])
def test_a_query_that_sees_nothing_is_zero_and_has_no_gradient(tile: Any) -> None:
    mask = (random(B, N, T, S, seed=4) < 0.6).at[:, :, 2].set(False)
    q, k, v = heads()
    y, dq, dk, dv, _, _ = pull(q, k, v, None, mask, tile=tile)
    np.testing.assert_array_equal(y[:, 2], 0)
    np.testing.assert_array_equal(dq[:, 2], 0)
    # It owes nothing to the keys either.
    dy = random(*y.shape, seed=9)
    others = np.delete(np.arange(T), 2)
    rest = pull(q[:, others], k, v, None, mask[:, :, others], tile=tile, dy=dy[:, others])
    assert_same((y[:, others], dk, dv), (rest[0], *rest[2:4]))


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_are_finite(size: float) -> None:
    q, k, v = heads()
    bias = size * jnp.sign(random(B, N, T, S, seed=3))
    for came in pull(q, k, v, bias, tile=(1, 2, 2))[:5]:
        assert jnp.isfinite(came).all()


def test_a_single_key_is_copied() -> None:
    q, k, v = heads(s=1)
    y, dq, dk, dv, *_ = pull(q, k, v)
    np.testing.assert_array_equal(y, jnp.repeat(jnp.broadcast_to(v, (B, T, G, W)), N // G, axis=2))
    np.testing.assert_allclose(dq, jnp.zeros_like(q), atol=1e-15)
    np.testing.assert_allclose(dk, jnp.zeros_like(k), atol=1e-15)
    dy = random(*y.shape, seed=9).reshape(B, T, G, N // G, W)
    np.testing.assert_allclose(dv, dy.sum((1, 3))[:, None], rtol=1e-13)


def test_no_array_of_all_queries_times_all_keys_is_kept_or_formed() -> None:
    """Of four times as long sequences the temporary memory is four times as large, not sixteen."""

    def temporary_bytes(t: int) -> int:
        def both(*args: Any) -> Any:
            y, residual = OP.forward(*args, tile=(1, 64, 64), causal=True)
            return y, OP.backward(residual, y)

        shapes = [jax.ShapeDtypeStruct((1, t, 2, 16), jnp.float32)] * 3
        return int(jax.jit(both).lower(*shapes).compile().memory_analysis().temp_size_in_bytes)

    small, large = temporary_bytes(512), temporary_bytes(2048)
    assert large < 4.5 * small
    assert large < 4 * 2 * 2048**2


def test_the_residual_holds_nothing_of_all_queries_times_all_keys() -> None:
    _, residual = OP.forward(*(jnp.ones((1, 300, 2, 4)),) * 3)
    assert max(leaf.size for leaf in jax.tree.leaves(residual)) == 300 * 2 * 4


Q, K, V = heads()
BAD: tuple[tuple[type[Exception], tuple[Any, ...], dict[str, Any], str], ...] = (
    (TypeError, (Q.astype(int), K, V), {}, "q: expected a floating dtype, got int64"),
    (TypeError, (Q, K.astype("f4"), V), {}, "k: expected float64, the dtype of q, got float32"),
    (ValueError, (Q[0], K, V), {}, "q: expected rank 4, got shape (5, 4, 3)"),
    (
        ValueError,
        (Q, K[:1], V),
        {},
        "k: expected shape (2, _, _, 3) for q of shape (2, 5, 4, 3), got (1, 7, 2, 3)",
    ),
    (
        ValueError,
        (Q, K[:, :, :0], V),
        {},
        "k: expected a number of heads that divides the 4 of q, got shape (2, 7, 0, 3)",
    ),
    (
        ValueError,
        (Q[:, :, :3], K, V),
        {},
        "k: expected a number of heads that divides the 3 of q, got shape (2, 7, 2, 3)",
    ),
    (
        ValueError,
        (Q, K, V[:, :3]),
        {},
        "v: expected shape (2, 7, 2, _) for k of shape (2, 7, 2, 3), got (2, 3, 2, 2)",
    ),
    (
        ValueError,
        (Q, K, V, jnp.ones((2, 4, 5))),
        {},
        "bias: expected shape (2, 4, 5, 7), or sizes of 1 in it, got (2, 4, 5)",
    ),
    (
        ValueError,
        (Q, K, V, None, jnp.ones((2, 2, 5, 7), bool)),
        {},
        "mask: expected shape (2, 4, 5, 7), or sizes of 1 in it, got (2, 2, 5, 7)",
    ),
    (
        TypeError,
        (Q, K, V, jnp.ones((2, 4, 5, 7), int)),
        {},
        "bias: expected a floating dtype, got int64",
    ),
    (
        TypeError,
        (Q, K, V, None, jnp.ones((2, 4, 5, 7))),
        {},
        "mask: expected booleans, got float64",
    ),
    (ValueError, (Q, K, V), {"scale": 0.0}, "scale: expected a finite number above 0, got 0.0"),
    (
        ValueError,
        (Q, K, V),
        {"window": (1, -1)},
        "window: expected two numbers of keys, each 0 or more or None, got (1, -1)",
    ),
    (
        ValueError,
        (Q, K, V),
        {"window": (1,)},
        "window: expected two numbers of keys, each 0 or more or None, got (1,)",
    ),
    (
        ValueError,
        (Q, K, V),
        {"tile": (1, 0, 2)},
        "tile: expected three numbers, of samples, queries and keys, each 1 or more, got (1, 0, 2)",
    ),
    (
        ValueError,
        (Q, K, V),
        {"tile": (8, 8)},
        "tile: expected three numbers, of samples, queries and keys, each 1 or more, got (8, 8)",
    ),
)


@pytest.mark.parametrize(
    ("error", "args", "settings", "complaint"), BAD, ids=[row[-1][:30] for row in BAD]
)
def test_bad_input_is_named(
    error: type[Exception],
    args: tuple[Any, ...],
    settings: dict[str, Any],
    complaint: str,
    without_annotations: None,
) -> None:
    assert message(error, OP.forward, *args, **settings) == f"dot_product_attention: {complaint}"


def test_a_cotangent_that_does_not_fit_is_named(without_annotations: None) -> None:
    _, residual = OP.forward(Q, K, V)
    with pytest.raises(ValueError, match=r"dot_product_attention: dy: expected shape \(2, 5, 4, 2"):
        OP.backward(residual, Q)
