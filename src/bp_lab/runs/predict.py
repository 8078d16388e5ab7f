"""The trained network of a run, ready to read images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bp_lab.errors import InputError
from bp_lab.runs import engine, folder
from bp_lab.runs.checkpoint import opened
from bp_lab.runs.config import Config


@dataclass(frozen=True)
class Network:
    """The parameters of a run, and what else the model carries, with what it takes to use them."""

    config: Config
    image_shape: tuple[int, int]
    params: Any
    carried: Any

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for each sample, (n, features), the class and its probability."""
        with engine.precision(self.config.dtype):
            samples = engine.samples(self.config, x, self.image_shape)
            outputs = jax.jit(engine.scores(self.config))(self.params, self.carried, samples)
            confidence = np.asarray(engine.probabilities(self.config, outputs))
        return confidence.argmax(-1), confidence.max(-1)


def load_network(run: Path) -> Network:
    """Return the network of a run as its last checkpoint has it.

    Raises:
      InputError: the folder is not a run, the run has no checkpoint, it was not trained on
        images, or its files are damaged.
    """
    content = folder.read_config(run)
    dataset = content["dataset"]
    try:
        config = Config.from_dict(content["config"])
        features, classes = int(dataset["features"]), int(dataset["classes"])
        image_shape = dataset["image_shape"]
    except (KeyError, TypeError, ValueError) as error:
        expected = "the settings of a run of this version"
        raise InputError("run", str(run / folder.CONFIG), expected, repr(error)) from None
    if image_shape is None:
        raise InputError("run", str(run), "a run trained on images", "one trained on vectors")
    if not (run / folder.CHECKPOINTS).is_dir():
        raise InputError("run", str(run), "a run with a checkpoint", "none")
    rows, columns = image_shape
    with engine.precision(config.dtype), opened(run) as checkpoints:
        sizes = features, classes, (rows, columns)
        like = jax.eval_shape(lambda: engine.initial_state(config, *sizes))
        snapshot = checkpoints.latest(like)
    if snapshot is None:
        raise InputError("run", str(run), "a run with a checkpoint", "none")
    return Network(config, (rows, columns), snapshot.state.params, snapshot.state.model)
