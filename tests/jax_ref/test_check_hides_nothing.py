"""No mistake hides behind the precision, a kink, a callback or a rule, and none is made up."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref import CheckError, Verdict, check_model, check_rule, check_vjp

PASS, FAIL = Verdict.PASS, Verdict.FAIL
DTYPES = ("float64", "float32", "bfloat16")
RNG = np.random.default_rng(0)
X = np.array([0.5, -1.0, 2.0])


@pytest.fixture(autouse=True)
def as_users_do() -> Iterator[None]:
    """Let JAX promote and broadcast."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def rule_of(primal: Any, forward: Any, backward: Any) -> Any:
    rule = jax.custom_vjp(primal)
    rule.defvjp(forward, backward)
    return rule


def vjp(*args: Any, **settings: Any) -> Verdict:
    return check_vjp(*args, raises=False, **settings).verdict


def of_rule(*args: Any, **settings: Any) -> Verdict:
    return check_rule(*args, raises=False, **settings).verdict


def keeping(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: (f(x), x)


def sine_pulled(x: Any, dy: Any) -> Any:
    return (dy * jnp.cos(x),)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rule_is_measured_by_the_primal_and_not_by_its_own_body(dtype: str) -> None:
    def louder(x: Any) -> Any:
        return 1.2 * jnp.sin(x)

    rule = rule_of(louder, keeping(louder), lambda x, dy: (1.2 * dy * jnp.cos(x),))
    assert of_rule(rule, jnp.asarray(X, dtype)) is PASS
    assert of_rule(rule, jnp.asarray(X, dtype), primal=jnp.sin) is FAIL


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primal", [None, jnp.sin], ids=["alone", "primal"])
def test_a_rule_returns_the_same_whether_it_is_differentiated_or_not(
    dtype: str, primal: Any
) -> None:
    rule = rule_of(lambda x: 2 * jnp.sin(x), keeping(jnp.sin), sine_pulled)
    assert of_rule(rule, jnp.asarray(X, dtype), primal=primal) is FAIL


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("primal", [None, jnp.sqrt], ids=["alone", "primal"])
def test_a_rule_of_what_jax_cannot_reverse_is_told_right_from_wrong(
    dtype: str, primal: Any
) -> None:
    def root(x: Any) -> Any:
        # Newton's steps; JAX cannot go back through such a loop.
        def step(state: Any) -> Any:
            y, count = state
            return 0.5 * (y + x / y), count + 1

        return jax.lax.while_loop(lambda state: state[1] < 30, step, (x, 0))[0]

    def rule(factor: float) -> Any:
        return rule_of(root, lambda x: (root(x),) * 2, lambda y, dy: (factor * 0.5 * dy / y,))

    x = jnp.asarray(np.abs(X), dtype)
    assert of_rule(rule(1.0), x, primal=primal) is PASS
    assert of_rule(rule(1.3), x, primal=primal) is FAIL
    with pytest.raises(CheckError, match=r"check_vjp: primal: .*Reverse-mode"):
        vjp(root, lambda x: (root(x),) * 2, lambda y, dy: (0.5 * dy / y,), x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_primal_with_the_mistake_of_the_rule_does_not_excuse_it(dtype: str) -> None:
    def doubled(x: Any, dy: Any) -> Any:
        return (2 * dy * jnp.cos(x),)

    primal = rule_of(jnp.sin, keeping(jnp.sin), doubled)
    assert vjp(primal, keeping(jnp.sin), doubled, jnp.asarray(X, dtype)) is FAIL
    # Neither does a kink in one of many entries.
    x = RNG.standard_normal(100)
    x[3] = 0

    def f(x: Any) -> Any:
        return jax.nn.relu(primal(x))

    def pulled(x: Any, dy: Any) -> Any:
        return (2 * dy * jnp.cos(x) * (jnp.sin(x) > 0),)

    assert vjp(f, keeping(f), pulled, jnp.asarray(x, dtype)) is FAIL


def test_a_callback_that_changed_is_called_anew() -> None:
    def verdict(factor: float) -> Verdict:
        def slope(x: Any, dy: Any) -> Any:
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
            by_numpy = lambda x, dy: factor * np.cos(x) * dy  # noqa: E731
            return (jax.pure_callback(by_numpy, shape, x, dy, vmap_method="sequential"),)

        return vjp(jnp.sin, keeping(jnp.sin), slope, X)

    assert [verdict(1.0), verdict(2.0), verdict(1.0)] == [PASS, FAIL, PASS]


def test_programs_that_differ_in_an_unused_argument_are_told_apart() -> None:
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        pulled = lambda x, dy: (*sine_pulled(x, dy), None)  # noqa: E731
        assert vjp(lambda x, key: jnp.sin(x), lambda x, key: (jnp.sin(x), x), pulled, X, key)


@pytest.mark.parametrize("dtype", DTYPES)
def test_many_kinks_hide_no_wrong_entry(dtype: str) -> None:
    x = RNG.standard_normal(1000)
    x[100:600] = 0
    x[7] = 1.5
    x = jnp.asarray(x, dtype)

    def verdict(wrong: int | None, factor: float) -> Verdict:
        def pulled(x: Any, dy: Any) -> Any:
            dx = dy * (x >= 0)
            return (dx if wrong is None else dx.at[wrong].multiply(factor),)

        return vjp(jax.nn.relu, keeping(jax.nn.relu), pulled, x)

    assert verdict(None, 1.0) is PASS
    assert verdict(7, 1.5) is FAIL
    assert verdict(321, 7.0) is FAIL


def test_more_kinks_than_can_be_looked_at_are_no_pass() -> None:
    x = np.zeros(5000)
    report = check_vjp(
        jax.nn.relu, keeping(jax.nn.relu), lambda x, dy: (dy * (x >= 0),), x, raises=False
    )
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "4096 of 5000 entries that differ were looked at" in str(report)


@pytest.mark.parametrize(
    ("dtype", "seed", "level"),
    [
        *((dtype, seed, "fast") for dtype in DTYPES for seed in (0, 1)),
        *((dtype, 0, "full") for dtype in ("float64", "float32")),
    ],
)
def test_of_a_rule_alone_independent_kinks_are_no_mistake(
    dtype: str, seed: int, level: Any
) -> None:
    x = np.random.default_rng(seed).standard_normal((28, 28))
    x[np.random.default_rng(seed).random(x.shape) < 0.2] = 0
    x[3, 4] = 1.25

    def rule(factor: float) -> Any:
        return rule_of(
            lambda x: jnp.maximum(x, 0),
            keeping(lambda x: jnp.maximum(x, 0)),
            lambda x, dy: ((dy * (x > 0)).at[3, 4].multiply(factor),),
        )

    assert of_rule(rule(1.0), jnp.asarray(x, dtype), level=level) is PASS
    assert of_rule(rule(1.5), jnp.asarray(x, dtype), level=level) is FAIL


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_output_of_whole_numbers_is_that_of_the_reference(dtype: str) -> None:
    def largest(x: Any) -> Any:
        return jnp.max(x), jnp.argmax(x)

    def verdict(off: int) -> Verdict:
        def forward(x: Any) -> Any:
            return (jnp.max(x), jnp.argmax(x) + off), x

        def pulled(x: Any, dy: Any) -> Any:
            return ((dy[0] * (jnp.arange(3) == jnp.argmax(x)).astype(x.dtype)),)

        return vjp(largest, forward, pulled, jnp.asarray(X, dtype))

    assert [verdict(0), verdict(1)] == [PASS, FAIL]


@pytest.mark.parametrize("factor", [1.3, 1.1, 0.8])
def test_a_reference_that_loses_all_digits_does_not_excuse_the_hand(factor: float) -> None:
    def difference(x: Any) -> Any:
        return jnp.sqrt(x + 1) - jnp.sqrt(x)

    def forward(x: Any) -> Any:
        return 1 / (jnp.sqrt(x + 1) + jnp.sqrt(x)), x

    def verdict(factor: float) -> Verdict:
        def pulled(x: Any, dy: Any) -> Any:
            a, b = jnp.sqrt(x), jnp.sqrt(x + 1)
            return (-0.5 * factor * dy / (a * b * (a + b)),)

        return vjp(difference, forward, pulled, np.float32(RNG.uniform(5e5, 2e6, 20)))

    assert verdict(1.0) is PASS
    assert verdict(factor) is FAIL


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_complex_cotangents_are_transposed_and_not_conjugated(dtype: str) -> None:
    def complex_(*shape: int) -> np.ndarray:
        return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(dtype)

    def verdict(of: Callable[[Any], Any]) -> Verdict:
        return vjp(
            lambda x, W: x @ W,
            lambda x, W: (x @ W, (x, W)),
            lambda kept, dy: (dy @ of(kept[1].T), kept[0].T @ dy),
            complex_(3, 4),
            complex_(4, 2),
        )

    assert [verdict(lambda W: W), verdict(jnp.conj)] == [PASS, FAIL]


def test_a_real_argument_may_have_a_complex_output() -> None:
    def wave(x: Any) -> Any:
        return jnp.exp(1j * x)

    def pulled(sign: int) -> Any:
        return lambda x, dy: (jnp.real(1j * jnp.exp(sign * 1j * x) * dy),)

    assert vjp(wave, keeping(wave), pulled(1), X) is PASS
    assert vjp(wave, keeping(wave), pulled(-1), X) is FAIL
    back = lambda x, dy: jax.vjp(jnp.fft.rfft, x)[1](dy)  # noqa: E731
    assert vjp(jnp.fft.rfft, keeping(jnp.fft.rfft), back, X) is PASS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, PASS), (1.2, FAIL)])
