"""Static settings: what is taken for a number, and what every op says of what is none."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusing import message

import manual_bp
from jax_ref import cases
from manual_bp import setting


@pytest.mark.usefixtures("without_annotations")
def test_whole_numbers_are_those_of_python_and_numpy() -> None:
    taken = setting.expect_whole("here", "k", np.uint8(3), 1)
    assert (taken, type(taken)) == (3, int)
    assert setting.expect_whole("here", "k", -3, None) == -3
    for wrong in (0, 1.0, 1.5, math.nan, "3", None, True, (3,), np.array([3]), np.float32(3)):
        assert message(ValueError, setting.expect_whole, "here", "k", wrong, 1) == (
            f"here: k: expected a whole number of at least 1, got {wrong!r}"
        )
    for wrong in (-1, 4, 2.0):
        assert message(ValueError, setting.expect_below, "here", "k", wrong, 4) == (
            f"here: k: expected 0 … 3, got {wrong!r}"
        )


@pytest.mark.usefixtures("without_annotations")
def test_numbers_are_finite_unless_said_otherwise() -> None:
    taken = setting.expect_number("here", "p", np.float32(0.5))
    assert (taken, type(taken)) == (0.5, float)
    assert type(setting.expect_number("here", "p", np.int64(2))) is int
    for wrong in (math.nan, math.inf, "a", None, True, jnp.ones(()), 1j):
        assert message(ValueError, setting.expect_number, "here", "p", wrong) == (
            f"here: p: expected a finite number, got {wrong!r}"
        )
    for wrong in (0, -1.0, math.inf, "a"):
        assert message(ValueError, setting.expect_positive, "here", "p", wrong) == (
            f"here: p: expected a finite number above 0, got {wrong!r}"
        )


@pytest.mark.usefixtures("without_annotations")
def test_an_epsilon_is_one_where_sums_are_taken() -> None:
    least = float(np.finfo(np.float32).tiny)
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        assert setting.expect_epsilon("here", np.float64(least), dtype) == least
        assert message(ValueError, setting.expect_epsilon, "here", 1e-40, dtype) == (
            "here: epsilon: expected at least 1.2e-38, the least of float32, got 1e-40"
        )
    assert setting.expect_epsilon("here", 1e-40, jnp.float64) == 1e-40
    for wrong in (0, math.nan, "a"):
        assert message(ValueError, setting.expect_epsilon, "here", wrong, jnp.float64) == (
            f"here: epsilon: expected a finite number above 0, got {wrong!r}"
        )


@pytest.mark.usefixtures("without_annotations")
def test_several_numbers_are_a_list_a_tuple_or_an_array() -> None:
    for given in ([1, 2], (1, 2), np.array([1, 2])):
        taken = setting.expect_wholes("here", "k", given, 2, "two numbers")
        assert (taken, [type(n) for n in taken]) == ((1, 2), [int, int])
    for wrong in ((1, 2, 3), (1, 2.0), 1, "12", {1, 2}, np.array(1)):
        assert message(ValueError, setting.expect_wholes, "here", "k", wrong, 2, "two numbers") == (
            f"here: k: expected two numbers, got {wrong!r}"
        )
    assert setting.expect_pairs("here", "k", np.array([[1, 2]]), 1, "a pair") == ((1, 2),)
    for wrong in (((1, 2), (3, 4)), ((1, -2),), ((1, 2, 3),), (1,), 1, ((1, 2.0),)):
        assert message(ValueError, setting.expect_pairs, "here", "k", wrong, 1, "a pair") == (
            f"here: k: expected a pair, got {wrong!r}"
        )
    assert message(ValueError, setting.expect_pairs, "here", "k", 1, 0, "no pairs") == (
        "here: k: expected no pairs, got 1"
    )


@pytest.mark.usefixtures("without_annotations")
def test_a_choice_and_an_axis_are_those_that_there_are() -> None:
    ties = "first", "split"
    for wrong in ("last", 1):
        assert message(ValueError, setting.expect_choice, "here", "ties", wrong, ties) == (
            f"here: ties: expected one of 'first', 'split', got {wrong!r}"
        )
    for wrong in (2, -3, 1.0, None):
        assert message(ValueError, setting.expect_axis, "here", jnp.ones((4, 5)), wrong) == (
            f"here: axis: expected an axis of shape (4, 5), got {wrong!r}"
        )
    assert setting.expect_axis("here", jnp.ones((4, 5)), np.int8(-2)) == -2


def _of_numpy(value: Any) -> Any:
    """Return a setting with NumPy's numbers for Python's, and lists for tuples."""
    if isinstance(value, tuple):
        return [_of_numpy(entry) for entry in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return np.int64(value) if isinstance(value, int) else np.float64(value)


def _wrong(value: Any) -> Iterator[Any]:
    """Yield what is no setting where `value` is one."""
    if isinstance(value, bool):
        return
    yield "a string that is no setting"
    if isinstance(value, int | tuple) or value is None:
        yield 1.5
    if isinstance(value, int):
        yield float(value)
    if isinstance(value, float | int):
        yield math.nan
    if isinstance(value, tuple):
        for place, entry in enumerate(value):
            yield from ((*value[:place], wrong, *value[place + 1 :]) for wrong in _wrong(entry))


def _settings() -> Iterator[Any]:
    """Yield every setting that is a number, a choice or a tuple of such, once for each op."""
    seen = set()
    plain = int | float | str | tuple | None
    for case in cases.everything:
        if getattr(manual_bp, case.op_name, None) is not case.op:
            continue
        for sizes, options in case.combinations(every=True):
            for name, value in options.items():
                kind = case.op_name, name, type(value)
                if kind not in seen and isinstance(value, plain) and not _holds_ops(value):
                    seen.add(kind)
                    label = f"{case.op_name}-{name}-{type(value).__name__}"
                    yield pytest.param(case, sizes, options, name, id=label)


def _holds_ops(value: Any) -> bool:
    return isinstance(value, tuple) and any(
        not isinstance(entry, int | float | tuple | None) for entry in value
    )


@pytest.mark.usefixtures("without_annotations")
@pytest.mark.parametrize(("case", "sizes", "options", "name"), [*_settings()])
def test_every_setting_is_taken_from_numpy_and_named_where_it_is_none(
    case: cases.Case, sizes: Any, options: Any, name: str
) -> None:
    drawn = case.draw(np.random.default_rng(0), **sizes)
    args = jax.tree.map(
        lambda a: a.astype(np.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a, drawn
    )

    def outcome(value: Any) -> Any:
        forward = functools.partial(case.op.forward, **{**options, name: value})
        return jax.eval_shape(forward, *args)

    like, taken = outcome(options[name]), outcome(_of_numpy(options[name]))
    assert str(taken) == str(like)
    for wrong in _wrong(options[name]):
        if case.op_name == "pad" and wrong is math.nan:
            continue  # a frame may be of anything
        with pytest.raises(ValueError, match=rf"^\w+: [^:]*{name}[^:]*: expected .+"):
            outcome(wrong)
