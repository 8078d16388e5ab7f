"""The settings of every check: refused in one line, NumPy's numbers taken where Python's are."""

import functools
import inspect
import math
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_ref
from jax_ref import CheckError, Report, check_model, check_op, check_rule, check_vjp
from jax_ref.settings import RESERVED

X = np.array([0.5, -1.0, 2.0])


def forward(x):
    return jnp.sin(x), x


def backward(x, dy):
    return (dy * jnp.cos(x),)


def rule() -> Any:
    sine = jax.custom_vjp(jnp.sin)
    sine.defvjp(forward, backward)
    return sine


def of_model(w, x):
    return jnp.sum((w * x) ** 2) / 2, w * x * x


CHECKS = {
    "check_vjp": lambda **settings: check_vjp(jnp.sin, forward, backward, X, **settings),
    "check_op": lambda **settings: check_op(
        SimpleNamespace(forward=forward, backward=backward), jnp.sin, X, **settings
    ),
    "check_rule": lambda **settings: check_rule(rule(), X, primal=jnp.sin, **settings),
    "check_model": lambda **settings: check_model(
        of_model, lambda w, x: of_model(w, x)[0], X, X, **settings
    ),
}
ODD = (None, "two", b"x", 1.5, math.nan, math.inf, -1, 2j, [1.5], {}, object(), np.float64(1.5))
EXPECTED = {
    "wrt": ((o for o in ODD if o is not None), "one of x, or a position below 1"),
    "seed": ((*ODD, True, np.zeros(1, int)), "a whole number of at least 0"),
    "tolerance": ((*ODD, True, 1), "a number of at least 0 and below 1"),
    "level": ((*ODD, True, 1), "'fast' or 'full'"),
    "name": ((o for o in (*ODD, True, 1) if o not in (None, "two")), "a string"),
    "raises": ((*ODD, 1), "True or False"),
}
EXPECTED = {setting: (tuple(odd), expected) for setting, (odd, expected) in EXPECTED.items()}


def settings_of(check: str) -> list[str]:
    parameters = inspect.signature(getattr(jax_ref, check)).parameters
    return [setting for setting in EXPECTED if setting in parameters]


def test_every_setting_is_refused_here() -> None:
    assert set(EXPECTED) == set(RESERVED)


@pytest.mark.parametrize(("check", "setting"), [(c, s) for c in CHECKS for s in settings_of(c)])
def test_a_setting_that_is_none_is_told_in_one_line(
    check: str, setting: str, without_annotations: None
) -> None:
    odd, expected = EXPECTED[setting]
    for value in odd:
        if setting == "name" and check == "check_model" and value is None:
            continue
        with pytest.raises(CheckError) as caught:
            CHECKS[check](**{setting: value})
        told = str(caught.value)
        assert told.startswith(f"{check}: {setting}: expected {expected}, got "), (value, told)
        assert "\n" not in told


@pytest.mark.parametrize("check", CHECKS)
def test_numbers_of_numpy_are_those_of_python(check: str, without_annotations: None) -> None:
    report = CHECKS[check](seed=np.int64(3), tolerance=np.float32(1e-6), raises=np.bool(True))
    assert report
    assert type(report.seed) is int
    assert type(report.rows[0].tolerance) is float


@pytest.mark.parametrize("wrt", [0, np.int64(0), "x", ("x",), {0}, np.array([0])])
def test_arguments_are_chosen_by_name_or_position(wrt: Any, without_annotations: None) -> None:
    op = SimpleNamespace(
        forward=lambda x, y: (x * y, (x, y)), backward=lambda r, dy: (dy * r[1], 0)
    )
    assert {row.leaf for row in check_op(op, lambda x, y: y * x, X, X, wrt=wrt).rows} == {"x", "y"}


def scaled(x, *, seed=1.0):
    return seed * x, seed


def check_scaled(primal: Any, forward: Any, **keywords: Any) -> Report:
    return check_vjp(primal, forward, lambda seed, dy: (seed * dy,), X, **keywords)


