"""Labelled samples in three parts, and the checks and cuts that make them.

Pixels: bool, uint8 and uint16 are divided by their dtype's maximum (1, 255, 65535). Other integers
have no customary range and are divided by the largest value that occurs. Floating input is used
as it is.

Cuts: the samples, shuffled by a fixed seed, are put in order of their labels, and every k-th goes
to the smaller part. A class of c samples thus gives share · c of them, to within one, and classes
of one or two samples need no special case. The cut knows nothing of the seed of training.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bp_lab.errors import InputError

MOST_CLASSES = 2**16
"""Labels reach from 0 to one less; a greater one is a damaged file, and would size a model."""

_CUT_SEED = 0
_VALIDATION_PERCENT = 10
_HELD_OUT_PERCENT = 30


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Samples and their labels.

    Attributes:
      x: float32 (n, features); pixels lie in [0, 1], floating input is as it came.
      y: int32 (n,), the index of each sample's class.
    """

    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled samples for training, for choosing among models, and for the last word.

    Attributes:
      name: of the source, such as `digits`.
      train: what gradients come from.
      validation: what settings are chosen by.
      test: what is reported.
      classes: the largest label of all parts, plus one.
      image_shape: (rows, columns), or None where samples are not images.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int
    image_shape: tuple[int, int] | None


class Named(NamedTuple):
    """An array and where it came from, for messages.

    Attributes:
      array: as it was read.
      place: the file.
      argument: the array's name in it.
    """

    array: np.ndarray
    place: str
    argument: str


class Raw(NamedTuple):
    """Samples (n, …) and labels (n,) as they were read."""

    x: Named
    y: Named


