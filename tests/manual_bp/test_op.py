"""What every op of the registry promises: dtypes, transformations, residuals; and the checks."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import cases
from jax_ref.cases.case import Options, Sizes
from jax_ref.points import short_decimals
from manual_bp import op

DTYPES = ("float64", "float32", "bfloat16", "float16")
STACK = 3

every_case = pytest.mark.parametrize("case", cases.registry, ids=lambda case: case.name)


def _ways(case: cases.Case) -> list[tuple[Sizes, Options]]:
    """Return each set of options with the first size that it fits."""
    return [
        next((sizes, options) for sizes in case.sizes if case.fits(sizes, options))
        for options in case.options
    ]


def _both_halves(case: cases.Case, options: Options) -> Any:
    def both(dy: Any, *args: Any) -> Any:
        y, residual = case.op.forward(*args, **options)
        return y, case.op.backward(residual, dy)

    return both


def _stacked(case: cases.Case, sizes: Sizes, options: Options) -> tuple[Any, tuple[Any, ...]]:
    """Return cotangents and arguments with a new first axis."""
    drawn = [case.arguments(sizes, "float64", seed) for seed in range(STACK)]
    args = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)
    outputs = jax.eval_shape(lambda *a: case.op.forward(*a, **options)[0], *drawn[0])
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda y: short_decimals(rng, (STACK, *y.shape), y.dtype), outputs), args


def _assert_close(came: Any, wanted: Any) -> None:
    assert jax.tree.structure(came) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(wanted), strict=True):
        assert a.dtype == b.dtype
        # In another order, sums that cancel differ by what the terms of the largest are rounded by.
        largest = np.max(np.abs(b), initial=0, where=np.isfinite(b))
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13 + 1e-14 * largest, strict=True)


@every_case
def test_eager_jit_vmap_and_scan_agree_with_a_loop(case: cases.Case) -> None:
    sizes, options = _ways(case)[-1]
    both = _both_halves(case, options)
    dy, args = _stacked(case, sizes, options)
    singles = [jax.tree.map(lambda leaf, i=i: leaf[i], (dy, *args)) for i in range(STACK)]

    loop = [jax.jit(both)(*single) for single in singles]
    _assert_close(both(*singles[0]), loop[0])
    wanted = jax.tree.map(lambda *leaves: jnp.stack(leaves), *loop)
    _assert_close(jax.jit(jax.vmap(both))(dy, *args), wanted)
    _, scanned = jax.lax.scan(lambda carry, x: (carry, both(*x)), 0, (dy, *args))
    _assert_close(scanned, wanted)


@every_case
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_in_is_dtype_out(case: cases.Case, dtype: str) -> None:
    for sizes, options in _ways(case):
        args = case.arguments(sizes, dtype, 0)

        def with_ones(*args: Any, options: Options = options) -> Any:
            y, residual = case.op.forward(*args, **options)
            return y, case.op.backward(residual, jax.tree.map(jnp.ones_like, y))

        y, cotangents = jax.eval_shape(with_ones, *args)
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(y))
        assert isinstance(cotangents, tuple)
        assert len(cotangents) == len(args)
        for argument, cotangent in zip(args, cotangents, strict=True):
            floating = [a for a in jax.tree.leaves(argument) if a.dtype == dtype]
            came = jax.tree.leaves(cotangent)
            assert [(c.shape, c.dtype) for c in came] == [(a.shape, a.dtype) for a in floating]


@every_case
def test_the_residual_is_a_pytree_that_keeps_its_settings(case: cases.Case) -> None:
    for sizes, options in _ways(case):
        args = case.arguments(sizes, "float32", 0)
        y, residual = jax.jit(partial(case.op.forward, **options))(*args)
        leaves, tree = jax.tree.flatten(residual)
        assert all(isinstance(leaf, jax.Array) for leaf in leaves)
        assert isinstance(hash(tree), int)
        again = jax.tree.unflatten(tree, leaves)
        assert type(again) is type(residual)
        for field in dataclasses.fields(residual):
            if field.metadata.get("static"):
                assert getattr(again, field.name) == getattr(residual, field.name)
        dy = jax.tree.map(jnp.ones_like, y)
        backward = jax.jit(case.op.backward)
        before, after = (backward(r, dy) for r in (residual, again))
        jax.tree.map(np.testing.assert_array_equal, before, after)
        with pytest.raises(dataclasses.FrozenInstanceError):
            residual.anything = 0


def _flops(op: Any, used: slice, dy: jax.Array, *args: Any) -> float:
    """Return the cost of the cotangents in the slice; the forward product is used by none."""

    def backward(dy: jax.Array, *args: Any) -> Any:
        return op.backward(op.forward(*args)[1], dy)[used]

    return jax.jit(backward).lower(dy, *args).compile().cost_analysis()["flops"]


SIDE = 64
SQUARE = jnp.ones((SIDE, SIDE), jnp.float32)
PRODUCT = 2 * SIDE**3


@pytest.mark.parametrize("name", ["linear", "linear_column"])
def test_cotangents_that_nobody_uses_cost_nothing(name: str) -> None:
    args = (getattr(manual_bp, name), SQUARE, SQUARE, jnp.ones(SIDE, jnp.float32))
    whole, dx, rest = (
        _flops(args[0], used, SQUARE, *args[1:]) for used in (slice(3), slice(1), slice(1, 3))
    )
    assert dx == pytest.approx(PRODUCT, rel=0.05)
    assert rest == pytest.approx(PRODUCT, rel=0.05)
    assert dx + rest == pytest.approx(whole, rel=0.01)


def test_an_mlp_whose_input_gradient_is_not_used_saves_a_product() -> None:
    params = manual_bp.mlp.init(jax.random.key(0), [SIDE] * 3)
    whole, without_dx = (
        _flops(manual_bp.mlp, used, SQUARE, params, SQUARE) for used in (slice(2), slice(1))
    )
    assert whole - without_dx == pytest.approx(PRODUCT, rel=0.05)


def test_modules_and_activations_are_ops_and_others_are_not() -> None:
    assert isinstance(manual_bp.linear, op.Op)
    assert isinstance(manual_bp.relu, op.Op)
    assert not isinstance(manual_bp.init, op.Op)


def test_static_fields_of_a_residual_are_not_traced() -> None:
    @op.residual
    class Residual:
        x: jax.Array
        axis: int = op.static()
        flag: bool = op.static(default=True)

    residual = Residual(jnp.ones(2), 1)
    leaves, tree = jax.tree.flatten(residual)
    assert len(leaves) == 1
    rebuilt = jax.tree.unflatten(tree, leaves)
    assert (rebuilt.axis, rebuilt.flag) == (1, True)
    assert tree != jax.tree.structure(Residual(jnp.ones(2), 2))


def _message(kind: type[Exception], function: Any, *args: Any, **keywords: Any) -> str:
    with pytest.raises(kind) as caught:
        function(*args, **keywords)
    return str(caught.value)


def test_floating_converts_and_complains() -> None:
    a, b = op.floating("here", a=[1.0, 2.0], b=np.float64(3))
    assert (a.dtype, b.dtype) == (jnp.float64, jnp.float64)
    assert _message(TypeError, op.floating, "here", a=1.0, b=jnp.ones(2, int)) == (
        "here: b: expected a floating dtype, got int64"
    )
    assert _message(TypeError, op.floating, "here", a=jnp.ones(2, bool)) == (
        "here: a: expected a floating dtype, got bool"
    )
    assert _message(TypeError, op.floating, "here", a=jnp.ones(2, complex)) == (
        "here: a: expected a floating dtype, got complex128"
    )
    assert _message(TypeError, op.floating, "here", a=jnp.ones(2, jnp.bfloat16), b=1.0) == (
        "here: b: expected bfloat16, the dtype of a, got float64"
    )


@pytest.mark.parametrize(
    ("least", "most", "wanted"),
    [(1, None, "rank 1 or more"), (1, 1, "rank 1"), (3, None, "rank 3 or more")],
)
def test_expect_rank_complains(
    least: int, most: int | None, wanted: str, without_annotations: None
) -> None:
    array = jnp.ones((2, 3) if least == 1 and most else (2, 3)[: least - 1])
    came = _message(ValueError, op.expect_rank, "here", "x", array, least, most)
    assert came == f"here: x: expected {wanted}, got shape {array.shape}"
    op.expect_rank("here", "x", jnp.ones((1,) * least), least, most)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [((2,), "(2,)"), ((2, 4), "(2, 4)"), ((None, 2), "(_, 2)"), ((), "()"), ((None,), "(_,)")],
)
def test_expect_shape_complains(wanted: tuple[int | None, ...], text: str) -> None:
    array = jnp.ones((2, 3))
    came = _message(ValueError, op.expect_shape, "here", "x", array, wanted, "of y")
    assert came == f"here: x: expected shape {text} of y, got (2, 3)"
    op.expect_shape("here", "x", array, (None, 3))


def test_expect_cotangent_complains() -> None:
    assert _message(TypeError, op.expect_cotangent, "here", jnp.ones(2), (2,), jnp.float32) == (
        "here: dy: expected <class 'jax.numpy.float32'>, the dtype of y, got float64"
    )
    assert _message(
        ValueError, op.expect_cotangent, "here", jnp.ones(3), (2,), jnp.dtype("float64")
    ) == ("here: dy: expected shape (2,) of y, got (3,)")


def test_sums_over_half_precision_are_wide() -> None:
    assert op.wide(jnp.ones(2, jnp.float16)).dtype == jnp.float32
    assert op.wide(jnp.ones(2, jnp.bfloat16)).dtype == jnp.float32
    assert op.wide(jnp.ones(2, jnp.float32)).dtype == jnp.float32
    assert op.wide(jnp.ones(2, jnp.float64)).dtype == jnp.float64


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
def test_a_number_of_its_own_is_that_number(dtype: Any) -> None:
    number = op.own(0.5, dtype)
    assert number.dtype == dtype
    assert number.shape == ()
    assert number == 0.5
