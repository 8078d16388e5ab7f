"""What a case is, and how it is run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref.check import check_op
from jax_ref.settings import Level
from jax_ref.verdict import GradientMismatch, Report, Verdict, merge
from jax_ref.witnesses import TOLERANCE

DTYPES = ("float64", "float32", "bfloat16", "float16")

Sizes = Mapping[str, Any]  # a name to a whole number, or "batch" to a tuple of them
Options = Mapping[str, Any]
Bench = tuple[tuple[Sizes, Options], ...]


def always(sizes: Sizes, options: Options) -> bool:
    """Return True: every size goes with every option."""
    del sizes, options
    return True


@dataclass(frozen=True)
class Case:
    """An op, its reference, and how inputs are drawn.

    Attributes:
      op_name: the op's public name in `manual_bp`.
      op: the op.
      reference: the same function written another way.
      draw: `(rng, **sizes) -> args`, floating arrays in float64.
      sizes: the sizes that are checked: odd, not square, of several ranks, of size 1 and 0.
      options: the static settings that are checked.
      variant: tells cases of one op apart.
      fits: whether an option goes with a size.
      tolerance: largest relative error in float64.
      bench: sizes and options of practice, at which the op is timed; () for a case that is not.
    """

    op_name: str
    op: Any
    reference: Callable[..., Any]
    draw: Callable[..., tuple[Any, ...]]
    sizes: tuple[Sizes, ...]
    options: tuple[Options, ...] = ({},)
    variant: str = ""
    fits: Callable[[Sizes, Options], bool] = always
    tolerance: float = TOLERANCE
    bench: Bench = ()

    @property
    def name(self) -> str:
        """The op's name, with the variant in brackets."""
        return f"{self.op_name}[{self.variant}]" if self.variant else self.op_name

    def combinations(self, *, every: bool) -> list[tuple[Sizes, Options]]:
        """Return the pairs of sizes and options that fit; all, or enough to have each once."""
        fitting = [
            (sizes, options)
            for sizes in self.sizes
            for options in self.options
            if self.fits(sizes, options)
        ]
        if every:
            return fitting
        chosen: list[tuple[Sizes, Options]] = []
        for sizes, options in fitting:
            if not any(sizes is s for s, _ in chosen):
                unseen = [
                    o for s, o in fitting if s is sizes and not any(o is p for _, p in chosen)
                ]
                chosen.append((sizes, unseen[0] if unseen else options))
        for sizes, options in fitting:
            if not any(options is o for _, o in chosen):
                chosen.append((sizes, options))
        return chosen

    def arguments(self, sizes: Sizes, dtype: str, seed: int) -> tuple[Any, ...]:
        """Return the inputs drawn for these sizes, floating ones in the dtype."""
        drawn = self.draw(np.random.default_rng(seed), **sizes)
        with jax.enable_x64(True):
            return jax.tree.map(jax.device_put, cast(jax.tree.map(np.asarray, drawn), dtype))


def cast(args: Any, dtype: str) -> Any:
    """Return arguments with every floating array, and number, in the dtype."""

    def one(leaf: Any) -> Any:
        kind = getattr(leaf, "dtype", type(leaf))
        return (
            jax.device_put(np.asarray(leaf, dtype)) if jnp.issubdtype(kind, jnp.floating) else leaf
        )

    with jax.enable_x64(True):
        return jax.tree.map(one, args)


def describe(case: Case, sizes: Sizes, options: Options) -> str:
    """Return the case with its sizes and options, as a readable id."""
    settings = ", ".join(f"{name}={value}" for name, value in {**sizes, **options}.items())
    return f"{case.name}({settings})"


def run_one(
    case: Case,
    sizes: Sizes,
    options: Options,
    dtype: str,
    seed: int = 0,
    level: Level = "fast",
) -> Report:
    """Return the report of a case at one size, with one set of options, in one dtype."""
    return check_op(
        case.op,
        case.reference,
        *case.arguments(sizes, dtype, seed),
        name=describe(case, sizes, options),
        seed=seed,
        level=level,
        tolerance=case.tolerance,
        raises=False,
        **options,
    )


def run(
    case: Case, dtype: str, seed: int = 0, *, level: Level = "fast", raises: bool = True
) -> Report:
    """Return the report of a case in one dtype.

    In float64 every size is run with every option, in lower precision each of both at least once.

    Raises:
      GradientMismatch: a witness contradicts the op, and `raises`; the message holds the reports
        of the sizes and options that failed.
    """
    reports = [
        run_one(case, sizes, options, dtype, seed, level)
        for sizes, options in case.combinations(every=dtype == "float64")
    ]
    failed = [report for report in reports if report.verdict is Verdict.FAIL]
    if failed and raises:
        raise GradientMismatch("\n".join(map(str, failed)))
    return merge(case.name, dtype, reports)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return standard normal numbers rounded to two decimals, so that a failure can be read."""
    return np.asarray(np.round(rng.standard_normal(shape), 2))


def nearly_even(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return numbers from 1 to 1.1, exact in every dtype; of their differences few digits show."""
    return np.asarray(1 + rng.integers(0, 7, shape) / 64)


def away_from_zero(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return normal numbers no closer to 0 than 0.05, where a kink would blind the differences."""
    x = normal(rng, *shape)
    return np.asarray(np.where(np.abs(x) < 0.05, 0.25, x))
