"""The splits of the pictures by name."""

from typing import Literal, get_args

import numpy as np

from bp_lab.errors import InputError

Split = Literal["train", "test", "unseen family", "unseen noise", "digits"]
SPLITS: tuple[Split, ...] = get_args(Split)


def expect(split: str) -> None:
    """Raise an InputError unless there is such a split."""
    if split not in SPLITS:
        raise InputError("ocr.data", "split", f"one of {', '.join(SPLITS)}", repr(split))


def generator(seed: int, split: str, number: int) -> np.random.Generator:
    """Return the random numbers of one picture; they depend on nothing but the three arguments."""
    return np.random.default_rng((seed, SPLITS.index(split), number))
