"""Hold a whole model's gradients, and the δ of every stage, against the reference's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import compiling, naming
from jax_ref.arguments import as_array
from jax_ref.calling import calling, in_a_line, shown, with_arrays
from jax_ref.check import conclude, precision_of
from jax_ref.compare import compare
from jax_ref.compiling import UNTRACEABLE, faithful, quick
from jax_ref.diagnose import Evidence
from jax_ref.errors import CheckError
from jax_ref.examine import AT
from jax_ref.explain import explained, resolution
from jax_ref.oracles import kinks, truth
from jax_ref.oracles.jaxprs import TracingError
from jax_ref.points import BESIDE, NEIGHBOURS, noise, stream
from jax_ref.settings import FAIL_ABOVE, Settings
from jax_ref.verdict import Diagnosis, Report, Row, Verdict
from jax_ref.witnesses import (
    difference_rows,
    missing_rows,
    precision_row,
    structure_failure,
    structure_rows,
)

PLACE = "check_model"


def check_model(
    loss_and_gradients: Callable[..., tuple[Any, ...]],
    reference_loss: Callable[..., Any],
    params: Any,
    *batch: Any,
    name: str = "model",
    seed: int = 0,
    tolerance: float = FAIL_ABOVE,
    raises: bool = True,
) -> Report:
    """Check a model's every parameter gradient, and the δ of every stage that it names.

    The float64 witnesses are called at the given parameters, raised to float64; where these are of
    a lower precision, the precision witness is called as well.

    Args:
      loss_and_gradients: `(params, *batch) -> (loss, gradients)`, by hand, or
        `(loss, gradients, deltas)` with the cotangent of each stage's output, in the order of the
        forward pass: a sequence, or a mapping from the names of the stages.
      reference_loss: `(params, *batch) -> loss`; where there are deltas also with the keyword
        `probes`, like `deltas`, whose arrays are added to the outputs of the stages.
      params: pytree of floating arrays.
      *batch: inputs and targets.
      name: for the report.
      seed: of the random directions of the finite differences, from 0 on.
      tolerance: largest relative error in float64, below 1.
      raises: whether a FAIL raises.

    Returns:
      The report; its `stage` is the first, from the loss end, whose δ parts from the reference's.

    Raises:
      GradientMismatch: a witness contradicts the model, and `raises`.
      CheckError: one of the functions does not take or return what it should, or a setting is not
        one.

    Examples:
      >>> import jax.numpy as jnp, jax_ref
      >>> def by_hand(w, x):
      ...     return 0.5 * jnp.sum((w * x) ** 2), w * x * x
      >>> w, x = jnp.array([0.5, -2.0]), jnp.array([3.0, 1.0])
      >>> print(jax_ref.check_model(by_hand, lambda w, x: jnp.sum((x * w) ** 2) / 2, w, x).verdict)
      PASS
    """
    settings = Settings.of(PLACE, name, seed, "fast", tolerance, raises=raises)
    rng = stream(settings.seed)
    with precision_of((params, batch)):
        params, batch = _as_arrays("params", params), _as_arrays("batch", batch)
    with jax.enable_x64(True):
        model = _Model(loss_and_gradients, reference_loss, params, batch, rng, settings.tolerance)
        rows, hand, true = model.float64_rows()
        if model.dtype != jnp.float64 and not any(row.witness == "structure" for row in rows):
            rows += model.precision_rows()
        diagnoses = _diagnoses(rows, hand, true, params, batch)
    report = Report(
        settings.name,
        model.dtype.name,
        tuple(rows),
        diagnoses=diagnoses,
        notes=tuple(model.notes),
        seed=settings.seed,
        device=compiling.device(),
        stage=_stage(rows, model.stages),
    )
    return conclude(report, raises=settings.raises)


class _Model:
    """A model at one point, its δ's laid out as a tuple in the order of the stages."""

    def __init__(
        self,
        loss_and_gradients: Callable[..., tuple[Any, ...]],
        reference_loss: Callable[..., Any],
        params: Any,
        batch: tuple[Any, ...],
        rng: np.random.Generator,
        tolerance: float,
    ) -> None:
        self.params, self.batch, self.rng, self.tolerance = params, batch, rng, tolerance
        self.loss = _traceable("reference_loss", reference_loss)
        self.stages: tuple[Any, ...] = ()
        self.notes: list[str] = []
        self.named = self.probes = False
        run = _traceable("loss_and_gradients", loss_and_gradients)

        def hand(params: Any, *batch: Any) -> tuple[Any, Any, tuple[Any, ...]]:
            came = run(params, *batch)
            if not isinstance(came, tuple) or len(came) not in (2, 3):
                expected = "(loss, gradients) or (loss, gradients, deltas)"
                raise CheckError(PLACE, "loss_and_gradients", expected, shown(came))
            loss = _scalar("loss_and_gradients", came[0])
            gradients = with_arrays(PLACE, "loss_and_gradients", came[1])
            self.probes = len(came) == 3
            deltas: Any = came[2] if self.probes else ()
            if not isinstance(deltas, Mapping | Sequence) and not np.ndim(deltas):
                expected = "deltas in a sequence or a mapping"
                raise CheckError(PLACE, "loss_and_gradients", expected, shown(came[2]))
            self.named = isinstance(deltas, Mapping)
            self.stages = tuple(deltas) if self.named else tuple(range(len(deltas)))
            stages = tuple(deltas.values() if self.named else deltas)
            return loss, gradients, with_arrays(PLACE, "loss_and_gradients", stages)

        self.hand_of = jax.jit(hand)
        leaves = jax.tree.leaves(params)
        if not leaves or not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
            raise CheckError(PLACE, "params", "floating arrays", [str(x.dtype) for x in leaves])
        self.dtype = leaves[0].dtype

    def probed(self, batch: tuple[Any, ...]) -> Callable[[Any, Any], Any]:
        """Return the reference loss as a function of the parameters and the probes."""

        def loss(params: Any, probes: tuple[Any, ...]) -> Any:
            if not self.probes:
                return _scalar("reference_loss", self.loss(params, *batch))
            given = dict(zip(self.stages, probes, strict=True)) if self.named else probes
            return _scalar("reference_loss", self.loss(params, *batch, probes=given))

        return loss

    def of_model(self, gradients: Any, deltas: Sequence[Any]) -> dict[str, Any]:
        """Return gradients and δ's by name."""
        cotangents = zip(self.stages, deltas, strict=True)
        return naming.of_tree(gradients, "params") | {f"δ[{k!r}]": v for k, v in cotangents}

    def float64_rows(self) -> tuple[list[Row], dict[str, Any], dict[str, Any]]:
        """Return the rows of the float64 witnesses, and both sides by name."""
        params, batch = truth.in_float64((self.params, self.batch))
        with precision_of((self.params, self.batch)):
            own = jax.eval_shape(self.hand_of, self.params, *self.batch)[1]
        wanted = naming.of_tree(self.params, "params")
        rows = structure_rows((own,), (self.params,), ("params",), wanted)
        rows += missing_rows(naming.of_tree(own, "params"), wanted)
        if rows:
            return rows, {}, {}
        loss, gradients, deltas = self.hand_of(params, *batch)
        zeros = jax.tree.map(jnp.zeros_like, tuple(deltas))
        reference = self.probed(batch)
        try:
            jax.eval_shape(reference, params, zeros)
        except CheckError as error:
            if not self.probes:
                raise
            expected = "an array for each stage, of the shape of its output"
            came = f"what the reference refuses: {error}"
            return [structure_failure("δ", expected, came)], {}, {}
        differentiate = quick(
            jax.value_and_grad(lambda p, z, batch: self.probed(batch)(p, z), (0, 1))
        )
        true_loss, true_gradients = differentiate(params, zeros, batch)
        if np.isnan(true_loss):
            raise CheckError(PLACE, "reference_loss", "a number at this point", "nan")
        hand = {k: np.asarray(v) for k, v in self.of_model(gradients, deltas).items()}
        true = {k: np.asarray(v) for k, v in self.of_model(*true_gradients).items()}
        beside = [truth.beside((params, batch), self.rng) for _ in range(BESIDE)]
        moved = [differentiate(p, zeros, b) for p, b in beside]
        around = noise(true_loss, [value for value, _ in moved])
        rows = [compare("value", "loss", loss, true_loss, self.tolerance, around)]
        sides = [self.of_model(*gradients) for _, gradients in moved]
        rows += [
            compare(
                "jax.grad", leaf, hand[leaf], true[leaf], self.tolerance,
                noise(true[leaf], [side[leaf] for side in sides]),
            )
            for leaf in hand
        ]  # fmt: skip
        agreed = {row.leaf for row in rows if row.passed and not row.vacuous}
        differences = difference_rows(reference, (params, zeros), self.of_model, hand, self.rng)
        for row in differences:
            if row.verdict is Verdict.INCONCLUSIVE and row.leaf in agreed:
                self.notes.append(f"finite difference, weaker than jax.grad: {row.detail}")
            elif (
                row.verdict is Verdict.FAIL
                and row.leaf in agreed
                and (lines := self.turning(reference, (params, zeros), row.leaf))
            ):
                self.notes.append(f"KINK: jax.grad alone judges {row.leaf}, where {lines} turns")
            else:
                rows.append(row)
        parted = [r.leaf for r in rows if r.witness == "jax.grad" and r.verdict is Verdict.FAIL]
        if parted and (lines := self.turning(reference, (params, zeros), *parted)):
            told = "jax.grad takes one of several slopes there: check at another point too"
            self.notes.append(f"KINK: the point is where something turns: {lines}; {told}")
        return rows, hand, true

    def turning(self, reference: Callable[..., Any], args: Any, *chosen: str) -> str:
        """Return what turns at the very point along leaves, as relu of u = 0; empty if nothing."""
        leaves, tree = jax.tree.flatten(args)
        places = self.of_model(*jax.tree.unflatten(tree, range(len(leaves))))
        along = [np.zeros((1, *np.shape(other))) for other in leaves]
        for place in (places[leaf] for leaf in chosen):
            along[place] = self.rng.standard_normal(along[place].shape)
        try:
            reading = kinks.read(reference, args, jax.tree.unflatten(tree, along))
        except TracingError:
            return ""
        lines = [f"{c.primitive} at {c.source}" for c in reading.comparisons if c.step <= AT]
        return ", ".join(lines[:2])

    def precision_rows(self) -> list[Row]:
        """Return the rows of the parameters' own, lower precision."""
        with precision_of((self.params, self.batch)):
            loss, gradients, deltas = self.hand_of(self.params, *self.batch)
            zeros = jax.tree.map(jnp.zeros_like, deltas)
        hand = self.of_model(gradients, deltas)
        low = faithful(jax.value_and_grad(self.probed(self.batch), (0, 1)))
        exact = quick(jax.value_and_grad(self.probed(truth.in_float64(self.batch)), (0, 1)))
        losses = []
        wide_zeros = truth.in_float64(zeros)
        sides = []
        points = [truth.beside(self.params, self.rng) for _ in range(NEIGHBOURS)]
        for point in (self.params, *points):
            with precision_of((self.params, self.batch)):
                value, slopes = low(point, zeros)
            true_value, true_slopes = exact(truth.in_float64(point), wide_zeros)
            losses.append((value, true_value))
            sides.append((self.of_model(*slopes), self.of_model(*true_slopes)))
        dtype = jnp.result_type(loss)
        row = precision_row("loss", loss, losses[0][1], losses, dtype, infinities=True)
        return [row] + [
            precision_row(
                leaf, hand[leaf], sides[0][1][leaf], [(a[leaf], t[leaf]) for a, t in sides],
                self.dtype,
            )
            for leaf in hand
        ]  # fmt: skip


