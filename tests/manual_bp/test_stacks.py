"""Deep stacks: any shape, one gradient in three amounts of memory, drift, bad input."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawing import STACKS, cases_of, check_drawn, drawn
from hypothesis import given
from hypothesis import strategies as st

import manual_bp
from jax_ref import cases
from manual_bp import (
    chain,
    checkpointed_stack,
    layer_stack,
    precision,
    reversible_stack,
    train,
)
from manual_bp.models import objective
from manual_bp.models.chain import Stage

LAYER = (Stage(manual_bp.linear), Stage(manual_bp.tanh))
DEEP = (*LAYER, Stage(manual_bp.linear))


@pytest.mark.parametrize("case", cases_of(*STACKS), ids=lambda case: case.name)
@given(data=st.data())
def test_any_shape(case: cases.Case, data: st.DataObject) -> None:
    check_drawn(case, *data.draw(drawn(case)))


def random(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def dense(depth: int, n: int, seed: int = 0) -> Any:
    return random(depth, n, n, seed=seed) / n**0.5, random(depth, n, seed=seed + 1) / 2


def gradients(op: Any, args: Any, dy: Any, **settings: Any) -> Any:
    @jax.jit
    def run(args: Any, dy: Any) -> Any:
        y, residual = op.forward(*args, **settings)
        return y, op.backward(residual, dy)

    return run(args, dy)


def assert_close(came: Any, wanted: Any) -> None:
    pairs = zip(jax.tree.leaves(came), jax.tree.leaves(wanted), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(b).max(), strict=True)


def test_a_stack_is_the_chain_of_its_layers() -> None:
    layer = (Stage(manual_bp.layer_norm, (("epsilon", 0.1),)), *LAYER)
    norm = random(4, 3, seed=5), random(4, 3, seed=6)
    parameters, x, dy = (norm, dense(4, 3), ()), random(5, 3, seed=7), random(5, 3, seed=8)
    y, (dparameters, dx) = gradients(layer_stack, (parameters, x), dy, layer=layer)

    each = [jax.tree.map(lambda leaf, k=k: leaf[k], parameters) for k in range(4)]
    flat = [theta for one in each for theta in one]
    wanted, (dflat, wanted_dx) = gradients(chain, (flat, x), dy, stages=layer * 4)
    assert_close((y, dx), (wanted, wanted_dx))
    for number in range(4):
        mine = jax.tree.map(lambda leaf, k=number: leaf[k], dparameters)
        assert_close(mine, dflat[3 * number : 3 * number + 3])


@pytest.mark.parametrize("segment", [None, 2, 100])
def test_whatever_is_computed_again_the_gradient_is_the_same(segment: int | None) -> None:
    args, dy = ((dense(7, 3), ()), random(2, 3, seed=3)), random(2, 3, seed=4)
    wanted = gradients(layer_stack, args, dy, layer=LAYER)
    came = gradients(checkpointed_stack, args, dy, layer=LAYER, segment=segment)
    assert_close(came, wanted)


@pytest.mark.parametrize(("depth", "starts"), [(8, (0, 3)), (6, (0,)), (3, ()), (1, ())])
def test_a_segment_of_three_keeps_the_input_of_every_third_layer(
    depth: int, starts: tuple[int, ...]
) -> None:
    (W, b), x = dense(depth, 2), random(5, 2, seed=3)
    _, residual = checkpointed_stack.forward(((W, b), ()), x, layer=LAYER, segment=3)
    assert len(residual.inputs) == len(starts)
    for kept, start in zip(residual.inputs, starts, strict=True):
        below = ((W[:start], b[:start]), ())
        np.testing.assert_array_equal(kept, layer_stack.forward(below, x, layer=LAYER)[0])
    assert {len(leaf) for leaf in residual.layers.leaves} == {depth - 3 * len(starts)}


@pytest.mark.parametrize(("depth", "segment"), [(1, 1), (4, 2), (5, 3), (9, 3), (10, 4)])
def test_by_default_a_segment_has_the_root_of_the_layers(depth: int, segment: int) -> None:
    parameters = ((jnp.zeros((depth, 1, 1)),),)
    _, residual = checkpointed_stack.forward(
        parameters, jnp.zeros((1, 1)), layer=(Stage(manual_bp.linear),)
    )
    assert residual.segment == segment


def test_a_parameter_is_not_kept_a_second_time() -> None:
    parameters = ((*dense(6, 5),), ())
    _, residual = layer_stack.forward(parameters, random(2, 5), layer=LAYER)
    assert {leaf.shape for leaf in residual.layers.leaves} == {(6, 2, 5)}


def test_an_op_of_ones_own_is_a_layer() -> None:
    """A residual layer, x + tanh(x ⊙ s), as two functions."""

    def forward(x: Any, s: Any) -> Any:
        y, of_tanh = manual_bp.tanh.forward(x * s)
        return x + y, (of_tanh, x, s)

    def backward(residual: Any, dy: Any) -> Any:
        of_tanh, x, s = residual
        (du,) = manual_bp.tanh.backward(of_tanh, dy)
        return dy + du * s, du * x

    layer = (Stage(SimpleNamespaceOp(forward=forward, backward=backward)),)
    s, x, dy = random(6, 4), random(4, seed=1), random(4, seed=2)

    def reference(s: Any, x: Any) -> Any:
        for one in s:
            x = x + jnp.tanh(x * one)
        return x

    _, pull = jax.vjp(reference, s, x)
    for op in (layer_stack, checkpointed_stack):
        _, (((ds,),), dx) = gradients(op, (((s,),), x), dy, layer=layer)
        assert_close((ds, dx), pull(dy))


class SimpleNamespaceOp(SimpleNamespace):
    """A namespace that can be a static setting."""

    __hash__ = object.__hash__


@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize("op", [layer_stack, checkpointed_stack])
def test_a_key_among_the_parameters_has_no_cotangent(op: Any, depth: int) -> None:
    layer = (Stage(manual_bp.linear), Stage(manual_bp.dropout, (("rate", 0.5),)))
    parameters = dense(depth, 3), (jax.random.split(jax.random.key(0), depth),)
    x, dy = random(4, 3), random(4, 3, seed=1)
    y, (dparameters, dx) = gradients(op, (parameters, x), dy, layer=layer)
    assert dparameters[1] == (None,)

    each = [jax.tree.map(lambda leaf, k=k: leaf[k], parameters) for k in range(depth)]
    flat = [theta for one in each for theta in one]
    wanted, (dflat, wanted_dx) = gradients(chain, (flat, x), dy, stages=layer * depth)
    assert_close((y, dx), (wanted, wanted_dx))
    for number in range(depth):
        mine = jax.tree.map(lambda leaf, k=number: leaf[k], dparameters)
        assert_close(mine, dflat[2 * number : 2 * number + 2])


def temp_bytes(op: Any, depth: int) -> int:
    """Return the memory that forward and backward take besides arguments and results."""
    n, batch = 8, 512
    stream = jax.ShapeDtypeStruct((batch, n), jnp.float32)
    shapes = (depth, n, n), (depth, n)
    theta = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes), ()

    def run(args: Any, dy: Any, **settings: Any) -> Any:
        y, residual = op.forward(*args, **settings)
        return y, op.backward(residual, dy)

    if op is reversible_stack:
        given = ((theta, theta, stream, stream), (stream, stream))
        program = partial(run, f=LAYER, g=LAYER)
    else:
        given, program = ((theta, stream), stream), partial(run, layer=LAYER)
    compiled = jax.jit(program).lower(*given).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)


def test_memory_grows_like_the_depth_like_its_root_or_not_at_all() -> None:
    ops = layer_stack, checkpointed_stack, reversible_stack
    bytes_of = {(op, depth): temp_bytes(op, depth) for op in ops for depth in (16, 64)}
    plain, checkpointed, flat = (bytes_of[op, 64] / bytes_of[op, 16] for op in ops)
    assert 3.5 < plain < 4.1
    assert 1.5 < checkpointed < 2.2
    assert flat == 1
    assert bytes_of[ops[2], 64] < bytes_of[ops[1], 64] / 3 < bytes_of[ops[0], 64] / 9


ADAM = optax.adam(optax.exponential_decay(0.1, 1, 0.5))
OPTIMISERS = {"SGD": optax.sgd(0.1), "momentum": optax.sgd(0.1, momentum=0.9), "Adam": ADAM}
KEPT = {"all kept": (layer_stack, {}), "segments": (checkpointed_stack, {"segment": 3})}


def kept_steps(optimizer: Any, op: Any, settings: Any) -> tuple[Any, Any]:
    """Return the step that is told all gradients, and the one that updates on the way down."""

    def run(params: Any, x: Any, targets: Any) -> Any:
        y, residual = op.forward(params, x, layer=LAYER, **settings)
        return residual, *objective.loss_and_cotangent(manual_bp.squared_error, y, targets)

    def gradients(params: Any, *batch: Any) -> Any:
        residual, loss, dy = run(params, *batch)
        return loss, op.backward(residual, dy)[0]

    def updates(params: Any, state: Any, *batch: Any) -> Any:
        residual, loss, dy = run(params, *batch)
        update = train.update_by(optimizer)
        params, state, _ = op.backward_with_updates(residual, dy, state, update=update)
        return loss, params, state

    by_layer = train.by_layer(optimizer)
    return train.make_step(gradients, by_layer), train.make_fused_step(updates)


def reversible_steps(optimizer: Any) -> tuple[Any, Any]:
    """Return both steps of a stack of two streams."""

    def run(params: Any, x: Any, targets: Any) -> Any:
        (y1, y2), residual = reversible_stack.forward(*params, x, x, f=LAYER, g=LAYER)
        loss, dy1 = objective.loss_and_cotangent(manual_bp.squared_error, y1, targets)
        return residual, loss, (dy1, y2)

    def gradients(params: Any, *batch: Any) -> Any:
        residual, loss, dy = run(params, *batch)
        return loss, reversible_stack.backward(residual, dy)[:2]

    def updates(params: Any, state: Any, *batch: Any) -> Any:
        residual, loss, dy = run(params, *batch)
        update = train.update_by(optimizer)
        theta, phi, state, _, _ = reversible_stack.backward_with_updates(
            residual, dy, state, update=update
        )
        return loss, (theta, phi), state

    by_layer = train.by_layer(optimizer)
    return train.make_step(gradients, by_layer), train.make_fused_step(updates)


@pytest.mark.parametrize("optimizer", OPTIMISERS)
@pytest.mark.parametrize("kind", [*KEPT, "reversible"])
def test_an_update_on_the_way_down_is_the_one_behind_it(kind: str, optimizer: str) -> None:
    used = OPTIMISERS[optimizer]
    both = kind == "reversible"
    steps = reversible_steps(used) if both else kept_steps(used, *KEPT[kind])
    params = dense(7, 3), ()
    start = (params, (dense(7, 3, seed=2), ())) if both else params
    states = [train.init(start, train.by_layer(used))] * 2
    for number in range(3):
        batch = random(2, 3, seed=2 * number + 3), random(2, 3, seed=2 * number + 4)
        came = [jax.jit(step)(state, batch) for step, state in zip(steps, states, strict=True)]
        states = [state for state, _ in came]
        assert_close(came[1], came[0])
    assert int(states[1].step) == 3


def test_what_has_no_gradient_is_not_updated() -> None:
    layer = (Stage(manual_bp.linear), Stage(manual_bp.dropout, (("rate", 0.5),)))
    keys = jax.random.split(jax.random.key(0), 4)
    params, x = (dense(4, 3), (keys,)), random(5, 3, seed=2)
    update, state = train.update_by(ADAM), train.by_layer(ADAM).init(params)
    y, residual = layer_stack.forward(params, x, layer=layer)
    new, _, dx = layer_stack.backward_with_updates(residual, y, state, update=update)
    assert_close(dx, layer_stack.backward(residual, y)[1])
    assert (new[1][0] == keys).all()
    assert all((a != b).any() for a, b in zip(new[0], params[0], strict=True))


def test_a_fused_step_takes_no_loss_scale(without_annotations: None) -> None:
    step = train.make_fused_step(lambda params, state: (0.0, params, state))
    state = train.init(jnp.ones(2), train.by_layer(optax.sgd(0.1)), scale=precision.loss_scale())
    with pytest.raises(ValueError, match="make_fused_step: scale: expected none"):
        step(state, ())


@pytest.mark.parametrize("kind", [*KEPT, "reversible"])
def test_no_gradients_lie_there_all_at_once(kind: str) -> None:
    """With few samples memory is that of parameters, 1 MB for each dense layer."""
    both = kind == "reversible"
    steps = reversible_steps(ADAM) if both else kept_steps(ADAM, *KEPT[kind])
    shapes = jnp.zeros((64, 64, 64), jnp.float32), jnp.zeros((64, 64), jnp.float32)
    params = ((shapes, ()), (shapes, ())) if both else (shapes, ())
    batch = jnp.ones((2, 64), jnp.float32), jnp.ones((2, 64), jnp.float32)
    state = train.init(params, train.by_layer(ADAM))
    behind, fused = (
        jax.jit(step, donate_argnums=0).lower(state, batch).compile().memory_analysis()
        for step in steps
    )
    dense_layer = 2**20
    assert behind.temp_size_in_bytes > (1 + both) * dense_layer
    assert fused.temp_size_in_bytes < dense_layer / 3


def coupled(depth: int, gain: float, dtype: Any, n: int = 16) -> Any:
    """Return theta, phi, x1 and x2; the weights have the standard deviation gain/√n."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return jnp.asarray(gain * rng.standard_normal(shape) / n**0.5, dtype)

    def layers() -> Any:
        return tuple(
            () if place == 1 else (weights(depth, n, n), weights(depth, n)) for place in range(3)
        )

    streams = [jnp.asarray(rng.standard_normal((8, n)), dtype) for _ in range(2)]
    return layers(), layers(), *streams


