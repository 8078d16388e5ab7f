"""The passes of a training of the reader: by hand, or the reference through autodiff."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bp_lab.ocr.batches import CLASSES, Batch, batch
from bp_lab.ocr.data import HEIGHT, LineImage, line
from bp_lab.ocr.settings import Settings
from jax_ref import Report, check_model, references
from manual_bp import line_reader

_WARM_STEPS = 200
_LARGEST_GRADIENT = 5.0
_NOISE = 0.3
_CHECKED = {"lines": 2, "columns": 64, "longest": 5}


def initial(settings: Settings) -> line_reader.Params:
    """Return the parameters before the first step."""
    key, channels = jax.random.key(settings.seed), (1, *settings.channels)
    return line_reader.init(key, HEIGHT, channels, settings.hidden, CLASSES)


def optimizer(settings: Settings) -> optax.GradientTransformation:
    """Return Adam with a step size that rises at first and then falls like a cosine."""
    steps, rate = settings.steps, settings.learning_rate
    warm = min(_WARM_STEPS, steps // 4)
    rates = optax.warmup_cosine_decay_schedule(rate / 10, rate, warm, steps, rate / 50)
    return optax.chain(optax.clip_by_global_norm(_LARGEST_GRADIENT), optax.adam(rates, b2=0.99))


def loss_and_gradients(settings: Settings) -> Callable[..., tuple[Any, Any]]:
    """Return `(params, *batch) -> (loss, gradients)` of the chosen engine."""
    if settings.engine == "autodiff":
        return jax.value_and_grad(_reference_loss(_optax_ctc))
    return lambda *given: line_reader.loss_gradients_and_deltas(*given)[:2]


def _reference_loss(ctc: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    return partial(references.models.line_reader_loss, loss=ctc, pools=line_reader.POOLS)


def _optax_ctc(y: jax.Array, labels: jax.Array, steps: jax.Array, lengths: jax.Array) -> jax.Array:
    """Return the mean loss as optax computes it, for lines that have enough steps."""
    # optax mixes dtypes and ranks, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        after = [
            (jnp.arange(most)[None] >= counts[:, None]).astype(y.dtype)
            for counts, most in ((steps, y.shape[1]), (lengths, labels.shape[1]))
        ]
        return optax.ctc_loss(y, after[0], labels, after[1]).mean()


def check(settings: Settings, params: line_reader.Params) -> Report:
    """Return the report on every gradient and δ of the reader, on a few short lines."""
    return check_model(
        line_reader.loss_gradients_and_deltas,
        _reference_loss(references.losses.ctc),
        params,
        *few_lines(settings.seed),
        name="line_reader",
        seed=settings.seed,
        raises=False,
    )


def few_lines(seed: int) -> Batch:
    """Return lines so short that the slowest witness is quick, under strong noise.

    On clean paper neighbours are nearly equal, and which of them is the largest of a window would
    turn within the steps of finite differences.
    """
    found: list[LineImage] = []
    number = 0
    while len(found) < _CHECKED["lines"]:
        drawn = line(seed, number, split="train", longest=_CHECKED["longest"])
        if drawn.image.shape[1] <= _CHECKED["columns"]:
            found.append(drawn)
        number += 1
    few = batch(found, _CHECKED["columns"], _CHECKED["longest"])
    rng = np.random.default_rng(seed)
    return few._replace(x=few.x + rng.normal(0, _NOISE, few.x.shape).astype(np.float32))
