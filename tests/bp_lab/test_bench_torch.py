"""PyTorch's side of the benchmark computes what our ops and models do."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_cases import SMALL_MODELS, TIMED, small, small_model

from bp_lab.bench import deep_stacks, models, ops, torch_side
from jax_ref import cases

torch = pytest.importorskip("torch")

# PyTorch has no function of these, and no two or three that make one.
STACKS = {"layer_stack", "checkpointed_stack", "reversible_stack"}
LACKING = {"sparsemax", "layer_norm_lstm", "stacked", *STACKS}
# PyTorch takes the slope, 1/6, in float32.
TOLERANCES = {"hard_sigmoid": 1e-7}


def test_every_op_that_pytorch_has_is_timed_beside_it() -> None:
    lacking = {case.op_name for case in TIMED if torch_side.peer_of(case.op_name) is None}
    assert lacking == LACKING


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "case", [case for case in TIMED if case.op_name not in LACKING], ids=lambda case: case.name
)
def test_pytorch_computes_what_the_op_does(case: cases.Case) -> None:
    peer = torch_side.peer_of(case.op_name)
    assert peer is not None
    given = ((case.arguments(sizes, "float64", 0), options) for sizes, options in small(case))
    args, options = next(pair for pair in given if peer.fits(*pair[0], **pair[1]))
    dy = ops.cotangents(case.op, args, options)
    side = torch_side.of_op(case.op_name, args, dy, options)
    assert side is not None
    assert side().run() > 0
    if case.op_name == "dropout":
        return  # what is dropped is drawn by another generator
    tensors = jax.tree.map(torch_side.tensor, args)
    inputs = [leaf for leaf in jax.tree.leaves(tensors) if leaf.is_floating_point()]
    for leaf in inputs:
        leaf.requires_grad_()
    outputs = jax.tree.leaves(
        peer.restore(peer.function(*peer.arrange(*tensors, **options), **options), **options)
    )
    # PyTorch differentiates no running statistics.
    differentiated = [leaf.requires_grad for leaf in outputs]
    pairs = zip(jax.tree.leaves(dy), differentiated, strict=True)
    leaves = [leaf if counts else jnp.zeros_like(leaf) for leaf, counts in pairs]
    dy = jax.tree.unflatten(jax.tree.structure(dy), leaves)
    upstream = [
        torch_side.tensor(leaf)
        for leaf, counts in zip(leaves, differentiated, strict=True)
        if counts
    ]
    gradients = torch.autograd.grad(
        [leaf for leaf in outputs if leaf.requires_grad], inputs, upstream, allow_unused=True
    )
    ours = jax.tree.leaves(ops.by_hand(case.op, options)(args, dy))
    tolerance = TOLERANCES.get(case.op_name, 1e-10)
    for came, theirs in zip(ours, [*outputs, *gradients], strict=True):
        if theirs is not None:
            wanted = theirs.detach().numpy()
            largest = max(float(np.abs(wanted).max(initial=0)), 1.0)
            np.testing.assert_allclose(came, wanted, rtol=0, atol=tolerance * largest, strict=True)


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_pytorch_trains_the_same_network(name: str) -> None:
    from bp_lab.bench import torch_models

    # Of an even number of places PyTorch, which pads alike on both sides, reads others at stride 2.
    model = small_model(name, (7, 5))
    program = models.by_hand(model)
    state, loss = jax.jit(program.function)(*program.arguments)
    step, module = torch_models.training(model.config, *model.initial(), *model.data())
    np.testing.assert_allclose(step().item(), loss, rtol=1e-12)
    wanted: Any = torch_models.network(model.config, state.params).state_dict()
    for key, came in module.state_dict().items():
        # PyTorch learns a second bias of each gate.
        if not key.startswith("layer.bias") and "running" not in key and "batches" not in key:
            np.testing.assert_allclose(came, wanted[key], atol=1e-12, err_msg=key)


@pytest.mark.parametrize("stack", deep_stacks.STACKS, ids=lambda stack: stack.name)
def test_pytorch_trains_the_same_deep_stack(stack: deep_stacks.DeepStack) -> None:
    from bp_lab.bench import torch_stacks

    small_stack = replace(stack, layers=5, width=3, batch=4)
    program = deep_stacks.by_hand(small_stack, "float64")
    state, loss = jax.jit(program.function)(*program.arguments)
    step, parameters = torch_stacks.training(small_stack, "float64")
    np.testing.assert_allclose(step().item(), loss, rtol=1e-12)
    for came, wanted in zip(parameters, jax.tree.leaves(state.params), strict=True):
        for one, other in zip(came, wanted, strict=True):
            np.testing.assert_allclose(one.detach(), other.T, atol=1e-12)
