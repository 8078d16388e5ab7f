"""Whether the checks of the cases tell a mutant from the original, and how many they tell.

A trial is a case at one size, with one set of options, in one dtype. A mutant is killed by the
first trial whose verdict is worse than the original's, or that raises where the original does not.
A trial at whose point it returns what the original does, to the bit, for two cotangents, cannot
tell, and is passed over.
Trials go from cheap to dear: float64 before the lower precisions, the cases of the op that a
function belongs to, with every option at every size, before those of the ops that use it, with each
once; of every case first the smallest size that has more than one entry. In float64, in which
nothing is widened, no mistake of dtype is looked for.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import cases as registered
from jax_ref import points, processes
from jax_ref.cases.case import DTYPES, describe, run_one
from jax_ref.mutants.equivalent import EQUIVALENT
from jax_ref.mutants.mutant import Mutant, in_force
from jax_ref.verdict import Report, Verdict

KILLED, SURVIVED, EQUAL = "killed", "survived", "equivalent"
LOW = ("bfloat16", "float16", "float32")
RENEWED = 200  # mutants, about, that a process judges


@dataclass(frozen=True, eq=False)
class Trial:
    """A case at one size, with one set of options, in one dtype."""

    case: Any
    sizes: Mapping[str, Any]
    options: Mapping[str, Any]
    dtype: str

    def __str__(self) -> str:
        return f"{describe(self.case, self.sizes, self.options)} in {self.dtype}"

    def run(self) -> Report:
        """Return the report, made as the tests make it: nothing is promoted silently."""
        run = getattr(self.case, "run_one", None) or partial(run_one, self.case)
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            return run(self.sizes, self.options, self.dtype)

    def outcome(self) -> tuple[str, str]:
        """Return the verdict, or the name of the error, and who says so: witness and leaf."""
        try:
            report = self.run()
        except Exception as error:  # noqa: BLE001
            return type(error).__name__, (str(error).splitlines() or [""])[0]
        row = next((row for row in report.rows if row.verdict is report.verdict), None)
        said = f"{row.witness}: {row.leaf}" if row else ""
        return str(report.verdict), said

    @cached_property
    def original(self) -> str:
        """The verdict on the original."""
        return self.outcome()[0]

    @cached_property
    def original_values(self) -> list[Any] | None:
        """What the original returns at the point."""
        return self.values()

    def values(self) -> list[Any] | None:
        """Return outputs and cotangents at the point, run op by op; None where that fails."""
        if hasattr(self.case, "run_one"):
            return None
        wide = jax.enable_x64(self.dtype == "float64")
        try:
            with wide, jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
                y, residual = self.case.op.forward(*self._arguments, **self.options)
                rng = points.stream(0)
                came = [y]
                for _ in range(2):
                    dy = jax.tree.map(partial(_cotangent, rng), y)
                    came.append(self.case.op.backward(residual, dy))
        except Exception:  # noqa: BLE001  the trial will say which
            return None
        leaves, tree = jax.tree.flatten(came)
        return [str(tree), *((x.shape, x.dtype, x.tobytes()) for x in map(np.asarray, leaves))]

    @cached_property
    def _arguments(self) -> tuple[Any, ...]:
        return self.case.arguments(self.sizes, self.dtype, 0)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
      mutant: the mutant.
      status: "killed", "survived" or "equivalent".
      trial: that killed it.
      reason: the verdict or the error that killed it, with witness and leaf; of an equivalent
        mutant, why it is one.
    """

    mutant: Mutant
    status: str
    trial: str = ""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as plain data, ready for JSON."""
        shown = ("id", "kind", "file", "line", "original", "mutated", "ops")
        mutant = {name: getattr(self.mutant, name) for name in shown}
        return {**mutant, "status": self.status, "trial": self.trial, "reason": self.reason}


@dataclass(frozen=True)
class Score:
    """How many mutants of some kind there were, and how many were told from the original."""

    killed: int
    survived: int
    equivalent: int

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> "Score":
        """Return the counts of some outcomes."""
        statuses = [outcome.status for outcome in outcomes]
        return cls(*(statuses.count(status) for status in (KILLED, SURVIVED, EQUAL)))

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain data, ready for JSON."""
        return {**vars(self), "score": self.share}

    @property
    def mutants(self) -> int:
        """How many there were in all."""
        return self.killed + self.survived + self.equivalent

    @property
    def share(self) -> float:
        """The killed among those that are not equivalent, from 0 to 1; 1 where there is none."""
        told = self.killed + self.survived
        return self.killed / told if told else 1.0


