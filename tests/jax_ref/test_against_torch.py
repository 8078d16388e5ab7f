"""Every case of the registry against PyTorch, where it has the op; and its choices at kinks."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_layers import OPS, of_gru, run_layer

import manual_bp
from jax_ref import cases
from jax_ref.cases.case import Options, Sizes, describe, normal
from manual_bp.models.chain import Stage

torch = pytest.importorskip("torch")

# PyTorch has no function of these, and no two or three that make one.
LACKING = frozenset({"layer_norm_lstm", "sparsemax"})

TOLERANCE = 1e-12
TOLERANCES = {
    # PyTorch takes the slope, 1/6, in float32.
    "hard_sigmoid": 1e-7,
    "hard_sigmoid[extremes]": 1e-7,
    # PyTorch's mean is rounded to 1e-13, where deviations are 1e-2, and dx cancels.
    "layer_norm[far means]": 1e-9,
    "batch_norm[far means]": 1e-9,
}


def has(name: str, sizes: Sizes, options: Options) -> bool:
    """Return whether PyTorch has the op at these sizes with these options."""
    batch = sizes.get("batch")
    match name:
        case "dropout":
            # What is dropped is drawn by another generator, and the other scaling is unknown.
            drops = options.get("training", True) and options["rate"] > 0
            return not drops and options.get("scaling", "inverted") == "inverted"
        case "mean_pool":
            # Padding that differs before and after is framed, and PyTorch would count it.
            uneven = isinstance(options.get("padding"), tuple)
            return options.get("count_padding", True) or not uneven
        case "gru":
            return options.get("reset", "after") == "after"
        # Of one entry nothing but rounding is left, which PyTorch refuses for two of the four.
        case "layer_norm":
            return sizes["n"] > 1
        case "group_norm":
            return math.prod(batch[1:]) * sizes["n"] > options["groups"]
        case "instance_norm":
            return math.prod(batch[1:]) > 1
        case "batch_norm":
            return math.prod(batch) > 1
    return True


def without(name: str, args: Any, options: Options) -> tuple[Any, Options]:
    """Return arguments and options without those that PyTorch does not know."""
    options = {k: v for k, v in options.items() if k not in ("recompute", "segment", "unroll")}
    if name == "lstm":
        *layer, _peephole, projection, lengths = args
        return (*layer, None, projection, lengths), options
    if name == "stacked":
        layers = [
            Stage(layer.op, tuple(setting for setting in layer.settings if setting[0] != "reset"))
            for layer in options["layers"]
        ]
        return args, {**options, "layers": layers}
    return args, options


def comparable(case: cases.Case) -> Iterator[tuple[Sizes, Options]]:
    """Return each size and option of a case at least once, those alone that PyTorch has."""
    # Of arrays without entries PyTorch refuses many, and the weight norm ends the process.
    sizes = tuple(sizes for sizes in case.sizes if 0 not in jax.tree.leaves(dict(sizes)))
    known = replace(
        case,
        sizes=sizes,
        fits=lambda sizes, options: case.fits(sizes, options) and has(case.op_name, sizes, options),
    )
    return iter(known.combinations(every=False))


def to_torch(leaf: Any) -> Any:
    array = np.array(leaf)
    if array.dtype == float:
        return torch.tensor(array, requires_grad=True)
    return torch.tensor(array if array.dtype == bool else array.astype(np.int64))


def compare(
    op: Any,
    function: Any,
    args: tuple[Any, ...],
    options: Options,
    where: str,
    tolerance: float = TOLERANCE,
) -> None:
    """Hold the outputs, and for cotangents of all of them every gradient, against PyTorch's."""
    rng = np.random.default_rng(1)

    @jax.jit
    def pull(args: Any) -> Any:
        y, residual = op.forward(*args, **options)
        # Drawn while this is traced, when the shapes are known.
        dy = jax.tree.map(lambda leaf: jnp.asarray(normal(rng, *leaf.shape)), y)
        return y, op.backward(residual, dy), dy

    *ours, dy = pull(args)
    tensors = jax.tree.map(to_torch, args)
    outputs = jax.tree.leaves(function(*tensors, **options))
    inputs = [leaf for leaf in jax.tree.leaves(tensors) if leaf.requires_grad]
    upstream = [torch.tensor(np.array(leaf)) for leaf in jax.tree.leaves(dy)]
    gradients = torch.autograd.grad(outputs, inputs, upstream)
    pairs = zip(jax.tree.leaves(ours), [*outputs, *gradients], strict=True)
    for number, (came, theirs) in enumerate(pairs):
        wanted = theirs.detach().numpy()
        # An entry that cancels has no digits left beside the largest one.
        least = min(1, np.abs(wanted).max(initial=0))
        np.testing.assert_allclose(
            np.asarray(came),
            wanted,
            rtol=tolerance,
            atol=tolerance * least,
            strict=True,
            err_msg=f"{where}: leaf {number} of the outputs and gradients",
        )


@pytest.mark.parametrize(
    "case", [case for case in cases.registry if case.op_name in OPS], ids=lambda case: case.name
)
def test_pytorch_agrees(case: cases.Case) -> None:
    compared = 0
    for sizes, options in comparable(case):
        args, known = without(case.op_name, case.arguments(sizes, "float64", 0), options)
        where, tolerance = describe(case, sizes, known), TOLERANCES.get(case.name, TOLERANCE)
        compare(case.op, OPS[case.op_name], args, known, where, tolerance)
        compared += 1
    assert compared


