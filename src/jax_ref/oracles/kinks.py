"""How far each comparison in a function is from turning out otherwise, read from its jaxpr.

Margin   A comparison decides by the sign of a number m, as a − b in max(a, b): `comparisons` lists
         them. The smallest |m| says how near it is.
Step     Along x + t d, to first order, m keeps its sign while |t| < |m| / |ṁ|, where ṁ is the
         derivative of m along d. The least such t over all comparisons is the largest safe step:
         0 where m = 0 and ṁ ≠ 0, infinite where nothing that is compared moves.
Method   The jaxpr is evaluated anew, and every comparison notes what it sees. The notes ride on the
         *tangent* of an accumulator, beside the tangents of x, so that JAX's forward mode carries
         them through loops and branches, and each array of margins is reduced where it arises.
Limits   A comparison is a possible kink, no more: the maximum in softmax's shift and the |a − b| in
         logaddexp leave none. Both branches of a conditional under `vmap` speak. What cannot be
         read, as a callback or a rounding to lower precision, is named in `unread`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jax_ref.compiling import quick
from jax_ref.oracles import jaxprs
from jax_ref.oracles.comparisons import DECIDING, compares, deciding
from jax_ref.oracles.evaluate import evaluate
from jax_ref.oracles.jaxprs import TracingError
from jax_ref.oracles.moving import Moving, moving, one

Key = tuple[str, str]


class Comparison(NamedTuple):
    """One line of the source that compares.

    Attributes:
      primitive: what compares, as "max".
      source: where it was written, as "layers.py:41 (relu)".
      margin: the smallest |m| of its entries that move along some direction.
      step: its largest safe step, over all directions.
    """

    primitive: str
    source: str
    margin: float
    step: float


class Reading(NamedTuple):
    """What the comparisons of a function say of k directions.

    Attributes:
      comparisons: one for each line that compares what moves, the nearest first.
      steps: the largest safe step along each direction, (k,).
      unread: what could not be seen into, one line each; where it is not empty, more may compare.
    """

    comparisons: tuple[Comparison, ...]
    steps: np.ndarray
    unread: tuple[str, ...]

    def near(self, h: Any) -> np.ndarray:
        """Return along which directions a comparison may turn within a step h: (k,), bool."""
        return self.steps <= h


def read(f: Callable[..., Any], args: tuple[Any, ...], directions: tuple[Any, ...]) -> Reading:
    """Return how near the comparisons in f are, along k directions.

    Args:
      f: function of arrays and pytrees of arrays, with any value.
      args: the point; float64, or whatever f is to be read in.
      directions: like args, each floating leaf (k, *shape); other leaves, as None, are ignored.

    Raises:
      TracingError: f cannot be traced, or has no derivative that JAX knows.
    """
    closed = jaxprs.trace(f, args)
    keys = tuple(dict.fromkeys(_keys(closed.jaxpr, "")))
    unread = tuple(dict.fromkeys(_unread(closed.jaxpr, "")))
    line = moving(args, directions)
    if not keys or not line.count:
        return Reading((), np.full(line.count, np.inf), unread)
    try:
        notes = np.asarray(quick(partial(_notes, closed, keys, line))(line.leaves, line.along))
    except NotImplementedError as error:
        raise TracingError(f"it cannot be read: {jaxprs.first_line(error)}") from error
    found = [
        Comparison(*key, float(margin), float(step))
        for key, (margin, step) in zip(keys, notes.min(0), strict=True)
        if np.isfinite(margin)
    ]
    found.sort(key=lambda comparison: (comparison.step, comparison.margin))
    return Reading(tuple(found), notes[..., 1].min(-1), unread)


def margins(f: Callable[..., Any], args: tuple[Any, ...], seed: int = 0) -> tuple[Comparison, ...]:
    """Return the comparisons in f of what moves along a random direction, the nearest first.

    Raises:
      TracingError: as `read`.
    """
    rng = np.random.default_rng(seed)
    direction = jax.tree.map(lambda leaf: rng.standard_normal(np.shape(leaf)), args)
    return read(f, args, one(args, direction)).comparisons


def safe_step(f: Callable[..., Any], args: tuple[Any, ...], direction: tuple[Any, ...]) -> float:
    """Return the largest h for which no comparison in f turns at x + t d, |t| < h, to first order.

    Args:
      f: function of arrays and pytrees of arrays.
      args: the point.
      direction: like args; leaves that are not floating are ignored.

    Raises:
      TracingError: as `read`.
    """
    (step,) = read(f, args, one(args, direction)).steps
    return float(step)


def _notes(
    closed: core.ClosedJaxpr,
    keys: Sequence[Key],
    line: Moving,
    leaves: Sequence[Any],
    along: Sequence[jax.Array],
) -> jax.Array:
    """Return the smallest margin and step of each key along each direction, (k, keys, 2)."""
    blank = jnp.zeros((len(keys), 2))

    def visit(
        eqn: core.JaxprEqn, operands: Sequence[Any], results: Sequence[Any], noted: Any, caller: str
    ) -> Any:
        if compares(eqn):
            for number in deciding(eqn, operands, results):
                noted = _note(keys.index(_key(eqn, caller)), noted, number)
        return noted

    def noted(blank: jax.Array, *moved: jax.Array) -> jax.Array:
        return evaluate(closed, line.moved(leaves, moved), blank, visit, "")[0]

    def follow(direction: Sequence[jax.Array]) -> jax.Array:
        point = (blank, *line.at(leaves))
        return jax.jvp(noted, point, (blank + jnp.inf, *direction))[1]

    return line.every(follow, along)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _note(_slot: int, noted: jax.Array, _number: jax.Array) -> jax.Array:
    return noted


@_note.defjvp
def _note_moving(slot: int, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (noted, number), (notes, rate) = primals, tangents
    margin, rate = jnp.abs(number), jnp.abs(rate)
    # Equal infinities, of difference NaN, stay equal. A rate that is NaN promises nothing.
    moving = (rate != 0) & jnp.isfinite(margin)
    step = jnp.where(jnp.isnan(rate), 0, margin / rate)
    least = [jnp.where(moving, size, jnp.inf).min(initial=jnp.inf) for size in (margin, step)]
    return noted, notes.at[slot].min(jnp.stack(least))


def _key(eqn: core.JaxprEqn, caller: str) -> Key:
    return eqn.primitive.name, jaxprs.place(eqn, caller)


def _keys(jaxpr: core.Jaxpr, caller: str) -> Iterator[Key]:
    """Yield a key for every comparison that is evaluated."""
    for eqn in jaxpr.eqns:
        if compares(eqn):
            yield _key(eqn, caller)
        elif eqn.primitive.name in jaxprs.ENTERED:
            for carried in jaxprs.inner(eqn):
                yield from _keys(carried, jaxprs.caller_of(eqn, caller))


def _unread(jaxpr: core.Jaxpr, caller: str) -> Iterator[str]:
    """Yield a line for every equation that may decide on something unseen."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in jaxprs.ENTERED:
            for carried in jaxprs.inner(eqn):
                yield from _unread(carried, jaxprs.caller_of(eqn, caller))
        elif hides := _hides(eqn):
            yield f"{jaxprs.named(eqn, caller)}: {hides}"


def _hides(eqn: core.JaxprEqn) -> str:
    """Return what an equation that is not entered may decide unseen; empty if nothing."""
    if compares(eqn):
        return ""
    name = eqn.primitive.name
    if name in jaxprs.CLOSED and eqn.outvars:
        return "closed to reading"
    if name in DECIDING and jaxprs.takes(eqn, np.complexfloating):
        return "compares complex numbers"
    if any(compares(e) for carried in jaxprs.inner(eqn) for e in jaxprs.every_equation(carried)):
        return "compares inside"
    if name == "reduce_precision" or (name == "convert_element_type" and _drops_digits(eqn)):
        return "rounds to lower precision"
    return ""


def _drops_digits(eqn: core.JaxprEqn) -> bool:
    if not (jaxprs.takes(eqn, np.floating) and jaxprs.gives(eqn, np.floating)):
        return False
    given, made = (jnp.finfo(jaxprs.dtype(atom)) for atom in (*eqn.invars, *eqn.outvars))
    return made.nmant < given.nmant
