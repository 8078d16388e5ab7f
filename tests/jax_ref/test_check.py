"""The checker is checked: planted mistakes must fail and say where, sound rules must pass."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import GradientMismatch, Report, Verdict, check_op, references

linear, softmax, tanh = manual_bp.linear, manual_bp.softmax, manual_bp.tanh
REF = references


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.round(np.random.default_rng(seed).standard_normal(shape), 2)


def wrong(op: Any, spoil: Callable[..., Any]) -> Any:
    """Return the op with another backward: `spoil(residual, dy, *right_cotangents)`."""
    return SimpleNamespace(
        forward=op.forward, backward=lambda r, dy: spoil(r, dy, *op.backward(r, dy))
    )


@dataclass(frozen=True)
class Plant:
    """A mistake; `leaf` is where the report must find it, and `entry` its index."""

    name: str
    op: Any
    reference: Callable[..., Any]
    args: tuple[Any, ...]
    leaf: str
    entry: tuple[int, ...] | None = None
    static: tuple[tuple[str, Any], ...] = ()


def _two_outputs(x: Any) -> Any:
    return (jnp.sin(x), x**2), x


def _scale(x: Any, gain: Any) -> Any:
    return x * gain, (x, gain)


def _take(table: Any, index: Any) -> Any:
    return table[index], (table, index)


def _overwrite(residual: Any, dy: Any) -> Any:
    table, index = residual
    return jnp.zeros_like(table).at[index].set(dy), None


AFFINE = (random(5, 3), random(3, 4, seed=1), random(4, seed=2))
SQUARE = (random(3, 3), random(3, 3, seed=1))
LARGE = (random(300, 200),)
PAIR = (random(4, 3), random(4, 3, seed=1))
FAR = (random(5, 3),)


def plant(
    name: str, op: Any, spoil: Callable[..., Any], reference: Any, args: Any, leaf: str, *rest: Any
) -> Plant:
    return Plant(name, wrong(op, spoil), reference, args, leaf, *rest)


PLANTS = [
    plant("sign", linear, lambda r, dy, dx, dW, db: (-dx, dW, db), REF.dense.linear, AFFINE, "x"),
    plant(
        "factor 2",
        linear,
        lambda r, dy, dx, dW, db: (dx, 2 * dW, db),
        REF.dense.linear,
        AFFINE,
        "W",
    ),
    plant(
        "1/N missing",
        manual_bp.squared_error,
        lambda r, dy, dp, dt: (4 * dp, dt),
        REF.losses.squared_error,
        PAIR,
        "prediction",
    ),
    plant(
        "transposed square W",
        linear,
        lambda r, dy, dx, dW, db: (dy @ r.W, dW, None),
        REF.dense.linear,
        (*SQUARE, None),
        "x",
    ),
    plant(
        "missing bias sum",
        linear,
        lambda r, dy, dx, dW, db: (dx, dW, dy[0]),
        REF.dense.linear,
        AFFINE,
        "b",
    ),
    plant(
        "bias mean, not sum",
        linear,
        lambda r, dy, dx, dW, db: (dx, dW, db / 5),
        REF.dense.linear,
        AFFINE,
        "b",
    ),
    plant(
        "one entry of many",
        tanh,
        lambda r, dy, du: (du.at[123, 45].multiply(1.001),),
        REF.activations.tanh,
        LARGE,
        "u",
        (123, 45),
    ),
    plant(
        "swapped cotangents",
        linear,
        lambda r, dy, dx, dW, db: (dW, dx, None),
        REF.dense.linear,
        (*SQUARE, None),
        "x",
    ),
    plant(
        "NaN in one entry",
        tanh,
        lambda r, dy, du: (du.at[2, 1].set(jnp.nan),),
        REF.activations.tanh,
        FAR,
        "u",
        (2, 1),
    ),
    plant(
        "infinity in one entry",
        tanh,
        lambda r, dy, du: (du.at[4, 0].set(jnp.inf),),
        REF.activations.tanh,
        FAR,
        "u",
        (4, 0),
    ),
    plant(
        "upstream cotangent ignored",
        tanh,
        lambda r, dy, du: tanh.backward(r, jnp.ones_like(dy)),
        REF.activations.tanh,
        FAR,
        "u",
    ),
    plant(
        "sign of the upstream cotangent ignored",
        tanh,
        lambda r, dy, du: tanh.backward(r, jnp.abs(dy)),
        REF.activations.tanh,
        FAR,
        "u",
    ),
    Plant(
        "second output forgotten",
        SimpleNamespace(forward=_two_outputs, backward=lambda x, dy: (dy[0] * jnp.cos(x),)),
        lambda x: (jnp.sin(x), x**2),
        FAR,
        "x",
    ),
    plant(
        "invisible to a uniform cotangent",
        softmax,
        lambda r, dy, du: (2 * du,),
        REF.dense.softmax,
        FAR,
        "u",
    ),
    plant(
        "dropped term of the softmax",
        softmax,
        lambda r, dy, du: (r.y * dy,),
        REF.dense.softmax,
        FAR,
        "u",
    ),
    plant(
        "last row zero",
        tanh,
        lambda r, dy, du: (du.at[-1].set(0),),
        REF.activations.tanh,
        FAR,
        "u",
    ),
    plant(
        "an option ignored",
        manual_bp.leaky_relu,
        lambda r, dy, du: (jnp.where(r.saved > 0, dy, 0.01 * dy),),
        REF.activations.leaky_relu,
        FAR,
        "u",
        None,
        (("negative_slope", 0.3),),
    ),
    Plant(
        "repeated index overwritten",
        SimpleNamespace(forward=_take, backward=_overwrite),
        lambda table, index: table[index],
        (random(4, 2), np.array([1, 3, 1])),
        "table",
    ),
    plant(
        "a part in 1e10",
        tanh,
        lambda r, dy, du: ((1 + 1e-10) * du,),
        REF.activations.tanh,
        FAR,
        "u",
    ),
    Plant(
        "wrong at 1e30",
        SimpleNamespace(forward=_scale, backward=lambda r, dy: (dy * r[1], 2 * (dy * r[0]).sum())),
        lambda x, gain: x * gain,
        (1e30 * random(3), np.array(1e30)),
        "gain",
    ),
    plant(
        "a constant added",
        tanh,
        lambda r, dy, du: (du + 0.1,),
        REF.activations.tanh,
        FAR,
        "u",
    ),
]


def check(plant: Plant, dtype: str = "float64") -> Report:
    def cast(leaf: np.ndarray) -> jax.Array:
        return jnp.asarray(leaf, dtype if leaf.dtype.kind == "f" else leaf.dtype)

    args = jax.tree.map(cast, plant.args)
    return check_op(
        plant.op, plant.reference, *args, name="planted", raises=False, **dict(plant.static)
    )


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_planted_mistake_fails_and_says_where(plant: Plant) -> None:
    report = check(plant)
    assert report.verdict is Verdict.FAIL
    assert not report
    failed = {(row.witness, row.leaf): row for row in report.rows if row.verdict is Verdict.FAIL}
    row = failed["jax.grad", plant.leaf]
    text = str(report)
    assert "planted [float64]: FAIL\n" in text
    assert row.detail in text
    index = "" if plant.entry is None else f"[{', '.join(map(str, plant.entry))}]"
    assert row.detail.startswith(f"{plant.leaf}{index}")
    assert ": hand " in row.detail
    assert ", truth " in row.detail
    with pytest.raises(GradientMismatch) as caught:
        check_op(plant.op, plant.reference, *plant.args, name="planted", **dict(plant.static))
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "plant",
    # No single coordinate of many is sure to be visited, nor are 10 digits sure to be seen.
    [p for p in PLANTS if p.name not in ("one entry of many", "a part in 1e10")],
    ids=lambda plant: plant.name,
)
def test_finite_differences_alone_would_find_it(plant: Plant) -> None:
    failed = {row.witness for row in check(plant).rows if row.verdict is Verdict.FAIL}
    assert "finite difference" in failed


COARSE = [p for p in PLANTS if p.name not in ("a part in 1e10", "wrong at 1e30")]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    "plant", [p for p in COARSE if p.name != "one entry of many"], ids=lambda plant: plant.name
)
def test_a_planted_mistake_fails_in_low_precision(plant: Plant, dtype: str) -> None:
    report = check(plant, dtype)
    failed = {row.leaf for row in report.rows if row.verdict is Verdict.FAIL}
    assert plant.leaf in failed
    assert f"planted [{dtype}]: FAIL\n" in str(report)


def test_a_wrong_forward_fails_by_its_value() -> None:
    op = SimpleNamespace(
        forward=lambda x: (jnp.sin(x) + 1e-9, x), backward=lambda x, dy: (dy * jnp.cos(x),)
    )
    report = check_op(op, jnp.sin, *FAR, raises=False)
    failed = [row for row in report.rows if row.verdict is Verdict.FAIL]
    assert [(row.witness, row.leaf) for row in failed] == [("value", "y")]


def test_a_reference_that_shares_the_mistake_is_contradicted_by_the_differences() -> None:
    @jax.custom_vjp
    def sine(x: Any) -> Any:
        return jnp.sin(x)

    sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (2 * dy * jnp.cos(x),))
    op = SimpleNamespace(
        forward=lambda x: (jnp.sin(x), x), backward=lambda x, dy: (2 * dy * jnp.cos(x),)
    )
    report = check_op(op, sine, *FAR, raises=False)
    failed = {row.witness for row in report.rows if row.verdict is Verdict.FAIL}
    assert failed == {"finite difference"}


def test_a_gradient_that_is_coarser_than_its_dtype_fails() -> None:
    op = wrong(tanh, lambda r, dy, du: (du.astype(jnp.bfloat16).astype(jnp.float32),))
    u = jnp.asarray(FAR[0], jnp.float32)
    report = check_op(op, references.activations.tanh, u, raises=False)
    failed = [(row.witness, row.leaf) for row in report.rows if row.verdict is Verdict.FAIL]
    assert failed == [("precision", "u")]
