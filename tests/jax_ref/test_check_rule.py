"""`check_rule` and `check_vjp` as a kernel author calls them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref import CheckError, GradientMismatch, Kind, Report, Verdict, check_rule, check_vjp


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.round(np.random.default_rng(seed).standard_normal(shape), 2))


def rule_of(forward: Any, backward: Any, primal: Any = None) -> Any:
    """Return a fresh custom_vjp function."""
    rule = jax.custom_vjp(primal or (lambda *args: forward(*args)[0]))
    rule.defvjp(forward, backward)
    return rule


def sine(slope: float = 1.0) -> Any:
    return rule_of(lambda x: (jnp.sin(x), x), lambda x, dy: (slope * dy * jnp.cos(x),))


def witnesses(report: Report) -> set[str]:
    return {row.witness for row in report.rows}


DTYPES = ("float64", "float32", "bfloat16", "float16")


@pytest.mark.parametrize("primal", [None, jnp.sin], ids=["alone", "primal"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rule_is_told_right_from_wrong(dtype: str, primal: Any) -> None:
    x = jnp.asarray(random(4, 3), dtype)
    assert check_rule(sine(), x, primal=primal)
    report = check_rule(sine(0.5), x, primal=primal, raises=False)
    assert report.verdict is Verdict.FAIL
    assert report.diagnoses["x"][0].kind is Kind.FACTOR
    assert report.headline.startswith("x[")
    assert "½ × truth" in report.headline


def test_without_a_primal_the_report_names_its_witnesses() -> None:
    report = check_rule(sine(), random(3), level="full")
    assert {"linearity", "finite difference", "five points", "complex step"} <= witnesses(report)
    assert not {"jax.grad", "dot product"} & witnesses(report)
    assert any("not possible without a primal" in note for note in report.notes)


@pytest.mark.parametrize("size", [(5, 7), (200, 90)])
def test_one_wrong_entry_is_found_without_a_primal(size: tuple[int, int]) -> None:
    rule = rule_of(
        lambda x: (jnp.sin(x), x), lambda x, dy: ((dy * jnp.cos(x)).at[3, 5].multiply(1.5),)
    )
    report = check_rule(rule, random(*size), raises=False)
    (row,) = [row for row in report.failed if row.index]
    assert (row.leaf, row.index) == ("x", (3, 5))
    assert report.diagnoses["x"][0].kind is Kind.FEW
    assert row.hand == pytest.approx(1.5 * (row.truth or 0), rel=1e-6)


def wraps(rule: Any) -> Any:
    return lambda x: 1 * rule(x)


@pytest.mark.parametrize("disguise", [lambda rule: rule, wraps, jax.jit], ids=["", "in", "jit"])
def test_a_rule_is_not_compared_with_itself(disguise: Any) -> None:
    rule = sine()
    with pytest.raises(CheckError) as caught:
        check_rule(rule, random(3), primal=disguise(rule))
    expected = "expected a function that JAX differentiates by itself, got one that calls the rule"
    assert str(caught.value) == f"check_rule: primal: {expected}"


def test_a_custom_jvp_rule_is_not_compared_with_itself() -> None:
    @jax.custom_jvp
    def cube(x: Any) -> Any:
        return x**3

    cube.defjvp(lambda primals, tangents: (cube(*primals), 3 * primals[0] ** 2 * tangents[0]))
    assert check_rule(cube, random(3), primal=lambda x: x * x * x)
    with pytest.raises(CheckError):
        check_rule(cube, random(3), primal=lambda x: cube(x))


def test_positional_settings_are_handed_on() -> None:
    def power(n: Any, x: Any, mode: str) -> Any:
        return x**n if mode == "power" else x

    rule = jax.custom_vjp(power, nondiff_argnums=(0, 2))
    rule.defvjp(lambda n, x, mode: (x**n, x), lambda n, mode, x, dy: (n * x ** (n - 1) * dy,))
    assert check_rule(rule, 3, random(4), "power", primal=power)
    report = check_rule(rule, 3, random(4), "other", primal=power, raises=False)
    assert report.verdict is Verdict.FAIL


def test_whole_numbers_of_python_are_settings_integers_keys_and_booleans_are_not_checked() -> None:
    def forward(x: Any, n: Any, index: Any, key: Any, mask: Any) -> Any:
        noise = jax.random.bernoulli(key, 0.5, x.shape).astype(x.dtype)
        return jnp.where(mask, x * noise, 0.0)[index] * n, (noise, mask, index, n, x.shape[0])

    def backward(residual: Any, dy: Any) -> Any:
        noise, mask, index, n, size = residual
        spread = jnp.zeros(size).at[index].add(dy * n)
        return jnp.where(mask, spread * noise, 0.0), None, None, None, None

    args = (random(6), 2, np.array([0, 3, 3, 5]), jax.random.key(0), np.array([True] * 5 + [False]))
    report = check_vjp(lambda *a: forward(*a)[0], forward, backward, *args, level="full")
    assert report
    assert {row.leaf for row in report.rows} == {"x", "y"}


def test_float0_cotangents_and_outputs_without_a_cotangent_are_taken() -> None:
    def forward(x: Any, i: Any) -> Any:
        return (x[i] ** 2, jnp.argmax(x)), (x, i)

    def backward(residual: Any, dy: Any) -> Any:
        x, i = residual
        assert dy[1].dtype == jax.dtypes.float0
        return jnp.zeros_like(x).at[i].add(2 * x[i] * dy[0]), np.zeros((), jax.dtypes.float0)

    args = (random(4), np.array(2))
    assert check_vjp(lambda *a: forward(*a)[0], forward, backward, *args)


class Pair(NamedTuple):
    W: Any
    b: Any


def test_trees_of_arguments_are_named_as_python_would() -> None:
    def forward(params: Any, x: Any) -> Any:
        return {"u": x @ params["layer"].W + params["layer"].b[None]}, (params, x)

    def backward(residual: Any, dy: Any) -> Any:
        params, x = residual
        dW, db = x.T @ dy["u"], dy["u"].sum(0)
        return {"layer": Pair(dW, -db)}, dy["u"] @ params["layer"].W.T

    args = {"layer": Pair(random(3, 2), random(2, seed=1))}, random(5, 3, seed=2)
    report = check_vjp(lambda *a: forward(*a)[0], forward, backward, *args, raises=False)
    assert {row.leaf for row in report.failed} == {"params['layer'].b"}
    assert "hand −1.000 × truth: sign error" in str(report).splitlines()[0]
    assert check_vjp(lambda *a: forward(*a)[0], forward, backward, *args, wrt="x")
    assert check_vjp(lambda *a: forward(*a)[0], forward, backward, *args, wrt=1)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (1, 1)])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_sizes_at_the_edge_are_taken(shape: tuple[int, ...], dtype: str) -> None:
    report = check_rule(sine(), jnp.asarray(random(*shape), dtype), primal=jnp.sin)
    assert report.verdict is (Verdict.PASS if np.prod(shape) else Verdict.INCONCLUSIVE)


def test_a_forward_that_differs_from_its_own_rule_fails() -> None:
    rule = rule_of(
        lambda x: (jnp.sin(x), x), lambda x, dy: (dy * jnp.cos(x),), lambda x: jnp.sin(x) + 1e-3
    )
    report = check_rule(rule, random(3), primal=jnp.sin, raises=False, level="full")
    assert report.verdict is Verdict.FAIL


def test_a_rule_that_reads_values_is_run_as_it_stands() -> None:
    def forward(x: Any) -> Any:
        return (x**2 if float(x.sum()) > 0 else x**3), x

    def backward(x: Any, dy: Any) -> Any:
        return ((2 * x if float(x.sum()) > 0 else 3 * x**2) * dy,)

    x = np.abs(random(3)) + 1
    assert check_vjp(lambda x: x * x, forward, backward, x).verdict is Verdict.PASS
    wrong = check_vjp(lambda x: x * x, forward, lambda x, dy: (x * dy,), x, raises=False)
    assert wrong.verdict is Verdict.FAIL
    report = check_vjp(lambda x: x * x, forward, backward, x, level="full")
    assert any("reads values" in note for note in report.notes)


def test_the_seed_is_what_a_report_can_be_made_again_from() -> None:
    first, again, other = (
        check_rule(sine(2.0), random(9), primal=jnp.sin, seed=seed, raises=False)
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first.seed == 3
    assert first.rows != other.rows


def test_a_mismatch_is_an_assertion_and_its_message_the_report() -> None:
    with pytest.raises(AssertionError) as caught:
        check_rule(sine(-1.0), random(3), primal=jnp.sin)
    assert isinstance(caught.value, GradientMismatch)
    assert str(caught.value).splitlines()[1] == "<lambda> [float64]: FAIL"


KEEP = (lambda x: (jnp.sin(x), x), lambda x, dy: (dy * jnp.cos(x),))
TAKES = "expected a function that takes these arguments, got"
BAD = {
    "no pair": (
        lambda: check_vjp(jnp.sin, jnp.sin, KEEP[1], random(3)),
        "check_vjp: forward: expected a pair (y, residual), got an array of shape (3,)",
    ),
    "a triple": (
        lambda: check_vjp(jnp.sin, lambda x: (x, x, x), KEEP[1], random(3)),
        "check_vjp: forward: expected a pair (y, residual), got a tuple of 3",
    ),
    "arity of backward": (
        lambda: check_vjp(jnp.sin, KEEP[0], lambda x: (x,), random(3)),
        "check_vjp: backward: expected a function of (residual, dy), got one of 1 arguments",
    ),
    "no function": (
        lambda: check_vjp(None, *KEEP, random(3)),
        "check_vjp: primal: expected a function, got NoneType",
    ),
    "text": (
        lambda: check_vjp(jnp.sin, *KEEP, "text"),
        "check_vjp: x: expected an array of numbers, got str 'text'",
    ),
    "objects": (
        lambda: check_vjp(jnp.sin, *KEEP, np.array([1.0, None], object)),
        "check_vjp: x: expected an array of numbers, got an object array",
    ),
    "refused by the primal": (
        lambda: check_vjp(lambda x, y: x, *KEEP, random(3)),
        f"check_vjp: primal: {TAKES} TypeError: ",
    ),
    "refused by the forward": (
        lambda: check_vjp(jnp.sin, lambda x: (x @ np.ones(9), x), KEEP[1], random(3)),
        f"check_vjp: forward: {TAKES} TypeError: ",
    ),
    "an error in the backward": (
        lambda: check_vjp(jnp.sin, KEEP[0], lambda x, dy: (dy[99, 99],), random(3)),
        f"check_vjp: backward: {TAKES} IndexError: ",
    ),
    "nan": (
        lambda: check_vjp(jnp.log, lambda x: (jnp.log(x), x), lambda x, dy: (dy / x,), -random(2)),
        "check_vjp: primal: expected numbers at this point, got nan at y[0]",
    ),
    "nan of a rule": (
        lambda: check_rule(rule_of(lambda x: (jnp.log(x), x), lambda x, dy: (dy / x,)), -random(2)),
        "check_rule: rule: expected numbers at this point, got nan at y[0]",
    ),
    "integers alone": (
        lambda: check_rule(sine(), np.arange(3)),
        "check_rule: args: expected at least one floating array, got none",
    ),
    "integers out": (
        lambda: check_rule(rule_of(lambda x: (jnp.argmax(x), x), lambda x, dy: (x,)), random(3)),
        "check_rule: rule: expected at least one floating output, got none",
    ),
    "wrt": (
        lambda: check_rule(sine(), random(3), wrt="z"),
        "check_rule: wrt: expected one of x, or a position below 1, got 'z'",
    ),
    "level": (
        lambda: check_rule(sine(), random(3), level="thorough"),
        "check_rule: level: expected 'fast' or 'full', got 'thorough'",
    ),
    "no rule": (
        lambda: check_rule(jnp.sin, random(3), primal=lambda x: jnp.sin(x)),
        "check_rule: rule: expected a jax.custom_vjp or jax.custom_jvp function, got one that JAX",
    ),
    "a backward of text": (
        lambda: check_vjp(jnp.sin, KEEP[0], lambda x, dy: ("dx",), random(3)),
        "check_vjp: backward: expected arrays, got str",
    ),
    "an eager backward of an object": (
        lambda: check_vjp(jnp.sin, KEEP[0], lambda x, dy: (float(dy) and object(),), random()),
        "check_vjp: backward: expected arrays, got object",
    ),
    "a forward without a signature": (
        lambda: check_vjp(jnp.sin, max, KEEP[1], random(3)),
        "check_vjp: forward: expected a pair (y, residual), got an array of shape ()",
    ),
    "rule": (
        lambda: check_rule("sine", random(3)),
        "check_rule: rule: expected a function, got str",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_that_names_what_is_wrong(
    name: str, without_annotations: None
) -> None:
    call, expected = BAD[name]
    with pytest.raises(CheckError) as caught:
        call()
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("residual", "said"),
    [
        (lambda x, cosine: x, "factor cos(x) missing"),
        (lambda x, cosine: (x, cosine + 1), "factor cos(x) missing"),
        (lambda x, cosine: cosine * (x + 1), "factor residual missing"),
        (lambda x, cosine: (x, cosine * (x + 1)), "factor residual[1] missing"),
        (lambda x, cosine: (x, {"c": cosine * (x + 1)}), "factor residual[1]['c'] missing"),
        (lambda x, cosine: {"c": cosine * (x + 1)}, "factor c missing"),
    ],
)
def test_what_has_no_name_in_the_residual_is_named(residual: Any, said: str) -> None:
    """An argument or an output keeps its own name, and the rest has one that Python knows."""
    factor = jnp.cos if "cos" in said else (lambda x: jnp.cos(x) * (x + 1))
    curve = jax.custom_jvp(jnp.sin)
    curve.defjvp(lambda x, t: (jnp.sin(x[0]), t[0] * factor(x[0])))
    report = check_vjp(
        curve,
        lambda x: (jnp.sin(x), residual(x, jnp.cos(x))),
        lambda residual, dy: (dy,),
        random(5, 4),
        raises=False,
    )
    assert report.diagnoses["x"][0].says == said


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
@pytest.mark.parametrize(
    ("hand", "said"),
    [
        (lambda z, dy: z * dy, "½ × truth"),
        (lambda z, dy: -2 * z * dy, "sign error"),
        (lambda z, dy: 2 * z * dy.mean(), "equals the truth for dy = its mean"),
        (lambda z, dy: 2 * jnp.conj(z) * dy, "no known mistake fits"),
    ],
)
@pytest.mark.parametrize("shape", [(5, 4), ()])
def test_a_mistake_of_a_complex_argument_is_diagnosed(
    shape: tuple[int, ...], hand: Any, said: str, dtype: str
) -> None:
    z = (random(*shape) + 1j * random(*shape, seed=1)).astype(dtype)
    square = (lambda z: z * z), (lambda z: (z * z, z)), (lambda z, dy: (hand(z, dy),))
    report = check_vjp(*square, z, raises=False)
    if not shape and "mean" in said:
        assert report
        return
    assert report.verdict is Verdict.FAIL
    assert "not diagnosed" not in str(report)
    assert not shape or report.diagnoses["z"][0].says == said
