"""A hand-written gradient that answers `jax.grad`."""

import inspect
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import manual_bp
from jax_ref import cases
from jax_ref.cases.case import Case
from jax_ref.compiling import quick
from manual_bp.adapters import as_custom_vjp, as_differentiable

SCALE = 7.0  # what no differentiation of the loss would give


def halved_square(params: Any, x: jax.Array) -> tuple[jax.Array, Any]:
    """Return ½ Σ (w x)² and a gradient that is wrong on purpose, so that it can be recognised."""
    loss = ((params["w"] * x) ** 2).sum() / 2
    return loss, {"w": SCALE * params["w"] * x**2}


PARAMS = {"w": jnp.asarray([1.0, -2.0])}
X = jnp.asarray([3.0, 0.5])
LOSS = 0.5 * (9 + 1)
GRADIENT = [SCALE * 9, SCALE * -0.5]


def test_the_value_is_the_loss() -> None:
    assert float(as_differentiable(halved_square)(PARAMS, X)) == LOSS


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_the_gradient_is_the_one_written_by_hand(wrap: Any) -> None:
    loss = as_differentiable(halved_square)
    value, gradients = wrap(jax.value_and_grad(loss))(PARAMS, X)
    assert float(value) == LOSS
    assert gradients["w"].tolist() == GRADIENT


def test_the_cotangent_of_the_loss_scales_it() -> None:
    loss = as_differentiable(halved_square)
    gradients = jax.grad(lambda params: -3.0 * loss(params, X))(PARAMS)
    np.testing.assert_allclose(gradients["w"], -3 * np.asarray(GRADIENT), rtol=1e-15)


def test_under_vmap_each_sample_has_its_own() -> None:
    loss = as_differentiable(halved_square)
    gradients = jax.vmap(jax.grad(loss), (None, 0))(PARAMS, jnp.stack([X, 2 * X]))
    np.testing.assert_allclose(gradients["w"], [GRADIENT, 4 * np.asarray(GRADIENT)], rtol=1e-15)


def test_the_cotangents_of_the_data_are_unknown() -> None:
    loss = as_differentiable(halved_square)
    dparams, dx = jax.grad(loss, (0, 1))(PARAMS, X)
    assert dparams["w"].tolist() == GRADIENT
    assert jnp.isnan(dx).all()


def test_integer_data_pass_through() -> None:
    def loss_and_gradients(w: Any, x: Any, labels: Any, keep: Any) -> Any:
        chosen = jnp.where(keep, w[labels] * x, 0)
        return chosen.sum(), jnp.zeros_like(w).at[labels].add(jnp.where(keep, x, 0))

    labels, keep = jnp.asarray([2, 2, 0]), jnp.asarray([True, True, False])
    gradient = jax.grad(as_differentiable(loss_and_gradients))(
        jnp.ones(3), jnp.asarray([1.0, 2.0, 4.0]), labels, keep
    )
    assert gradient.tolist() == [0, 0, 3]


@pytest.mark.parametrize("of_loss", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_gradient_has_the_dtype_of_its_parameter(dtype: str, of_loss: str) -> None:
    params, x = jax.tree.map(lambda leaf: leaf.astype(dtype), (PARAMS, X))

    def in_dtype(params: Any, x: Any) -> Any:
        loss = ((params["w"] * x) ** 2).sum() / 2
        return loss.astype(of_loss), {"w": params["w"] * x**2}

    gradients = jax.grad(as_differentiable(in_dtype))(params, x)
    assert gradients["w"].dtype == dtype
    assert gradients["w"].tolist() == [9, -0.5]


def inexact(tree: Any) -> list[Any]:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]


def first_case_of_each_op() -> list[Case]:
    return list({case.op_name: case for case in reversed(cases.registry)}.values())


@pytest.mark.parametrize("case", first_case_of_each_op(), ids=lambda case: case.op_name)
def test_any_op_answers_jax_under_its_transformations(case: Case) -> None:
    sizes, options = case.combinations(every=True)[0]
    args = jax.tree.map(jnp.asarray, case.draw(np.random.default_rng(0), **sizes))
    f = partial(as_custom_vjp(case.op), **options)
    leaves, tree = jax.tree.flatten(args)
    moved = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]

    def cotangents(f: Any, *floating: jax.Array) -> list[jax.Array]:
        mixed = iter(floating)
        whole = [
            next(mixed) if is_moved else leaf for leaf, is_moved in zip(leaves, moved, strict=True)
        ]
        y, pull_back = jax.vjp(f, *tree.unflatten(whole))
        return inexact(pull_back(jax.tree.map(jnp.cos, y)))

    def by_hand(*floating: jax.Array) -> list[jax.Array]:
        mixed = iter(floating)
        whole = [
            next(mixed) if is_moved else leaf for leaf, is_moved in zip(leaves, moved, strict=True)
        ]
        y, residual = case.op.forward(*tree.unflatten(whole), **options)
        return inexact(case.op.backward(residual, jax.tree.map(jnp.cos, y)))

    @quick
    def every(*floating: jax.Array) -> Any:
        twice = [jnp.stack([leaf, leaf]) for leaf in floating]
        return (
            by_hand(*floating),
            cotangents(f, *floating),
            cotangents(jax.checkpoint(f), *floating),
            [leaf[1] for leaf in jax.vmap(lambda *one: cotangents(f, *one))(*twice)],
            [leaf[1] for leaf in jax.lax.map(lambda one: cotangents(f, *one), tuple(twice))],
        )

    expected, *came = every(*inexact(args))
    for transformed in came:
        for a, b in zip(transformed, expected, strict=True):
            np.testing.assert_allclose(
                a, b, rtol=1e-12, atol=1e-12 * float(jnp.abs(b).max(initial=0))
            )


