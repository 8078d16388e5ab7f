"""What the failures of a check look like: the evidence is gathered and handed to the diagnosis."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ref import naming
from jax_ref.diagnose import Evidence, diagnose
from jax_ref.examine import Examination, Findings
from jax_ref.subject import inexact
from jax_ref.verdict import Diagnosis, Kind, Row, Verdict
from jax_ref.witnesses import structure_kind

EXACT = 1e-10
BY_WITNESS = {"value": Kind.FORWARD, "linearity": Kind.NONLINEAR}


def failures(examination: Examination, found: Findings) -> dict[str, tuple[Diagnosis, ...]]:
    """Return, for each leaf that failed, what its mistake looks like, best fit first."""
    failed: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.verdict is Verdict.FAIL:
            failed.setdefault(row.leaf, []).append(row)
    # Where the truth is known entry by entry, it is what these say.
    judges = {"jax.grad", "precision"}
    judges |= set() if examination.subject.reference else {"finite difference"}
    gathered: Evidence | None = None
    diagnoses = {}
    for leaf, rows in failed.items():
        known = _by_witness(rows)
        judged = {row.witness for row in rows} & judges
        if judged and leaf in found.hand and leaf in found.true:
            gathered = gathered or _gather(examination, found)
            found_here = explained(_about(gathered, leaf, found))
            sure = found_here[0].kind in (Kind.UPSTREAM, Kind.NAN, Kind.PRECISION)
            known = found_here if sure or not known else (*known, *found_here)
        known = known or (Diagnosis(Kind.UNKNOWN, "no known mistake fits", 1.0),)
        if leaf in found.kinks:
            known = (replace(known[0], says=f"{known[0].says}; {found.kinks[leaf]}"), *known[1:])
        diagnoses[leaf] = known
    return diagnoses


def explained(evidence: Evidence) -> tuple[Diagnosis, ...]:
    """Return the diagnosis; a failure is told even where it cannot be explained."""
    try:
        return diagnose(evidence)
    except Exception as error:  # noqa: BLE001  the failure itself matters more
        says = f"not diagnosed: {type(error).__name__}: {error}"
        return (Diagnosis(Kind.UNKNOWN, says, 1.0),)


def _by_witness(rows: list[Row]) -> tuple[Diagnosis, ...]:
    """Return what the witness itself says of the mistake."""
    first = rows[0]
    if first.witness == "structure":
        kind = structure_kind(first)
        return (Diagnosis(kind, f"{kind}: {first.detail.partition(': ')[2]}", 0.0),)
    witnesses = {row.witness for row in rows}
    for witness, kind in BY_WITNESS.items():
        if witness in witnesses:
            return (Diagnosis(kind, str(kind), 0.0),)
    if not witnesses & {"jax.grad", "precision", "finite difference"}:
        return (Diagnosis(Kind.TRANSFORMED, f"{first.witness}: {first.detail}", 0.0),)
    return ()


def _gather(examination: Examination, found: Findings) -> Evidence:
    """Return what is common to the evidence of all leaves, in float64."""
    subject, point = examination.subject, examination.point.in_float64()
    args = subject.arguments.build(point.chosen, point.rest)
    dy = [np.asarray(leaf) for leaf in point.dy]
    outputs = examination.value(point.chosen, point.rest)
    names = [name for name, leaf in naming.of_tree(outputs, "y").items() if _floats(leaf)]

    by_autodiff = subject.compile(examination.by_autodiff)

    def truth_at(cotangents: Mapping[str, Any]) -> dict[str, np.ndarray]:
        given = [
            jnp.asarray(cotangents["d" + name], leaf.dtype)
            for name, leaf in zip(names, dy, strict=True)
        ]
        return _arrays(examination.named(by_autodiff(point.chosen, point.rest, given)[1]))

    primals = _arrays(naming.of_args(args, subject.arguments.names))
    given = dict(zip(names, map(np.asarray, inexact(outputs)), strict=True))
    return Evidence(
        leaf="",
        hand=np.zeros(()),
        truth=np.zeros(()),
        hands=_arrays(found.hand),
        truths=_arrays(found.true),
        primals=primals,
        outputs=given,
        cotangents=dict(zip(["d" + name for name in names], dy, strict=True)),
        residuals=_residuals(examination, primals | given),
        truth_at=truth_at if subject.reference is not None and not subject.eager else None,
        resolution=resolution(next(iter(found.hand.values())).dtype),
    )


def _about(common: Evidence, leaf: str, found: Findings) -> Evidence:
    hand, truth = (np.asarray(side[leaf]) for side in (found.hand, found.true))
    return Evidence(**{**vars(common), "leaf": leaf, "hand": hand, "truth": truth})


def _residuals(examination: Examination, known: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the user's own intermediates, by the names that the residual gives them.

    What has none there, as an entry of a tuple, is left out where it is a `known` array.
    """
    subject, point = examination.subject, examination.point.in_float64()
    try:
        residual = subject.intermediates(point.chosen, point.rest)
    except Exception:  # noqa: BLE001  a rule of low precision need not run in float64
        return {}
    named = {}
    for path, array in _arrays(naming.of_tree(residual, "")).items():
        if path.startswith((".", "['")):
            named[path.removeprefix(".").removeprefix("['").replace("']", "", 1)] = array
        elif not any(np.array_equal(array, other) for other in known.values()):
            named[f"residual{path}"] = array
    return named


def _arrays(named: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return what can be read as numbers; keys cannot."""
    plain = {
        name: leaf
        for name, leaf in named.items()
        if hasattr(leaf, "dtype") and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    }
    return {name: np.asarray(leaf) for name, leaf in plain.items()}


def _floats(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def resolution(dtype: Any) -> float:
    """Return the relative size below which differences in a dtype are rounding."""
    return max(EXACT, 4 * float(jnp.finfo(dtype).eps))
