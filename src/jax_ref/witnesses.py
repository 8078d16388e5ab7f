"""The rows of a report: what each witness says of each leaf."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jax_ref import naming
from jax_ref.compare import BLIND, compare
from jax_ref.oracles import finite_difference, truth
from jax_ref.oracles.autodiff import is_differentiable
from jax_ref.verdict import Kind, Row, Verdict

TOLERANCE = 1e-12
TOGETHER = 2**16  # numbers that are differenced in one go
COARSE = 0.5  # where jax.grad may be off by as much of the gradient, nothing is shown
ONE_SIDED = "one-sided slopes"
Named = Mapping[str, Any]


def structure_rows(
    hand: Any, args: Sequence[Any], names: Sequence[str], wanted: Named
) -> list[Row]:
    """Return a FAIL for every cotangent whose structure, shape or dtype is not its primal's.

    Args:
      hand: what the backward returned, arrays or shapes.
      args: the arguments.
      names: of the arguments.
      wanted: the leaves that must have a cotangent; where it is None, it counts as zero.
    """
    if not isinstance(hand, tuple) or len(hand) != len(args):
        came = f"{len(hand)} slots" if isinstance(hand, tuple) else type(hand).__name__
        came = "an array" if hasattr(hand, "dtype") else came
        return [structure_failure("backward", f"a tuple of {len(args)} cotangents", came)]
    rows = []
    for argument, primal, cotangent in zip(names, args, hand, strict=True):
        if (row := _containers_row(argument, primal, cotangent)) is not None:
            rows.append(row)
        got = naming.of_tree(cotangent, argument)
        arrays = naming.of_tree(primal, argument)
        for leaf in got:
            if leaf not in arrays:
                rows.append(structure_failure(leaf, f"the tree of {argument}", "another leaf"))
            elif not is_differentiable(arrays[leaf]):
                rows.append(structure_failure(leaf, "no cotangent", "one"))
        for leaf in (leaf for leaf in wanted if leaf in got and leaf in arrays):
            expected, shown = (f"{a.shape} {a.dtype}" for a in (wanted[leaf], got[leaf]))
            if expected != shown:
                rows.append(structure_failure(leaf, expected, shown))
    return rows


def _containers_row(argument: str, primal: Any, cotangent: Any) -> Row | None:
    """Return a FAIL where lists, tuples and other containers are not those of the argument."""
    try:
        jax.tree.map(lambda *_: None, cotangent, primal, is_leaf=lambda node: node is None)
    except ValueError:
        expected, came = (jax.tree.structure(side) for side in (primal, cotangent))
        if len(jax.tree.leaves(primal)) == len(jax.tree.leaves(cotangent)):
            return structure_failure(argument, f"the containers {expected}", str(came))
    return None


def output_rows(hand: Named, true: Named) -> list[Row]:
    """Return a FAIL for every output whose name, shape or dtype is not the reference's."""
    rows = missing_rows(hand, true, "an output")
    for leaf in (leaf for leaf in hand if leaf in true):
        expected, came = (f"{a.shape} {a.dtype}" for a in (true[leaf], hand[leaf]))
        if expected != came:
            rows.append(structure_failure(leaf, f"{expected} as of the reference", came))
    return rows


def missing_rows(hand: Named, true: Named, what: str = "a cotangent") -> list[Row]:
    """Return a FAIL for every leaf that only one side has."""
    rows = [structure_failure(leaf, what, "None") for leaf in true if leaf not in hand]
    none = what.replace("an ", "no ").replace("a ", "no ")
    return rows + [structure_failure(leaf, none, "one") for leaf in hand if leaf not in true]


def structure_failure(leaf: str, expected: str, came: str) -> Row:
    """Return the FAIL of a leaf that is not what it must be."""
    detail = f"{leaf}: expected {expected}, got {came}"
    return Row("structure", leaf, np.inf, TOLERANCE, Verdict.FAIL, detail=detail)


def structure_kind(row: Row) -> Kind:
    """Return what a structure failure looks like: the dtype alone, or more."""
    shapes = re.findall(r"(\([\d, ]*\)) \w+", row.detail)
    return Kind.DTYPE if len(shapes) == 2 and shapes[0] == shapes[1] else Kind.SHAPE


