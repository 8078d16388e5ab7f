"""A benchmark against a wrong peer is worth nothing: every peer computes what our op does."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_cases import SMALL_MODELS, TIMED, small, small_model

from bp_lab.bench import deep_stacks, models, ops, peers
from bp_lab.bench.peers import models as model_peers
from bp_lab.bench.peers.peer import Peer
from jax_ref import cases
from jax_ref.cases.case import Options

# Models are rows of their own; the others have nothing to compute.
NOT_TIMED = {
    *("cnn", "fcn", "line_reader", "resnet", "recurrent", "mlp", "chain", "skip"),
    *("identity", "flatten"),
}
TOLERANCE = {"float64": 1e-10, "float32": 2e-4}


def by_autodiff(peer: Peer, args: Any, dy: Any, options: Options) -> tuple[Any, Any]:
    """Return y and the cotangents of our arguments, through the peer's layout and back."""
    leaves, tree = jax.tree.flatten(args)
    places = [k for k, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def function(floating: Any) -> Any:
        given = dict(zip(places, floating, strict=True))
        args = jax.tree.unflatten(tree, [given.get(*pair) for pair in enumerate(leaves)])
        y = peer.function(*peer.arrange(*args, **options), **options)
        return peer.restore(y, **options)

    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        y, pull_back = jax.vjp(function, [leaves[k] for k in places])
        return y, pull_back(dy)


def assert_equal(ours: Any, theirs: Any, dtype: str, where: str) -> None:
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    for number, (came, wanted) in enumerate(pairs):
        largest = max(float(np.abs(wanted).max(initial=0)), 1e-3)
        np.testing.assert_allclose(
            np.asarray(came),
            np.asarray(wanted),
            rtol=0,
            atol=TOLERANCE[dtype] * largest,
            strict=True,
            err_msg=f"{where}: leaf {number} of the outputs and cotangents",
        )


@pytest.mark.parametrize("case", TIMED, ids=lambda case: case.name)
def test_every_peer_computes_what_the_op_does(case: cases.Case) -> None:
    compared = set()
    for dtype in TOLERANCE:
        with jax.enable_x64(dtype == "float64"):
            for sizes, options in small(case):
                args = case.arguments(sizes, dtype, 0)
                forms = ops.fitting(peers.table[case.op_name], args, options)
                if all((dtype, form.name) in compared for form in forms):
                    continue
                dy = ops.cotangents(case.op, args, options)
                ours = jax.jit(ops.by_hand(case.op, options))(args, dy)
                for form in forms:
                    theirs = jax.jit(partial(by_autodiff, form, options=options))(args, dy)
                    assert_equal(ours, theirs, dtype, f"{form.name}, {sizes}")
                    compared.add((dtype, form.name))
    assert {name for _, name in compared} == {form.name for form in peers.table[case.op_name]}


def test_every_op_is_timed() -> None:
    ops_of_registry = {case.op_name for case in cases.registry}
    timed = {case.op_name for case in TIMED}
    assert ops_of_registry - timed == NOT_TIMED
    assert timed == peers.table.keys()


def test_no_row_comes_twice() -> None:
    keys = [
        (row.name, row.size) for of in (ops, models, deep_stacks) for row in of.subjects("float32")
    ]
    assert len(set(keys)) == len(keys)


def test_a_peer_in_a_layout_of_its_own_is_owed_the_same() -> None:
    (form,) = peers.table["im2col"]
    case = next(case for case in TIMED if case.op_name == "im2col")
    sizes, options = next(small(case))
    args = case.arguments(sizes, "float64", 0)
    dy = ops.cotangents(case.op, args, options)
    program = ops.by_autodiff(form, args, dy, options)
    y, (dx,) = jax.jit(program.function)(*program.arguments)
    ours, (wanted,) = ops.by_hand(case.op, options)(args, dy)
    np.testing.assert_allclose(form.restore(y, **options), ours)
    np.testing.assert_allclose(form.restore(program.arguments[1], **options), dy)
    np.testing.assert_allclose(dx, wanted, rtol=1e-12)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_a_step_of_every_form_of_a_model_is_ours(name: str) -> None:
    model = small_model(name, (8, 6))

    def step(program: Any) -> Any:
        return jax.jit(program.function)(*program.arguments)

    ours, loss = step(models.by_hand(model))
    for form in model_peers.table[name]:
        theirs, their_loss = step(models.by_autodiff(form, model))
        np.testing.assert_allclose(loss, their_loss, rtol=1e-13)
        wanted, _ = form.arrange(ours.params, ours.model)
        if name == "gru" and form.name == "flax":
            # Flax's GRU has one more bias, which ours is compared without.
            assert np.abs(theirs.params["GRUCell_0"]["hn"].pop("bias")).max() > 0
            del wanted["GRUCell_0"]["hn"]["bias"]
        came = jax.tree.map(np.asarray, theirs.params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13), came, wanted)


@pytest.mark.parametrize("stack", deep_stacks.STACKS, ids=lambda stack: stack.name)
def test_a_step_of_every_form_of_a_deep_stack_is_ours(stack: deep_stacks.DeepStack) -> None:
    small_stack = replace(stack, layers=5, width=3, batch=4)

    def step(program: Any) -> Any:
        return jax.jit(program.function)(*program.arguments)

    program = deep_stacks.by_hand(small_stack, "float64")
    before, (ours, loss) = program.arguments[0].params, step(program)
    for form in stack.forms:
        theirs, their_loss = step(deep_stacks.by_autodiff(small_stack, form, "float64"))
        np.testing.assert_allclose(loss, their_loss, rtol=1e-13)
        for old, came, wanted in zip(
            *map(jax.tree.leaves, (before, theirs.params, ours.params)), strict=True
        ):
            assert np.abs(np.asarray(wanted - old)).max() > 1e-4
            np.testing.assert_allclose(came, wanted, atol=1e-13)


def test_every_model_has_a_peer() -> None:
    assert {model.config.model for model in models.MODELS} == model_peers.table.keys()
    assert {model.config.model for model in models.MODELS} == SMALL_MODELS.keys()
