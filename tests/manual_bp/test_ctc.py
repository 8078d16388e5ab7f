"""Connectionist temporal classification: paths by hand, what is impossible, padding, bad input."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

from manual_bp import ctc

# A scan is compiled for each.
widest_and_narrowest = pytest.mark.parametrize("dtype", ["float64", "float16"])


def pull(*args: Any, blank: int = 0) -> tuple[jax.Array, jax.Array]:
    """Return the losses of the samples and dlogits for dL = 1."""
    loss, residual = ctc.forward(*args, blank=blank, reduction="none")
    dlogits, *others = ctc.backward(residual, jnp.ones_like(loss))
    assert others == [None] * 3
    return loss, dlogits


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape))


@given(data=st.data())
def test_any_shape_and_dtype(data: st.DataObject) -> None:
    case = cases_of("ctc")[0]
    check_drawn(case, *data.draw(drawn(case)))


def reduced(path: tuple[int, ...], blank: int) -> list[int]:
    """Return the labels of a path: its repeats are dropped, then its blanks."""
    return [k for k, _ in itertools.groupby(path) if k != blank]


@pytest.mark.parametrize("blank", [0, 2])
def test_the_loss_counts_every_path(blank: int) -> None:
    logits = normal(4, 3)
    p = np.exp(np.float64(logits))
    p /= p.sum(-1, keepdims=True)
    one, other = (k for k in range(3) if k != blank)
    for labels in ([], [one], [one, other], [one, one], [one, other, one]):
        paths = itertools.product(range(3), repeat=4)
        wanted = sum(
            np.prod(p[np.arange(4), path]) for path in paths if reduced(path, blank) == labels
        )
        padded = jnp.asarray((labels + [other] * 3)[:3])
        length = jnp.asarray(len(labels))
        loss, _ = pull(logits, padded, None, length, blank=blank)
        np.testing.assert_allclose(loss, -np.log(wanted), rtol=1e-12)


def test_optax_agrees() -> None:
    logits = normal(3, 6, 4)
    labels = jnp.asarray([[1, 1, 2], [3, 1, 0], [2, 0, 0]])
    T, L = jnp.asarray([6, 4, 5]), jnp.asarray([3, 2, 1])

    def theirs(logits: jax.Array) -> jax.Array:
        beyond = [
            (jnp.arange(n)[None] >= lengths[:, None]).astype(float)
            for n, lengths in ((6, T), (3, L))
        ]
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return optax.ctc_loss(logits, beyond[0], labels, beyond[1])

    loss, dlogits = pull(logits, labels, T, L)
    np.testing.assert_allclose(loss, theirs(logits), rtol=1e-9)
    wanted = jax.grad(lambda logits: theirs(logits).sum())(logits)
    np.testing.assert_allclose(dlogits, wanted, rtol=1e-9, atol=1e-9)


def test_one_step_and_one_label_are_the_softmax_cross_entropy_of_that_label() -> None:
    logits = normal(3, 1, 4)
    labels = jnp.asarray([[1], [3], [2]])
    loss, dlogits = pull(logits, labels)
    log_p = np.float64(jax.nn.log_softmax(logits[:, 0]))
    np.testing.assert_allclose(loss, -log_p[np.arange(3), labels[:, 0]], rtol=1e-12)
    wanted = np.exp(log_p) - np.eye(4)[np.asarray(labels[:, 0])]
    np.testing.assert_allclose(dlogits[:, 0], wanted, rtol=1e-12)


@widest_and_narrowest
def test_labels_without_a_path_lose_everything_and_pull_nothing(dtype: str) -> None:
    logits = normal(4, 3, 3).astype(dtype)
    # Too many labels, no room for the blank between equal ones, no step; the last has a path.
    labels = jnp.asarray([[1, 2, 1, 2], [1, 1, 2, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    T, L = jnp.asarray([3, 3, 0, 3]), jnp.asarray([4, 3, 1, 2])
    loss, dlogits = pull(logits, labels, T, L)
    assert jnp.isinf(loss).tolist() == [True, True, True, False]
    assert not dlogits[:3].any()
    assert dlogits[3].all()


def test_nothing_said_in_no_time_costs_nothing() -> None:
    nothing = jnp.zeros(2, jnp.int32)
    loss, dlogits = pull(normal(2, 3, 4), jnp.ones((2, 1), int), nothing, nothing)
    assert loss.tolist() == [0, 0]
    assert not dlogits.any()
    loss, dlogits = pull(jnp.zeros((2, 0, 4)), jnp.zeros((2, 0), int))
    assert loss.tolist() == [0, 0]
    assert dlogits.shape == (2, 0, 4)


def test_no_labels_want_blanks_alone() -> None:
    logits = normal(2, 3, 4)
    loss, dlogits = pull(logits, jnp.zeros((2, 0), int), None, None, blank=3)
    log_p = jax.nn.log_softmax(logits)
    np.testing.assert_allclose(loss, -log_p[..., 3].sum(-1), rtol=1e-12)
    wanted = np.exp(np.float64(log_p)) - np.eye(4)[3]
    np.testing.assert_allclose(dlogits, wanted, rtol=1e-11)


def test_padding_may_hold_anything() -> None:
    logits, T, L = normal(2, 4, 3), jnp.asarray([4, 2]), jnp.asarray([2, 1])
    results = []
    for label, logit in ((2, 1.5), (0, 0.0), (-1, 1e4), (99, -jnp.inf)):
        labels = jnp.asarray([[1, 2, label], [2, label, label]])
        results.append(pull(logits.at[1, 2:].set(logit), labels, T, L))
    for loss, dlogits in results:
        np.testing.assert_array_equal(loss, results[0][0])
        np.testing.assert_array_equal(dlogits, results[0][1])
    assert not results[0][1][1, 2:].any()


@widest_and_narrowest
def test_extreme_logits(dtype: str) -> None:
    u = jnp.asarray([[1e4, -1e4, 0], [-1e4, 1e4, 0], [1e4, -1e4, 0]], dtype)
    far = np.float64(u[0, 0])
    loss, dlogits = pull(jnp.stack([u, u]), jnp.asarray([[1], [2]]))
    # The second sample has to say 2 once, and does so where the blank would cost the most.
    np.testing.assert_array_equal(np.float64(loss), [0, far])
    np.testing.assert_array_equal(np.float64(dlogits[0]), np.zeros((3, 3)))
    np.testing.assert_array_equal(np.float64(dlogits[1]), [[0, 0, 0], [0, 1, -1], [0, 0, 0]])


def test_a_narrow_dtype_of_labels_may_not_count_the_classes() -> None:
    logits = normal(1, 2, 200)
    loss, dlogits = pull(logits, jnp.asarray([[5]], jnp.int8), None, jnp.asarray([1], jnp.uint8))
    wanted, wanted_dlogits = pull(logits, jnp.asarray([[5]]))
    np.testing.assert_array_equal(loss, wanted)
    np.testing.assert_array_equal(dlogits, wanted_dlogits)


def test_what_is_out_of_range_under_jit_is_nan_for_its_sample_alone() -> None:
    logits = normal(6, 3, 4)
    labels = jnp.asarray([[1, 2], [0, 2], [4, 2], [1, -1], [1, 2], [1, 2]])
    T, L = jnp.asarray([3, 3, 3, 3, 4, 3]), jnp.asarray([2, 2, 2, 2, 2, -1])
    loss, dlogits = jax.jit(pull)(logits, labels, T, L)
    assert jnp.isnan(loss).tolist() == [False, True, True, True, True, True]
    assert jnp.isnan(dlogits).all((-1, -2)).tolist() == [False, True, True, True, True, True]
    assert not jnp.isnan(dlogits[0]).any()
    wanted, wanted_dlogits = pull(logits[:1], labels[:1])
    np.testing.assert_allclose(loss[:1], wanted, rtol=1e-13)
    np.testing.assert_allclose(dlogits[:1], wanted_dlogits, rtol=1e-12)


def test_the_reductions() -> None:
    logits, labels = normal(2, 3, 4, 3), jnp.ones((2, 3, 2), int)
    losses, ones = pull(logits, labels)
    assert losses.shape == (2, 3)
    for reduction, value, factor in (("sum", losses.sum(), 1.0), ("mean", losses.mean(), 6.0)):
        loss, residual = ctc.forward(logits, labels, reduction=reduction)
        np.testing.assert_allclose(loss, value, rtol=1e-14)
        np.testing.assert_allclose(ctc.backward(residual, jnp.asarray(factor))[0], ones, rtol=1e-13)


def complaint(kind: type[Exception], *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        ctc.forward(*args, **keywords)
    return str(caught.value)


def test_bad_sequences_are_refused(without_annotations: None) -> None:
    u, labels = jnp.ones((2, 5, 4)), jnp.ones((2, 3), int)
    assert complaint(TypeError, jnp.ones((2, 5, 4), int), labels) == (
        "ctc: logits: expected a floating dtype, got int64"
    )
    assert complaint(ValueError, jnp.ones(4), labels) == (
        "ctc: logits: expected rank 2 or more, got shape (4,)"
    )
    assert complaint(ValueError, u, jnp.ones((3, 3), int)) == (
        "ctc: labels: expected shape (2, _) for logits of shape (2, 5, 4), got (3, 3)"
    )
    assert complaint(TypeError, u, jnp.ones((2, 3))) == (
        "ctc: labels: expected an integer dtype, got float64"
    )
    assert complaint(ValueError, u, labels.at[1, 2].set(4)) == (
        "ctc: labels: expected 0 … 3, got 4"
    )
    assert complaint(ValueError, u, labels.at[1, 2].set(2), blank=2) == (
        "ctc: labels: expected labels other than the blank, got 2"
    )
    assert complaint(ValueError, u, labels, blank=4) == "ctc: blank: expected 0 … 3, got 4"
    assert complaint(ValueError, u[:0], labels[:0]) == (
        "ctc: batch: expected at least one sample for reduction='mean', got batch shape (0,)"
    )
    assert complaint(ValueError, u, labels, reduction="average") == (
        "ctc: reduction: expected one of 'mean', 'sum', 'none', got 'average'"
    )


def test_bad_lengths_are_refused(without_annotations: None) -> None:
    u, labels = jnp.ones((2, 5, 4)), jnp.ones((2, 3), int)
    assert complaint(ValueError, u, labels, jnp.asarray([5, 6])) == (
        "ctc: logit_lengths: expected 0 … 5, got 6"
    )
    assert complaint(ValueError, u, labels, None, jnp.asarray([-1, 3])) == (
        "ctc: label_lengths: expected 0 … 3, got -1"
    )
    assert complaint(ValueError, u, labels, jnp.asarray([5, 5, 5])) == (
        "ctc: logit_lengths: expected shape (2,) of the batch, got (3,)"
    )
    assert complaint(TypeError, u, labels, None, jnp.ones(2)) == (
        "ctc: label_lengths: expected an integer dtype, got float64"
    )


def test_a_bad_cotangent_is_refused(without_annotations: None) -> None:
    loss, residual = ctc.forward(jnp.ones((2, 5, 4)), jnp.ones((2, 3), int), reduction="none")
    for kind, dy, wanted in (
        (ValueError, jnp.ones(3), "shape (2,) of y, got (3,)"),
        (TypeError, loss.astype(jnp.float32), "float64, the dtype of y, got float32"),
    ):
        with pytest.raises(kind) as caught:
            ctc.backward(residual, dy)
        assert str(caught.value) == f"ctc: dy: expected {wanted}"
