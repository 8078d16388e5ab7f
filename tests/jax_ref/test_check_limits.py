"""What the checker cannot see it says, and what hides in rounding it does not call wrong."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import Verdict, check_model, check_op, check_vjp, references
from jax_ref.oracles import finite_difference


def _op(f, slope):
    return SimpleNamespace(forward=lambda x: (f(x), x), backward=lambda x, dy: (dy * slope(x),))


def test_differences_that_leave_the_domain_do_not_pass() -> None:
    @jax.custom_jvp
    def wrong_log(x):
        return jnp.log(x)

    wrong_log.defjvp(lambda x, t: (jnp.log(x[0]), -t[0] / x[0]))
    wrong = _op(jnp.log, lambda x: -1 / x)
    for point, verdict in (
        ([0.5, 2.0], Verdict.FAIL),
        ([0.5, 2.0, 1e-9], Verdict.INCONCLUSIVE),
    ):
        report = check_op(wrong, wrong_log, np.array(point), raises=False)
        differences = [row for row in report.rows if row.witness == "finite difference"]
        assert [row.verdict for row in differences] == [verdict]
        assert not report


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_gradient_that_autodiff_cannot_see_is_inconclusive(dtype: str) -> None:
    def cancelling(x):
        return (x + 1000) - 1000

    # In low precision all digits of x are lost, by hand and by autodiff alike.
    op = _op(lambda x: cancelling(x) ** 2, lambda x: -2 * cancelling(x))
    x = jnp.asarray(np.array([0.013, 0.017])).astype(dtype)
    report = check_op(op, lambda x: cancelling(x) ** 2, x, raises=False)
    assert not report


@pytest.mark.parametrize("t", [1.0, 1e-6])
def test_a_comparison_at_which_no_slope_jumps_excuses_nothing(t: float) -> None:
    def verdict(error: float) -> Verdict:
        report = check_vjp(
            lambda x, t: t * x**2,
            lambda x, t: (jnp.where(t == 0, 0, t) * x**2, (x, t)),
            lambda residual, dy: (
                2 * dy * residual[1] * residual[0] * (1 + error),
                dy * residual[0] ** 2,
            ),
            np.array([0.7, -1.3]),
            np.array([0.0, t]),
            raises=False,
        )
        return report.verdict

    assert verdict(0.0) is Verdict.PASS
    assert verdict(2e-10) is Verdict.FAIL


def test_of_arguments_that_tie_any_order_passes_and_no_other_mistake() -> None:
    weights = jnp.array([0.9, -1.3])

    @jax.custom_jvp
    def curve(x):
        return jnp.sin(x)

    def loss(x):
        return jnp.sum(jax.lax.top_k(x, 2)[0] * weights) + jnp.sum(curve(x) ** 2)

    def verdict(slope) -> Verdict:
        # The reference has the mistake too, so that differences alone contradict it.
        curve.defjvp(lambda x, t: (jnp.sin(x[0]), slope(x[0]) * t[0]))
        op = SimpleNamespace(
            forward=lambda x: (loss(x), x), backward=lambda x, dy: (dy * jax.grad(loss)(x),)
        )
        return check_op(op, loss, np.array([2.0, 1.0, 2.0, 0.5, 2.0]), raises=False).verdict

    assert verdict(jnp.cos) is Verdict.PASS
    assert verdict(lambda x: jnp.where(x == 0.5, 2, 1) * jnp.cos(x)) is Verdict.FAIL


def test_a_kink_is_named_and_any_subgradient_passes() -> None:
    for slope in (0.0, 0.5, 1.0):
        report = check_op(
            manual_bp.relu,
            references.activations.relu,
            np.array([0.0, 1.5, -0.5]),
            slope_at_zero=slope,
        )
        assert report
        assert any("KINK" in row.detail for row in report.rows)
    with pytest.raises(AssertionError):
        check_op(
            manual_bp.relu.with_settings(slope_at_zero=2.0),
            lambda u: references.activations.relu(u, slope_at_zero=2.0),
            np.array([0.0, 1.5, -0.5]),
        )


def test_an_overflow_of_both_sides_is_inconclusive() -> None:
    x = jnp.full(2, 300.0, jnp.float16)
    report = check_op(_op(lambda x: x**3, lambda x: 3 * x**2), lambda x: x * x * x, x, raises=False)
    assert report.verdict is Verdict.INCONCLUSIVE


def test_the_noise_of_a_cancelling_loss_is_measured() -> None:
    rng = np.random.default_rng(0)
    large = jnp.asarray(1e4 * rng.standard_normal(16))

    def loss(x):
        # Sums of large numbers cancel to a small one: its noise is far above its own ulp.
        return jnp.sum(jnp.sin(x) + large) - jnp.sum(large)

    x = jnp.asarray(rng.standard_normal(16))
    along = np.eye(16)
    came = finite_difference.slopes(loss, x, along, finite_difference.scales(x, along))
    assert (np.abs(came.middle - np.cos(x)) <= 10 * came.bar).all()


def test_each_coordinate_is_moved_at_its_own_size() -> None:
    x = np.array([1e8, 0.2, 0.7])
    assert check_op(_op(jnp.sin, jnp.cos), lambda x: jnp.cos(x - jnp.pi / 2), x[1:])
    along = np.eye(3)
    assert finite_difference.scales(x, along).tolist() == [2.0**27, 1.0, 1.0]


def test_gradients_of_another_dtype_than_the_parameters_fail() -> None:
    params = (manual_bp.mlp.Layer(jnp.ones((2, 3), jnp.float32), jnp.zeros(3, jnp.float32)),)
    batch = jnp.ones((4, 2), jnp.float32), jnp.asarray([0, 1, 2, 0])

    def hand(params, *batch):
        loss, gradients, deltas = manual_bp.mlp.loss_gradients_and_deltas(
            params, *batch, loss=manual_bp.softmax_cross_entropy
        )
        return loss, jax.tree.map(lambda g: g.astype(jnp.float64), gradients), deltas

    def reference(params, *batch, probes):
        return references.models.mlp_loss(
            params, *batch, loss=references.losses.softmax_cross_entropy, probes=probes
        )

    report = check_model(hand, reference, params, *batch, raises=False)
    details = {row.detail for row in report.rows}
    assert "params[0].b: expected (3,) float32, got (3,) float64" in details