def test_a_number_of_python_takes_the_dtype_of_what_it_meets(
    dtype: str, factor: float, verdict: Verdict
) -> None:
    def pulled(kept: Any, dy: Any) -> Any:
        x, a = kept
        return factor * dy * a, (dy * x).sum().astype(jnp.result_type(float))

    x = jnp.asarray(X, dtype)
    assert vjp(lambda x, a: x * a, lambda x, a: (x * a, (x, a)), pulled, x, 2.5) is verdict


def test_the_first_floating_argument_decides_whether_float64_is_on() -> None:
    def pulled(kept: Any, dy: Any) -> Any:
        return dy * kept[1], dy * kept[0]

    with jax.enable_x64(False):
        x, scale = jnp.asarray(X), 1 + 0.1 * np.arange(3.0)
        assert x.dtype == jnp.float32
        assert vjp(lambda x, s: x * s, lambda x, s: (x * s, (x, s)), pulled, x, scale) is PASS


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, PASS), (1.1, FAIL)])
def test_an_argument_of_lower_precision_may_round(
    dtype: str, factor: float, verdict: Verdict
) -> None:
    def pulled(kept: Any, dy: Any) -> Any:
        x, W = kept
        dW = (factor * x.T @ dy).astype(W.dtype)
        return dy @ W.T.astype(x.dtype), dW

    def product(x: Any, W: Any) -> Any:
        return x @ W.astype(x.dtype)

    x, W = RNG.standard_normal((3, 4)), jnp.asarray(RNG.standard_normal((4, 2)), dtype)
    assert vjp(product, lambda x, W: (product(x, W), (x, W)), pulled, x, W) is verdict


