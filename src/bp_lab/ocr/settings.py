"""The settings of a training of the reader."""

import dataclasses
from typing import Any

from bp_lab.errors import InputError, expect_seed

ENGINES = ("manual", "autodiff")
CHECKS = ("first", "never")
VISITS = 2
"""How often a line that was drawn is used."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a training of the reader depends on.

    Attributes:
      epochs: how often new lines are drawn.
      lines: drawn for an epoch, and visited twice in it.
      batch_size: lines in a batch, all of about one width.
      channels: of the four convolutions' outputs.
      hidden: width of the LSTM's state in each direction.
      learning_rate: the largest of Adam's step sizes; it rises at first and falls like a cosine.
      seed: of the parameters and of the lines.
      engine: "manual", gradients by hand, or "autodiff", the reference through `jax.grad`.
      check: whether the gradients are checked "first", or "never".
    """

    epochs: int = 40
    lines: int = 2048
    batch_size: int = 32
    channels: tuple[int, int, int, int] = (16, 32, 64, 96)
    hidden: int = 128
    learning_rate: float = 2e-3
    seed: int = 0
    engine: str = "manual"
    check: str = "first"

    def __post_init__(self) -> None:
        """Refuse what cannot be trained.

        Raises:
          InputError: a setting is unknown or out of range.
        """
        for name, known in (("engine", ENGINES), ("check", CHECKS)):
            value = getattr(self, name)
            if value not in known:
                raise InputError("ocr train", f"--{name}", f"one of {', '.join(known)}", value)
        for name, least in (("epochs", 1), ("batch_size", 1), ("hidden", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                option = f"--{name.replace('_', '-')}"
                raise InputError("ocr train", option, f"a whole number of at least {least}", value)
        expect_seed("ocr train", self.seed)
        if not isinstance(self.lines, int) or self.lines < 4 * self.batch_size:
            expected = f"at least {4 * self.batch_size}, four batches"
            raise InputError("ocr train", "--lines", expected, self.lines)
        if not 0 < self.learning_rate < 1:
            expected = "a number between 0 and 1"
            raise InputError("ocr train", "--learning-rate", expected, self.learning_rate)
        if len(self.channels) != 4 or min(self.channels) < 1:
            expected = "four whole numbers of at least 1"
            raise InputError("ocr train", "--channels", expected, list(self.channels))

    @property
    def steps(self) -> int:
        """Return the most steps that the training can have."""
        return self.epochs * VISITS * (self.lines // self.batch_size)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON knows them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Settings":
        """Return the settings that `to_dict` gave.

        Raises:
          InputError: a setting is out of range.
          TypeError, KeyError: a setting is missing or unknown.
        """
        return cls(**{**content, "channels": tuple(content["channels"])})
