"""The check that comes before training: this network, on samples that it will be trained with."""

import dataclasses
from typing import Any

import manual_bp
from bp_lab.data import Dataset, Split
from bp_lab.runs import engine
from bp_lab.runs.config import Config
from jax_ref import Report, Verdict, check_model
from manual_bp.train import State

SAMPLES = 8
WITNESS = "jax.grad"


def check(config: Config, dataset: Dataset, state: State, *, seed: int = 0) -> Report:
    """Return the report on every dW, db and δ of the run's network in a state of training.

    It is held in the dtype that the network computes in.
    """
    config = dataclasses.replace(config, dtype=config.model_dtype, precision=None)
    params, carried = manual_bp.op.in_dtype((state.params, state.model), config.dtype)
    few = Split(dataset.train.x[:SAMPLES], dataset.train.y[:SAMPLES])
    by_hand, reference = engine.hand_written(config), engine.reference_loss(config)

    def reference_loss(*given: Any, probes: Any) -> Any:
        return reference(*given, probes=probes)[0]

    return check_model(
        lambda *given: by_hand(*given)[:3],
        reference_loss,
        params,
        carried,
        *engine.data(config, dataset, few),
        name=config.describe_model(dataset.train.x.shape[1], dataset.classes, dataset.image_shape),
        seed=seed,
        raises=False,
    )


def is_wrong(report: Report) -> bool:
    """Return whether a witness in float64 says FAIL; a lost digit in lower precision is shown."""
    failed = [row for row in report.rows if row.verdict is Verdict.FAIL]
    return any(row.witness != "precision" for row in failed)


def summary(report: Report | None) -> dict[str, Any]:
    """Return the check as it stands in a run's result; `None` where there was none."""
    if report is None:
        return {"verdict": "NOT RUN", "worst_leaf": None, "worst_relative_error": None}
    worst = report.worst(WITNESS)
    failed = next((row for row in report.rows if row.verdict != "PASS"), None)
    row = failed or worst
    return {
        "verdict": str(report.verdict),
        "worst_leaf": row.leaf if row else None,
        "worst_relative_error": row.error if row else None,
        "witnesses": report.worst_errors(),
    }
