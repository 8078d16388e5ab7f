"""Whether the reader of lines is trained by hand as it is by autodiff, and in what time.

It is trained three times from one start on the same lines: with gradients by hand, with those of
autodiff, and with those of autodiff from parameters that are moved by an ulp. Gradients that are
equal but for rounding part two trainings as that ulp does, and nothing that computes in the same
precision keeps closer. How fast it is shows in float32; in float64; and in float32 at a step size
at which little is learnt, and little amplified. At every step both gradients are held against each
other at the same parameters as well.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bp_lab.ocr import engine, training
from bp_lab.ocr.batches import Batch
from bp_lab.ocr.settings import ENGINES, Settings
from bp_lab.plots.figure import picture

STEPS, MARKS = 200, (50, 100, 200)
HAND, TRUTH, MOVED = "by hand", "autodiff", "autodiff, moved by an ulp"
_ENGINES = dict(zip((HAND, TRUTH, MOVED), (*ENGINES, ENGINES[1]), strict=True))


class Where(NamedTuple):
    """A dtype, the most steps in it, and the largest step size, None for the usual one."""

    dtype: Any
    steps: int
    learning_rate: float | None


WHERE: Mapping[str, Where] = MappingProxyType(
    {
        "float32": Where(np.float32, STEPS, None),
        "float64": Where(np.float64, STEPS // 2, None),
        "float32, step size 5e-05": Where(np.float32, STEPS, 5e-5),
    }
)


class Training(NamedTuple):
    """What was seen of three trainings side by side, an entry for each step.

    Attributes:
      loss: of each training, a line, in nats.
      gradients: ‖g − g'‖ / ‖g'‖ of the gradients by hand and of autodiff, at autodiff's parameters.
      seconds: of each training; steps that compiled are left out.
    """

    loss: dict[str, np.ndarray]
    gradients: np.ndarray
    seconds: dict[str, np.ndarray]

    def apart(self, name: str) -> np.ndarray:
        """Return how far a training's loss is from that of autodiff, relative to it."""
        return np.abs(self.loss[name] - self.loss[TRUTH]) / self.loss[TRUTH]


class Result(NamedTuple):
    """The trainings, by `WHERE`."""

    trainings: dict[str, Training]


def run(seed: int = 0, steps: int = STEPS, settings: Settings | None = None) -> Result:
    """Return how far the trainings part.

    Args:
      seed: of the parameters and of the lines.
      steps: of each training; no more than `WHERE` says.
      settings: of the training; None for those of the reader that comes along.
    """
    usual = replace(settings or Settings(), seed=seed)
    batches = _batches(usual, steps)
    passes = {
        name: jax.jit(engine.loss_and_gradients(replace(usual, engine=name))) for name in ENGINES
    }
    trainings = {}
    for name, where in WHERE.items():
        chosen = replace(usual, learning_rate=where.learning_rate or usual.learning_rate)
        with jax.enable_x64(where.dtype is np.float64):
            rule = engine.optimizer(chosen)
            start = jax.tree.map(
                lambda leaf, of=where.dtype: np.asarray(leaf, of), engine.initial(chosen)
            )
            trainings[name] = _train(
                passes, rule, start, _moved(start, seed), batches[: where.steps]
            )
    return Result(trainings)


def _batches(settings: Settings, count: int) -> list[Batch]:
    found: list[Batch] = []
    epoch = 0
    while len(found) < count:
        found += training.epoch_batches(settings, epoch)
        epoch += 1
    return found[:count]


def _train(
    passes: Mapping[str, Any],
    rule: optax.GradientTransformation,
    start: Any,
    moved: Any,
    batches: Sequence[Batch],
) -> Training:
    """Train side by side, a step of each in turn, so that the machine is the same for all."""
    params = {HAND: start, TRUTH: start, MOVED: moved}
    update = jax.jit(_updates(rule))
    states = {name: rule.init(of) for name, of in params.items()}
    loss: dict[str, list[float]] = {name: [] for name in params}
    seconds: dict[str, list[float]] = {name: [] for name in params}
    distances = []
    for number, batch in enumerate(batches):
        given = batch._replace(x=batch.x.astype(start.V.dtype))
        distances.append(_distance(*(passes[name](params[TRUTH], *given)[1] for name in ENGINES)))
        for name in list(params)[:: 1 - 2 * (number % 2)]:
            begun = time.perf_counter()
            of_step, gradients = passes[_ENGINES[name]](params[name], *given)
            params[name], states[name] = update(params[name], gradients, states[name])
            loss[name].append(float(jax.block_until_ready((of_step, params[name]))[0]))
            seconds[name].append(time.perf_counter() - begun)
    # The passes compiled for the distances, the update in the first step.
    return Training(
        {name: np.asarray(losses) for name, losses in loss.items()},
        np.asarray(distances),
        {name: np.asarray(of_steps[1:]) for name, of_steps in seconds.items()},
    )


def _updates(rule: optax.GradientTransformation) -> Any:
    def update(params: Any, gradients: Any, state: Any) -> tuple[Any, Any]:
        # optax mixes integer counts with floats, which strict promotion forbids.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            changes, after = rule.update(gradients, state, params)
            moved = optax.apply_updates(params, changes)
        return jax.tree.map(
            lambda old, new: jnp.asarray(new, old.dtype), (params, state), (moved, after)
        )

    return update


def _moved(params: Any, seed: int) -> Any:
    """Return parameters one ulp up or down, at random."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: leaf + np.spacing(leaf) * rng.choice([-1, 1], leaf.shape).astype(leaf.dtype),
        params,
    )


def _distance(one: Any, other: Any) -> float:
    """Return how far gradients are apart, relative to the other: the largest of all leaves."""
    least = np.finfo(np.float32).tiny
    pairs = zip(*map(jax.tree.leaves, (one, other)), strict=True)
    return max(
        float(np.linalg.norm(np.asarray(a - b)) / max(np.linalg.norm(np.asarray(b)), least))
        for a, b in pairs
    )


def draw(path: Path, result: Result) -> None:
    """Draw how far the losses have parted up to each step, and how far the gradients are apart."""
    with picture(path, ncols=2, figsize=(11, 4.2)) as (_, (left, right)):
        for number, (where, of) in enumerate(result.trainings.items()):
            color = f"C{number}"
            for name, style in ((HAND, "-"), (MOVED, ":")):
                so_far = np.maximum.accumulate(of.apart(name))
                left.semilogy(so_far, style, color=color, label=f"{name}; {where}")
            right.semilogy(of.gradients, color=color)
        left.set(xlabel="step", title="Loss: largest relative difference from autodiff's so far")
        left.legend(fontsize="small")
        right.set(xlabel="step", title="Gradients: relative difference at the same parameters")


def lines(result: Result) -> list[str]:
    """Return what came out, in words."""
    told = []
    for where, of in result.trainings.items():
        steps = len(of.gradients)
        for name in (HAND, MOVED):
            apart = of.apart(name)
            marks = sorted({min(mark, steps) for mark in MARKS})
            shown = ", ".join(f"{apart[:mark].max():.1e} up to step {mark}" for mark in marks)
            told.append(f"{where}, {name}: loss apart by {shown}")
        largest = of.gradients.max()
        told.append(f"{where}, gradients at the same parameters: at most {largest:.1e} apart")
    seconds = next(iter(result.trainings.values())).seconds
    hand, truth = seconds[HAND], seconds[TRUTH]
    return [
        *told,
        f"a step by hand takes {1e3 * np.median(hand):.3g} ms, by autodiff "
        f"{1e3 * np.median(truth):.3g} ms, {np.median(truth / hand):.2f} times as long",
    ]
