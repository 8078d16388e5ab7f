"""What is timed, at sizes small enough for a test, with the options of the benchmark."""

from collections.abc import Iterator
from typing import Any

import jax

from bp_lab.bench import models
from bp_lab.runs import Config
from jax_ref import cases
from jax_ref.cases.case import Options, Sizes

# Of these the options of the benchmark go with none of the sizes at which the op is checked.
SMALL: dict[str, tuple[Sizes, Options]] = {
    "adaptive_mean_pool": ({"b": 2, "spatial": (6, 4), "c": 3}, {"size": (3, 2)}),
    "adaptive_max_pool": ({"b": 2, "spatial": (6, 4), "c": 3}, {"size": (3, 2)}),
    "broadcast_to": ({"batch": (3, 1, 2)}, {"shape": (3, 4, 2)}),
    "group_norm": ({"batch": (2, 3), "n": 6}, {"groups": 2}),
    "strided_slice": (
        {"batch": (5, 7, 3)},
        {"starts": (1, 0, 0), "limits": (4, 7, 3), "strides": (1, 2, 2)},
    ),
}

TIMED = [case for case in cases.registry if case.bench]


def small(case: cases.Case) -> Iterator[tuple[Sizes, Options]]:
    """Yield sizes with numbers at each, and the options of the benchmark that go with them."""
    if case.op_name in SMALL:
        yield SMALL[case.op_name]
        return
    for sizes in case.sizes:
        for _, options in case.bench:
            if 0 not in jax.tree.leaves(dict(sizes)) and case.fits(sizes, options):
                yield sizes, options


SMALL_MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (7, 5)},
    "cnn": {"channels": (3, 4), "hidden": (6,)},
    "resnet": {"channels": (3, 4)},
    "rnn": {"hidden": (5,)},
    "lstm": {"hidden": (5,)},
    "gru": {"hidden": (5,)},
}


def small_model(name: str, image: tuple[int, int]) -> models.Model:
    settings = {"optimizer": "sgd", "learning_rate": 0.5, "weight_decay": 0.0, "dtype": "float64"}
    return models.Model(Config(model=name, **settings, **SMALL_MODELS[name]), 6, image)
