"""The Taylor remainder: right and wrong gradients, orders, kinks, noise, and what it could see."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref.oracles import kinks, taylor
from jax_ref.oracles.taylor import Remainder
from jax_ref.verdict import Verdict

Function = Callable[[Any], Any]
RNG = np.random.default_rng(0)
X = RNG.standard_normal(50)
ALONG = RNG.choice([-1.0, 1.0], (2, 50))


def along_one(f: Function, x: float, slope: float, largest: float | None = None) -> Remainder:
    """Return what the remainder of a function of one number says of a slope."""
    bound = None if largest is None else np.asarray([largest])
    point, ones = np.asarray([x], float), np.ones((1, 1))
    (found,) = taylor.remainders(
        lambda v: f(v[0]), jnp.asarray(point), ones, np.asarray([slope]), np.ones(1), bound
    )
    return found


def along_many(f: Function, gradient: Any, scale: float = 1.0) -> tuple[Remainder, ...]:
    return taylor.remainders(f, jnp.asarray(X), ALONG, gradient, np.full(2, scale))


SMOOTH: dict[str, tuple[Function, Function]] = {
    "sin": (lambda v: jnp.sin(v).sum(), np.cos),
    "large": (lambda v: 1e30 * jnp.sin(v).sum(), lambda x: 1e30 * np.cos(x)),
    "tiny": (lambda v: 1e-30 * jnp.sin(v).sum(), lambda x: 1e-30 * np.cos(x)),
    "wild": (lambda v: jnp.sin(1e3 * v).sum(), lambda x: 1e3 * np.cos(1e3 * x)),
    "log of a sum": (lambda v: jnp.log(jnp.exp(v).sum()), lambda x: np.exp(x) / np.exp(x).sum()),
    "a small difference": (
        lambda v: jnp.sum(jnp.sin(v) + 1e6) - 1e6 * v.size,
        np.cos,
    ),
    "rounded to float32": (
        lambda v: jnp.sin(v.astype(jnp.float32)).sum().astype(jnp.float64),
        np.cos,
    ),
    "compiled": (jax.jit(lambda v: jnp.tanh(v).sum()), lambda x: 1 / np.cosh(x) ** 2),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_a_gradient_passes_at_order_2_and_a_wrong_one_fails_at_order_1(name: str) -> None:
    f, gradient = SMOOTH[name]
    right = gradient(X)
    one_wrong = np.where(np.arange(50) == 7, -5 * right, right)
    for found in along_many(f, right):
        assert (found.verdict, found.says) == (Verdict.PASS, "order 2")
        assert np.allclose(found.slopes[-3:], 2, atol=0.1)
        assert found.error <= found.sees < 0.01
    for wrong in (2 * right, -right, 0 * right, one_wrong, right + 0.3 * np.abs(right).max()):
        for found, d in zip(along_many(f, wrong), ALONG, strict=True):
            assert found.verdict is Verdict.FAIL
            size = max(abs(d @ wrong), np.sqrt(((wrong * d) ** 2).sum()), abs(d @ (right - wrong)))
            assert found.error == pytest.approx(abs(d @ (right - wrong)) / size, rel=0.1)
            assert found.sees < found.error


@pytest.mark.parametrize("error", [1e-2, 1e-4, 1e-6, 1e-7, 1e-8, 1e-9, 1e-12])
def test_no_error_above_what_it_sees_passes(error: float) -> None:
    for found in along_many(lambda v: jnp.sin(v).sum(), (1 + error) * np.cos(X)):
        assert found.verdict is not Verdict.PASS or error < 3 * found.sees
        assert found.verdict is not Verdict.FAIL or error > found.sees


ORDERS: dict[str, tuple[Function, float, str]] = {
    "even": (jnp.cos, 0, "order 2"),
    "odd": (jnp.sin, 0, "order 3"),
    "fifth": (lambda v: v**5 + 1, 0, "order 5"),
    "a little of the second": (lambda v: v**4 + 1e-4 * v**2, 0, "order 2"),
    "cancelling": (lambda v: v**2 - 200 * v**3, 0, "order 2"),
    "line": (lambda v: 3 * v + 2, 0.4, "exact to rounding"),
    "almost a line": (lambda v: 3 * v + 1e-11 * v**2, 0.4, "exact to rounding"),
    "constant": (lambda v: 0 * v + 2, 0.4, "exact to rounding"),
    "steep": (jnp.log, 1e-3, "order 2"),
    "near the largest number": (jnp.exp, 709.75, "order 2"),
    "overflowing at large steps": (lambda v: jnp.exp(1e4 * v), 0.07, "order 2"),
    "leaving its domain": (jnp.sqrt, 1e-3, "order 2"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_every_higher_order_is_right_and_a_slope_off_is_not(name: str) -> None:
    f, x, says = ORDERS[name]
    slope = float(jax.grad(f)(float(x)))
    found = along_one(f, x, slope)
    assert (found.verdict, found.says) == (Verdict.PASS, says)
    wrong = along_one(f, x, 0.9 * slope if slope else 0.1)
    assert wrong.verdict is Verdict.FAIL


@pytest.mark.parametrize("c", [1e-4, 3e-6, 2.0**-18, 1e-6, 2.0**-20, 7e-7])
def test_an_error_that_large_steps_hide_does_not_pass(c: float) -> None:
    # R = |h² − c h| falls like h² or faster, for three steps and more, down to the dip at h = c.
    found = along_one(lambda v: 1.0 + v + v**2, 0.0, 1.0 + c)
    assert found.verdict is not Verdict.PASS


def test_of_a_zero_gradient_nothing_is_seen_unless_it_is_wrong() -> None:
    assert along_one(lambda v: 0 * v + 2, 0.3, 0.0).sees == np.inf
    wrong = along_one(lambda v: 0 * v + 2, 0.3, 1e-3)
    assert (wrong.verdict, wrong.error) == (Verdict.FAIL, pytest.approx(1))


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_is_kept_out_by_the_largest_step(distance: float, side: int) -> None:
    def f(v: Any) -> Any:
        return jnp.abs(v) + jnp.exp(v)

    x = -side * distance
    slope = -side + np.exp(x)

    def towards(v: Any) -> Any:
        return f(side * v)

    safe = kinks.safe_step(towards, (side * x,), (1.0,))
    assert safe == pytest.approx(distance)
    found = along_one(towards, side * x, side * slope, safe)
    assert found.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    if distance > 1e-6:
        assert found.verdict is Verdict.PASS
        assert along_one(towards, side * x, 1.5 * side * slope, safe).verdict is Verdict.FAIL


def test_without_room_before_a_kink_nothing_is_said() -> None:
    found = along_one(jnp.abs, 0.0, 0.3, 0.0)
    assert (found.verdict, found.sees) == (Verdict.INCONCLUSIVE, np.inf)


UNDECIDED: dict[str, tuple[Function, float, float]] = {
    "between the orders": (lambda v: jnp.abs(v) ** 1.5, 0, 0),
    "a jump": (lambda v: jnp.where(v > 0, 1.0, 0.0) + v, 0, 1),
    "not a number": (jnp.log, -1, 1),
    "an infinite gradient": (jnp.sin, 0.3, np.inf),
    "rounded to bfloat16": (lambda v: v.astype(jnp.bfloat16).astype(jnp.float64) ** 2, 0.7, 1.4),
    "drowned in noise": (lambda v: jnp.sin(v) * 1e-3 + (v + 1e13) - 1e13, 0.3, 1),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_where_no_order_can_be_told_it_is_not_called_wrong(name: str) -> None:
    f, x, slope = UNDECIDED[name]
    assert along_one(f, x, slope).verdict is Verdict.INCONCLUSIVE


def test_the_scale_stretches_the_steps() -> None:
    x = jnp.asarray([3e8])
    (found,) = taylor.remainders(
        lambda v: (v[0] / 1e8) ** 3, x, np.ones((1, 1)), np.asarray([27e-8]), np.asarray([2.0**28])
    )
    assert (found.verdict, found.says) == (Verdict.PASS, "order 2")


def test_no_directions_give_no_remainders() -> None:
    nothing = np.zeros((0, 0))
    assert taylor.remainders(jnp.sum, jnp.zeros(0), nothing, np.zeros(0), np.zeros(0)) == ()
