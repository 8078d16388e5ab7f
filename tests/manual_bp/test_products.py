"""Products of matrices and the bilinear map: repeated batches, equalities, bad input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawing import cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st
from refusing import message

import manual_bp


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def pull(name: str, *args: Any, dy: Any = None) -> tuple[Any, ...]:
    """Return the output and the cotangents, by default for dy = 1."""
    op = getattr(manual_bp, name)

    @jax.jit
    def both(*args: Any) -> tuple[Any, ...]:
        y, residual = op.forward(*args)
        return y, *op.backward(residual, jnp.ones_like(y) if dy is None else dy)

    return both(*args)


@pytest.mark.parametrize("name", ["matmul", "bilinear"])
@given(data=st.data())
def test_any_shape_and_dtype(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of(name)))
    check_drawn(case, *data.draw(drawn(case)))


@pytest.mark.parametrize(
    ("of_a", "of_b"),
    [((), (2,)), ((2, 1), (3,)), ((4, 1, 3), (2, 1))],
)
def test_a_matrix_used_several_times_sums_its_gradients(
    of_a: tuple[int, ...], of_b: tuple[int, ...]
) -> None:
    a, b = random(*of_a, 3, 5), random(*of_b, 5, 2, seed=1)
    batch = jnp.broadcast_shapes(of_a, of_b)
    dy = random(*batch, 3, 2, seed=2)
    y, da, db = pull("matmul", a, b, dy=dy)
    repeat = manual_bp.broadcast_to
    whole_a, residual_a = repeat.forward(a, shape=(*batch, 3, 5))
    whole_b, residual_b = repeat.forward(b, shape=(*batch, 5, 2))
    wanted, dwhole_a, dwhole_b = pull("matmul", whole_a, whole_b, dy=dy)
    np.testing.assert_allclose(y, wanted, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(da, repeat.backward(residual_a, dwhole_a)[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(db, repeat.backward(residual_b, dwhole_b)[0], rtol=1e-12, atol=1e-14)


def test_a_product_with_one_matrix_is_linear() -> None:
    x, W, dy = random(2, 4, 3), random(3, 5, seed=1), random(2, 4, 5, seed=2)
    *wanted, none = pull("linear", x, W, dy=dy)
    for came, of_linear in zip(pull("matmul", x, W, dy=dy), wanted, strict=True):
        np.testing.assert_allclose(came, of_linear, rtol=1e-13, atol=1e-14)
    assert none is None


@pytest.mark.parametrize("biased", [True, False])
def test_a_bilinear_map_with_one_input_fixed_is_linear(biased: bool) -> None:
    x, z, W = random(4, 3), random(2, seed=1), random(5, 3, 2, seed=2)
    b, dy = random(5, seed=3) if biased else None, random(4, 5, seed=4)
    y, dx, _, _, db = pull("bilinear", x, jnp.broadcast_to(z, (4, 2)), W, b, dy=dy)
    fixed = jnp.einsum("onk,k->no", W, z)
    wanted, dwanted, _, db_wanted = pull("linear", x, fixed, b, dy=dy)
    np.testing.assert_allclose(y, wanted, rtol=1e-13)
    np.testing.assert_allclose(dx, dwanted, rtol=1e-13)
    assert (db is None) == (db_wanted is None) == (not biased)


def test_the_inputs_of_a_bilinear_map_are_interchangeable() -> None:
    x, z, W, dy = random(4, 3), random(4, 2, seed=1), random(5, 3, 2, seed=2), random(4, 5, seed=3)
    y, dx, dz, dW, _ = pull("bilinear", x, z, W, dy=dy)
    turned, dz_turned, dx_turned, dW_turned, _ = pull(
        "bilinear", z, x, jnp.swapaxes(W, 1, 2), dy=dy
    )
    np.testing.assert_allclose(y, turned, rtol=1e-13)
    np.testing.assert_allclose(dx, dx_turned, rtol=1e-13)
    np.testing.assert_allclose(dz, dz_turned, rtol=1e-13)
    np.testing.assert_allclose(dW, jnp.swapaxes(dW_turned, 1, 2), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_sums_do_not_stall(dtype: str) -> None:
    ones = jnp.ones((4096, 1), dtype)
    y, _, _ = pull("matmul", ones.T, ones)
    assert y.tolist() == [[4096]]
    _, da, _ = pull("matmul", jnp.ones((1, 1), dtype), jnp.ones((4096, 1, 1), dtype))
    assert da.tolist() == [[4096]]
    *_, dW, db = pull("bilinear", ones, ones, jnp.ones((1, 1, 1), dtype), jnp.ones(1, dtype))
    assert (dW.tolist(), db.tolist()) == ([[[4096]]], [4096])


F32 = jnp.float32
X, Z, W = jnp.ones((5, 3)), jnp.ones((5, 2)), jnp.ones((4, 3, 2))
WRONG: list[tuple[str, type[Exception], tuple[Any, ...], str]] = [
    ("matmul", TypeError, (X > 0, X), "a: expected a floating dtype, got bool"),
    ("matmul", TypeError, (X, X.astype(F32)), "b: expected float64, the dtype of a, got float32"),
    ("matmul", ValueError, (X[0], X), "a: expected rank 2 or more, got shape (3,)"),
    ("matmul", ValueError, (X, X[0]), "b: expected rank 2 or more, got shape (3,)"),
    ("matmul", ValueError, (X, Z), "b: expected 3 rows for a of shape (5, 3), got shape (5, 2)"),
    (
        "matmul",
        ValueError,
        (jnp.ones((2, 5, 3)), jnp.ones((4, 3, 2))),
        "b: expected batch axes that broadcast with (2,), got (4,)",
    ),
    (
        "bilinear",
        TypeError,
        (X, Z.astype(F32), W),
        "z: expected float64, the dtype of x, got float32",
    ),
    ("bilinear", TypeError, (X, Z, W, jnp.ones(4, int)), "b: expected a floating dtype, got int64"),
    ("bilinear", ValueError, (X[0, 0], Z, W), "x: expected rank 1 or more, got shape ()"),
    (
        "bilinear",
        ValueError,
        (X, Z[:4], W),
        "z: expected shape (5, _) for x of shape (5, 3), got (4, 2)",
    ),
    (
        "bilinear",
        ValueError,
        (X, Z, jnp.swapaxes(W, 1, 2)),
        "W: expected shape (_, 3, 2) for x of shape (5, 3) and z of shape (5, 2), got (4, 2, 3)",
    ),
    (
        "bilinear",
        ValueError,
        (X, Z, W, jnp.ones(3)),
        "b: expected shape (4,) for W of shape (4, 3, 2), got (3,)",
    ),
]


@pytest.mark.parametrize(("name", "kind", "args", "wanted"), WRONG)
def test_bad_input_is_refused(
    name: str, kind: type[Exception], args: Any, wanted: str, without_annotations: None
) -> None:
    assert message(kind, getattr(manual_bp, name).forward, *args) == f"{name}: {wanted}"


@pytest.mark.parametrize(("name", "args"), [("matmul", (X, X.T)), ("bilinear", (X, Z, W))])
def test_a_cotangent_unlike_the_output_is_refused(
    name: str, args: Any, without_annotations: None
) -> None:
    op = getattr(manual_bp, name)
    y, residual = op.forward(*args)
    assert message(ValueError, op.backward, residual, y[:4]) == (
        f"{name}: dy: expected shape {y.shape} of y, got {y[:4].shape}"
    )
    assert message(TypeError, op.backward, residual, y.astype(F32)) == (
        f"{name}: dy: expected float64, the dtype of y, got float32"
    )
