"""The settings of a run, checked and written down."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np

import manual_bp
from bp_lab.data import DIGITS, Dataset
from bp_lab.errors import InputError, expect_seed
from bp_lab.runs import models

PLACE = "train"

LOSSES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        # name: the loss, the activation of the last layer, what the loss takes as targets
        "softmax-xent": ("softmax_cross_entropy", "identity", "labels"),
        "bce": ("binary_cross_entropy", "identity", "one-hot"),
        "bce-probabilities": ("binary_cross_entropy_on_probabilities", "sigmoid", "one-hot"),
        "squared-error": ("squared_error", "sigmoid", "one-hot"),
        "softmax-squared-error": ("softmax_squared_error", "identity", "one-hot"),
    }
)
LEARNING_RATES: Mapping[str, float] = MappingProxyType(
    {"sgd": 0.1, "momentum": 0.05, "adam": 0.001, "lbfgs": 1.0}
)
DTYPES = ("float32", "float64", "bfloat16", "float16")
ENGINES = ("manual", "autodiff")


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines a run: the same settings on the same machine end in the same parameters.

    Attributes:
      dataset: "digits", an .npz file or a folder of IDX files.
      model: a name in `bp_lab.runs.models.table`.
      hidden: widths of the hidden dense layers, () for none, or of the recurrent one; None for the
        model's default.
      channels: of a cnn, those that each of its convolutions gives; of a resnet, its blocks.
      activation: of the hidden layers, a name in `manual_bp.activations.table`; None for the
        model's default.
      loss: a name in `LOSSES`.
      initialiser: a name in `manual_bp.init.table`; None for the model's default.
      optimizer: a name in `LEARNING_RATES`.
      learning_rate: step size; None for the optimiser's and the model's default.
      weight_decay: λ of the penalty λ/2 Σ W² over the weights; None for the model's default.
      batch_size: samples in a batch, or "full".
      epochs: visits of the whole training part.
      seed: of the parameters and of the order of the samples.
      dtype: of parameters, optimiser and data.
      precision: dtype in which the model computes loss and gradients while it is trained, no wider
        than `dtype`; None for that. In float16 under wider parameters the loss has a scale.
      engine: "manual" or "autodiff".
      check: when gradients are checked: "first", "never" or "every:N" epochs.
    """

    dataset: str = "digits"
    model: str = "mlp"
    hidden: tuple[int, ...] = None  # type: ignore[assignment]
    channels: tuple[int, ...] = (32, 64)
    activation: str = None  # type: ignore[assignment]
    loss: str = "softmax-xent"
    initialiser: str = None  # type: ignore[assignment]
    optimizer: str = "adam"
    learning_rate: float | None = None
    weight_decay: float = None  # type: ignore[assignment]
    batch_size: int | str = 32
    epochs: int = 40
    seed: int = 0
    dtype: str = "float32"
    precision: str | None = None
    engine: str = "manual"
    check: str = "first"

    def __post_init__(self) -> None:
        _expect_choice("model", self.model, models.table)
        kind = models.table[self.model]
        known = kind.activations or tuple(manual_bp.activations.table)
        default = known[0] if kind.activations else "relu"
        for name, value in (
            ("hidden", kind.hidden),
            ("activation", default),
            ("initialiser", kind.initialiser),
            ("weight_decay", kind.decay),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if self.learning_rate is None and self.optimizer in LEARNING_RATES:
            rates = {**LEARNING_RATES, "adam": kind.adam}
            object.__setattr__(self, "learning_rate", rates[self.optimizer])
        _expect_choice("activation", self.activation, known)
        losses = [
            n for n, (_, last, _) in LOSSES.items() if self.model == "mlp" or last == "identity"
        ]
        _expect_choice("loss", self.loss, tuple(losses))
        _expect_choice("initialiser", self.initialiser, manual_bp.init.table)
        _expect_choice("optimizer", self.optimizer, LEARNING_RATES)
        _expect_choice("dtype", self.dtype, DTYPES)
        _expect_choice("precision", self.model_dtype, DTYPES)
        _expect_choice("engine", self.engine, ENGINES)
        bits, most = (jnp.finfo(name).bits for name in (self.model_dtype, self.dtype))
        expected = f"{self.dtype}, as --dtype, or a narrower dtype"
        _expect(bits < most or not self.is_mixed, "precision", expected, self.precision)
        if self.engine == "autodiff":
            expected = f"{self.dtype}, as --dtype, with --engine autodiff"
            _expect(not self.is_mixed, "precision", expected, self.precision)
        _expect(all(n >= 1 for n in self.hidden), "hidden", "widths of at least 1", self.hidden)
        if kind.layers is not None:
            expected = f"{'one width' if kind.layers else 'none'} for {self.model}"
            _expect(len(self.hidden) == kind.layers, "hidden", expected, self.hidden)
        holds = all(n >= 1 for n in self.channels) and bool(self.channels)
        _expect(holds, "channels", "numbers of at least 1", self.channels)
        rate = float(self.learning_rate or 0)
        _expect(
            rate > 0 and math.isfinite(rate),
            "learning-rate",
            "a finite number > 0",
            self.learning_rate,
        )
        decay = self.weight_decay
        _expect(decay >= 0 and math.isfinite(decay), "weight-decay", "a finite number ≥ 0", decay)
        _expect(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        expect_seed(PLACE, self.seed)
        size = self.batch_size
        whole = isinstance(size, int) and size >= 1
        _expect(whole or size == "full", "batch-size", "a whole number ≥ 1, or 'full'", size)
        self.check_interval  # noqa: B018  raises where `check` cannot be read

    @property
    def is_mixed(self) -> bool:
        """Whether the model computes in another dtype than that of its parameters."""
        return self.model_dtype != self.dtype

    @property
    def model_dtype(self) -> str:
        """The dtype in which the model computes loss and gradients."""
        return self.precision or self.dtype

    @property
    def check_interval(self) -> int | None:
        """Epochs between checks: 0 for before the first only, None for never."""
        if self.check in ("first", "never"):
            return 0 if self.check == "first" else None
        word, _, number = self.check.partition(":")
        readable = word == "every" and number.isdecimal() and int(number) >= 1
        _expect(readable, "check", "first, never or every:N with N ≥ 1", self.check)
        return int(number)

    def widths(self, features: int, classes: int) -> tuple[int, ...]:
        """Return the widths of all layers, from the input's to the output's."""
        return (features, *self.hidden, classes)

    @property
    def output_activation(self) -> str:
        """The name of the last layer's activation."""
        return LOSSES[self.loss][1]

    def describe_model(
        self, features: int, classes: int, image_shape: tuple[int, int] | None
    ) -> str:
        """Return the model in one line."""
        outline = models.table[self.model].outline(self, features, classes, image_shape)
        return f"{self.model} {outline} {self.loss}"

    def expect_fit(self, image_shape: tuple[int, int] | None) -> None:
        """Raise an InputError where the model cannot read the data set."""
        kind = models.table[self.model]
        if not kind.reads_images:
            return
        expected = "mlp for samples that are vectors, not images"
        _expect(image_shape is not None, "model", expected, self.model)
        assert image_shape is not None
        if kind.halvings is not None:
            most = int(math.log2(min(image_shape))) + len(self.channels)
            most -= kind.halvings(self.channels)
            size = "×".join(map(str, image_shape))
            _expect(most > 0, "model", f"one that does not halve images of {size}", self.model)
            expected = f"at most {most} of them, which halve images of {size}"
            _expect(len(self.channels) <= most, "channels", expected, self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data, for JSON, that mean the same in any directory."""
        source = self.dataset if self.dataset == DIGITS else str(Path(self.dataset).absolute())
        lists = {"hidden": list(self.hidden), "channels": list(self.channels)}
        return {**dataclasses.asdict(self), **lists, "dataset": source}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "Config":
        """Return the settings that `to_dict` wrote."""
        tuples = {n: tuple(settings[n]) for n in ("hidden", "channels") if n in settings}
        return cls(**{**settings, **tuples})


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """Return what tells a data set from another: sizes, and a hash of its contents."""
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.validation, dataset.test):
        for array in (split.x, split.y):
            digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "name": dataset.name,
        "features": int(dataset.train.x.shape[1]),
        "classes": int(dataset.classes),
        "image_shape": list(dataset.image_shape) if dataset.image_shape else None,
        "samples": {
            part: len(getattr(dataset, part).y) for part in ("train", "validation", "test")
        },
        "sha256": digest.hexdigest(),
    }


def _expect(holds: bool, argument: str, expected: str, came: object) -> None:
    if not holds:
        raise InputError(PLACE, f"--{argument}", expected, came)


def _expect_choice(argument: str, value: str, choices: Mapping[str, Any] | tuple[str, ...]) -> None:
    _expect(value in choices, argument, "one of " + ", ".join(choices), value)
