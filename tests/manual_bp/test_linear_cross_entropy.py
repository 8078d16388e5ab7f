"""The cross-entropy of an affine map: equal to the two ops, in any block; memory, bad input."""

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

OP = manual_bp.linear_cross_entropy
X, W, B = (
    jnp.asarray(np.random.default_rng(seed).standard_normal(shape))
    for seed, shape in enumerate([(2, 5, 3), (3, 4), (4,)])
)
LABELS = jnp.asarray(np.random.default_rng(3).integers(0, 4, (2, 5)))
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"reduction": "sum"},
    {"ignored_label": 2},
    {"ignored_label": 2, "reduction": "sum", "label_smoothing": 0.3},
    {"class_weights": (0.5, 2.0, 1.0, 0.0)},
)


def pull(*args: Any, dy: float = -1.7, **settings: Any) -> tuple[Any, ...]:
    """Return the loss and the cotangents of x, W and b."""

    @jax.jit
    def both(*args: Any) -> tuple[Any, ...]:
        loss, residual = OP.forward(*args, LABELS, **settings)
        return loss, *OP.backward(residual, jnp.asarray(dy, loss.dtype))

    *came, none = both(*args)
    assert none is None
    return tuple(came)


def by_two_ops(*args: Any, dy: float = -1.7, **settings: Any) -> tuple[Any, ...]:
    u, of_u = manual_bp.linear.forward(*args)
    loss, of_loss = manual_bp.softmax_cross_entropy.forward(u, LABELS, **settings)
    du, _ = manual_bp.softmax_cross_entropy.backward(of_loss, jnp.asarray(dy))
    return loss, *manual_bp.linear.backward(of_u, du)


@given(data=st.data())
def test_any_shape_and_dtype(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of("linear_cross_entropy")[:2]))
    sizes, options, dtype, seed = data.draw(drawn(case))
    # Of no class there is no label.
    check_drawn(case, {**sizes, "v": sizes["v"] + 1}, options, dtype, seed)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("block", [None, 1, 3, 10, 99])