def difference_rows(
    J: Callable[..., Any],
    args: Any,
    name: Callable[..., dict[str, Any]],
    hand: Named,
    rng: np.random.Generator,
    *,
    sampled: int = finite_difference.SAMPLED,
    smooth: bool = False,
    points: int = 3,
) -> list[Row]:
    """Return a row for each leaf of `args` in `hand`: J's slopes along it against the hand's.

    Args:
      J: a scalar function, `(*args) -> ()`.
      args: the point, float64.
      name: gives the leaves of arguments by name.
      hand: gradients by name.
      rng: draws the directions.
      sampled: coordinates that are drawn of a large leaf, beside the signed directions.
      smooth: whether J is known to have no kink near the point.
      points: 3 or 5, of which a difference is made.
    """
    leaves, tree = jax.tree.flatten(args)
    order = [*name(*jax.tree.unflatten(tree, range(len(leaves)))).items()]
    chosen = [(leaf, at) for leaf, at in order if leaf in hand]
    rows = []
    for group in _groups(chosen, leaves):
        moved, x = _as_vector(J, leaves, tree, [at for _, at in group])
        along = [
            finite_difference.directions(leaves[at].shape, rng, sampled=sampled) for _, at in group
        ]
        scales = [
            finite_difference.scales(leaves[at], d) for (_, at), d in zip(group, along, strict=True)
        ]
        flat = [d.reshape(len(d), leaves[at].size) for d, (_, at) in zip(along, group, strict=True)]
        slopes = finite_difference.slopes(
            moved, x, block_diagonal(flat), np.concatenate(scales), smooth=smooth, points=points
        )
        ends = np.cumsum([len(d) for d in along])[:-1]
        parts = [np.split(part, ends) for part in slopes]
        rows += [
            difference_row(
                "finite difference" if points == 3 else "five points",
                leaf,
                np.asarray(hand[leaf]),
                d,
                finite_difference.Slopes(*part),
            )
            for (leaf, _), d, *part in zip(group, along, *parts, strict=True)
        ]
    return rows


def _groups(
    chosen: Sequence[tuple[str, int]], leaves: Sequence[Any]
) -> list[Sequence[tuple[str, int]]]:
    """Return the leaves in one group, which one compilation serves, or one by one if large."""
    if not chosen:
        return []
    together = sum(leaves[at].size for _, at in chosen) <= TOGETHER
    return [chosen] if together else [[one] for one in chosen]


def _as_vector(
    J: Callable[..., Any], leaves: Sequence[Any], tree: Any, places: Sequence[int]
) -> tuple[Callable[[jax.Array], Any], jax.Array]:
    """Return J as a function of the leaves at some places, laid flat, and these leaves."""
    x, restore = ravel_pytree([leaves[at] for at in places])

    def moved(x: jax.Array) -> Any:
        mixed = list(leaves)
        for at, leaf in zip(places, restore(x), strict=True):
            mixed[at] = leaf
        return J(*jax.tree.unflatten(tree, mixed))

    return moved, x