@pytest.mark.parametrize(("given", "returned"), [(list, tuple), (tuple, list), (list, list)])
def test_cotangents_come_in_the_containers_of_their_argument(given: Any, returned: Any) -> None:
    def affine(theta: Any, x: Any) -> Any:
        return x @ theta[0] + theta[1]

    def pulled(kept: Any, dy: Any) -> Any:
        (W, _), x = kept
        return returned([x.T @ dy, dy.sum(0)]), dy @ W.T

    report = check_vjp(
        affine,
        lambda theta, x: (affine(theta, x), (theta, x)),
        pulled,
        given([RNG.standard_normal((4, 2)), RNG.standard_normal(2)]),
        RNG.standard_normal((3, 4)),
        raises=False,
    )
    assert report.verdict is (PASS if given is returned else FAIL)
    if given is not returned:
        assert "theta: expected the containers PyTreeDef(" in str(report)


@pytest.mark.parametrize(("kind", "way"), [(jax.custom_vjp, "vjp"), (jax.custom_jvp, "jvp")])
def test_a_rule_without_a_derivative_is_refused(kind: Any, way: str) -> None:
    with pytest.raises(CheckError) as caught:
        check_rule(kind(jnp.sin), X)
    expected = f"expected one that was given by def{way}, got none"
    assert str(caught.value) == f"check_rule: rule: {expected}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_check_runs_where_compiling_is_switched_off(dtype: str) -> None:
    with jax.disable_jit():
        assert vjp(jnp.sin, keeping(jnp.sin), sine_pulled, jnp.asarray(X, dtype)) is PASS


def test_the_loss_of_a_model_is_checked_in_its_own_precision() -> None:
    def verdict(factor: float) -> Verdict:
        def by_hand(w: Any, x: Any) -> Any:
            loss = 0.5 * jnp.sum((w * x) ** 2)
            return loss * (factor if loss.dtype == jnp.float16 else 1), w * x * x

        w, x = jnp.asarray([0.5, -2.0], jnp.float16), jnp.asarray([3.0, 1.0], jnp.float16)
        return check_model(
            by_hand, lambda w, x: jnp.sum((x * w) ** 2) / 2, w, x, raises=False
        ).verdict

    assert [verdict(1.0), verdict(1.01)] == [PASS, FAIL]