@jax.jit
def reversed_and_plain(args: Any, dy: Any) -> Any:
    """Return both gradients, and the inputs as they came back; the plain one keeps everything."""
    _, residual = reversible_stack.forward(*args, f=DEEP, g=DEEP)
    *came, back = reversible_stack.backward_with_inputs(residual, dy)
    theta, phi, x1, x2 = args

    def layer(streams: Any, parameters: Any) -> Any:
        (x1, x2), (of_f, of_g) = streams, parameters
        z, at_x2 = chain.forward(of_f, x2, stages=DEEP)
        x1 = x1 + z
        z, at_y1 = chain.forward(of_g, x1, stages=DEEP)
        return (x1, x2 + z), (at_x2, at_y1)

    def pull(cotangents: Any, saved: Any) -> Any:
        (dy1, dy2), (at_x2, at_y1) = cotangents, saved
        dphi, dz = chain.backward(at_y1, dy2)
        dtheta, du = chain.backward(at_x2, dy1 + dz)
        return (dy1 + dz, dy2 + du), (dtheta, dphi)

    _, saved = jax.lax.scan(layer, (x1, x2), (theta, phi))
    streams, parameters = jax.lax.scan(pull, dy, saved, reverse=True)
    return tuple(came), (*parameters, *streams), back


