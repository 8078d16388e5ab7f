"""The check of a model: every parameter, every δ, the decay."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import CheckError, GradientMismatch, Report, Verdict, check_model, references
from manual_bp import mlp
from manual_bp.models.mlp import Layer

DECAY = 0.3


def problem(dtype: str = "float64") -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(np.round(rng.standard_normal(shape), 2), dtype)

    params = tuple(Layer(draw(n, m), draw(m)) for n, m in ((3, 4), (4, 4), (4, 2)))
    return params, draw(5, 3), draw(5, 2)


def by_hand(params: Any, x: Any, targets: Any, decay: float = DECAY) -> Any:
    return mlp.loss_gradients_and_deltas(
        params, x, targets, loss=manual_bp.squared_error, activation=manual_bp.tanh, decay=decay
    )


def reference(params: Any, x: Any, targets: Any, *, probes: Any, decay: float = DECAY) -> Any:
    return references.models.mlp_loss(
        params,
        x,
        targets,
        loss=references.losses.squared_error,
        activation=references.activations.tanh,
        decay=decay,
        probes=probes,
    )


def check(hand: Callable[..., Any], dtype: str = "float64", **chosen: Any) -> Report:
    return check_model(hand, reference, *problem(dtype), name="planted", raises=False, **chosen)


def failures(report: Report, witness: str) -> set[str]:
    bad = [row for row in report.rows if row.verdict is Verdict.FAIL]
    return {row.leaf for row in bad if row.witness == witness}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_a_sound_model_passes(dtype: str) -> None:
    report = check(by_hand, dtype)
    assert report, str(report)
    assert report.dtype == dtype
    leaves = {row.leaf for row in report.rows if row.witness == "jax.grad"}
    parameters = {f"params[{layer}].{name}" for layer in range(3) for name in "Wb"}
    assert leaves == parameters | {f"δ[{layer}]" for layer in range(3)}
    precise = {row.leaf for row in report.rows if row.witness == "precision"}
    assert precise == (set() if dtype == "float64" else leaves)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_wrong_delta_fails_even_where_every_gradient_is_right(layer: int) -> None:
    def hand(*args: Any) -> Any:
        loss, gradients, deltas = by_hand(*args)
        return loss, gradients, tuple((1 + (i == layer)) * d for i, d in enumerate(deltas))

    report = check(hand)
    assert failures(report, "jax.grad") == {f"δ[{layer}]"}
    assert failures(report, "finite difference") == {f"δ[{layer}]"}
    assert f"δ[{layer}][" in str(report)


def _with_layer(gradients: Any, layer: int, **changed: Any) -> Any:
    return tuple(g._replace(**changed) if i == layer else g for i, g in enumerate(gradients))


SPOILT = {
    "sign of W": lambda g, d: (_with_layer(g, 0, W=-g[0].W), "params[0].W"),
    "a square W transposed": lambda g, d: (_with_layer(g, 1, W=g[1].W.T), "params[1].W"),
    "bias averaged": lambda g, d: (_with_layer(g, 2, b=g[2].b / 5), "params[2].b"),
    "bias zero": lambda g, d: (_with_layer(g, 1, b=0 * g[1].b), "params[1].b"),
    "one entry": lambda g, d: (_with_layer(g, 1, W=g[1].W.at[3, 2].add(0.1)), "params[1].W"),
    "NaN": lambda g, d: (_with_layer(g, 0, b=g[0].b.at[1].set(jnp.nan)), "params[0].b"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_wrong_parameter_gradient_fails_and_says_where(name: str) -> None:
    named = []

    def hand(*args: Any) -> Any:
        loss, gradients, deltas = by_hand(*args)
        spoilt, leaf = SPOILT[name](gradients, deltas)
        named.append(leaf)
        return loss, spoilt, deltas

    report = check(hand)
    assert failures(report, "jax.grad") == failures(report, "finite difference") == {named[0]}
    text = str(report)
    assert "planted [float64]: FAIL\n" in text
    assert f"{named[0]}[" in text
    if name == "one entry":
        assert f"{named[0]}[3, 2]: hand " in text
    with pytest.raises(GradientMismatch) as caught:
        check_model(hand, reference, *problem(), name="planted")
    assert str(caught.value) == text


WRONG_DECAY = {
    "none": lambda gradients, params: _decayed(gradients, params, -DECAY, 0),
    "twice": lambda gradients, params: _decayed(gradients, params, DECAY, 0),
    "per sample": lambda gradients, params: _decayed(gradients, params, DECAY / 5 - DECAY, 0),
    "on the biases too": lambda gradients, params: _decayed(gradients, params, 0, DECAY),
}


def _decayed(gradients: Any, params: Any, on_W: float, on_b: float) -> Any:
    return tuple(
        Layer(g.W + on_W * p.W, g.b + on_b * p.b) for g, p in zip(gradients, params, strict=True)
    )


@pytest.mark.parametrize("name", WRONG_DECAY)
def test_a_wrong_decay_fails_in_every_layer(name: str) -> None:
    def hand(params: Any, *batch: Any) -> Any:
        loss, gradients, deltas = by_hand(params, *batch)
        return loss, WRONG_DECAY[name](gradients, params), deltas

    report = check(hand)
    letter = "b" if "biases" in name else "W"
    assert failures(report, "jax.grad") == {f"params[{layer}].{letter}" for layer in range(3)}
    assert failures(report, "value") == set()


def test_a_wrong_loss_fails_by_its_value() -> None:
    def hand(*args: Any) -> Any:
        loss, gradients, deltas = by_hand(*args)
        return 2 * loss, gradients, deltas

    report = check(hand)
    assert failures(report, "value") == {"loss"}
    assert failures(report, "jax.grad") == set()


def test_a_missing_gradient_fails() -> None:
    def hand(*args: Any) -> Any:
        loss, gradients, deltas = by_hand(*args)
        return loss, _with_layer(gradients, 1, b=None), deltas

    assert failures(check(hand), "structure") == {"params[1].b"}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_mistake_made_in_low_precision_alone_fails(dtype: str) -> None:
    def hand(*args: Any) -> Any:
        loss, gradients, deltas = by_hand(*args)
        if loss.dtype == jnp.float64:
            return loss, gradients, deltas
        return loss, _with_layer(gradients, 0, W=1.2 * gradients[0].W), deltas

    sound, report = check(by_hand, dtype), check(hand, dtype)
    found = failures(report, "precision") - failures(sound, "precision")
    assert found == {"params[0].W"}
    assert failures(report, "jax.grad") == set()


def test_a_gradient_of_the_wrong_dtype_fails() -> None:
    def hand(*args: Any) -> Any:
        loss, gradients, deltas = by_hand(*args)
        return loss, _with_layer(gradients, 0, W=gradients[0].W.astype(jnp.float32)), deltas

    assert "params[0].W" in failures(check(hand), "structure")


def test_a_delta_that_is_summed_over_the_batch_fails() -> None:
    def hand(*args: Any) -> Any:
        loss, gradients, deltas = by_hand(*args)
        return loss, gradients, (deltas[0].sum(0, keepdims=True), *deltas[1:])

    assert failures(check(hand), "structure") == {"δ"}


def test_a_missing_delta_fails() -> None:
    assert failures(check(lambda *args: (*by_hand(*args)[:2], ())), "structure") == {"δ"}


def test_a_model_without_decay_passes_without_decay() -> None:
    report = check_model(
        lambda *args: by_hand(*args, decay=0.0),
        lambda *args, probes: reference(*args, probes=probes, decay=0.0),
        *problem(),
    )
    assert report


@pytest.mark.parametrize("x64", [True, False])
def test_nothing_global_is_changed(x64: bool) -> None:
    args = problem("float32")
    copies = jax.tree.map(np.array, args)
    before = np.random.get_state()  # noqa: NPY002
    with jax.enable_x64(x64):
        check_model(by_hand, reference, *args, raises=False)
        assert jnp.ones(()).dtype == ("float64" if x64 else "float32")
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002
    jax.tree.map(np.testing.assert_array_equal, args, copies)


LAYERS = 12
OPS = ("linear", "tanh", "softmax")


def deep(spoilt: str = "", spoil: Any = None) -> Any:
    """Return a deep network's (loss, gradients, δ by name), one of its ops perhaps spoilt."""

    def hand(params: Any, x: Any) -> Any:
        kept: list[Any] = []
        for layer, W in enumerate(params):
            for op in OPS:
                forward = getattr(manual_bp, op).forward
                x, residual = forward(x, W) if op == "linear" else forward(x)
                kept.append((f"{layer}.{op}", op, residual))
        dx, deltas, gradients = 2 * x, {}, []
        for name, op, residual in reversed(kept):
            deltas[name] = dx
            pulled = getattr(manual_bp, op).backward(residual, dx)
            pulled = spoil(*pulled) if name == spoilt else pulled
            dx = pulled[0]
            gradients += [pulled[1]] if op == "linear" else []
        return jnp.sum(x * x), gradients[::-1], dict(reversed(deltas.items()))

    return hand


