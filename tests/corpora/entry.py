"""What an entry of the corpora is: a rule with its primal, and what a tester must say of it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import Kind, Report, Verdict, check_rule, check_vjp, naming

DTYPES = ("float64", "float32", "bfloat16", "float16")
LONG = DTYPES[:2]  # with the digits for errors that a half precision rounds away
RANGE = DTYPES[:3]  # with the exponents for numbers that float16 has not
HALF = DTYPES[2:]
SEED = 0

Draw = Callable[[np.random.Generator], tuple[Any, ...]]
Index = tuple[int, ...]


@dataclass(frozen=True)
class Op:
    """A function, a forward and a backward for it, and how its arguments are drawn.

    Attributes:
      primal: `primal(*args) -> y`, which JAX differentiates: the truth.
      forward: `forward(*args) -> (y, residual)`.
      backward: `backward(residual, dy) -> tuple`.
      draw: `(rng) -> args`, floating arrays in float64.
    """

    primal: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    draw: Draw

    def at(self, draw: Draw) -> "Op":
        """Return the op with other arguments."""
        return replace(self, draw=draw)

    def with_forward(self, forward: Callable[..., Any]) -> "Op":
        """Return the op with another forward."""
        return replace(self, forward=forward)

    def drawn(self, position: int = 0) -> Any:
        """Return an argument as the entries have it, in float64."""
        return self.draw(np.random.default_rng(SEED))[position]

    def rule(self) -> Callable[..., Any]:
        """Return the primal as a `jax.custom_vjp` function with this forward and backward."""
        rule = jax.custom_vjp(self.primal)
        rule.defvjp(self.forward, self.backward)
        return rule


@dataclass(frozen=True)
class Entry:
    """A rule in a corpus.

    Attributes:
      name: a readable id.
      says: what is wrong with the rule, or awkward about it.
      op: the rule; of a wrong one, its forward or its backward is wrong.
      dtypes: where the mistake exists, or the rule is right.
      rule: a `jax.custom_vjp` or `jax.custom_jvp` function, in place of the op's pair.
      alone: whether the rule is checked without its primal.
      level: of the check.
    """

    name: str
    says: str
    op: Op
    dtypes: tuple[str, ...] = field(default=DTYPES, kw_only=True)
    rule: Callable[..., Any] | None = field(default=None, kw_only=True)
    alone: bool = field(default=False, kw_only=True)
    level: str = field(default="fast", kw_only=True)

    def arguments(self, dtype: str) -> tuple[Any, ...]:
        """Return the drawn arguments, floating ones in the dtype."""
        return jax.tree.map(
            lambda leaf: cast(leaf, dtype), self.op.draw(np.random.default_rng(SEED))
        )

    def check(self, dtype: str) -> Report:
        """Return our report."""
        args = self.arguments(dtype)
        if self.rule is not None:
            primal = None if self.alone else self.op.primal
            return check_rule(
                self.rule, *args, primal=primal, name=self.name, level=self.level, raises=False
            )
        op = self.op
        return check_vjp(
            op.primal,
            op.forward,
            op.backward,
            *args,
            name=self.name,
            level=self.level,
            raises=False,
        )

    def both(self, dtype: str = "float64", seed: int = 1) -> tuple[Any, Any]:
        """Return (y, cotangents) by hand and as JAX has them of the primal."""
        args = self.arguments(dtype)
        moved, rest = split(args)
        true, pull_back = jax.vjp(lambda *moved: self.op.primal(*rest(moved)), *moved)
        dy = cotangent(true, seed)
        truth = rest(pull_back(dy), of_others=None)
        if self.rule is None:
            y, residual = self.op.forward(*args)
            return (y, self.op.backward(residual, dy)), (true, truth)
        y, pull_back = jax.vjp(lambda *moved: self.rule(*rest(moved)), *moved)
        return (y, rest(pull_back(dy), of_others=None)), (true, truth)


@dataclass(frozen=True)
class Wrong(Entry):
    """A rule that is wrong.

    Attributes:
      kinds: the names that are true of its mistake; the diagnosis must put one first.
      leaf: where the report must find it; the leaves, where several are as wrong.
      where: whether an index lies among the entries that are wrong; None where all are, or none is
        to blame.
    """

    kinds: tuple[Kind, ...] = field(kw_only=True)
    leaf: tuple[str, ...] = field(kw_only=True)
    where: Callable[[Index], bool] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Right(Entry):
    """A rule that is right, however awkward.

    Attributes:
      unseen: why the check may see too little and be INCONCLUSIVE; empty where it must PASS.
      apart: whether it parts from JAX's derivative at the point and is as good: it takes another
        subgradient, or both are rounding.
    """

    unseen: str = field(default="", kw_only=True)
    apart: bool = field(default=False, kw_only=True)

    @property
    def allowed(self) -> tuple[Verdict, ...]:
        """The verdicts that are true."""
        return (Verdict.PASS, Verdict.INCONCLUSIVE) if self.unseen else (Verdict.PASS,)


def wrong(
    name: str,
    says: str,
    op: Op,
    change: Callable[..., Any],
    kinds: Kind | tuple[Kind, ...],
    leaf: str | tuple[str, ...],
    **rest: Any,
) -> Wrong:
    """Return the op with its cotangents spoilt: `change(residual, dy, *right_cotangents)`."""

    def backward(residual: Any, dy: Any) -> Any:
        return change(residual, dy, *op.backward(residual, dy))

    return written(name, says, replace(op, backward=backward), kinds, leaf, **rest)


def written(
    name: str,
    says: str,
    op: Op,
    kinds: Kind | tuple[Kind, ...],
    leaf: str | tuple[str, ...],
    **rest: Any,
) -> Wrong:
    """Return the entry of an op that is wrong as it is written."""
    kinds = (kinds,) if isinstance(kinds, Kind) else kinds
    leaf = (leaf,) if isinstance(leaf, str) else leaf
    return Wrong(name, says, op, kinds=kinds, leaf=leaf, **rest)


def saving(
    primal: Callable[..., Any], residual: Callable[..., Any] = lambda y, *args: args
) -> Callable[..., Any]:
    """Return the forward that saves `residual(y, *args)`, by default the arguments."""

    @functools.wraps(primal)
    def forward(*args: Any) -> tuple[Any, Any]:
        y = primal(*args)
        return y, residual(y, *args)

    return forward


def normals(*shapes: Index) -> Draw:
    """Return a draw of standard normal arrays, of two decimals so that a failure can be read."""
    return lambda rng: tuple(normal(rng, *shape) for shape in shapes)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return standard normal numbers of two decimals, none closer to 0 than 0.05."""
    x = np.round(rng.standard_normal(shape), 2)
    return np.asarray(np.where(np.abs(x) < 0.05, 0.25, x))