class Judge:
    """Holds mutants against the trials of some cases."""

    def __init__(self, cases: Iterable[Any]) -> None:
        """Lay out the trials of each case."""
        self._cases = {case.name: case for case in cases}
        self._trials: dict[tuple[str, str, bool], list[Trial]] = {}

    def trials(self, mutant: Mutant) -> Iterator[Trial]:
        """Yield the trials of the cases that reach a mutant, in the order that it meets them."""
        own = [name for name in mutant.cases if self._cases[name].op_name == mutant.ops[0]]
        others = [name for name in mutant.cases if name not in own]
        for dtype in LOW if mutant.kind == "dtype" else DTYPES:
            for names in (own, others):
                every = names is own and dtype == "float64"
                turns = zip_longest(*(self._of_case(name, dtype, every=every) for name in names))
                yield from (trial for turn in turns for trial in turn if trial is not None)

    def _of_case(self, name: str, dtype: str, *, every: bool) -> list[Trial]:
        key = name, dtype, every
        if key not in self._trials:
            case = self._cases[name]
            pairs = sorted(case.combinations(every=every), key=lambda pair: _cost(pair[0]))
            self._trials[key] = [Trial(case, size, options, dtype) for size, options in pairs]
        return self._trials[key]

    def outcome(self, mutant: Mutant) -> Outcome:
        """Return what becomes of a mutant in the trials of the cases that reach it."""
        if why := EQUIVALENT.get(mutant.key):
            return Outcome(mutant, EQUAL, reason=why)
        for number, trial in enumerate(self.trials(mutant)):
            # Nearly every mutant is killed by the first, which is run without asking.
            if number and self._cannot_tell(trial, mutant):
                continue
            with in_force(mutant):
                verdict, said = trial.outcome()
            if verdict not in (Verdict.PASS, trial.original):
                return Outcome(mutant, KILLED, str(trial), f"{verdict}: {said}")
        return Outcome(mutant, SURVIVED)

    def _cannot_tell(self, trial: Trial, mutant: Mutant) -> bool:
        with in_force(mutant):
            values = trial.values()
        return values is not None and values == trial.original_values


def _cotangent(rng: np.random.Generator, y: jax.Array) -> jax.Array:
    floating = jnp.issubdtype(y.dtype, jnp.floating)
    return points.short_decimals(rng, y.shape, y.dtype) if floating else jnp.zeros_like(y)


def _cost(sizes: Mapping[str, Any]) -> tuple[bool, int]:
    """Return a key that puts what shows little last, and else the small before the large."""
    values = (v if isinstance(v, tuple | list) else (v,) for v in sizes.values())
    entries = math.prod(n for numbers in values for n in numbers if isinstance(n, int))
    return entries < 2, entries


def outcomes(mutants: Sequence[Mutant], workers: int | None = None) -> Iterator[Outcome]:
    """Yield the outcomes of mutants of our own ops, in their order, as they become known.

    Args:
      mutants: of the functions that the cases of the registry reach.
      workers: how many processes share the work; by default one a core, 1 for this one alone.
    """
    yield from processes.mapped(_of_our_own, mutants, workers, renewed=RENEWED)


def _of_our_own(mutant: Mutant) -> Outcome:
    return _judge().outcome(mutant)


@cache
def _judge() -> Judge:
    return Judge(registered.everything)