@pytest.mark.parametrize("keywords", [{"seed": 3}, {}])
def test_a_keyword_of_the_function_is_not_swallowed(keywords: Any) -> None:
    with pytest.raises(CheckError) as caught:
        check_scaled(lambda x: 3 * x, scaled, **keywords)
    expected = "check_vjp: forward: expected no keyword seed, which is a setting of check_vjp"
    assert str(caught.value) == f"{expected}, got one; bind it: functools.partial(…, seed=…)"
    report = check_scaled(lambda x: 3 * x, functools.partial(scaled, seed=3.0), seed=5)
    assert (bool(report), report.seed) == (True, 5)


def test_any_other_name_is_the_functions_own() -> None:
    op = SimpleNamespace(
        forward=lambda x, *, primal: (primal * x, primal), backward=lambda p, dy: (p * dy,)
    )
    assert check_vjp(lambda x, *, primal: x * primal, op.forward, op.backward, X, primal=2.0)
    # By position it is no keyword.
    taken = SimpleNamespace(
        forward=lambda x, seed: (seed * x, (x, seed)), backward=lambda r, dy: (dy * r[1], dy * r[0])
    )
    assert check_op(taken, lambda x, seed: x * seed, X, X)


@pytest.mark.parametrize(
    ("primal", "refused"),
    [(lambda x, level: x * level, "level"), (lambda x, *, primal=1: x, "primal")],
)
def test_a_rule_and_its_primal_have_no_such_keyword(primal: Any, refused: str) -> None:
    with pytest.raises(CheckError, match=f"primal: expected no keyword {refused}, "):
        check_rule(rule(), X, primal=primal)


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_an_eager_backward_may_return_numbers_of_python(factor: float) -> None:
    report = check_vjp(
        lambda x: x * x,
        lambda x: (x * x, x),
        lambda x, dy: (factor * float(x) * float(dy),),
        np.array(1.5),
        raises=False,
    )
    assert bool(report) is (factor == 2.0)
    assert report.rows[0].witness != "structure"


def test_a_number_where_an_array_belongs_is_a_wrong_shape() -> None:
    report = check_vjp(
        jnp.sin, forward, lambda x, dy: (float(dy.sum()),), jnp.asarray(X), raises=False
    )
    assert [row.detail for row in report.rows] == ["x: expected (3,) float64, got () float64"]


def expect_refused(told: str, hand: Any = of_model, reference: Any = None, x: Any = X) -> None:
    with pytest.raises(CheckError) as caught:
        check_model(hand, reference or (lambda w, x: of_model(w, x)[0]), X, x)
    assert str(caught.value).startswith(f"check_model: {told}")
    assert "\n" not in str(caught.value)


def test_what_a_model_is_given_and_returns_is_told_in_one_line(without_annotations: None) -> None:
    expect_refused("batch[0]: expected an array of numbers, got str 'train'", x="train")
    expect_refused("batch[0]['x']: expected an array of numbers, got object ", x={"x": object()})
    hand, reference = "loss_and_gradients: expected", "reference_loss: expected"
    expect_refused(f"{hand} a function, got NoneType", None)
    expect_refused(f"{hand} arrays, got str", lambda w, x: ("loss", w))
    expect_refused(f"{hand} arrays, got str", lambda w, x: (w.sum(), "dw"))
    expect_refused(f"{hand} a floating loss, got one of int64", lambda w, x: (jnp.argmax(w), w))
    expect_refused(f"{hand} deltas in a sequence or a map", lambda w, x: (w.sum(), w, 3))
    expect_refused(f"{hand} a function that JAX can trace", lambda w, x: (float(w.sum()), w))
    expect_refused(f"{reference} a function, got int", of_model, 3)
    expect_refused(f"{reference} a loss of shape (), got a tuple of 2", reference=of_model)
    expect_refused(
        f"{reference} a loss of shape (), got an array of shape (3,)", reference=lambda w, x: w * x
    )
