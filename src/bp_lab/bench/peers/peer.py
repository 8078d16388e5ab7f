"""What a peer is: an op as a user would write it, for `jax.grad` to differentiate."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def unchanged(*args: Any, **_options: Any) -> tuple[Any, ...]:
    """Return the arguments."""
    return args


def as_it_is(y: Any, **_options: Any) -> Any:
    """Return the output."""
    return y


def always(*_args: Any, **_options: Any) -> bool:
    """Return True: it takes all arguments and options."""
    return True


@dataclass(frozen=True)
class Peer:
    """A function that computes what an op does, as a user would write it.

    Attributes:
      name: what it is written with.
      function: `(*args, **options) -> y`, in its own layout.
      library: what must be installed besides JAX and Optax; None for nothing.
      arrange: `(*args, **options) -> args` as the function takes them, from the op's; beforehand,
        and not timed.
      restore: `(y, **options) -> y` as the op returns it: entries in another order, not timed.
      fits: `(*args, **options) -> bool`, whether the function is for such arguments of the op's.
      constants: places among the arranged arguments that no gradient is taken of.
    """

    name: str
    function: Callable[..., Any]
    library: str | None = None
    arrange: Callable[..., tuple[Any, ...]] = unchanged
    restore: Callable[..., Any] = as_it_is
    fits: Callable[..., bool] = always
    constants: frozenset[int] = frozenset()

    @property
    def installed(self) -> bool:
        """Whether what it is written with is there."""
        return self.library is None or importlib.util.find_spec(self.library) is not None
