"""Losses: any shape, reductions, extreme logits, tiny gradients, labels, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import DTYPES, cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from jax_ref import cases

NAMES = (
    "squared_error",
    "binary_cross_entropy",
    "binary_cross_entropy_on_probabilities",
    "softmax_cross_entropy",
    "softmax_squared_error",
    "absolute_error",
    "huber",
    "hinge",
    "kl_divergence",
    "cosine",
    "focal",
)
OTHERS = ("negative_log_likelihood", "multiclass_hinge", "triplet", "contrastive")
FIRST = {
    "squared_error": ("prediction", "target"),
    "binary_cross_entropy": ("logits", "targets"),
    "binary_cross_entropy_on_probabilities": ("probabilities", "targets"),
    "softmax_cross_entropy": ("logits", "labels"),
    "softmax_squared_error": ("logits", "target"),
    "absolute_error": ("prediction", "target"),
    "huber": ("prediction", "target"),
    "hinge": ("scores", "targets"),
    "kl_divergence": ("log_q", "p"),
    "cosine": ("prediction", "target"),
    "focal": ("logits", "targets"),
}
every_loss = pytest.mark.parametrize("name", NAMES)
every_other = pytest.mark.parametrize("name", OTHERS)
of_labels = pytest.mark.parametrize("name", OTHERS[:2])
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def pull(name: str, *args: Any, reduction: str = "none") -> tuple[Any, ...]:
    """Return the loss and the cotangents of all arguments for dL = 1."""
    loss = getattr(manual_bp, name)
    y, residual = loss.forward(*args, reduction=reduction)
    return y, *loss.backward(residual, jnp.ones_like(y))


@pytest.mark.parametrize("case", cases_of(*NAMES, *OTHERS), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape_and_dtype(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


@every_loss
def test_the_three_reductions_are_one_loss(name: str) -> None:
    rng = np.random.default_rng(0)
    args = tuple(jnp.asarray(rng.uniform(0.1, 0.9, (2, 3, 4))) for _ in range(2))
    none, sums, means = (pull(name, *args, reduction=r) for r in ("none", "sum", "mean"))
    assert (none[0].shape, sums[0].shape, means[0].shape) == ((2, 3), (), ())
    np.testing.assert_allclose(sums[0], none[0].sum(), rtol=1e-14)
    np.testing.assert_allclose(means[0], none[0].mean(), rtol=1e-14)
    for each, summed, averaged in zip(none[1:], sums[1:], means[1:], strict=True):
        np.testing.assert_array_equal(summed, each)
        np.testing.assert_allclose(averaged, each / 6, rtol=1e-14)


@every_loss
def test_the_upstream_cotangent_of_each_sample_scales_its_own_gradient(name: str) -> None:
    rng = np.random.default_rng(0)
    args = tuple(jnp.asarray(rng.uniform(0.1, 0.9, (3, 4))) for _ in range(2))
    loss = getattr(manual_bp, name)
    y, residual = loss.forward(*args, reduction="none")
    dl = jnp.asarray([2.0, -0.5, 0.0])
    plain, scaled = loss.backward(residual, jnp.ones_like(y)), loss.backward(residual, dl)
    for one, by_dl in zip(plain, scaled, strict=True):
        np.testing.assert_allclose(by_dl, one * dl[:, None], rtol=1e-14)


def good(name: str, *batch: int) -> tuple[jax.Array, ...]:
    """Return arguments of a loss that does not take a pair of one shape."""
    rng = np.random.default_rng(0)
    points = tuple(jnp.asarray(rng.uniform(0.1, 0.9, (*batch, 4))) for _ in range(3))
    if name == "triplet":
        return points
    if name == "contrastive":
        return (*points[:2], jnp.asarray(rng.uniform(0.1, 0.9, batch)))
    return points[0], jnp.asarray(rng.integers(0, 4, batch))


@every_other
def test_the_other_losses_are_reduced_and_scaled_by_the_cotangent_alike(name: str) -> None:
    loss, args = getattr(manual_bp, name), good(name, 2, 3)
    y, residual = loss.forward(*args, reduction="none")
    assert y.shape == (2, 3)
    dl = jnp.asarray([[2.0, -0.5, 0.0], [1.0, -1.0, 0.25]])
    ones, scaled = loss.backward(residual, jnp.ones_like(y)), loss.backward(residual, dl)
    for reduction, value, factor in (("sum", y.sum(), 1.0), ("mean", y.mean(), 6.0)):
        reduced, residual = loss.forward(*args, reduction=reduction)
        np.testing.assert_allclose(reduced, value, rtol=1e-14)
        for one, of_all in zip(ones, loss.backward(residual, jnp.ones(())), strict=True):
            if one is not None:
                np.testing.assert_allclose(of_all * factor, one, rtol=1e-14)
    for one, by_dl in zip(ones, scaled, strict=True):
        if one is not None:
            each = dl.reshape(2, 3, *(1,) * (one.ndim - 2))
            np.testing.assert_allclose(by_dl, one * jnp.broadcast_to(each, one.shape), rtol=1e-14)


Z = (1e4, -1e4, 1e4, -1e4, 0.0)
T = (1.0, 0.0, 0.0, 1.0, 0.5)


@every_dtype
def test_binary_cross_entropy_of_extreme_logits(dtype: str) -> None:
    z, t = (jnp.asarray(values, dtype)[:, None] for values in (Z, T))
    loss, dlogits, dtargets = pull("binary_cross_entropy", z, t)
    at = np.float64(z[0, 0])
    ulp = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.float64(loss), [0, 0, at, at, np.log(2)], rtol=ulp, atol=0)
    np.testing.assert_array_equal(np.float64(dlogits)[:, 0], [0, 0, 1, -1, 0])
    np.testing.assert_array_equal(dtargets, -z)


LOGITS = ((1e4, -1e4, 0.0),) * 3


@every_dtype
@pytest.mark.parametrize("one_hot", [False, True])
def test_softmax_cross_entropy_of_extreme_logits(dtype: str, one_hot: bool) -> None:
    u = jnp.asarray(LOGITS, dtype)
    labels = jnp.eye(3, dtype=dtype) if one_hot else jnp.arange(3)
    loss, dlogits, dlabels = pull("softmax_cross_entropy", u, labels)
    below = np.float64(u[0, 0]) - np.float64(u[0])
    np.testing.assert_array_equal(np.float64(loss), below)
    np.testing.assert_array_equal(np.float64(dlogits), [1, 0, 0] - np.eye(3))
    if one_hot:
        np.testing.assert_array_equal(np.float64(dlabels), [below] * 3)
    else:
        assert dlabels is None


@every_dtype
def test_softmax_squared_error_of_extreme_logits(dtype: str) -> None:
    target = jnp.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 0.5]], dtype)
    loss, dlogits, dtarget = pull("softmax_squared_error", jnp.asarray(LOGITS, dtype), target)
    assert loss.tolist() == [0, 1, 0.625]
    assert not dlogits.any()
    np.testing.assert_array_equal(np.float64(dtarget), np.float64(target) - [1, 0, 0])


@every_dtype
def test_squared_error_of_extreme_predictions(dtype: str) -> None:
    prediction = jnp.asarray([[1e4], [-1e4]], dtype)
    loss, dprediction, dtarget = pull("squared_error", prediction, jnp.zeros((2, 1), dtype))
    np.testing.assert_array_equal(dprediction, prediction)
    np.testing.assert_array_equal(dtarget, -prediction)
    # ½ 1e8 is more than float16 can hold.
    wanted = np.inf if dtype == "float16" else np.float64(prediction[0, 0]) ** 2 / 2
    np.testing.assert_allclose(np.float64(loss), wanted, rtol=float(jnp.finfo(dtype).eps))


ONE_OR_ZERO = jnp.asarray([[1.0], [0.0]], jnp.float32)
SATURATED = (1.0, 5.0, 10.0, 17.0, 46.0, 85.0)


def rounding(z: float) -> float:
    """Return the error of a few float32 roundings and of e^z, which errs by z half ulps."""
    return (8 + z) * 2.0**-24


@pytest.mark.parametrize("z", SATURATED)
def test_a_tiny_gradient_of_binary_cross_entropy_keeps_its_digits(z: float) -> None:
    logits = jnp.asarray([[z], [-z]], jnp.float32)
    _, dlogits, _ = pull("binary_cross_entropy", logits, ONE_OR_ZERO)
    sigma = 1 / (1 + np.exp(z))
    np.testing.assert_allclose(np.float64(dlogits), [[-sigma], [sigma]], rtol=rounding(z))


@pytest.mark.parametrize("z", SATURATED)
def test_a_tiny_binary_cross_entropy_keeps_its_digits(z: float) -> None:
    logits = jnp.asarray([[z], [-z]], jnp.float32)
    loss, *_ = pull("binary_cross_entropy", logits, ONE_OR_ZERO)
    np.testing.assert_allclose(np.float64(loss), np.log1p(np.exp(-z)), rtol=rounding(z))


def _nearly_sure(z: float) -> tuple[Any, ...]:
    return pull(
        "softmax_cross_entropy", jnp.asarray([[z, 0.0, 0.0]], jnp.float32), jnp.asarray([0])
    )


@pytest.mark.parametrize("z", SATURATED)
def test_a_tiny_gradient_of_softmax_cross_entropy_keeps_its_digits(z: float) -> None:
    _, dlogits, _ = _nearly_sure(z)
    p = np.exp(-z) / (1 + 2 * np.exp(-z))
    np.testing.assert_allclose(np.float64(dlogits[0]), [-2 * p, p, p], rtol=rounding(z))


@pytest.mark.parametrize("z", SATURATED)
def test_a_tiny_softmax_cross_entropy_keeps_its_digits(z: float) -> None:
    loss, *_ = _nearly_sure(z)
    np.testing.assert_allclose(np.float64(loss), np.log1p(2 * np.exp(-z)), rtol=rounding(z))


@every_dtype
def test_probabilities_at_0_and_1(dtype: str) -> None:
    p = jnp.asarray([[0.0], [1.0], [0.0], [1.0], [0.0], [1.0]], dtype)
    t = jnp.asarray([[0.0], [1.0], [1.0], [0.0], [0.5], [0.5]], dtype)
    loss, dp, dt = pull("binary_cross_entropy_on_probabilities", p, t)
    inf = np.inf
    assert loss.tolist() == [0, 0, inf, inf, inf, inf]
    assert dp[:, 0].tolist() == [1, -1, -inf, inf, -inf, inf]
    assert dt[:, 0].tolist() == [inf, -inf] * 3


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan])
def test_the_loss_of_what_is_no_probability_is_nan(p: float, t: float) -> None:
    loss, *_ = pull("binary_cross_entropy_on_probabilities", jnp.asarray([p]), jnp.asarray([t]))
    assert jnp.isnan(loss)


def test_probabilities_behind_a_sigmoid_agree_with_logits() -> None:
    z, t = jnp.linspace(-6, 6, 13)[:, None], jnp.linspace(0, 1, 13)[:, None]
    p, residual = manual_bp.sigmoid.forward(z)
    loss, dp, _ = pull("binary_cross_entropy_on_probabilities", p, t)
    (dz,) = manual_bp.sigmoid.backward(residual, dp)
    wanted_loss, wanted_dz, _ = pull("binary_cross_entropy", z, t)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-12)
    np.testing.assert_allclose(dz, wanted_dz, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64"])
def test_integer_and_one_hot_labels_agree(dtype: str) -> None:
    u = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 5)))
    labels = jnp.asarray([[0, 4, 2], [1, 1, 3]], dtype)
    loss, du, none = pull("softmax_cross_entropy", u, labels)
    soft_loss, soft_du, _ = pull("softmax_cross_entropy", u, jnp.eye(5)[labels])
    assert none is None
    np.testing.assert_allclose(loss, soft_loss, rtol=1e-14)
    np.testing.assert_allclose(du, soft_du, rtol=1e-13)


def settled(u: Any, labels: Any, **settings: Any) -> tuple[jax.Array, jax.Array]:
    """Return the cross-entropy with settings, and dlogits for dL = 1."""
    loss, residual = manual_bp.softmax_cross_entropy.forward(u, labels, **settings)
    return loss, manual_bp.softmax_cross_entropy.backward(residual, jnp.ones_like(loss))[0]


def test_ignored_samples_neither_cost_nor_pull_nor_count() -> None:
    u = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)))
    for ignored, dtype in ((-100, "int32"), (255, "uint8"), (1, "int64")):
        labels = jnp.asarray([0, ignored, 2, 0], dtype)
        kept = jnp.asarray([0, 2, 3])
        for reduction in ("mean", "sum"):
            settings = {"ignored_label": ignored, "label_smoothing": 0.1, "reduction": reduction}
            loss, du = settled(u, labels, **settings)
            wanted, wanted_du = settled(
                u[kept], labels[kept], label_smoothing=0.1, reduction=reduction
            )
            np.testing.assert_allclose(loss, wanted, rtol=1e-14)
            np.testing.assert_allclose(du[kept], wanted_du, rtol=1e-14)
            assert not du[1].any()
    labels = jnp.asarray([0, 3, 2, 3], jnp.uint32)
    loss, du = jax.jit(lambda u, k: settled(u, k, ignored_label=-1, reduction="none"))(u, labels)
    assert jnp.isnan(loss).tolist() == [False, True, False, True]
    assert jnp.isnan(du).any(-1).tolist() == [False, True, False, True]


@pytest.mark.parametrize("filler", [-np.inf, np.inf, np.nan])
@pytest.mark.parametrize(
    "settings", [{}, {"label_smoothing": 0.1}, {"class_weights": (1.0, 2.0, 3.0)}]
)
def test_the_logits_of_an_ignored_sample_may_be_anything(filler: float, settings: dict) -> None:
    u, labels = jnp.asarray([[1.0, 2, 3], [filler] * 3]), jnp.asarray([0, -1])
    loss, du = settled(u, labels, ignored_label=-1, **settings)
    alone, du_alone = settled(u[:1], labels[:1], **settings)
    assert float(loss) == pytest.approx(float(alone))
    np.testing.assert_allclose(du[0], du_alone[0], rtol=1e-14)
    assert du[1].tolist() == [0, 0, 0]


def test_a_mean_over_ignored_samples_alone_is_0() -> None:
    loss, du = settled(jnp.ones((2, 3)), jnp.asarray([-1, -1]), ignored_label=-1)
    assert loss == 0
    assert not du.any()


def test_over_no_classes_there_is_no_loss() -> None:
    nothing = jnp.ones((2, 0))
    forward = manual_bp.softmax_cross_entropy.forward
    loss, residual = forward(nothing, nothing, label_smoothing=0.1)
    du, dt = manual_bp.softmax_cross_entropy.backward(residual, jnp.ones_like(loss))
    assert loss == 0
    assert du.shape == dt.shape == (2, 0)


def test_smoothing_and_weights_are_those_of_soft_labels() -> None:
    u = jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)))
    labels, weights = jnp.asarray([0, 2, 1, 2]), (0.5, 2.0, 0.0)
    soft = (0.7 * jnp.eye(3)[labels] + 0.1) * jnp.broadcast_to(jnp.asarray(weights), (4, 3))
    loss, du = settled(u, labels, class_weights=weights, label_smoothing=0.3, reduction="none")
    wanted, wanted_du, _ = pull("softmax_cross_entropy", u, soft)
    np.testing.assert_allclose(loss, wanted, rtol=1e-14)
    np.testing.assert_allclose(du, wanted_du, rtol=1e-13, atol=1e-15)


def test_settings_of_softmax_cross_entropy_are_checked(without_annotations: None) -> None:
    forward, u, soft = manual_bp.softmax_cross_entropy.forward, jnp.ones((2, 3)), jnp.ones((2, 3))
    labels, place = jnp.asarray([0, -1]), "softmax_cross_entropy:"
    assert complaint(ValueError, forward, u, soft, class_weights=(1.0, 2.0)) == (
        f"{place} class_weights: expected 3 numbers, one for each class, got (1.0, 2.0)"
    )
    assert complaint(ValueError, forward, u, soft, label_smoothing=1.1) == (
        f"{place} label_smoothing: expected a number from 0 to 1, got 1.1"
    )
    assert complaint(ValueError, forward, u, soft, ignored_label=-1) == (
        f"{place} ignored_label: expected None for labels that are not integers, got -1"
    )
    assert complaint(ValueError, forward, u, labels, ignored_label=-2) == (
        f"{place} labels: expected 0 … 2, got -1"
    )


@pytest.mark.parametrize(("dtype", "classes"), [("int8", 200), ("int8", 300), ("uint8", 300)])
def test_there_may_be_more_classes_than_the_labels_dtype_can_count(
    dtype: str, classes: int, without_annotations: None
) -> None:
    loss, du, _ = pull("softmax_cross_entropy", jnp.zeros((1, classes)), jnp.asarray([5], dtype))
    np.testing.assert_allclose(loss, np.log(classes), rtol=1e-14)
    np.testing.assert_allclose(du[0], 1 / classes - (np.arange(classes) == 5), rtol=1e-12)


def test_a_label_out_of_range_is_an_error_where_it_can_be_read() -> None:
    forward, u = manual_bp.softmax_cross_entropy.forward, jnp.ones((3, 4))
    for labels, extreme in (([0, 4, 1], 4), ([3, -1, 0], -1)):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            forward(u, jnp.asarray(labels))
        assert str(caught.value) == f"softmax_cross_entropy: labels: expected 0 … 3, got {extreme}"


@pytest.mark.parametrize("labels", [(0, 4, 1), (0, -1, 1), (0, 2**31 - 1, 1)])
def test_a_label_out_of_range_under_jit_is_nan_for_its_sample_alone(
    labels: tuple[int, ...],
) -> None:
    u = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)))
    for name in ("softmax_cross_entropy", *OTHERS[:2]):
        loss, du, _ = jax.jit(lambda u, k, name=name: pull(name, u, k))(u, jnp.asarray(labels))
        assert jnp.isnan(loss).tolist() == [False, True, False]
        assert jnp.isnan(du).all(-1).tolist() == [False, True, False]
        sound = jnp.asarray(labels)[::2]
        wanted_loss, wanted_du, _ = pull(name, u[::2], sound)
        np.testing.assert_allclose(loss[::2], wanted_loss, rtol=1e-14)
        np.testing.assert_allclose(du[::2], wanted_du, rtol=1e-14)


def complaint(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return str(caught.value)


@every_loss
def test_a_bad_pair_is_refused(name: str, without_annotations: None) -> None:
    forward, (first, second), good = getattr(manual_bp, name).forward, FIRST[name], jnp.ones((2, 3))
    assert complaint(ValueError, forward, good, jnp.ones((2, 4))) == (
        f"{name}: {second}: expected shape (2, 3) of {first}, got (2, 4)"
    )
    assert complaint(ValueError, forward, jnp.ones(()), jnp.ones(())) == (
        f"{name}: {first}: expected rank 1 or more, got shape ()"
    )
    assert complaint(TypeError, forward, jnp.ones((2, 3), int), good) == (
        f"{name}: {first}: expected a floating dtype, got int64"
    )
    assert complaint(TypeError, forward, good, jnp.ones((2, 3), jnp.float32)) == (
        f"{name}: {second}: expected float64, the dtype of {first}, got float32"
    )


@every_loss
def test_a_bad_reduction_is_refused(name: str, without_annotations: None) -> None:
    forward, good, empty = getattr(manual_bp, name).forward, jnp.ones((2, 3)), jnp.ones((0, 3))
    assert complaint(ValueError, forward, good, good, reduction="average") == (
        f"{name}: reduction: expected one of 'mean', 'sum', 'none', got 'average'"
    )
    assert complaint(ValueError, forward, empty, empty) == (
        f"{name}: batch: expected at least one sample for reduction='mean', got batch shape (0,)"
    )
    assert float(forward(empty, empty, reduction="sum")[0]) == 0


@every_loss
def test_a_cotangent_unlike_the_loss_is_refused(name: str, without_annotations: None) -> None:
    loss, half = getattr(manual_bp, name), jnp.full((2, 3), 0.5)
    for reduction, shape in (("mean", ()), ("sum", ()), ("none", (2,))):
        y, residual = loss.forward(half, half, reduction=reduction)
        assert complaint(ValueError, loss.backward, residual, jnp.ones((3,))) == (
            f"{name}: dy: expected shape {shape} of y, got (3,)"
        )
        assert complaint(TypeError, loss.backward, residual, y.astype(jnp.float32)) == (
            f"{name}: dy: expected float64, the dtype of y, got float32"
        )


@every_other
def test_a_bad_reduction_or_cotangent_of_the_others_is_refused(
    name: str, without_annotations: None
) -> None:
    loss, args = getattr(manual_bp, name), good(name, 2)
    assert complaint(ValueError, loss.forward, *args, reduction="average") == (
        f"{name}: reduction: expected one of 'mean', 'sum', 'none', got 'average'"
    )
    assert complaint(ValueError, loss.forward, *good(name, 0)) == (
        f"{name}: batch: expected at least one sample for reduction='mean', got batch shape (0,)"
    )
    y, residual = loss.forward(*args, reduction="none")
    assert complaint(ValueError, loss.backward, residual, jnp.ones((3,))) == (
        f"{name}: dy: expected shape (2,) of y, got (3,)"
    )
    assert complaint(TypeError, loss.backward, residual, y.astype(jnp.float32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )


@of_labels
def test_bad_labels_are_refused(name: str, without_annotations: None) -> None:
    forward, x = getattr(manual_bp, name).forward, jnp.ones((2, 3))
    first = {"negative_log_likelihood": "log_p", "multiclass_hinge": "scores"}[name]
    assert complaint(ValueError, forward, x, jnp.zeros((3,), int)) == (
        f"{name}: labels: expected shape (2,) for integer labels, got (3,)"
    )
    assert complaint(TypeError, forward, x, jnp.zeros(2)) == (
        f"{name}: labels: expected an integer dtype, got float64"
    )
    assert complaint(ValueError, forward, x, jnp.asarray([0, 3])) == (
        f"{name}: labels: expected 0 … 2, got 3"
    )
    assert complaint(TypeError, forward, jnp.ones((2, 3), int), jnp.zeros(2, int)) == (
        f"{name}: {first}: expected a floating dtype, got int64"
    )
    assert complaint(ValueError, forward, jnp.ones(()), jnp.zeros((), int)) == (
        f"{name}: {first}: expected rank 1 or more, got shape ()"
    )


def test_points_of_unlike_shapes_or_dtypes_are_refused(without_annotations: None) -> None:
    points, one = jnp.ones((2, 3)), jnp.ones(2)
    forward = manual_bp.triplet.forward
    assert complaint(ValueError, forward, points, jnp.ones((2, 4)), points) == (
        "triplet: positive: expected shape (2, 3) of anchor, got (2, 4)"
    )
    assert complaint(ValueError, forward, points, points, jnp.ones((2, 4))) == (
        "triplet: negative: expected shape (2, 3) of anchor, got (2, 4)"
    )
    assert complaint(TypeError, forward, points, points, points.astype(jnp.float32)) == (
        "triplet: negative: expected float64, the dtype of anchor, got float32"
    )
    forward = manual_bp.contrastive.forward
    assert complaint(ValueError, forward, points, jnp.ones((2, 4)), one) == (
        "contrastive: second: expected shape (2, 3) of first, got (2, 4)"
    )
    assert complaint(ValueError, forward, points, points, jnp.ones(3)) == (
        "contrastive: alike: expected shape (2,) for first of shape (2, 3), got (3,)"
    )
    assert complaint(TypeError, forward, points, points, jnp.ones(2, int)) == (
        "contrastive: alike: expected a floating dtype, got int64"
    )


@pytest.mark.parametrize(
    ("name", "setting", "value", "wanted"),
    [
        ("multiclass_hinge", "margin", 0.0, "a finite number above 0"),
        ("triplet", "margin", -1.0, "a finite number above 0"),
        ("contrastive", "margin", float("inf"), "a finite number above 0"),
        ("cosine", "epsilon", 0.0, "a finite number above 0"),
        ("focal", "gamma", -0.5, "a finite number not below 0"),
        ("focal", "alpha", 1.5, "a number from 0 to 1"),
    ],
)
def test_a_setting_out_of_range_is_refused(
    name: str, setting: str, value: float, wanted: str, without_annotations: None
) -> None:
    args = good(name, 2) if name in OTHERS else (jnp.ones((2, 3)),) * 2
    assert complaint(ValueError, getattr(manual_bp, name).forward, *args, **{setting: value}) == (
        f"{name}: {setting}: expected {wanted}, got {value}"
    )


def test_labels_of_a_wrong_shape_or_dtype_are_refused(without_annotations: None) -> None:
    forward, u = manual_bp.softmax_cross_entropy.forward, jnp.ones((2, 3))
    place = "softmax_cross_entropy: labels:"
    assert complaint(ValueError, forward, u, jnp.zeros((3,), int)) == (
        f"{place} expected shape (2,) for integer labels, got (3,)"
    )
    assert complaint(ValueError, forward, u, jnp.zeros((2, 3), int)) == (
        f"{place} expected shape (2,) for integer labels, got (2, 3)"
    )
    assert complaint(TypeError, forward, u, jnp.zeros((2, 3), bool)) == (
        f"{place} expected a floating dtype, got bool"
    )


@every_dtype
def test_the_slope_of_the_absolute_error_at_its_kink_is_0(dtype: str) -> None:
    e = jnp.asarray([[-1e4], [-0.5], [0.0], [0.5], [1e4]], dtype)
    loss, dprediction, dtarget = pull("absolute_error", e, jnp.zeros_like(e))
    np.testing.assert_array_equal(loss, jnp.abs(e)[:, 0])
    assert dprediction[:, 0].tolist() == [-1, -1, 0, 1, 1]
    assert dtarget[:, 0].tolist() == [1, 1, 0, -1, -1]


@every_dtype
def test_huber_is_smooth_where_its_pieces_meet_and_finite_far_out(dtype: str) -> None:
    e = jnp.asarray([[-1e4], [-1.0], [-0.5], [0.0], [0.5], [1.0], [1e4]], dtype)
    loss, dprediction, _ = pull("huber", e, jnp.zeros_like(e))
    far = np.float64(e[-1, 0])
    wanted = [far - 0.5, 0.5, 0.125, 0, 0.125, 0.5, far - 0.5]
    np.testing.assert_allclose(np.float64(loss), wanted, rtol=float(jnp.finfo(dtype).eps))
    assert dprediction[:, 0].tolist() == [-1, -1, -0.5, 0, 0.5, 1, 1]


def test_huber_with_a_wide_delta_is_the_squared_error() -> None:
    rng = np.random.default_rng(0)
    args = tuple(jnp.asarray(rng.standard_normal((3, 4))) for _ in range(2))
    loss, residual = manual_bp.huber.forward(*args, delta=1e3)
    wanted, squared = manual_bp.squared_error.forward(*args)
    np.testing.assert_allclose(loss, wanted, rtol=1e-14)
    dy = jnp.asarray(1.5)
    for one, other in zip(
        manual_bp.huber.backward(residual, dy),
        manual_bp.squared_error.backward(squared, dy),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-14)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan")])
def test_a_delta_that_is_not_positive_is_refused(delta: float, without_annotations: None) -> None:
    assert complaint(
        ValueError, manual_bp.huber.forward, jnp.ones((2, 3)), jnp.ones((2, 3)), delta=delta
    ) == (f"huber: delta: expected a positive number, got {delta}")


@every_dtype
def test_a_sample_on_its_margin_does_not_pull(dtype: str) -> None:
    scores = jnp.asarray([[1.0], [-1.0], [0.5], [-1e4], [1e4]], dtype)
    targets = jnp.asarray([[1.0], [-1.0], [-1.0], [1.0], [1.0]], dtype)
    loss, dscores, dtargets = pull("hinge", scores, targets)
    far = np.float64(scores[-1, 0])
    ulp = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.float64(loss), [0, 0, 1.5, far + 1, 0], rtol=ulp)
    assert dscores[:, 0].tolist() == [0, 0, 1, -1, 0]
    np.testing.assert_array_equal(np.float64(dtargets)[:, 0], [0, 0, -0.5, far, 0])


@every_dtype
def test_kl_divergence_at_probability_0_and_of_equal_distributions(dtype: str) -> None:
    log_q = jnp.asarray([[-1.0, -np.inf], [0.0, -1e4]], dtype)
    p = jnp.asarray([[1.0, 0.0], [1.0, 0.0]], dtype)
    loss, dlog_q, dp = pull("kl_divergence", log_q, p)
    assert loss.tolist() == [1, 0]
    np.testing.assert_array_equal(dlog_q, -p)
    assert dp[:, 0].tolist() == [2, 1]
    assert dp[:, 1].tolist() == [-jnp.inf, -jnp.inf]


@every_dtype
def test_cross_entropy_of_a_class_that_cannot_be(dtype: str) -> None:
    logits = jnp.asarray([[0.0, 0.0, -jnp.inf]] * 2, dtype)
    t = jnp.asarray([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], dtype)
    loss, dlogits, dt = pull("softmax_cross_entropy", logits, t)
    np.testing.assert_allclose(np.float64(loss), [np.log(2), np.inf], rtol=1e-2)
    assert dlogits.tolist() == [[-0.5, 0.5, 0], [0.5, 0, -0.5]]
    assert dt[1, 2] == jnp.inf
    assert dt[0, 2] >= jnp.finfo(dtype).max


def test_kl_divergence_of_a_negative_probability_is_nan() -> None:
    loss, _, dp = pull("kl_divergence", jnp.asarray([-1.0]), jnp.asarray([-0.1]))
    assert jnp.isnan(loss)
    assert jnp.isnan(dp).all()


def test_kl_divergence_is_the_cross_entropy_less_the_entropy() -> None:
    u = jnp.asarray(np.random.default_rng(0).standard_normal((3, 5)))
    p, _ = manual_bp.softmax.forward(jnp.roll(u, 1, axis=0))
    log_q, residual = manual_bp.log_softmax.forward(u)
    loss, dlog_q, _ = pull("kl_divergence", log_q, p)
    (du,) = manual_bp.log_softmax.backward(residual, dlog_q)
    cross, wanted_du, _ = pull("softmax_cross_entropy", u, p)
    np.testing.assert_allclose(loss, cross + (p * jnp.log(p)).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(du, wanted_du, rtol=1e-12, atol=1e-15)


@every_dtype
def test_a_class_at_the_margin_does_not_pull(dtype: str) -> None:
    scores = jnp.asarray([[2.0, 1.0, -3.0], [0.0, 0.5, 1.5], [1e4, -1e4, 0.0]], dtype)
    loss, dscores, none = pull("multiclass_hinge", scores, jnp.asarray([0, 0, 2]))
    far = np.float64(scores[2, 0])
    ulp = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.float64(loss), [0, 4, far + 1], rtol=ulp)
    assert dscores.tolist() == [[0, 0, 0], [-2, 1, 1], [1, 0, -1]]
    assert none is None


def test_a_multiclass_hinge_of_two_scores_is_the_hinge_of_their_difference() -> None:
    s = jnp.asarray(np.random.default_rng(0).standard_normal((5, 1)))
    labels = jnp.asarray([0, 1, 1, 0, 1])
    loss, dscores, _ = pull("multiclass_hinge", jnp.concatenate([s, jnp.zeros_like(s)], 1), labels)
    wanted, ds, _ = pull("hinge", s, jnp.where(labels == 0, 1.0, -1.0)[:, None])
    np.testing.assert_allclose(loss, wanted, rtol=1e-14)
    np.testing.assert_array_equal(dscores, jnp.concatenate([ds, -ds], 1))


def test_negative_log_likelihood_behind_a_log_softmax_is_the_cross_entropy() -> None:
    u = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3, 5)))
    labels = jnp.asarray([[0, 4, 2], [1, 1, 3]], jnp.uint8)
    log_p, residual = manual_bp.log_softmax.forward(u)
    loss, dlog_p, none = pull("negative_log_likelihood", log_p, labels)
    (du,) = manual_bp.log_softmax.backward(residual, dlog_p)
    wanted, wanted_du, _ = pull("softmax_cross_entropy", u, labels)
    assert none is None
    np.testing.assert_allclose(loss, wanted, rtol=1e-14)
    np.testing.assert_allclose(du, wanted_du, rtol=1e-12)


def test_what_cannot_be_is_no_concern_unless_it_is_the_label() -> None:
    log_p = jnp.asarray([[0.0, -jnp.inf], [0.0, -jnp.inf]])
    loss, dlog_p, _ = pull("negative_log_likelihood", log_p, jnp.asarray([0, 1]))
    assert loss.tolist() == [0, np.inf]
    assert dlog_p.tolist() == [[-1, 0], [0, -1]]


def test_cosine_is_that_of_normalised_vectors() -> None:
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(rng.standard_normal((3, 5))) for _ in range(2))
    (na, of_a), (nb, of_b) = manual_bp.l2_normalize.forward(a), manual_bp.l2_normalize.forward(b)
    loss, da, db = pull("cosine", a, b)
    np.testing.assert_allclose(loss, 1 - (na * nb).sum(-1), rtol=1e-14)
    np.testing.assert_allclose(da, manual_bp.l2_normalize.backward(of_a, -nb)[0], rtol=1e-12)
    np.testing.assert_allclose(db, manual_bp.l2_normalize.backward(of_b, -na)[0], rtol=1e-12)
    _, further, _ = pull("cosine", 4 * a, b)
    np.testing.assert_allclose(4 * further, da, rtol=1e-10)


@every_dtype
def test_cosine_at_right_angles_and_of_vectors_that_are_0(dtype: str) -> None:
    a = jnp.asarray([[0, 0], [3, 4], [0, 0], [0, 2], [100, 0]], dtype)
    b = jnp.asarray([[3, 4], [0, 0], [0, 0], [1, 0], [-100, 0]], dtype)
    loss, da, db = pull("cosine", a, b)
    # The norms keep up to half of an ε of 1e-12; ε^(−1/2) is 1e6, more than float16 can hold.
    rtol = max(2 * float(jnp.finfo(dtype).eps), 1e-12)
    steep = [-np.inf] * 2 if dtype == "float16" else [-6e5, -8e5]
    np.testing.assert_allclose(np.float64(loss), [1, 1, 1, 1, 2], rtol=rtol)
    wanted = [steep, [0, 0], [0, 0], [-0.5, 0], [0, 0]]
    np.testing.assert_allclose(np.float64(da), wanted, rtol=rtol, atol=1e-15)
    wanted = [[0, 0], steep, [0, 0], [0, -1], [0, 0]]
    np.testing.assert_allclose(np.float64(db), wanted, rtol=rtol, atol=1e-15)


def test_focal_without_focus_is_the_cross_entropy() -> None:
    z, t = jnp.linspace(-30, 30, 13)[:, None], jnp.linspace(0, 1, 13)[:, None]
    loss, residual = manual_bp.focal.forward(z, t, gamma=0.0, reduction="none")
    wanted, wanted_dz, wanted_dt = pull("binary_cross_entropy", z, t)
    dz, dt = manual_bp.focal.backward(residual, jnp.ones(13))
    np.testing.assert_allclose(loss, wanted, rtol=1e-13)
    np.testing.assert_allclose(dz, wanted_dz, rtol=1e-13)
    np.testing.assert_allclose(dt, wanted_dt, rtol=1e-13, atol=1e-14)


@every_dtype
def test_focal_of_extreme_logits(dtype: str) -> None:
    z = jnp.asarray(Z[:4], dtype)[:, None]
    loss, dlogits, _ = pull("focal", z, jnp.asarray(T[:4], dtype)[:, None])
    far = np.float64(z[0, 0])
    np.testing.assert_array_equal(np.float64(loss), [0, 0, far, far])
    np.testing.assert_array_equal(np.float64(dlogits)[:, 0], [0, 0, 1, -1])


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_what_is_infinitely_far_apart_costs_nothing(dtype: str) -> None:
    inf, huge = float("inf"), float(jnp.finfo(dtype).max) / 4
    far = jnp.asarray([[inf, 1], [inf, -inf], [huge, 1]], dtype)
    zeros = jnp.zeros_like(far)
    loss, da, db, dt = pull("contrastive", far, zeros, jnp.zeros(3, dtype), reduction="sum")
    assert (float(loss), da.any(), db.any()) == (0, False, False)
    assert dt.tolist() == [inf] * 3
    loss, *slopes = pull("triplet", zeros, zeros, far, reduction="sum")
    assert float(loss) == 0
    assert not any(slope.any() for slope in slopes)
    # Alike, the first pays, and what is infinite is pulled without end.
    _, da, db, _ = pull("contrastive", far, zeros, jnp.ones(3, dtype), reduction="sum")
    np.testing.assert_array_equal(da, far)
    np.testing.assert_array_equal(db, -far)
    # As a positive it costs ∞; where to is not known, which no 0 is to hide.
    loss, *slopes = pull("triplet", zeros, far, zeros + 1, reduction="sum")
    assert float(loss) == inf
    assert all(np.isnan(slope.astype(float)).all() for slope in slopes)


def test_a_pair_that_is_not_alike_says_what_it_would_cost_if_it_were() -> None:
    first, t = jnp.asarray([[3.0, 4.0]]), jnp.zeros(1)
    (dt,) = jax.grad(lambda t: manual_bp.contrastive.forward(first, 0 * first, t)[0])(t)
    assert float(dt) == 12.5


@every_dtype
def test_triplets_at_the_margin_and_without_distance(dtype: str) -> None:
    anchor = jnp.zeros((4, 2), dtype)
    positive = jnp.asarray([[3, 4], [0, 0], [0, 0], [3, 4]], dtype)
    negative = jnp.asarray([[0, 6], [0, 0.5], [0, 0], [0, 0]], dtype)
    loss, da, dp, dn = pull("triplet", anchor, positive, negative)
    assert loss.tolist() == [0, 0.5, 1, 6]
    ulp = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.float64(dp), [[0, 0]] * 3 + [[0.6, 0.8]], rtol=ulp)
    np.testing.assert_array_equal(np.float64(dn), [[0, 0], [0, -1], [0, 0], [0, 0]])
    np.testing.assert_array_equal(da, -dp - dn)


@every_dtype
def test_pairs_that_coincide_or_are_as_far_as_the_margin(dtype: str) -> None:
    first = jnp.asarray([[0, 0], [0, 0], [0, 1], [0, 0.5], [3, 4]], dtype)
    alike = jnp.asarray([0, 1, 0, 0, 1], dtype)
    loss, da, db, dalike = pull("contrastive", first, jnp.zeros_like(first), alike)
    assert loss.tolist() == [0.5, 0, 0, 0.125, 12.5]
    wanted = [[0, 0], [0, 0], [0, 0], [0, -0.5], [3, 4]]
    np.testing.assert_allclose(np.float64(da), wanted, rtol=float(jnp.finfo(dtype).eps))
    np.testing.assert_array_equal(db, -da)
    assert dalike.tolist() == [-0.5, -0.5, 0.5, 0, 12.5]


def test_pairs_that_are_alike_are_the_squared_error() -> None:
    rng = np.random.default_rng(0)
    pair = tuple(jnp.asarray(rng.standard_normal((3, 4))) for _ in range(2))
    loss, da, db, _ = pull("contrastive", *pair, jnp.ones(3))
    for one, other in zip((loss, da, db), pull("squared_error", *pair), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)