# The errors that the module's docstring states, and what a gradient loses by them.
DRIFT = {
    (0.5, "float32"): (1e-5, 1e-5),
    (0.5, "float64"): (2e-14, 1e-14),
    (1.0, "float32"): (5e-4, 5e-4),
    (1.0, "float64"): (1e-12, 1e-12),
    (2.0, "float64"): (1e-7, 1e-7),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_sixty_four_layers_lose_on_the_way_back(dtype: str, without_annotations: None) -> None:
    for gain in (0.5, 1.0, 2.0):
        args = coupled(64, gain, dtype)
        dy = tuple(jnp.asarray(random(8, 16, seed=k), dtype) for k in (1, 2))
        came, plain, back = reversed_and_plain(args, dy)
        drift = max(float(jnp.abs(a - b).max()) for a, b in zip(back, args[2:], strict=True))
        pairs = zip(jax.tree.leaves(came), jax.tree.leaves(plain), strict=True)
        lost = max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)
        if (gain, dtype) not in DRIFT:
            assert drift > 0.1  # nothing is left of the inputs
            continue
        most, most_lost = DRIFT[gain, dtype]
        assert most / 50 < drift < most
        assert lost < most_lost


BAD: tuple[tuple[Any, Any, Any, str], ...] = (
    (
        layer_stack,
        (((jnp.ones((2, 3, 3)), jnp.ones((4, 3))), ()), jnp.ones((5, 3))),
        {"layer": LAYER},
        "layer_stack: parameters: expected arrays with one first axis, the number of layers, "
        "got shapes [(2, 3, 3), (4, 3)]",
    ),
    (
        checkpointed_stack,
        (((), ()), jnp.ones((5, 3))),
        {"layer": (Stage(manual_bp.tanh),) * 2},
        "checkpointed_stack: parameters: expected arrays with one first axis, the number of "
        "layers, got shapes []",
    ),
    (
        layer_stack,
        (((jnp.ones((2, 3, 4)),),), jnp.ones((5, 3))),
        {"layer": LAYER[:1]},
        "layer_stack: layer: expected ops that keep shape (5, 3) and float64, "
        "got shape (5, 4) and float64",
    ),
    (
        layer_stack,
        (((jnp.ones((2, 4, 4)),),), jnp.ones((5, 3))),
        {"layer": LAYER[:1]},
        "linear: W: expected shape (3, _) for x of shape (5, 3), got (4, 4)",
    ),
    (
        checkpointed_stack,
        (((jnp.ones((2, 3, 3)),),), jnp.ones((5, 3))),
        {"layer": LAYER[:1], "segment": 0},
        "checkpointed_stack: segment: expected a whole number of at least 1, got 0",
    ),
    (
        reversible_stack,
        (*(((jnp.ones((depth, 3, 3)),),) for depth in (2, 4)), jnp.ones(3), jnp.ones(3)),
        {"f": LAYER[:1], "g": LAYER[:1]},
        "reversible_stack: phi: expected a first axis of 2, as of theta, got 4",
    ),
    (
        reversible_stack,
        (*(((jnp.ones((2, 3, 3)),),) for _ in "fg"), jnp.ones(3), jnp.ones(2)),
        {"f": LAYER[:1], "g": LAYER[:1]},
        "reversible_stack: x2: expected shape (3,) of x1, got (2,)",
    ),
    (
        reversible_stack,
        (*(((jnp.ones((2, 3, k)),),) for k in (3, 4)), jnp.ones(3), jnp.ones(3)),
        {"f": LAYER[:1], "g": LAYER[:1]},
        "reversible_stack: g: expected ops that keep shape (3,) and float64, "
        "got shape (4,) and float64",
    ),
)


