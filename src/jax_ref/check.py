"""Hold a hand-written backward pass against its witnesses.

Witnesses
  value              the op's output against the reference's, in float64
  jax.grad           every cotangent against JAX's of the reference, in float64
  finite difference  every cotangent against central differences, in float64: of an op's own
                     forward, of a model's reference, whose probes reach every δ
  precision          in float32, bfloat16 and float16: the error against the float64 truth at the
                     same point may be twice that of `jax.grad` in the same dtype, and 2 ulp;
                     `jax.grad`'s error is the largest at the point and at seven an ulp beside it

The cotangents pulled back are random and not uniform, short decimals, so that a failure can be
read. Nothing global is changed: float64 is switched on inside, and off again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import naming
from jax_ref.oracles import autodiff, truth
from jax_ref.verdict import GradientMismatch, Report, Row, Verdict, compare
from jax_ref.witnesses import (
    Named,
    difference_rows,
    missing_rows,
    noise,
    precision_row,
    structure_failure,
    structure_rows,
)

NEIGHBOURS = 7
FAIL_ABOVE = 1e-10


def check_op(
    op: Any,
    reference: Callable[..., Any],
    *args: Any,
    name: str | None = None,
    seed: int = 0,
    tolerance: float = FAIL_ABOVE,
    raises: bool = True,
    **static: Any,
) -> Report:
    """Check an op's forward and backward against a reference at one point.

    Args:
      op: has `forward(*args, **static) -> (y, residual)` and `backward(residual, dy) -> tuple`.
      reference: `reference(*args, **static) -> y`, written another way.
      *args: arrays and pytrees of arrays; the dtype of the first floating leaf decides whether
        the float64 witnesses or the precision witness speaks.
      name: for the report; by default the op's name.
      seed: of the random cotangents and directions.
      tolerance: largest relative error in float64.
      raises: whether a FAIL raises.
      **static: keywords of both functions.

    Returns:
      The report.

    Raises:
      GradientMismatch: a witness contradicts the op, and `raises`.
    """
    name = name or getattr(op, "__name__", None) or type(op).__name__
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        point = _Point(op, reference, jax.tree.map(jnp.asarray, args), static, rng)
        rows = structure_rows(point.hand_structure, point.args, point.names)
        if not rows and point.dtype == jnp.float64:
            rows = _float64_rows(point, rng, tolerance)
        elif not rows:
            rows = _precision_rows(point, rng)
        dtype = point.dtype
    return conclude(Report(name, dtype.name, tuple(rows)), raises=raises)


def check_model(
    loss_gradients_and_deltas: Callable[..., tuple[Any, Any, Sequence[Any]]],
    reference_loss: Callable[..., Any],
    params: Any,
    *batch: Any,
    name: str = "model",
    seed: int = 0,
    tolerance: float = FAIL_ABOVE,
    raises: bool = True,
) -> Report:
    """Check a model's every parameter gradient and every layer's δ, on one batch.

    The float64 witnesses are called at the given parameters, raised to float64; where these are of
    a lower precision, the precision witness is called as well.

    Args:
      loss_gradients_and_deltas: `(params, *batch) -> (loss, gradients, deltas)`, by hand.
      reference_loss: `(params, *batch, probes=...) -> loss`; `probes` is a sequence like `deltas`
        whose arrays are added to the pre-activations.
      params: pytree of floating arrays.
      *batch: inputs and targets.
      name: for the report.
      seed: of the random directions of the finite differences.
      tolerance: largest relative error in float64.
      raises: whether a FAIL raises.

    Raises:
      GradientMismatch: a witness contradicts the model, and `raises`.
    """
    rng = np.random.default_rng(seed)
    hand_of = jax.jit(loss_gradients_and_deltas)
    with jax.enable_x64(True):
        params, batch = jax.tree.map(jnp.asarray, (params, batch))
        dtype = _dtype_of((params,))
        exact_params, exact_batch = truth.in_float64((params, batch))
        loss, gradients, deltas = hand_of(exact_params, *exact_batch)
        zeros = jax.tree.map(jnp.zeros_like, tuple(deltas))

        def reference(params: Any, probes: Any) -> Any:
            return reference_loss(params, *exact_batch, probes=probes)

        _, own_gradients, _ = jax.eval_shape(hand_of, params, *batch)
        rows = structure_rows((own_gradients,), (params,), ("params",))
        try:
            jax.eval_shape(reference, exact_params, zeros)
        except (IndexError, TypeError, ValueError) as error:
            expected = "an array for each pre-activation, of its shape"
            rows.append(structure_failure("δ", expected, f"what the reference refuses: {error}"))
        if rows:
            return conclude(Report(name, dtype.name, tuple(rows)), raises=raises)
        differentiate = jax.jit(jax.value_and_grad(reference, (0, 1)))
        true_loss, true_gradients = differentiate(exact_params, zeros)
        hand, true = naming.of_model(gradients, deltas), naming.of_model(*true_gradients)
        rows = [compare("value", "loss", loss, true_loss, tolerance)]
        rows += missing_rows(hand, true)
        rows += [
            compare("jax.grad", leaf, hand[leaf], true[leaf], tolerance, noise(loss))
            for leaf in hand
            if leaf in true
        ]
        rows += difference_rows(reference, (exact_params, zeros), naming.of_model, hand, rng)
        if dtype != jnp.float64:
            low_hand = naming.of_model(*hand_of(params, *batch)[1:])
            low_differentiate = jax.jit(
                jax.grad(lambda p, z: reference_loss(p, *batch, probes=z), (0, 1))
            )
            low_zeros = jax.tree.map(lambda zero: zero.astype(dtype), zeros)
            sides = []
            for point in (params, *(truth.beside(params, rng) for _ in range(NEIGHBOURS))):
                _, exact = differentiate(truth.in_float64(point), zeros)
                auto = low_differentiate(point, low_zeros)
                sides.append((naming.of_model(*auto), naming.of_model(*exact)))
            rows += [
                precision_row(
                    leaf, low_hand[leaf], true[leaf], [(a[leaf], t[leaf]) for a, t in sides], dtype
                )
                for leaf in low_hand
            ]
    return conclude(Report(name, dtype.name, tuple(rows)), raises=raises)


def conclude(report: Report, *, raises: bool) -> Report:
    """Return the report, or raise GradientMismatch where it failed and `raises`."""
    if raises and report.verdict is Verdict.FAIL:
        raise GradientMismatch(str(report))
    return report


def short_decimals(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Return random numbers of one decimal in ±[0.1, 2], exact enough to be read in a report."""
    tenths = rng.integers(1, 21, shape) * rng.choice([-1, 1], shape)
    return jnp.asarray(np.asarray(tenths / 10).astype(dtype))


