"""Reports as a run would give them, without running anything."""

from collections.abc import Callable, Iterator

import numpy as np

from jax_ref import Report, Row, Verdict
from jax_ref.compare import compare
from jax_ref.verdict import Diagnosis, Kind

DTYPES = ("float64", "float32", "bfloat16", "float16")
ROUNDING = dict(zip(DTYPES, (2e-16, 6e-8, 3e-3, 4e-4), strict=True))
HOSTILE = "</script><img src=x onerror=alert(1)> & \"quoted\" 'W'[3] {{data}} [bold]σ[/bold]"


def leaf_rows(
    leaf: str,
    shape: tuple[int, ...],
    dtype: str = "float64",
    mistake: Callable[[np.ndarray], np.ndarray] = np.copy,
) -> Iterator[Row]:
    """Yield what the witnesses say of a random gradient to which a mistake is done."""
    rng = np.random.default_rng(len(leaf) + sum(shape))
    truth = rng.standard_normal(shape)
    rounded = truth * (1 + ROUNDING[dtype] * rng.integers(-1, 2, shape))
    hand = mistake(rounded)
    if dtype != "float64":
        yield compare("precision", leaf, hand, truth, 4 * ROUNDING[dtype])
        return
    twice = np.where(np.isfinite(hand), hand * (1 + 1e-16 * rng.integers(0, 3, shape)), truth)
    yield compare("linearity", leaf, hand, twice, 1e-12)
    yield compare("jax.grad", leaf, hand, truth, 1e-10)
    yield compare("finite difference", leaf, hand, truth, 3e-8)


def passing(name: str = "linear", dtype: str = "float64") -> Report:
    """Return a report in which everything is right."""
    rows = [Row("structure", leaf, 0.0, 0.0, Verdict.PASS) for leaf in ("x", "W", "b")]
    rows += [compare("value", "y", np.ones((7, 5)), np.ones((7, 5)), 1e-10)]
    rows += [*leaf_rows("x", (7, 12), dtype), *leaf_rows("W", (12, 30), dtype)]
    rows += leaf_rows("b", (30,), dtype)
    return Report(name, dtype, tuple(rows))


def failing(name: str = "layer_norm", dtype: str = "float64") -> Report:
    """Return a report with one leaf of the wrong sign and one entry that is not finite."""

    def negated(x: np.ndarray) -> np.ndarray:
        return np.where(np.arange(x.shape[-1]) % 5 == 0, -x, x)

    def broken(x: np.ndarray) -> np.ndarray:
        return np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x)

    rows = [
        Row("structure", "x", 0.0, 0.0, Verdict.PASS),
        *leaf_rows("x", (64, 48), dtype, negated),
        *leaf_rows("scale", (48,), dtype),
        *leaf_rows("shift", (48,), dtype, broken),
    ]
    diagnoses = {
        "x": (
            Diagnosis(Kind.SIGN, "− truth in 20.8 % of the entries", 0.0021),
            Diagnosis(Kind.TERM, "− x̂ ⟨dy⟩ missing", 0.31),
            Diagnosis(Kind.FACTOR, "0.583 × truth", 0.812),
        ),
        "shift": (Diagnosis(Kind.NAN, "NaN in 1 of 48 entries", 0.0),),
    }
    notes = (
        "complex step: not possible, for the function takes a maximum",
        "x[3, 7] lies 2e-9 from a kink; values between the one-sided slopes were accepted",
    )
    return Report(name, dtype, tuple(rows), diagnoses, notes, seed=7)


def inconclusive(name: str = "clip", dtype: str = "float64") -> Report:
    """Return a report of a leaf whose gradient is zero and of one that noise hides."""
    blind = compare("jax.grad", "lower", np.zeros(5), np.zeros(5), 1e-10)
    noisy = compare("finite difference", "x", np.ones((4, 6)), np.ones((4, 6)), 1e-10, noise=0.02)
    return Report(name, dtype, (blind, noisy), notes=("every input is saturated",))


def many() -> list[Report]:
    """Return a catalogue's worth of reports, three of which did not pass."""
    names = ("affine", "softmax", "attention[heads=4, causal=True]", "relu", "max_pool", "conv")
    reports = [passing(name, dtype) for name in names for dtype in DTYPES]
    return [*reports, failing(), inconclusive(), failing("softmax_cross_entropy", "bfloat16")]