def deep_reference(params: Any, x: Any, probes: Any) -> Any:
    for layer, W in enumerate(params):
        x = x @ W + probes[f"{layer}.linear"]
        x = jnp.tanh(x) + probes[f"{layer}.tanh"]
        x = jax.nn.softmax(x, -1) + probes[f"{layer}.softmax"]
    return jnp.sum(x**2)


def deep_problem() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return [jnp.asarray(3 * rng.standard_normal((4, 4))) for _ in range(LAYERS)], jnp.asarray(
        rng.standard_normal((5, 4))
    )


@pytest.mark.parametrize(
    ("spoilt", "spoil", "stage"),
    [
        ("", None, ""),
        ("7.tanh", lambda du: (1.5 * du,), "δ['7.linear'], the way back through 7.tanh"),
        (
            "5.linear",
            lambda dx, dW, db: (dx[..., ::-1], dW, db),
            "δ['4.softmax'], the way back through 5.linear",
        ),
        ("11.softmax", lambda du: (-du,), "δ['11.tanh'], the way back through 11.softmax"),
        ("3.linear", lambda dx, dW, db: (dx, dW.T, db), "params[3], every δ agrees"),
    ],
)
def test_a_mistake_in_a_deep_model_is_traced_to_its_layer_and_op(
    spoilt: str, spoil: Any, stage: str
) -> None:
    report = check_model(deep(spoilt, spoil), deep_reference, *deep_problem(), raises=False)
    assert report.stage == stage, str(report)
    assert bool(report) is not bool(spoilt)
    if stage:
        assert f"first parts at {stage}" in str(report)


def test_a_model_without_deltas_is_checked_by_its_parameters() -> None:
    def hand(w: Any, x: Any) -> Any:
        return jnp.sum((x * w) ** 2), 2 * w * x * x

    w, x = jnp.asarray([0.5, -2.0]), jnp.asarray([3.0, 1.0])
    assert check_model(hand, lambda w, x: jnp.sum((w * x) ** 2), w, x)
    report = check_model(hand, lambda w, x: jnp.sum((w * x) ** 2) / 2, w, x, raises=False)
    assert {row.leaf for row in report.failed} == {"loss", "params"}


@pytest.mark.parametrize(
    ("hand", "expected"),
    [
        (lambda w: w, "expected (loss, gradients) or (loss, gradients, deltas), got an array"),
        (lambda w: (w, w), "expected a loss of shape (), got an array of shape (2,)"),
        (lambda: 0, "expected a function that takes these arguments, got TypeError"),
    ],
)
def test_a_model_that_returns_something_else_is_refused(hand: Any, expected: str) -> None:
    with pytest.raises(CheckError) as caught:
        check_model(hand, jnp.sum, jnp.ones(2))
    assert expected in str(caught.value)
    assert str(caught.value).startswith("check_model: loss_and_gradients: ")
