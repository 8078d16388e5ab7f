"""Comparisons read from a jaxpr: how far each is from turning, along which direction, and where."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ref.compiling import quick
from jax_ref.oracles import kinks
from jax_ref.oracles.jaxprs import TracingError

Function = Callable[..., Any]
SHAPE = (4, 5)


@jax.custom_vjp
def folded(x: Any) -> Any:
    return jnp.abs(x)


folded.defvjp(lambda x: (jnp.abs(x), None), lambda _, dy: (dy,))


@jax.custom_jvp
def misled(x: Any) -> Any:
    return 3 * x


misled.defjvp(lambda primals, tangents: (misled(*primals), 0 * tangents[0]))


def windows(x: Any, **options: Any) -> Any:
    padding = options.pop("padding", "VALID")
    return lax.reduce_window(x, -jnp.inf, lax.max, (2, 3), (1, 2), padding, **options)


def scattered(x: Any) -> Any:
    places = jnp.asarray([0, 2, 0, 9])  # one twice, one outside
    return x.at[places].max(x[::-1] + 0.1)


def stacked(x: Any) -> Any:
    def body(carry: Any, row: Any) -> Any:
        carry = lax.cond(row[0] > 0.2, jax.nn.relu, jnp.negative, carry + row)
        return carry, jax.jit(folded)(carry)

    return lax.scan(jax.checkpoint(body), x[0], x[1:], reverse=True)


def repeated(x: Any) -> Any:
    def body(state: Any) -> Any:
        total, x = state
        return total + jnp.abs(x).sum(), 1.5 * x

    return lax.while_loop(lambda state: state[0] < 20.0, body, (jnp.zeros(()), x))


# Between two turns of a comparison, each is affine.
AFFINE: dict[str, Function] = {
    "abs": jnp.abs,
    "maximum": lambda x: jnp.maximum(x[0], x[1]),
    "where": lambda x: jnp.where(x < 0.3, 2 * x, x),
    "clip": lambda x: jnp.clip(x, -0.5, 0.7),
    "clamp": lambda x: lax.clamp(-0.5, x, 0.7),
    "relu": jax.nn.relu,
    "sign": jnp.sign,
    "round": lambda x: jnp.round(3 * x),
    "floor": lambda x: jnp.floor(3 * x),
    "to integer": lambda x: (3 * x).astype(jnp.int32).astype(jnp.float64),
    "remainder": lambda x: jnp.remainder(x, 0.6),
    "truncated remainder": lambda x: lax.rem(x, jnp.full(SHAPE, 0.6)),
    "max": lambda x: x.max(1),
    "min of all": jnp.min,
    "argmax": lambda x: jnp.argmax(x, 0).astype(jnp.float64),
    "cummax": lambda x: lax.cummax(x, 1),
    "cummin reversed": lambda x: lax.cummin(x, 0, reverse=True),
    "sort": lambda x: jnp.sort(x, 0) * jnp.arange(4.0)[:, None],
    "sort by another": lambda x: lax.sort([x[0], x[1]], num_keys=1)[1] * jnp.arange(5.0),
    "top k": lambda x: lax.top_k(x, 2)[0] * jnp.arange(2.0)[None],
    "median": lambda x: jnp.median(x, 1),
    "windows": windows,
    "windows with gaps": lambda x: windows(
        x, padding=((1, 0), (2, 1)), base_dilation=(2, 1), window_dilation=(1, 2)
    ),
    "gradient of windows": jax.grad(lambda x: windows(x).sum()),
    "scattered": scattered,
    "loop": repeated,
    "nested": stacked,
    "vmap": jax.vmap(lambda row: lax.cond(row[0] > 0.1, jnp.copy, jnp.negative, row)),
    "behind a stop": lambda x: jnp.abs(lax.stop_gradient(2 * x)),
    "behind a wrong rule": lambda x: jnp.abs(misled(x) - 0.2),
    "custom vjp": folded,
}


def along_line(f: Function, x: Any, d: Any, t: np.ndarray) -> np.ndarray:
    """Return a projection of f at x + t d."""

    def projection(t: Any) -> Any:
        leaves = jax.tree.leaves(f(x + t * d))
        return sum(jnp.vdot(np.sin(1.0 + np.arange(leaf.size)), leaf) for leaf in leaves)

    return np.asarray(quick(jax.vmap(projection))(t))


@pytest.mark.parametrize("name", AFFINE)
def test_within_the_step_nothing_turns_and_beyond_it_something_does(name: str) -> None:
    f, rng = AFFINE[name], np.random.default_rng(len(name))
    x, d = jnp.asarray(rng.standard_normal(SHAPE)), jnp.asarray(rng.standard_normal(SHAPE))
    reading = kinks.read(f, (x,), (d[None],))
    (step,) = reading.steps
    assert 0 < step < 10
    assert reading.unread == ()
    inside, beyond = 0.999 * step, 1.01 * step
    low, middle, high, below, above = along_line(
        f, x, d, np.asarray([-inside, 0, inside, -beyond, beyond])
    )
    slope = (high - low) / (2 * inside)
    assert high + low - 2 * middle == pytest.approx(0, abs=1e-12)
    left, right = below - (middle - slope * beyond), above - (middle + slope * beyond)
    assert max(abs(left), abs(right)) > 1e-8


@pytest.mark.parametrize("f", [jnp.sin, jax.nn.sigmoid, lambda x: x @ x.T, jnp.cumsum])
def test_where_nothing_compares_every_step_is_safe(f: Function) -> None:
    x = jnp.ones((3, 2))
    assert kinks.margins(f, (x,)) == ()
    assert kinks.safe_step(f, (x,), (x,)) == np.inf
    assert kinks.read(f, (x,), (x[None],)).unread == ()


TIES: dict[str, tuple[Function, list[float], list[float], float]] = {
    "abs at 0": (jnp.abs, [0, 1], [1, 0], 0),
    "abs at 0, moving elsewhere": (jnp.abs, [0, 1], [0, 1], 1),
    "max, parting": (jnp.max, [2, 2, 1], [1, 2, 0], 0),
    "max, together": (jnp.max, [2, 2, 1], [1, 1, 0], 1),
    "max, the third parts": (jnp.max, [2, 2, 2], [1, 1, 3], 0),
    "max, a later one is faster": (jnp.max, [5, 4, 2], [0, 0, 6], 0.5),
    "sort, parting": (jnp.sort, [2, 2, 2], [1, 1, 0], 0),
    "sort, together": (jnp.sort, [2, 3, 2], [1, 0, 1], 1),
    "a second key": (lambda x: lax.sort([x[:2], x[2:]], num_keys=2), [1, 1, 4, 4], [1, 1, 0, 3], 0),
    "top k, at the edge": (lambda x: lax.top_k(x, 1), [2, 2, 0], [0, 1, 0], 0),
    "equality": (lambda x: jnp.where(x == 1.0, 0.0, x), [1, 3], [1, 0], 0),
    "scatter": (lambda x: jnp.zeros(1).at[jnp.zeros(2, int)].max(x), [1, 1], [1, 2], 0),
    "round": (jnp.round, [0.5, 1], [1, 1], 0),
    "to boolean": (lambda x: x.astype(bool), [3, -2], [1, 2], 1),
    "not a jump": (lambda x: x.astype(int), [0.0, 0.25], [1, 1], 0.75),
    "masked": (jax.nn.softmax, [1, -np.inf, -np.inf, 0.5], [1, 0, 0, 0], 0.5),
    "all masked": (jnp.max, [-np.inf, -np.inf], [0, 0], np.inf),
    "infinitely far": (lambda x: jnp.maximum(x, -jnp.inf), [1, 2], [1, 1], np.inf),
    "a number": (lambda x: jnp.where(jnp.isnan(x), 0.0, x), [1, 2], [1, 1], np.inf),
    "constants": (lambda x: x + jnp.sort(jnp.floor(jnp.ones(2))), [1, 2], [1, 1], np.inf),
    "stationary": (lambda x: jnp.maximum(x**2, 0), [0, 0], [1, 1], np.inf),
    "empty": (lambda x: jnp.abs(x[:0]), [1, 2], [1, 1], np.inf),
}  # fmt: skip


@pytest.mark.parametrize("name", TIES)
def test_at_ties_and_infinities(name: str) -> None:
    f, x, d, step = TIES[name]
    assert kinks.safe_step(f, (np.asarray(x, float),), (np.asarray(d, float),)) == step


def test_a_rate_that_is_no_number_promises_nothing() -> None:
    def f(x: Any) -> Any:
        return jnp.maximum(jnp.sqrt(x * 0), 1.0)

    assert kinks.safe_step(f, (jnp.ones(2),), (jnp.ones(2),)) == 0


def test_directions_are_read_together_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    x, directions = rng.standard_normal(7), rng.standard_normal((5, 7))

    def f(x: Any) -> Any:
        return jnp.sort(jnp.abs(x))

    reading = kinks.read(f, (x,), (directions,))
    alone = [kinks.safe_step(f, (x,), (d,)) for d in directions]
    np.testing.assert_array_equal(reading.steps, alone)
    np.testing.assert_array_equal(reading.near(reading.steps[1]), alone <= reading.steps[1])
    assert min(c.step for c in reading.comparisons) == min(alone)
    assert {c.primitive for c in reading.comparisons} == {"abs", "sort"}


def test_only_floating_leaves_move() -> None:
    args = (
        {"x": jnp.asarray([1.0, -3.0]), "at": jnp.asarray([1])},
        None,
        jax.random.key(0),
        jnp.float32(2),
        5,
    )
    directions = ({"x": np.asarray([[1.0, 0], [0, 1]]), "at": None}, None, None, np.zeros(2), None)

    def f(tree: Any, _none: Any, key: Any, y: Any, n: Any) -> Any:
        noise = jax.random.uniform(key, (1,))
        return jnp.abs(tree["x"][tree["at"]]) + jnp.maximum(y, 1).astype(float) + noise + n

    np.testing.assert_array_equal(kinks.read(f, args, directions).steps, [np.inf, 3])


def test_without_floating_arguments_there_are_no_directions() -> None:
    assert kinks.read(lambda n: n + 1, (3,), (None,)).steps.shape == (0,)


def test_margins_are_of_what_moves_and_the_nearest_is_first() -> None:
    def f(x: Any) -> Any:
        return jnp.abs(x) + jnp.floor(jnp.asarray(1.0)) + jnp.maximum(x, 40.0)

    first, second = kinks.margins(f, (jnp.asarray([2.0, -0.5]),))
    assert (first.primitive, first.margin) == ("abs", 0.5)
    assert (second.primitive, second.margin) == ("max", 38)


def test_a_comparison_is_named_by_the_line_that_made_it() -> None:
    def f(x: Any) -> Any:
        x = jnp.abs(x)
        x = jnp.clip(x, 0.0, 1.0)
        return jax.nn.relu(x - 2)

    def g(x: Any) -> Any:
        return jax.nn.relu(x - 3)

    line = f.__code__.co_firstlineno
    x = jnp.asarray([3.5])
    places = {c.primitive: c.source for c in kinks.margins(lambda x: f(x) + g(x), (x,))}
    assert places["abs"].startswith(f"test_kinks.py:{line + 1} (")
    assert places["min"].startswith(f"test_kinks.py:{line + 2} (")
    places = [c.source for c in kinks.margins(g, (x,))]
    assert [place.split(" ")[0] for place in places] == [f"test_kinks.py:{line + 6}"]


def same(x: Any) -> Any:
    return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


@pytest.mark.parametrize(
    ("f", "word"),
    [
        (lambda x: jnp.abs(same(x)), "pure_callback"),
        (lambda x: x.astype(jnp.float32), "convert_element_type"),
        (lambda x: lax.reduce_precision(x, 8, 7), "reduce_precision"),
        (lambda x: lax.reduce(x, 0.0, lambda a, b: jnp.maximum(a, 2 * b), (0,)), "reduce"),
        (lambda x: jax.jit(lambda x: lax.map(same, x))(x), "pure_callback"),
        (lambda x: jnp.sort(lax.complex(x, x)), "sort"),
    ],
)
def test_what_cannot_be_read_is_said(f: Function, word: str) -> None:
    x = jnp.asarray([1.0, 2.0])
    (said,) = kinks.read(f, (x,), (x[None],)).unread
    assert said.startswith(f"{word} at test_kinks.py")


def test_rounding_up_hides_nothing() -> None:
    x = jnp.asarray([1.0, 2.0], jnp.bfloat16)
    reading = kinks.read(lambda x: jnp.abs(x.astype(jnp.float32)), (x,), (np.ones((1, 2)),))
    assert (reading.unread, reading.steps.tolist()) == ((), [1])


@pytest.mark.parametrize(
    "f",
    [lambda x: float(x), lambda x: x if x > 0 else -x, np.asarray, lambda x: jnp.ones(4)[x > 0]],
)
def test_what_cannot_be_traced_is_refused_in_one_line(f: Function) -> None:
    with pytest.raises(TracingError) as caught:
        kinks.margins(f, (jnp.asarray(1.0),))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("it cannot be traced: ")


def test_an_error_of_the_function_itself_is_its_own() -> None:
    def f(x: Any) -> Any:
        raise KeyError("W")

    with pytest.raises(KeyError):
        kinks.margins(f, (jnp.ones(2),))
