"""Level "full": every witness, and the same rule under what a user will put it through."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ref import Kind, Report, Verdict, check_rule, check_vjp


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.round(np.random.default_rng(seed).standard_normal(shape), 2))


def failed(report: Report) -> set[str]:
    return {row.witness for row in report.failed}


def cubes(x: Any) -> Any:
    return jnp.sum(x**3, -1)


def forward(x: Any) -> Any:
    return jnp.sum(x * x * x, -1), x


def backward(x: Any, dy: Any) -> Any:
    return (3 * x * x * dy[..., None],)


EVERY = {
    *("value", "linearity", "jax.grad", "finite difference", "five points", "Taylor remainder"),
    *("complex step", "dot product", "Jacobian", "jvp of backward", "grad of backward"),
    *("deterministic", "inputs", "jit = eager", "vmap", "scan", "remat"),
}


def test_a_smooth_rule_is_heard_by_every_witness() -> None:
    report = check_vjp(cubes, forward, backward, random(4, 3), level="full")
    assert report
    assert {row.witness for row in report.rows} == EVERY
    assert all(row.sees <= 1e-6 for row in report.rows)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_in_low_precision_the_float64_witnesses_speak_as_well(dtype: str) -> None:
    x = jnp.asarray(random(4, 3), dtype)
    report = check_vjp(cubes, forward, backward, x, level="full")
    assert report
    assert {row.witness for row in report.rows} == EVERY | {"precision"}


def test_a_mistake_is_heard_by_every_witness_of_the_gradient() -> None:
    report = check_vjp(
        cubes, forward, lambda x, dy: (2 * x * x * dy[..., None],), random(4, 3), level="full",
        raises=False,
    )  # fmt: skip
    silent = {"value", "linearity", "deterministic", "inputs", "jit = eager", "vmap", "scan"}
    assert failed(report) == EVERY - silent - {"remat"}


def test_a_second_order_that_is_lost_fails() -> None:
    def keep(x: Any) -> Any:
        return forward(x)[0], jax.lax.stop_gradient(x)

    assert check_vjp(cubes, keep, backward, random(4, 3))
    report = check_vjp(cubes, keep, backward, random(4, 3), level="full", raises=False)
    assert failed(report) == {"jvp of backward", "grad of backward"}


def test_what_is_drawn_anew_at_each_call_fails() -> None:
    rng = np.random.default_rng(0)

    def drawn(x: Any, dy: Any) -> Any:
        noise = jax.pure_callback(
            lambda: np.float64(1 + 1e-12 * rng.random()), jax.ShapeDtypeStruct((), jnp.float64)
        )
        return (3 * x * x * dy[..., None] * noise,)

    report = check_vjp(cubes, forward, drawn, random(4, 3), level="full", raises=False)
    assert "deterministic" in failed(report)
    assert report.diagnoses["x"][0].kind is Kind.TRANSFORMED


def test_an_argument_that_is_written_into_fails() -> None:
    def spoil(x: Any) -> Any:
        y = np.sum(x**3, -1) if isinstance(x, np.ndarray) else jnp.sum(x**3, -1)
        if isinstance(x, np.ndarray):
            x *= 2
        return y, x

    report = check_vjp(cubes, spoil, backward, random(4, 3), level="full", raises=False)
    assert "inputs" in failed(report)


def test_a_batching_rule_of_its_own_is_seen() -> None:
    @jax.custom_batching.custom_vmap
    def scaled(x: Any) -> Any:
        return 3 * x

    scaled.def_vmap(lambda size, batched, x: (2.9 * x, True))
    report = check_vjp(
        lambda x: 3 * x, lambda x: (3 * x, None), lambda _, dy: (scaled(dy),), random(4),
        level="full", raises=False,
    )  # fmt: skip
    assert {"vmap"} <= failed(report)
    assert "jax.grad" not in failed(report)


def test_what_a_rule_cannot_be_put_through_is_a_note() -> None:
    def called(x: Any) -> Any:
        y = jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
        return y, x

    report = check_vjp(
        jnp.sin, called, lambda x, dy: (dy * jnp.cos(x),), random(3), level="full", raises=False
    )
    assert report.verdict is not Verdict.FAIL, str(report)
    assert any("vmap: not possible" in note for note in report.notes)


def test_a_kink_at_the_point_does_not_fail_and_is_said() -> None:
    @jax.custom_vjp
    def relu(x: Any) -> Any:
        return jnp.maximum(x, 0)

    relu.defvjp(lambda x: (jnp.maximum(x, 0), x), lambda x, dy: (jnp.where(x >= 0, dy, 0),))
    report = check_rule(relu, np.array([-1.0, 0.0, 2.0]), primal=jax.nn.relu)
    assert report
    assert any(
        note.startswith("KINK: the point is where something turns: max") for note in report.notes
    )


def test_a_jump_of_slopes_where_nothing_compares_is_no_kink() -> None:
    # So steep that one-sided slopes differ at every step: the hand's mistake hides between them.
    def steep(x: Any) -> Any:
        return jnp.sqrt(x**2 + 1e-13)

    def wrong(x: Any, dy: Any) -> Any:
        return (dy * 0.9 * x / jnp.sqrt(x**2 + 1e-13),)

    rule = jax.custom_vjp(steep)
    rule.defvjp(lambda x: (steep(x), x), wrong)
    report = check_rule(rule, np.array([2e-8]), raises=False)
    assert report.verdict is not Verdict.PASS