def block_diagonal(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the blocks along the diagonal of a matrix of zeros; a block may have no rows."""
    rows = [len(block) for block in blocks]
    columns = [block.shape[1] for block in blocks]
    matrix = np.zeros((sum(rows), sum(columns)))
    for block, r, c in zip(blocks, np.cumsum([0, *rows]), np.cumsum([0, *columns]), strict=False):
        matrix[r : r + block.shape[0], c : c + block.shape[1]] = block
    return matrix


def difference_row(
    witness: str, leaf: str, hand: np.ndarray, along: np.ndarray, slopes: finite_difference.Slopes
) -> Row:
    """Return the row of one leaf: how far the hand's slopes lie outside the error bars."""
    if not len(along):
        return Row(witness, leaf, 0.0, BLIND, Verdict.PASS, vacuous=True)
    along = along.reshape(len(along), -1)
    seen = np.isfinite(slopes.bar)
    if not seen.all():
        detail = f"{leaf}: {np.count_nonzero(~seen)} of {len(seen)} directions leave the domain"
        return Row(witness, leaf, np.inf, BLIND, Verdict.INCONCLUSIVE, detail=detail)
    with np.errstate(invalid="ignore", over="ignore"):
        by_hand = (along * hand.reshape(1, -1)).sum(-1).real
        lengths = np.sqrt((along**2).sum(-1))
        size = np.abs(slopes.middle / lengths).max()
        scale = float(size) or 1.0
        outside = np.maximum(slopes.low - by_hand, by_hand - slopes.high)
        error = np.maximum(outside, 0) / lengths / scale
        error = np.where(np.isfinite(error), error, np.inf)
        tolerance = 10 * slopes.bar / lengths / scale
        worst = int((error / tolerance).argmax())
        width = float(((slopes.high - slopes.low) / lengths / scale).max())
        # Along a signed direction the mistake of one entry is spread over all.
        visible = float((10 * slopes.bar / scale).max())
    vacuous = bool(size <= (slopes.bar / lengths).max())
    shown, allowed = float(error[worst]), float(tolerance[worst])
    where: dict[str, Any] = {"visible": visible}
    if np.count_nonzero(along[worst]) == 1:
        at = np.unravel_index(int(np.abs(along[worst]).argmax()), hand.shape)
        where["index"] = tuple(int(i) for i in at)
        where |= {"hand": float(by_hand[worst]), "truth": float(slopes.middle[worst])}
    if shown > allowed:
        detail = _describe_slope(leaf, hand.shape, along[worst], by_hand[worst])
        detail += f", difference {slopes.middle[worst]:.9g} ± {slopes.bar[worst]:.1g}"
        if slopes.low[worst] < slopes.high[worst]:
            detail += f", {ONE_SIDED} {slopes.low[worst]:.9g} and {slopes.high[worst]:.9g}"
        return Row(witness, leaf, shown, allowed, Verdict.FAIL, detail=detail, **where)
    if not vacuous and float(tolerance.max()) > BLIND:
        detail = f"{leaf}: the error bar reaches {tolerance.max():.1g} of the gradient"
        return Row(witness, leaf, shown, allowed, Verdict.INCONCLUSIVE, detail=detail, **where)
    kink = f"{leaf}: KINK, one-sided slopes differ by {width:.2g} of the gradient"
    shown = 0.0 if vacuous else shown
    detail = kink if width > 0 else ""
    return Row(witness, leaf, shown, allowed, Verdict.PASS, vacuous=vacuous, detail=detail, **where)


def _describe_slope(leaf: str, shape: tuple[int, ...], along: np.ndarray, hand: float) -> str:
    if np.count_nonzero(along) > 1:
        return f"{leaf} along a signed direction: hand {hand:.9g}"
    index = ", ".join(str(int(i)) for i in np.unravel_index(int(along.argmax()), shape))
    return f"{leaf}{f'[{index}]' if index else ''}: hand {hand:.9g}"


def precision_row(
    leaf: str,
    hand: Any,
    exact: Any,
    automatic: Sequence[tuple[Any, Any]],
    dtype: Any,
    *,
    infinities: bool = False,
) -> Row:
    """Return the row that allows twice jax.grad's own error and 2 ulp of the largest entry.

    Args:
      leaf: name of the array.
      hand: hand-written value, of the dtype.
      exact: the float64 truth.
      automatic: jax.grad's value in the dtype and its truth, at the point and beside it.
      dtype: the lower precision.
      infinities: as of `compare`; True of an output.
    """
    witness = "value" if infinities else "precision"
    exact = np.asarray(exact)
    scale = float(np.abs(exact[np.isfinite(exact)]).max(initial=0.0))
    slack = 2 * truth.ulp(scale, dtype) / scale if scale else 0.0
    errors = [
        compare(witness, leaf, auto, true, np.inf, infinities=infinities).error
        for auto, true in automatic
    ]
    smallest = float(jnp.finfo(dtype).smallest_subnormal)
    allowed = max(2 * max((e for e in errors if np.isfinite(e)), default=0.0) + slack, TOLERANCE)
    row = compare(witness, leaf, hand, exact, allowed, smallest, infinities=infinities)
    if row.vacuous or row.verdict is Verdict.INCONCLUSIVE:
        return row
    if row.error <= max(slack, TOLERANCE):
        # However bad jax.grad is here, nothing better could be asked of the hand.
        return replace(row, tolerance=max(slack, TOLERANCE), visible=None)
    if np.isfinite(errors[0]) and (allowed <= COARSE or row.verdict is Verdict.FAIL):
        return row
    detail = f"{leaf}: jax.grad itself is off by {errors[0]:.1g} of the gradient in {dtype}"
    return Row(witness, leaf, row.error, allowed, Verdict.INCONCLUSIVE, detail=detail)