@pytest.mark.parametrize("bias", [B, None], ids=["bias", "no bias"])
def test_it_is_the_two_ops(bias: Any, block: int | None, settings: dict[str, Any]) -> None:
    came = pull(X, W, bias, block=block, **settings)
    wanted = by_two_ops(X, W, bias, **settings)
    for one, other in zip(came, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_no_sample_that_counts_is_a_loss_of_zero() -> None:
    labels = jnp.full((2, 5), -1)
    loss, residual = OP.forward(X, W, B, labels, ignored_label=-1)
    assert loss == 0
    for gradient in OP.backward(residual, jnp.ones(()))[:3]:
        np.testing.assert_array_equal(gradient, 0)


def test_a_label_that_is_no_class_makes_all_of_it_nan_under_jit() -> None:
    loss, residual = jax.jit(lambda *args: OP.forward(*args, block=2))(X, W, B, LABELS + 1)
    assert jnp.isnan(loss)
    dx, *_ = OP.backward(residual, jnp.ones(()))
    np.testing.assert_array_equal(jnp.isnan(dx).all(-1), LABELS == 3)


def test_float16_keeps_gradients_that_a_loss_scale_is_to_save() -> None:
    """The mean's gradients are below what float16 holds; those of the scaled loss are not."""
    samples = 2**14
    x, W16, b = jnp.ones((samples, 1), "f2"), jnp.zeros((1, 2**11), "f2"), jnp.zeros(2**11, "f2")
    labels, scale = jnp.zeros(samples, int), 2.0**10
    _, residual = OP.forward(x, W16, b, labels)
    dx, _, db, _ = OP.backward(residual, jnp.asarray(scale, "f2"))
    np.testing.assert_array_equal(dx, 0)
    wanted = np.full(2**11, scale / 2**11)
    wanted[0] -= scale
    np.testing.assert_allclose(np.asarray(db, float), wanted, rtol=1e-3)


def test_the_logits_of_one_block_alone_are_formed() -> None:
    samples, classes = 256, 1024

    def temporary_bytes(block: int) -> int:
        def both(*args: Any) -> Any:
            loss, residual = OP.forward(*args, block=block)
            return loss, OP.backward(residual, loss)

        shapes = [
            jax.ShapeDtypeStruct(shape, dtype)
            for shape, dtype in (
                ((samples, 4), jnp.float32),
                ((4, classes), jnp.float32),
                ((classes,), jnp.float32),
                ((samples,), jnp.int32),
            )
        ]
        return int(jax.jit(both).lower(*shapes).compile().memory_analysis().temp_size_in_bytes)

    assert temporary_bytes(samples) > 4 * samples * classes
    assert temporary_bytes(16) < 4 * samples * classes / 2


def test_the_residual_holds_no_logits() -> None:
    _, residual = OP.forward(jnp.ones((50, 2)), jnp.ones((2, 30)), None, jnp.zeros(50, int))
    assert max(leaf.size for leaf in jax.tree.leaves(residual)) == 100


BAD: tuple[tuple[type[Exception], tuple[Any, ...], dict[str, Any], str], ...] = (
    (TypeError, (X.astype(int), W, B, LABELS), {}, "x: expected a floating dtype, got int64"),
    (
        TypeError,
        (X, W.astype("f4"), B, LABELS),
        {},
        "W: expected float64, the dtype of x, got float32",
    ),
    (ValueError, (X[0, 0, 0], W, B, LABELS), {}, "x: expected rank 1 or more, got shape ()"),
    (
        ValueError,
        (X, W.T, B, LABELS),
        {},
        "W: expected shape (3, _) for x of shape (2, 5, 3), got (4, 3)",
    ),
    (
        ValueError,
        (X, W, B[:3], LABELS),
        {},
        "b: expected shape (4,) for W of shape (3, 4), got (3,)",
    ),
    (
        TypeError,
        (X, W, B, LABELS.astype(float)),
        {},
        "labels: expected an integer dtype, got float64",
    ),
    (
        ValueError,
        (X, W, B, LABELS[0]),
        {},
        "labels: expected shape (2, 5) for integer labels, got (5,)",
    ),
    (ValueError, (X, W, B, LABELS + 1), {}, "labels: expected 0 … 3, got 4"),
    (
        ValueError,
        (X, W, B, LABELS),
        {"reduction": "none"},
        "reduction: expected one of 'mean', 'sum', got 'none'",
    ),
    (
        ValueError,
        (X[:0], W, B, LABELS[:0]),
        {},
        "batch: expected at least one sample for reduction='mean', got batch shape (0, 5)",
    ),
    (ValueError, (X, W, B, LABELS), {"block": 0}, "block: expected at least 1 sample, got 0"),
    (
        ValueError,
        (X, W, B, LABELS),
        {"class_weights": (1.0,)},
        "class_weights: expected 4 numbers, one for each class, got (1.0,)",
    ),
    (
        ValueError,
        (X, W, B, LABELS),
        {"label_smoothing": 1.5},
        "label_smoothing: expected a number from 0 to 1, got 1.5",
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
    assert message(error, OP.forward, *args, **settings) == f"linear_cross_entropy: {complaint}"


def test_a_cotangent_that_is_no_number_is_named(without_annotations: None) -> None:
    _, residual = OP.forward(X, W, B, LABELS)
    with pytest.raises(ValueError, match=r"linear_cross_entropy: dy: expected shape \(\) of y"):
        OP.backward(residual, jnp.ones(2))


@pytest.mark.parametrize("block", [1, 2, 3, None])
def test_what_fills_a_block_up_costs_nothing_even_where_its_class_is_impossible(
    block: int | None,
) -> None:
    b = jnp.asarray([-jnp.inf, 0, 0])
    loss, residual = OP.forward(
        jnp.ones((3, 1)), jnp.zeros((1, 3)), b, jnp.asarray([1, 2, 1]), block=block
    )
    assert float(loss) == pytest.approx(np.log(2))
    dx, dW, db, _ = OP.backward(residual, jnp.ones_like(loss))
    assert all(np.isfinite(leaf).all() for leaf in (dx, dW, db))
