"""The three networks of the pipeline trained, each on what the generator says of its own step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bp_lab.ocr.data import Page
from bp_lab.ocr.pipeline import classifier, detector, samples, segmenter
from bp_lab.ocr.pipeline.band import bands_of
from manual_bp import train

STAGES: dict[str, Any] = {
    "detector": detector,
    "segmenter": segmenter,
    "classifier": classifier,
}

_TILES, _COLUMNS = 2, 192
_WARM = 50
_SAID = 100


@dataclass(frozen=True)
class Plan:
    """How long the three networks are trained.

    Attributes:
      pages: how many are drawn, for all three.
      steps: of each network.
      batch: samples in a step, of each network.
      rates: the largest step size of Adam, of each network.
    """

    pages: int = 320
    steps: tuple[int, int, int] = (350, 700, 3000)
    batch: tuple[int, int, int] = (16, 32, 128)
    rates: tuple[float, float, float] = (4e-3, 3e-3, 1e-3)


def shapes() -> dict[str, Any]:
    """Return the shapes of the parameters of each network."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    return {name: jax.eval_shape(stage.init, key) for name, stage in STAGES.items()}


def fit(
    seed: int, plan: Plan | None = None, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return the parameters of the three networks, trained.

    Args:
      seed: of the pages, the parameters and the order of the samples.
      plan: how long; None for that of the weights in the package.
      say: is told how it goes, a line at a time.
    """
    plan = plan or Plan()
    drawn = list(samples.pages(seed, plan.pages, split="train"))
    return {name: fit_one(name, seed, drawn, plan, say) for name in STAGES}


def fit_one(
    name: str, seed: int, drawn: Sequence[Page], plan: Plan, say: Callable[[str], None]
) -> Any:
    """Return the parameters of one of the networks, trained on pages that are drawn already."""
    number = list(STAGES).index(name)
    rng = np.random.default_rng((seed, number))
    data = (_for_detector, _for_segmenter, _for_classifier)[number](rng, drawn)
    say(f"{name}: {len(data[0])} samples")
    key = jax.random.fold_in(jax.random.key(seed), number)
    batches = samples.batches(rng, data, min(plan.batch[number], len(data[0])))
    return _fitted(name, key, batches, plan.steps[number], plan.rates[number], say)


def _fitted(
    name: str,
    key: Any,
    batches: Iterator[tuple[np.ndarray, ...]],
    steps: int,
    rate: float,
    say: Callable[[str], None],
) -> Any:
    stage = STAGES[name]
    warm = min(_WARM, steps // 4)
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warm, steps, 1e-5)
    optimizer = optax.adam(schedule)
    state = train.init(stage.init(key), optimizer)
    step = train.jit_step(stage.loss_and_gradients, optimizer)
    losses = []
    for number in range(1, steps + 1):
        state, loss = step(state, tuple(map(jnp.asarray, next(batches))))
        losses.append(loss)
        if number % _SAID == 0 or number == steps:
            say(f"{name}: step {number} of {steps}, loss {float(np.mean(losses)):.3f}")
            losses.clear()
    return state.params


def _for_detector(rng: np.random.Generator, pages: Sequence[Page]) -> tuple[np.ndarray, ...]:
    sizes = [samples.tiles(rng, page, _TILES) for page in pages for _ in range(2)]
    return _stacked(sizes)


def _lines(rng: np.random.Generator, pages: Sequence[Page]) -> Iterator[samples.Written]:
    for page in pages:
        for band, line in zip(bands_of(page.lines), page.lines, strict=True):
            yield samples.written(page.image, samples.jittered(rng, band), line)


def _for_segmenter(rng: np.random.Generator, pages: Sequence[Page]) -> tuple[np.ndarray, ...]:
    found = []
    for line in _lines(rng, pages):
        for _ in range(1 + line.image.shape[1] // (_COLUMNS + 64)):
            image, said = samples.windows(rng, line, _COLUMNS)
            found.append((image[None], said[None]))
    return _stacked(found)


def _for_classifier(rng: np.random.Generator, pages: Sequence[Page]) -> tuple[np.ndarray, ...]:
    return _stacked([samples.pieces(rng, line) for line in _lines(rng, pages)])


def _stacked(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    inputs, answers = zip(*parts, strict=True)
    return np.concatenate(inputs), np.concatenate(answers)