def _dtype_of(args: Any) -> Any:
    for leaf in jax.tree.leaves(args):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf.dtype
    raise TypeError("check: args: expected at least one floating array, got none")


class _Point:
    """An op and its reference at one point, with the cotangent that both pull back."""

    def __init__(
        self,
        op: Any,
        reference: Callable[..., Any],
        args: tuple[Any, ...],
        static: Named,
        rng: np.random.Generator,
    ) -> None:
        def hand(args: tuple[Any, ...], dy: Any) -> tuple[Any, Any]:
            y, residual = op.forward(*args, **static)
            return y, op.backward(residual, dy)

        def automatic(args: tuple[Any, ...], dy: Any) -> tuple[Any, Any]:
            return autodiff.vjp(lambda *a: reference(*a, **static), args, lambda _: dy)

        def value(*args: Any) -> Any:
            return op.forward(*args, **static)[0]

        self.hand, self.automatic, self.value, self.args = hand, automatic, value, args
        self.dtype = _dtype_of(args)
        self.names = naming.of_arguments(op.forward, len(args))
        y = jax.eval_shape(value, *args)
        self.dy = jax.tree.map(lambda leaf: short_decimals(rng, leaf.shape, leaf.dtype), y)
        _, self.hand_structure = jax.eval_shape(hand, args, self.dy)

    def named(self, side: tuple[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the outputs and the cotangents of one side, by name."""
        y, cotangents = side
        return naming.of_tree(y, "y"), naming.of_args(cotangents, self.names)


def _float64_rows(point: _Point, rng: np.random.Generator, tolerance: float) -> list[Row]:
    def both(args: tuple[Any, ...], dy: Any) -> tuple[Any, Any]:
        return point.hand(args, dy), point.automatic(args, dy)

    sides = jax.jit(both)(point.args, point.dy)
    (values, by_hand), (true_values, by_jax) = map(point.named, sides)
    rows = missing_rows(values, true_values)
    rows += [
        compare("value", leaf, values[leaf], true_values[leaf], tolerance, noise(point.args))
        for leaf in values
        if leaf in true_values
    ]
    below = noise(point.dy, point.args)
    rows += [
        compare("jax.grad", leaf, by_hand[leaf], by_jax[leaf], tolerance, below) for leaf in by_hand
    ]

    def projection(*args: Any) -> Any:
        products = jax.tree.map(lambda c, v: jnp.sum(c * v), point.dy, point.value(*args))
        return sum(jax.tree.leaves(products), start=jnp.zeros((), jnp.float64))

    def named(*args: Any) -> dict[str, Any]:
        return naming.of_args(args, point.names)

    return rows + difference_rows(projection, point.args, named, by_hand, rng)


def _precision_rows(point: _Point, rng: np.random.Generator) -> list[Row]:
    def both(args: tuple[Any, ...], dy: Any) -> tuple[Any, Any]:
        return point.hand(args, dy), point.automatic(args, dy)

    # Without this, XLA skips roundings to the lower precision that the op asks for.
    low = jax.jit(both, compiler_options={"xla_allow_excess_precision": False})
    exactly = jax.jit(point.automatic)

    def at(args: tuple[Any, ...]) -> tuple[Named, Named, Named]:
        hand, auto = low(args, point.dy)
        true = exactly(*truth.in_float64((args, point.dy)))
        by_hand, by_jax, exact = (
            values | cotangents for values, cotangents in map(point.named, (hand, auto, true))
        )
        return by_hand, by_jax, exact

    by_hand, by_jax, exact = at(point.args)
    sides = [(by_jax, exact)]
    sides += [at(truth.beside(point.args, rng))[1:] for _ in range(NEIGHBOURS)]
    return [
        precision_row(
            leaf, by_hand[leaf], exact[leaf], [(a[leaf], t[leaf]) for a, t in sides], point.dtype
        )
        for leaf in by_hand
    ]