def test_an_array_that_is_left_out_has_no_cotangent() -> None:
    linear = as_custom_vjp(manual_bp.linear)
    x, W = jnp.ones((4, 3)), jnp.arange(6.0).reshape(3, 2)
    for rest in ((), (None,)):
        dx = jax.grad(lambda x, rest=rest: linear(x, W, *rest).sum())(x)
        np.testing.assert_array_equal(dx, jnp.broadcast_to(W.sum(1), (4, 3)))


def test_over_a_mesh_each_device_takes_its_part() -> None:
    tanh = as_custom_vjp(manual_bp.tanh)
    mesh = jax.make_mesh((1,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    part = jax.sharding.PartitionSpec("batch")
    over = jax.shard_map(tanh, mesh=mesh, in_specs=part, out_specs=part)
    x = jnp.linspace(-2, 2, 12).reshape(4, 3)
    dx = jax.jit(jax.grad(lambda x: over(x).sum()))(x)
    np.testing.assert_allclose(dx, 1 - np.tanh(x) ** 2, rtol=1e-14)


def test_a_setting_that_is_not_hashable_is_refused() -> None:
    softmax = as_custom_vjp(manual_bp.softmax)
    with pytest.raises(
        TypeError, match=r"^as_custom_vjp: axis: expected a hashable setting, got list$"
    ):
        softmax(jnp.ones((2, 3)), axis=[1])


def test_an_adapted_op_keeps_its_arguments_and_its_words() -> None:
    for op in (manual_bp.linear, manual_bp.tanh):
        adapted = as_custom_vjp(op)
        assert adapted.__doc__ == op.forward.__doc__
        assert list(inspect.signature(adapted).parameters) == list(
            inspect.signature(op.forward).parameters
        )


def test_a_flax_model_learns_by_hand_what_it_learns_by_itself() -> None:
    linen = pytest.importorskip("flax.linen")
    optax = pytest.importorskip("optax")
    linear, layer_norm, gelu, cross_entropy = map(
        as_custom_vjp,
        (
            manual_bp.linear,
            manual_bp.layer_norm,
            manual_bp.gelu_tanh,
            manual_bp.softmax_cross_entropy,
        ),
    )

    class Dense(linen.Module):
        features: int

        @linen.compact
        def __call__(self, x: Any) -> Any:
            shape = (x.shape[-1], self.features)
            kernel = self.param("kernel", linen.initializers.lecun_normal(), shape, x.dtype)
            bias = self.param("bias", linen.initializers.zeros, shape[1:], x.dtype)
            return linear(x, kernel, bias)

    class LayerNorm(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            scale = self.param("scale", linen.initializers.ones, x.shape[-1:], x.dtype)
            bias = self.param("bias", linen.initializers.zeros, x.shape[-1:], x.dtype)
            return layer_norm(x, scale, bias, epsilon=1e-6)

    own = linen.Sequential(
        [
            linen.Dense(5, param_dtype=jnp.float64),
            linen.LayerNorm(param_dtype=jnp.float64),
            linen.gelu,
            linen.Dense(3, param_dtype=jnp.float64),
        ]
    )
    by_hand = linen.Sequential([Dense(5), LayerNorm(), gelu, Dense(3)])
    x = jax.random.normal(jax.random.key(0), (6, 4), jnp.float64)
    labels = jnp.arange(6, dtype=jnp.int32) % 3

    def own_loss(params: Any) -> jax.Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(own.apply(params, x), labels)
        return losses.mean()

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        params = own.init(jax.random.key(1), x)
        expected = jax.jit(jax.grad(own_loss))(params)
    came = jax.jit(jax.grad(lambda params: cross_entropy(by_hand.apply(params, x), labels)))(params)
    for hand, itself in zip(inexact(came), inexact(expected), strict=True):
        np.testing.assert_allclose(hand, itself, rtol=1e-10, atol=1e-14)


def test_an_equinox_model_learns_by_hand_what_it_learns_by_itself() -> None:
    equinox = pytest.importorskip("equinox")
    linear, tanh = as_custom_vjp(manual_bp.linear_column), as_custom_vjp(manual_bp.tanh)

    class Linear(equinox.nn.Linear):
        def __call__(self, x: Any, *, key: Any = None) -> Any:
            return linear(x, self.weight, self.bias)

    def network(kind: Any, activation: Any) -> Any:
        first, second = jax.random.split(jax.random.key(0))
        return equinox.nn.Sequential(
            [
                kind(4, 5, key=first, dtype=jnp.float64),
                equinox.nn.Lambda(activation),
                kind(5, 3, key=second, dtype=jnp.float64),
            ]
        )

    x = jax.random.normal(jax.random.key(1), (6, 4), jnp.float64)

    @equinox.filter_jit
    @equinox.filter_grad
    def gradients(network: Any) -> jax.Array:
        return (jax.vmap(network)(x) ** 2).sum()

    by_hand, own = gradients(network(Linear, tanh)), gradients(network(equinox.nn.Linear, jnp.tanh))
    for hand, itself in zip(inexact(by_hand), inexact(own), strict=True):
        np.testing.assert_allclose(hand, itself, rtol=1e-12)