def _as_arrays(root: str, tree: Any) -> Any:
    """Return a pytree with its leaves as JAX's arrays."""

    def array(path: Any, leaf: Any) -> Any:
        return as_array(PLACE, root + jax.tree_util.keystr(path), leaf)

    return jax.tree_util.tree_map_with_path(array, tree)


def _traceable(role: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its errors told; a model is compiled, and so must be traced."""
    if not callable(function):
        raise CheckError(PLACE, role, "a function", type(function).__name__)
    call = calling(PLACE, role, function)

    def traced(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except UNTRACEABLE as error:
            expected = "a function that JAX can trace"
            raise CheckError(PLACE, role, expected, in_a_line(error)) from error

    return traced


def _scalar(role: str, loss: Any) -> Any:
    """Return a loss as an array; it must be one floating number."""
    array = with_arrays(PLACE, role, loss)
    if not hasattr(array, "dtype") or array.shape:
        raise CheckError(PLACE, role, "a loss of shape ()", shown(loss))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise CheckError(PLACE, role, "a floating loss", f"one of {array.dtype}")
    return array


def _stage(rows: Sequence[Row], stages: Sequence[Any]) -> str:
    """Return where, from the loss end, the hand first parts from the reference."""
    failed = {row.leaf for row in rows if row.verdict is Verdict.FAIL}
    above = "the loss"
    for stage in reversed(stages):
        leaf = f"δ[{stage!r}]"
        if leaf in failed:
            return f"{leaf}, the way back through {above}"
        above = str(stage) if isinstance(stage, str) else f"stage {stage}"
    gradients = [leaf for leaf in failed if leaf.startswith("params")]
    if stages and gradients:
        return f"{min(gradients)}, every δ agrees"
    return ""


def _diagnoses(
    rows: Sequence[Row], hand: dict[str, Any], true: dict[str, Any], params: Any, batch: Any
) -> dict[str, tuple[Diagnosis, ...]]:
    failed = dict.fromkeys(row.leaf for row in rows if row.verdict is Verdict.FAIL)
    # A wrong δ spoils all that come before it: of these only the first from the loss says anything.
    spoilt = [leaf for leaf in true if leaf in failed and leaf.startswith("δ")][:-1]
    primals = naming.of_tree(params, "params") | naming.of_tree(batch, "batch")
    deltas = {name: delta for name, delta in true.items() if name.startswith("δ")}
    return {
        leaf: explained(
            Evidence(
                leaf=leaf,
                hand=hand[leaf],
                truth=true[leaf],
                hands=hand,
                truths=true,
                primals={name: np.asarray(value) for name, value in primals.items()},
                outputs={},
                cotangents=deltas,
                residuals={},
                resolution=resolution(hand[leaf].dtype),
            )
        )
        for leaf in failed
        if leaf in hand and leaf not in spoilt
    }