def from_whole(name: str, raw: Raw) -> Dataset:
    """Cut one collection into 70 % training, 15 % validation and 15 % test, by class.

    Raises:
      InputError: the arrays do not fit `from_parts`, or there are fewer than four samples.
    """
    (whole,), image_shape = _splits([raw])
    n = len(whole.y)
    if n < 4:
        expected = "4 samples or more, two of them for training"
        raise InputError(raw.x.place, raw.x.argument, expected, n)
    held = max(2, _rounded_share(n, _HELD_OUT_PERCENT))
    train, rest = _cut(whole, held)
    validation, test = _cut(rest, (held + 1) // 2)
    return _dataset(name, [train, validation, test], image_shape, raw.y)


def from_parts(name: str, train: Raw, test: Raw, validation: Raw | None = None) -> Dataset:
    """Check and scale parts that are given; without a validation part, cut 10 % off training.

    Args:
      name: of the source.
      train: samples (n, features), (n, rows, columns) or (n, rows, columns, 1), of a boolean,
        integer or floating dtype; labels (n,), whole numbers from 0, in any numeric dtype.
      test: likewise.
      validation: likewise.

    Raises:
      InputError: an array has another rank, is empty, or is not finite; pixels or labels are
        negative; samples and labels differ in number; parts differ in dtype or in the shape of
        a sample; or training knows fewer than two classes.
    """
    parts = [train, test] if validation is None else [train, test, validation]
    (trained, *others), image_shape = _splits(parts)
    if validation is None:
        n = len(trained.y)
        if n < 2:
            raise InputError(train.x.place, train.x.argument, "2 samples or more", n)
        trained, cut = _cut(trained, max(1, _rounded_share(n, _VALIDATION_PERCENT)))
        others.append(cut)
    return _dataset(name, [trained, others[1], others[0]], image_shape, train.y)


def _dataset(
    name: str, splits: Sequence[Split], image_shape: tuple[int, int] | None, labels: Named
) -> Dataset:
    train, validation, test = splits
    known = np.unique(train.y)
    if len(known) < 2:
        came = f"label {known[0]} alone"
        raise InputError(
            labels.place, labels.argument, "two classes or more in the training part", came
        )
    classes = 1 + max(int(split.y.max()) for split in splits)
    return Dataset(name, train, validation, test, classes, image_shape)


def _splits(parts: Sequence[Raw]) -> tuple[list[Split], tuple[int, int] | None]:
    first = parts[0].x
    sample = first.array.shape[1:]
    for x, y in parts:
        _expect_samples(x)
        if x.array.shape[1:] != sample:
            came = f"samples of shape {x.array.shape[1:]}"
            expected = f"samples of shape {sample} as in {first.argument}"
            raise InputError(x.place, x.argument, expected, came)
        if x.array.dtype != first.array.dtype:
            expected = f"{first.array.dtype} as in {first.argument}"
            raise InputError(x.place, x.argument, expected, x.array.dtype)
        if y.array.ndim != 1:
            raise InputError(y.place, y.argument, "labels of rank 1", f"shape {y.array.shape}")
        if len(y.array) != len(x.array):
            expected = f"{len(x.array)} labels, one for each sample"
            raise InputError(y.place, y.argument, expected, len(y.array))
    divisor = _divisor([x.array for x, _ in parts])
    splits = [Split(_scaled(x, divisor), _labels(y)) for x, y in parts]
    image_shape = None if len(sample) == 1 else (sample[0], sample[1])
    return splits, image_shape


def _expect_samples(x: Named) -> None:
    array = x.array
    if array.ndim not in (2, 3) and not (array.ndim == 4 and array.shape[3] == 1):
        expected = "shape (n, features), (n, rows, columns) or (n, rows, columns, 1)"
        raise InputError(x.place, x.argument, expected, array.shape)
    if array.size == 0:
        raise InputError(x.place, x.argument, "one sample and one feature or more", array.shape)
    if array.dtype.kind not in "biuf":
        expected = "booleans, integers or real floating numbers"
        raise InputError(x.place, x.argument, expected, array.dtype)
    if array.dtype.kind == "i" and array.min() < 0:
        raise InputError(x.place, x.argument, "pixels of 0 or more", array.min())


def _divisor(arrays: Sequence[np.ndarray]) -> float:
    dtype = arrays[0].dtype
    if dtype.kind in "bf":
        return 1.0
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return float(np.iinfo(dtype).max)
    return float(max(array.max() for array in arrays)) or 1.0


def _scaled(x: Named, divisor: float) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        scaled = x.array.reshape(len(x.array), -1).astype(np.float32)
        scaled /= np.float32(divisor)
    finite = np.isfinite(scaled)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        came = f"{x.array.reshape(len(x.array), -1)[row, column]} in sample {row}"
        raise InputError(x.place, x.argument, "finite numbers within float32", came)
    return scaled


def _labels(y: Named) -> np.ndarray:
    array = y.array
    if array.dtype.kind not in "biuf":
        raise InputError(y.place, y.argument, "integer labels", array.dtype)
    if array.dtype.kind == "f":
        # A NaN differs from itself, and so from its floor.
        broken = array[array != np.floor(array)]
        if broken.size:
            raise InputError(y.place, y.argument, "labels that are whole numbers", broken[0])
    for extreme in (array.min(), array.max()):
        if not 0 <= extreme < MOST_CLASSES:
            raise InputError(y.place, y.argument, f"labels from 0 to {MOST_CLASSES - 1}", extreme)
    return array.astype(np.int32)


def _rounded_share(n: int, percent: int) -> int:
    return (n * percent + 50) // 100


def _cut(whole: Split, size: int) -> tuple[Split, Split]:
    n = len(whole.y)
    shuffled = np.random.default_rng(_CUT_SEED).permutation(n)
    by_class = shuffled[np.argsort(whole.y[shuffled], kind="stable")]
    chosen = np.zeros(n, bool)
    chosen[by_class[(np.arange(size) * n + n // 2) // size]] = True
    return Split(whole.x[~chosen], whole.y[~chosen]), Split(whole.x[chosen], whole.y[chosen])