def uniform(low: float, high: float, *shape: int) -> Draw:
    """Return a draw of one array between two bounds, of two decimals."""
    return lambda rng: (np.asarray(np.round(rng.uniform(low, high, shape), 2)),)


def exactly(*args: Any) -> Draw:
    """Return a draw of these arguments, lists as arrays."""
    return lambda _: tuple(
        np.asarray(arg) if isinstance(arg, list | float) else arg for arg in args
    )


def cast(leaf: Any, dtype: str) -> Any:
    """Return a float64 array in the dtype; any other leaf as it is."""
    if isinstance(leaf, np.ndarray) and leaf.dtype == np.float64:
        return jnp.asarray(leaf.astype(jnp.dtype(dtype)))
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


def wide(x: jax.Array) -> jax.Array:
    """Return an array of half precision in float32, any other as it is."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def is_floating(leaf: Any) -> bool:
    """Return whether a leaf has a cotangent."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def split(args: Any) -> tuple[list[Any], Callable[..., Any]]:
    """Return the floating leaves, and the function that puts others in their place.

    That function is `rest(floating, of_others=...)`, where `of_others` replaces the leaves that are
    not floating; by default they stay.
    """
    leaves, tree = jax.tree.flatten(args)

    def rest(floating: Any, **replaced: Any) -> Any:
        moved = iter(floating)
        mixed = [
            next(moved) if is_floating(leaf) else replaced.get("of_others", leaf) for leaf in leaves
        ]
        return jax.tree.unflatten(tree, mixed)

    return [leaf for leaf in leaves if is_floating(leaf)], rest


def cotangent(y: Any, seed: int) -> Any:
    """Return a random cotangent, float0 for the leaves that have none."""
    rng = np.random.default_rng(seed)

    def draw(leaf: Any) -> Any:
        if not is_floating(leaf):
            return np.zeros(leaf.shape, jax.dtypes.float0)
        return jnp.asarray(np.asarray(normal(rng, *leaf.shape)).astype(leaf.dtype))

    return jax.tree.map(draw, y)


def errors(entry: Entry, dtype: str = "float64") -> dict[str, np.ndarray | None]:
    """Return how far each leaf, of the output and of the cotangents, lies from the truth.

    The error is relative to the largest entry of the leaf; ∞ where the hand alone is not finite.
    A leaf that is missing counts as 0. None stands for another shape or dtype; `backward` for the
    tuple.
    """
    (y, cotangents), (true_y, truth) = entry.both(dtype)
    names = naming.of_arguments(entry.rule or entry.op.forward, len(truth))
    if not isinstance(cotangents, tuple) or len(cotangents) != len(truth):
        return {"backward": None}
    hand = naming.of_tree(y, "y") | naming.of_args(cotangents, names)
    true = naming.of_tree(true_y, "y") | naming.of_args(truth, names)
    return {leaf: _error(hand.get(leaf), true[leaf]) for leaf in true if is_floating(true[leaf])}


def _error(hand: Any, true: Any) -> np.ndarray | None:
    hand = jnp.zeros_like(true) if hand is None else hand
    if (hand.shape, hand.dtype) != (true.shape, true.dtype):
        return None
    hand, true = np.asarray(hand, np.float64), np.asarray(true, np.float64)
    scale = float(np.abs(true).max(initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        error = np.where(hand == true, 0.0, np.abs(hand - true) / scale)
    return np.where(np.isfinite(error), error, np.inf)
