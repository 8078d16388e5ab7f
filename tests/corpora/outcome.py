"""What we say of an entry, what `jax.test_util.check_grads` says of it, and if it is so."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from entry import Entry, Index, Right, Wrong, errors, is_floating, split
from jax.test_util import check_grads

from jax_ref import Kind, Verdict

REFUSED = (Kind.SHAPE, Kind.DTYPE)  # what JAX itself refuses, before any tester has a say
ROUNDING = 1e-10
FAINT = 1e-9


@dataclass(frozen=True)
class Outcome:
    """Our verdict on an entry in one dtype, where we see the mistake, and what we call it."""

    verdict: Verdict
    leaf: str = ""
    index: Index | None = None
    first: Kind | None = None

    def complaints(self, entry: Entry) -> list[str]:
        """Return what of this is not so: nothing, if all of it is."""
        if isinstance(entry, Right):
            return [] if self.verdict in entry.allowed else [f"a right rule got {self.verdict}"]
        assert isinstance(entry, Wrong)
        if self.verdict is not Verdict.FAIL:
            return [f"a wrong rule got {self.verdict}"]
        found = []
        if self.leaf not in entry.leaf:
            found.append(f"leaf: expected one of {entry.leaf}, got {self.leaf}")
        elif entry.where and (self.index is None or not entry.where(self.index)):
            found.append(f"index: {self.leaf}{list(self.index or ())} is right")
        return found

    def named(self, entry: Wrong) -> bool:
        """Return whether the first name given to the mistake is one of its own."""
        return self.first in entry.kinds


def ours(entry: Entry, dtype: str) -> Outcome:
    """Return what the checker says."""
    report = entry.check(dtype)
    if not report.failed:
        return Outcome(report.verdict)
    worst = report.failed[0]
    diagnoses = report.diagnoses.get(worst.leaf, ())
    first = diagnoses[0].kind if diagnoses else None
    return Outcome(report.verdict, worst.leaf, worst.index, first)


def theirs(entry: Entry, dtype: str) -> str:
    """Return what `check_grads` says of the rule as a `jax.custom_vjp` function.

    It is called in reverse mode, of order 1, with its own tolerances, on the floating arguments and
    outputs alone, as a user would who knows that it takes no others.
    """
    args, rule = entry.arguments(dtype), entry.rule or entry.op.rule()
    moved, rest = split(args)

    def floating(*moved: Any) -> list[Any]:
        return [leaf for leaf in jax.tree.leaves(rule(*rest(moved))) if is_floating(leaf)]

    wrong = isinstance(entry, Wrong)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_grads(floating, moved, order=1, modes=["rev"])
    except AssertionError:
        return "caught" if wrong else "raised"
    except Exception:  # whatever it is, it is no verdict
        refused = isinstance(entry, Wrong) and set(entry.kinds) & set(REFUSED)
        return "caught" if refused else "could not run"
    return "missed" if wrong else "passed"


def untrue(entry: Entry) -> list[str]:
    """Return what an entry says of itself and is not so, by its errors in its widest dtype."""
    dtype = entry.dtypes[0]
    found = errors(entry, dtype)
    rounding = max(ROUNDING, 16 * float(jnp.finfo(dtype).eps))
    wrong = {
        leaf for leaf, error in found.items() if error is None or error.max(initial=0) > rounding
    }
    if isinstance(entry, Right):
        return [] if entry.apart else [f"{leaf} is wrong" for leaf in sorted(wrong)]
    assert isinstance(entry, Wrong)
    if Kind.FORWARD in entry.kinds:
        return [] if "y" in wrong else ["y is right"]
    missing = wrong.symmetric_difference(entry.leaf)
    complaints = [f"{leaf}: wrong or not, expected the opposite" for leaf in sorted(missing)]
    if entry.where:
        complaints += [
            f"{leaf}: right and wrong entries are not where they should be"
            for leaf in entry.leaf
            if not _confined(found[leaf], entry.where)
        ]
    return complaints


def _confined(error: np.ndarray | None, where: Callable[[Index], bool]) -> bool:
    """Return whether an error is nowhere but there, and there in some entry."""
    if error is None:
        return True
    there = [where(index) for index in np.ndindex(error.shape)]
    inside = np.asarray(there).reshape(error.shape)
    return bool(error[inside].max(initial=0) > ROUNDING and error[~inside].max(initial=0) < FAINT)
