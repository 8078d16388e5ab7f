"""The same rule under the transformations that a user will put it through.

Each is held against the rule as it was checked, at the point and at one near it: op by op, mapped
over a batch, inside a scan, rematerialised, twice. What a rule cannot be put through is a note.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref.calling import in_a_line
from jax_ref.compare import compare
from jax_ref.compiling import UNTRACEABLE
from jax_ref.examine import Examination, Findings
from jax_ref.points import BESIDE, Point, noise
from jax_ref.subject import Leaves, with_float0
from jax_ref.verdict import Row, Verdict

NEAR = 1 - 2.0**-6
ULPS = 64  # by which fused arithmetic may differ from the same arithmetic op by op


def rows(examination: Examination, found: Findings) -> list[Row]:
    """Return the rows of all transformations; what is not possible goes to the notes."""
    subject, point = examination.subject, examination.point
    tolerance = ULPS * float(jnp.finfo(subject.arguments.dtype).eps)
    points = [point, _near(point)]

    def pull(chosen: Leaves, rest: Leaves, dy: Leaves) -> list[Any]:
        y, back = subject.open(chosen, rest)
        return subject.aligned(back(with_float0(y, dy)), chosen)

    plain = subject.compile(pull, low=True)
    expected = [plain(*_leaves(p)) for p in points]
    moved = [plain(*_leaves(point.beside(examination.rng))) for _ in range(BESIDE)]
    around = [noise(leaf, [m[i] for m in moved]) for i, leaf in enumerate(expected[0])]
    again = plain(*_leaves(point))
    made = _rows(examination, "deterministic", again, expected[0], 0.0)
    made += _inputs(examination)
    if subject.eager:
        found.notes.append("jit, vmap, scan, remat: not possible, the rule reads values")
        return made
    ways: dict[str, Callable[[], list[Any]]] = {
        "jit = eager": lambda: [pull(*_leaves(p)) for p in points],
        "vmap": lambda: _mapped(pull, points),
        "scan": lambda: _scanned(examination, points),
        "remat": lambda: _rematerialised(examination, points),
    }
    for witness, way in ways.items():
        try:
            came = way()
        except UNTRACEABLE as error:
            found.notes.append(
                f"{witness}: not possible, the rule reads values: {in_a_line(error)}"
            )
        except Exception as error:  # noqa: BLE001  whatever a rule raises, it is told
            found.notes.append(f"{witness}: not possible: {in_a_line(error)}")
        else:
            for one, true in zip(came, expected, strict=True):
                made += _rows(examination, witness, one, true, tolerance, around)
    return _worst_of_each(made)


def _mapped(pull: Callable[..., Any], points: Sequence[Point]) -> list[Any]:
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(_leaves, points))
    came = jax.jit(jax.vmap(pull))(*stacked)
    return [[leaf[i] for leaf in came] for i in range(len(points))]


def _scanned(examination: Examination, points: Sequence[Point]) -> list[Any]:
    rule = examination.subject.rule

    def visit(carry: None, leaves: tuple[Leaves, Leaves, Leaves]) -> tuple[None, Any]:
        chosen, rest, dy = leaves
        y, back = jax.vjp(lambda chosen: rule(chosen, rest), tuple(chosen))
        return carry, back(with_float0(y, dy))[0]

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(_leaves, points))
    _, came = jax.jit(lambda stacked: jax.lax.scan(visit, None, stacked))(stacked)
    return [[leaf[i] for leaf in came] for i in range(len(points))]


def _rematerialised(examination: Examination, points: Sequence[Point]) -> list[Any]:
    rule = jax.checkpoint(examination.subject.rule)

    @jax.jit
    def pull(chosen: Leaves, rest: Leaves, dy: Leaves) -> Any:
        y, back = jax.vjp(lambda chosen: rule(chosen, rest), tuple(chosen))
        return back(with_float0(y, dy))[0]

    return [pull(*_leaves(point)) for point in points]


def _inputs(examination: Examination) -> list[Row]:
    """Return a FAIL where the rule writes into its inputs, or hands one of them back."""
    subject, point = examination.subject, examination.point
    plain = [_writable(leaf) for leaf in (*point.chosen, *point.rest)]
    copies = [leaf.copy() for leaf in plain if isinstance(leaf, np.ndarray)]
    chosen, rest = plain[: len(point.chosen)], plain[len(point.chosen) :]
    try:
        y, back = subject.open(chosen, rest)
        pulled = subject.aligned(back(with_float0(y, point.dy)), point.chosen)
    except Exception:  # noqa: BLE001  a rule need not take NumPy's arrays
        return []
    arrays = [leaf for leaf in plain if isinstance(leaf, np.ndarray)]
    made = []
    for array, copy in zip(arrays, copies, strict=True):
        if not np.array_equal(array, copy, equal_nan=array.dtype.kind in "fc"):
            made.append(_fail("inputs", "args", "an argument was written into"))
    for leaf, cotangent in examination.named(pulled).items():
        shared = isinstance(cotangent, np.ndarray) and any(
            np.shares_memory(cotangent, array) for array in arrays
        )
        if shared:
            made.append(_fail("inputs", leaf, "the cotangent shares memory with an argument"))
    passed = [
        Row("inputs", leaf, 0.0, 0.0, Verdict.PASS, vacuous=True)
        for leaf in subject.arguments.paths
    ]
    return made or passed


def _writable(leaf: Any) -> Any:
    plain = not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    return np.array(leaf) if plain else leaf


def _fail(witness: str, leaf: str, detail: str) -> Row:
    return Row(witness, leaf, np.inf, 0.0, Verdict.FAIL, detail=f"{leaf}: {detail}")


def _rows(
    examination: Examination,
    witness: str,
    came: Leaves,
    true: Leaves,
    tolerance: float,
    around: Sequence[float] | None = None,
) -> list[Row]:
    made = []
    around = around or [0.0] * len(true)
    for leaf, one, other, size in zip(
        examination.subject.arguments.paths, came, true, around, strict=True
    ):
        one, other = np.asarray(one), np.asarray(other)
        # What overflows overflows under every transformation.
        same = ~np.isfinite(other) & ((one == other) | (np.isnan(one) & np.isnan(other)))
        one, other = np.where(same, 0, one), np.where(same, 0, other)
        made.append(compare(witness, leaf, one, other, tolerance, size))
    return made


def _worst_of_each(made: Sequence[Row]) -> list[Row]:
    """Return, of the rows of one witness and leaf, the one that says most against the rule."""
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    kept: dict[tuple[str, str], Row] = {}
    for row in made:
        key = (row.witness, row.leaf)
        old = kept.get(key)
        if old is None or (order.index(row.verdict), -row.error) < (
            order.index(old.verdict),
            -old.error,
        ):
            kept[key] = row
    return list(kept.values())


def _near(point: Point) -> Point:
    def move(leaf: Any) -> Any:
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf * jnp.asarray(NEAR, leaf.dtype) if floating else leaf

    turned = tuple(-leaf for leaf in point.dy)
    return Point(tuple(map(move, point.chosen)), point.rest, turned)


def _leaves(point: Point) -> tuple[Leaves, Leaves, Leaves]:
    return tuple(point.chosen), tuple(point.rest), tuple(point.dy)
