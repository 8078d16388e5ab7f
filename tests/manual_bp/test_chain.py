"""A chain of ops: any shape, settings, cotangents of every stage, bad input."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from jax_ref import cases
from manual_bp import chain, skip
from manual_bp.models.chain import Stage


@pytest.mark.parametrize("case", cases_of("chain"), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


def random(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def test_no_stages_pass_everything_through() -> None:
    x, dy = random(3), random(3, seed=1)
    y, residual = chain.forward((), x, stages=())
    dparameters, dx, cotangents = chain.backward_with_cotangents(residual, dy)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, dy)
    assert dparameters == cotangents == ()


@pytest.mark.parametrize("stages", [(), (Stage(manual_bp.tanh),)])
def test_a_cotangent_that_is_not_of_the_output_is_refused(stages: tuple[Stage, ...]) -> None:
    _, residual = chain.forward([()] * len(stages), random(3), stages=stages)
    with pytest.raises(ValueError, match="chain") as caught:
        chain.backward(residual, random(2))
    assert str(caught.value) == "chain: dy: expected shape (3,) of y, got (2,)"
    with pytest.raises(TypeError, match="chain: dy: expected float64, the dtype of y, got"):
        chain.backward(residual, jnp.ones(3, jnp.float32))


def test_no_stages_take_no_whole_numbers(without_annotations: None) -> None:
    with pytest.raises(TypeError, match="chain: x: expected"):
        chain.forward((), jnp.arange(3), stages=())


def test_each_stage_is_fed_by_the_one_before_and_every_cotangent_is_given_back() -> None:
    x, W, b, dy = random(5, 3), random(3, 4, seed=1), random(4, seed=2), random(5, 4, seed=3)
    settings = (("slope_at_zero", 0.0),)
    stages = [Stage(manual_bp.linear), Stage(manual_bp.relu, settings), Stage(manual_bp.softmax)]
    y, residual = chain.forward([(W, b), (), ()], x, stages=stages)
    dparameters, dx, cotangents = chain.backward_with_cotangents(residual, dy)

    u, from_linear = manual_bp.linear.forward(x, W, b)
    hidden, from_relu = manual_bp.relu.forward(u, slope_at_zero=0.0)
    wanted, from_softmax = manual_bp.softmax.forward(hidden)
    (dhidden,) = manual_bp.softmax.backward(from_softmax, dy)
    (du,) = manual_bp.relu.backward(from_relu, dhidden)
    wanted_dx, *dtheta = manual_bp.linear.backward(from_linear, du)
    for came, by_hand in zip(
        (y, dx, *dparameters[0], *cotangents),
        (wanted, wanted_dx, *dtheta, du, dhidden, dy),
        strict=True,
    ):
        np.testing.assert_array_equal(came, by_hand)
    assert dparameters[1:] == ((), ())
    for short, long in zip(chain.backward(residual, dy), (dparameters, dx), strict=True):
        assert type(short) is type(long)


def test_the_settings_of_a_stage_reach_its_op() -> None:
    stage = Stage(manual_bp.leaky_relu, (("negative_slope", 0.5),))
    y, _ = chain.forward([()], jnp.asarray([-2.0]), stages=[stage])
    assert y.tolist() == [-1]


def test_every_backward_is_called_once_whatever_the_depth() -> None:
    calls = []

    def backward(residual: Any, dy: Any) -> tuple[Any]:
        calls.append(residual)
        return (2 * dy,)

    double = SimpleNamespace(forward=lambda x: (2 * x, None), backward=backward)
    y, residual = chain.forward([()] * 20, jnp.ones(()), stages=[Stage(double)] * 20)
    _, dx = chain.backward(residual, jnp.ones(()))
    assert float(y) == float(dx) == 2**20
    assert len(calls) == 20


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_set_of_parameters_too_few_or_too_many_is_refused(count: int) -> None:
    stages = [Stage(manual_bp.tanh), Stage(manual_bp.relu)]
    with pytest.raises(ValueError, match="chain") as caught:
        chain.forward([()] * count, jnp.ones(2), stages=stages)
    assert str(caught.value) == (
        f"chain: parameters: expected one set for each of 2 stages, got {count}"
    )


def test_the_op_that_is_fed_a_wrong_shape_complains(without_annotations: None) -> None:
    with pytest.raises(ValueError, match="linear") as caught:
        chain.forward([(jnp.ones((4, 2)),)], jnp.ones((5, 3)), stages=[Stage(manual_bp.linear)])
    assert str(caught.value) == (
        "linear: W: expected shape (3, _) for x of shape (5, 3), got (4, 2)"
    )


def test_a_skip_around_nothing_doubles_and_one_that_changes_the_signal_is_refused() -> None:
    x = jnp.ones((5, 3))
    y, residual = skip.forward(x, (), stages=())
    dx, dparameters = skip.backward(residual, x)
    assert (y + dx == 4).all()
    assert dparameters == ()
    halve = SimpleNamespace(forward=lambda x: (x.astype(jnp.float16), None), backward=len)
    for op, theta, kind, came in (
        (manual_bp.linear, (jnp.ones((3, 4)),), ValueError, "shape (5, 4) and float64"),
        (halve, (), TypeError, "shape (5, 3) and float16"),
    ):
        with pytest.raises(kind, match="skip: stages: expected ops") as caught:
            skip.forward(x, (theta,), stages=(Stage(op),))
        expected = "skip: stages: expected ops that keep shape (5, 3) and float64, got "
        assert str(caught.value) == expected + came