@pytest.mark.parametrize(("op", "args", "settings", "message"), BAD, ids=[row[3] for row in BAD])
def test_bad_input(
    op: Any, args: Any, settings: Any, message: str, without_annotations: None
) -> None:
    with pytest.raises(ValueError, match=message.split(":", maxsplit=1)[0]) as refused:
        op.forward(*args, **settings)
    assert str(refused.value) == message


def test_a_cotangent_of_each_stream_is_needed(without_annotations: None) -> None:
    args = (*(((jnp.ones((2, 3, 3)),),) for _ in "fg"), jnp.ones(3), jnp.ones(3))
    _, residual = reversible_stack.forward(*args, f=LAYER[:1], g=LAYER[:1])
    with pytest.raises(ValueError, match="dy") as refused:
        reversible_stack.backward(residual, (jnp.ones(3),))
    assert str(refused.value) == (
        "reversible_stack: dy: expected the tuple (dy1, dy2), got 1 of them"
    )


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("op", [layer_stack, checkpointed_stack])
def test_a_cotangent_fits_the_signal(op: Any, depth: int, without_annotations: None) -> None:
    _, residual = op.forward(((jnp.ones((depth, 3, 3)),),), jnp.ones((5, 3)), layer=LAYER[:1])
    with pytest.raises(ValueError, match="dy") as refused:
        op.backward(residual, jnp.ones((5, 2)))
    assert str(refused.value) == f"{op.NAME}: dy: expected shape (5, 3) of y, got (5, 2)"
    with pytest.raises(TypeError, match="dy") as unlike:
        op.backward(residual, jnp.ones((5, 3), jnp.float32))
    assert str(unlike.value) == f"{op.NAME}: dy: expected float64, the dtype of y, got float32"
