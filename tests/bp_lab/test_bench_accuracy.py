"""What the benchmark says of rounding errors: on errors that are known, and on ops."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bp_lab.bench import accuracy, ops, peers
from bp_lab.pages import performance
from jax_ref import cases

TRUE = np.asarray([1.0, -2.0, 0.5, 4.0])


def pullback(*low: Any, exactly: Any = None) -> Callable[..., Any]:
    """Return cotangents: the given ones, and in float64 those times `exactly`, or `TRUE`."""

    def pulled(args: tuple[Any, ...], dy: Any) -> tuple[Any, ...]:
        if dy.dtype == jnp.float64:
            return tuple(jnp.asarray(TRUE if exactly is None else exactly) for _ in low)
        return tuple(jnp.asarray(leaf, jnp.float32) for leaf in low)

    return pulled


def ratio(ours: Callable[..., Any], theirs: Callable[..., Any], true: Any = TRUE) -> float | None:
    def reference(args: tuple[Any, ...], dy: Any) -> Any:
        return jax.tree.map(lambda _: jnp.asarray(true), ours(args, dy))

    one = jnp.ones((), jnp.float32)
    return accuracy.error_ratio(ours, theirs, reference, (one,), one)


def test_it_is_the_geometric_mean_of_the_ratios_of_the_leaves() -> None:
    assert ratio(pullback(1.001 * TRUE), pullback(1.002 * TRUE)) == pytest.approx(0.5, rel=1e-3)
    ours, theirs = (1.001 * TRUE, 1.008 * TRUE), (1.002 * TRUE, 1.001 * TRUE)
    assert ratio(pullback(*ours), pullback(*theirs)) == pytest.approx(2, rel=1e-3)


def test_what_is_as_good_as_exact_counts_alike() -> None:
    beside = TRUE + np.asarray([2.0**-25, 0, 0, 0])
    assert ratio(pullback(TRUE), pullback(TRUE)) == 1
    assert ratio(pullback(TRUE), pullback(beside)) == 1
    zero = np.zeros(4)
    assert ratio(pullback(zero), pullback(zero + 1e-9, exactly=zero), zero) == 1
    worse = ratio(pullback(TRUE * (1 + 2.0**-20)), pullback(TRUE))
    assert worse == pytest.approx(2.0**-20 / 2.0**-25)


def test_another_slope_at_a_kink_is_no_error() -> None:
    there = TRUE * np.asarray([0, 1, 1, 1])
    ours, theirs = 1.001 * TRUE, 1.001 * there
    assert ratio(pullback(ours), pullback(theirs, exactly=there)) == 1
    assert ratio(pullback(ours), pullback(theirs)) < 0.1
    assert ratio(pullback(ours), pullback(ours, exactly=TRUE + 1)) is None


def test_what_is_no_number_is_infinitely_wrong() -> None:
    bad = TRUE * np.nan
    assert ratio(pullback(bad), pullback(TRUE)) == math.inf
    assert ratio(pullback(bad), pullback(bad)) == 1


def of(name: str) -> cases.Case:
    return next(case for case in cases.registry if case.name == name)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_op_that_rounds_more_than_it_must_is_seen(dtype: str) -> None:
    case, sizes = of("linear"), {"batch": (33,), "n": 17, "m": 5}

    def rough(residual: Any, dy: Any) -> Any:
        return case.op.backward(residual, dy.astype(jnp.float8_e4m3fn).astype(dy.dtype))

    (peer,) = peers.table["linear"]
    rounding = replace(case, op=SimpleNamespace(forward=case.op.forward, backward=rough))
    assert 0.3 < ops.error_ratio(case, sizes, {}, dtype, peer) < 3
    assert ops.error_ratio(rounding, sizes, {}, dtype, peer) > 5


def test_float64_is_the_truth_itself() -> None:
    (peer,) = peers.table["relu"]
    assert ops.error_ratio(of("relu"), {"batch": (5,)}, {}, "float64", peer) is None


def test_a_peer_in_a_layout_of_its_own_is_judged_in_ours() -> None:
    form = peers.table["lstm"][1]
    sizes = {"batch_size": 3, "n": 4, "h": 5}
    assert form.name == "flax"
    assert 0.2 < ops.error_ratio(of("lstm"), sizes, {}, "float32", form) < 5


def test_of_forms_of_one_name_that_is_judged_which_fits() -> None:
    sizes, options = {"batch": (4,), "n": 5}, {"reduction": "mean"}
    for labels in ("integer", "one-hot"):
        case = of(f"softmax_cross_entropy[{labels} labels]")
        contest = ops.subject(case, sizes, options, "float32").prepare()
        assert 0.1 < contest.error_ratio("optax") < 10


def test_the_smaller_sizes_are_sizes_of_timed_ops() -> None:
    timed = [case for case in cases.registry if case.bench]
    assert accuracy.SMALLER.keys() <= {case.op_name for case in timed}
    for case in timed:
        for sizes, _ in case.bench:
            smaller = {**sizes, **accuracy.SMALLER.get(case.op_name, {})}
            assert smaller.keys() == sizes.keys()


def test_the_page_has_a_column_and_a_dash_where_there_is_no_figure() -> None:
    means = {"rows": 1, "time_ratio": 0.5, "memory_ratio": 0.7, "compile_ratio": 0.8}
    row = {
        "name": "relu",
        "size": "n 3",
        "kind": "op",
        "peer": "jnp",
        "pairs": 5,
        "time_ratio_quartiles": [0.4, 0.6],
        "seconds": 1e-3,
        "limit_share": 0.5,
        "products_ratio": None,
        **means,
    }

    def page(error: float | None, torch: float | None) -> str:
        more = {"error_ratio": error, "torch_time_ratio": torch}
        run = {
            "device": "cpu",
            "threads": 2,
            "versions": {},
            "rows": [row | more],
            "geometric_means": {"bfloat16": {"op": means | more}},
        }
        return performance.render([run], "")

    empty, full = page(None, None), page(0.93, 1.2)
    assert "## bfloat16\n" in empty
    assert "| relu: n 3 | jnp | 0.50 | 0.40–0.60 | 0.70 | – | 0.80 | – | 1 | 50 % |" in empty
    assert "| 0.70 | 0.93 | 0.80 | 1.20 | 1 | 50 % |" in full
    assert "1 ops, bfloat16 | | 0.50 |  | 0.70 | 0.93 | 0.80 | 1.20 |  |  |" in full