def test_what_pytorch_lacks_is_known() -> None:
    assert {case.op_name for case in cases.registry} == OPS.keys() | LACKING
    assert not OPS.keys() & LACKING
    assert TOLERANCES.keys() <= {case.name for case in cases.registry}


def test_a_stack_in_both_directions_is_one_layer_of_pytorch_s() -> None:
    rng = np.random.default_rng(0)

    def direction(n: int, h: int) -> tuple[jax.Array, ...]:
        shapes = ((2, h), (n, 3 * h), (h, 3 * h), (3 * h,), (h,))
        return tuple(jnp.asarray(normal(rng, *shape) / 2) for shape in shapes)

    parameters = tuple((direction(n, 3), direction(n, 3)) for n in (4, 6))
    x, lengths = jnp.asarray(normal(rng, 2, 5, 4)), jnp.asarray([5, 2])
    layer = Stage(manual_bp.bidirectional, (("layer", Stage(manual_bp.gru)),))

    def function(x: Any, parameters: Any, lengths: Any, *, layers: Any) -> Any:
        each = [of_gru(*theta) for both in parameters for theta in both]
        ys, (last,) = run_layer(torch.nn.GRU, x, each, lengths, num_layers=len(layers))
        return ys, last.unbind()

    args, options = (x, parameters, lengths), {"layers": (layer, layer)}
    compare(manual_bp.stacked, function, args, options, "stacked")


TIED = jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 5, 6, 3)).astype(float))
LINE = jnp.asarray([[-0.5, 0.5, 0.0, -0.75, 1.0]])
NOWHERE = jnp.zeros((2, 3, 4))

AT_KINKS: tuple[tuple[str, tuple[Any, ...], Options], ...] = (
    ("relu", (NOWHERE,), {"slope_at_zero": 0.0}),
    ("leaky_relu", (NOWHERE,), {"negative_slope": 0.3, "slope_at_zero": 0.3}),
    (
        "rnn",
        (NOWHERE, jnp.zeros((2, 4)), jnp.eye(4), jnp.eye(4), None, None),
        {"activation": "relu", "slope_at_zero": 0.0},
    ),
    ("clip", (LINE,), {"low": -0.5, "high": 0.5}),
    ("absolute_error", (LINE, LINE), {"reduction": "none"}),
    ("multiclass_hinge", (LINE, jnp.asarray([1])), {"reduction": "none", "margin": 0.5}),
    ("lp_pool", (NOWHERE,), {"window": 2, "p": 1.0}),
    *(
        (name, (TIED,), {"axis": axis, "ties": ties})
        for name in ("reduce_max", "reduce_min")
        for axis, ties in ((1, "first"), ((1, 2), "split"))
    ),
    ("max_pool", (TIED,), {"window": (3, 2), "strides": 1, "padding": "SAME"}),
    ("adaptive_max_pool", (TIED,), {"size": (2, 4)}),
    ("global_max_pool", (TIED,), {}),
    ("global_max_pool", (TIED,), {"ties": "split"}),
)


@pytest.mark.parametrize(
    ("name", "args", "options"),
    AT_KINKS,
    ids=[f"{name} {options}" for name, _, options in AT_KINKS],
)
def test_pytorch_agrees_at_a_kink(name: str, args: tuple[Any, ...], options: Options) -> None:
    compare(getattr(manual_bp, name), OPS[name], args, options, name)


def slope_at(name: str, point: float, **settings: float) -> float:
    u = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    OPS[name](u, **settings).backward()
    return float(u.grad)


@pytest.mark.parametrize("name", [n for n, f in manual_bp.activations.table.items() if f.kinks])
def test_at_a_kink_of_an_activation_pytorch_takes_the_slope_of_the_outer_piece(name: str) -> None:
    activation = manual_bp.activations.table[name]
    settings = {"alpha": 0.3} if name == "elu" else {}
    points = [point for point, _ in activation.kinks]
    for point in points:
        outside = point - 1e-9 if point == min(points) else point + 1e-9
        _, residual = activation.forward(jnp.asarray(outside), **settings)
        (outer,) = activation.backward(residual, jnp.ones(()))
        np.testing.assert_allclose(slope_at(name, point, **settings), outer, rtol=1e-8, atol=1e-8)


TRIPLET = tuple(jnp.asarray([[place, 0.0]]) for place in (1, 0, 4))
ELSEWHERE: tuple[tuple[str, tuple[Any, ...], Options, float, float], ...] = (
    ("prelu", (jnp.zeros(1), jnp.asarray([0.3])), {}, 1.0, 0.3),
    # At the margin ours counts the triplet as kept apart, PyTorch's as too near.
    ("triplet", TRIPLET, {"reduction": "sum", "margin": 2.0}, 0.0, 2.0),
)


@pytest.mark.parametrize(
    ("name", "args", "options", "ours", "theirs"), ELSEWHERE, ids=[row[0] for row in ELSEWHERE]
)
def test_pytorch_chooses_another_slope_at_these_kinks(
    name: str, args: tuple[Any, ...], options: Options, ours: float, theirs: float
) -> None:
    y, residual = getattr(manual_bp, name).forward(*args, **options)
    dx, *_ = getattr(manual_bp, name).backward(residual, jnp.ones_like(y))
    tensors = [to_torch(arg) for arg in args]
    OPS[name](*tensors, **options).sum().backward()
    assert dx.ravel()[0] == ours
    assert tensors[0].grad.ravel()[0] == theirs
